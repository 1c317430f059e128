"""Sharing: how threads that have each added up some elements of a result bring together what they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.jit.cuda.elements import combined
from tinygrad_dnn.jit.cuda.text import type_of
from tinygrad_dnn.jit.cuda.tiles import THREADS, WARP, Tile

# So many results at a time are shared through a block's memory.
_AT_ONCE = 8


def share(given: Sequence[tuple[str, str, np.dtype[Any]]], shape: Tile) -> tuple[list[str], int]:
    """Return statements after which each lane of a result has all of it, and how many words of memory they share.

    Which lane adds what to what follows from the lanes' numbers alone, so that the sum is the same in each run.

    Args:
        given: For each reduction its variable, its name, and its dtype.
        shape: Which threads are the lanes of which result.
    """
    if shape.lanes == 1 or not given:
        return [], 0
    if shape.together and shape.lanes <= WARP:
        return [line for x in given for line in _exchanged(*x, shape.lanes)], 0
    lines = []
    for begin in range(0, len(given), _AT_ONCE):
        lines += _through_memory(given[begin : begin + _AT_ONCE], shape)
    return lines, min(len(given), _AT_ONCE) * THREADS


def _exchanged(variable: str, name: str, dtype: np.dtype[Any], lanes: int) -> list[str]:
    """The lanes are threads of one warp, which can read each other's registers."""
    kind = type_of(dtype)
    passed = "int" if dtype.kind in "iu" and dtype.itemsize < 4 else kind
    return [
        "#pragma unroll", f"for (int half = {lanes // 2}; half; half /= 2)", "{",
        f"const {kind} other = ({kind})__shfl_xor_sync(0xFFFFFFFFu, ({passed}){variable}, half);",
        f"{variable} = {combined(name, dtype, variable, 'other')};", "}",
    ]  # fmt: skip


def _through_memory(given: Sequence[tuple[str, str, np.dtype[Any]]], shape: Tile) -> list[str]:
    distance = "half" if shape.together else f"half * {shape.results}"
    first = "t - lane" if shape.together else "column"
    kinds = [type_of(dtype) for _, _, dtype in given]
    lines = ["__syncthreads();", "{"]
    for number, ((variable, _, _), kind) in enumerate(zip(given, kinds, strict=True)):
        lines += [f"{kind}* const parts{number} = ({kind}*)(shared + {number * THREADS});",
                  f"parts{number}[t] = {variable};"]  # fmt: skip
    lines += ["__syncthreads();", "#pragma unroll", f"for (int half = {shape.lanes // 2}; half; half /= 2)", "{",
              "if (lane < half)", "{"]  # fmt: skip
    for number, ((_, name, dtype), kind) in enumerate(zip(given, kinds, strict=True)):
        x, y = f"x{number}", f"y{number}"
        lines += [f"const {kind} {x} = parts{number}[t], {y} = parts{number}[t + {distance}];",
                  f"parts{number}[t] = {combined(name, dtype, x, y)};"]  # fmt: skip
    lines += ["}", "__syncthreads();", "}"]
    lines += [f"{variable} = parts{number}[{first}];" for number, (variable, _, _) in enumerate(given)]
    return [*lines, "}"]
