"""Draws: the counter-based random numbers of the backends, one block of four words from its number, in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.jit.native.text import Body

# Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011: what Philox4x64 multiplies by, and what its key
# grows by from one of its ten rounds to the next.
_FACTORS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_GROWTH = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10


def philox(body: Body, operands: Sequence[str], dtype: np.dtype[Any]) -> list[str]:
    """Append a block of ``Backend.uniform``'s bits: the upper 24 of each half of a word in int32, or 53 in int64.

    Args:
        body: What to append to.
        operands: The seed, the stream, the step, and the number of the block from 0 on.
        dtype: int32 or int64.

    Returns:
        The registers of four words of 64 bits.
    """
    key, step, block = list(operands[:2]), operands[2], operands[3]
    counter = [body.binary("add", "i64", block, "1"), "0", step, "0"]
    for number in range(_ROUNDS):
        if number:
            key = [body.binary("add", "i64", word, _signed(more)) for word, more in zip(key, _GROWTH, strict=True)]
        (low0, high0), (low1, high1) = (_product(body, counter[2 * i], _FACTORS[i]) for i in range(2))
        counter = [_xor(body, high1, counter[1], key[0]), low1, _xor(body, high0, counter[3], key[1]), low0]
    if dtype == np.int64:
        return [body.binary("lshr", "i64", word, "11") for word in counter]
    both = str(0x00FFFFFF00FFFFFF)
    return [body.binary("and", "i64", body.binary("lshr", "i64", word, "8"), both) for word in counter]


def _product(body: Body, x: str, factor: int) -> tuple[str, str]:
    """Return the lower and the upper half of a product."""
    wide = body.binary("mul", "i128", body.new(f"zext i64 {x} to i128"), str(factor))
    high = body.new(f"trunc i128 {body.binary('lshr', 'i128', wide, '64')} to i64")
    return body.new(f"trunc i128 {wide} to i64"), high


def _xor(body: Body, x: str, y: str, z: str) -> str:
    return body.binary("xor", "i64", body.binary("xor", "i64", x, y), z)


def _signed(x: int) -> str:
    return str(x - 2**64 if x >= 2**63 else x)
