"""Multiplying: small matrix products as sections, so that many of them, as weights' gradients are, share a launch."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_dnn.jit.cuda.launches import Pointer
from tinygrad_dnn.jit.cuda.operands import PlaceOf
from tinygrad_dnn.jit.cuda.sections import Section
from tinygrad_dnn.jit.cuda.text import type_of
from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.products import TRANSPOSED, product

_SIDE = 32
# A product of more terms keeps a card busy by itself, and a library of products does it better; sums of more terms take
# long in one block; and what is multiplied late has to be kept until then.
_MOST_TERMS = 2**24
_LONGEST = 1024
_MOST_KEPT = 2**20


def is_small(group: Group) -> bool:
    """Tell whether a group is a product, and so small that it is better done beside others than alone."""
    (operation, *_) = group.operations
    if group.kind != "product" or operation.target.root.dtype not in (np.float32, np.float64):
        return False
    found = product(operation)
    return (
        found is not None
        and found.count == 1
        and math.prod(found.lengths) <= _MOST_TERMS
        and max(found.lengths[:2]) * found.lengths[2] <= _MOST_KEPT
        and found.lengths[2] <= _LONGEST
    )


def multiplying(operation: Operation, place_of: PlaceOf) -> Section:
    """Return the section in which each block makes a square of a product's results.

    Each of the 256 threads makes four of the 1,024; what they multiply lies in memory that the block shares, so much
    of it at a time as 32 terms of each sum need.
    """
    found = product(operation)
    assert found is not None
    kind = type_of(operation.target.root.dtype)
    size = operation.target.root.dtype.itemsize
    pointers: list[Pointer] = []
    for view, offset in zip((*operation.read, operation.target), found.offsets, strict=True):
        place = place_of(view.root)
        assert place is not None
        pointers.append(Pointer(place.slot, place.offset + offset * size))
    rows, columns, inner = found.lengths
    wide = -(-columns // _SIDE)
    text = "\n".join([
        f"const {kind}* const x = (const {kind}*)a[0];",
        f"const {kind}* const y = (const {kind}*)a[1];",
        f"{kind}* const z = ({kind}*)a[2];",
        "const int rows = (int)a[3], columns = (int)a[4], inner = (int)a[5];",
        "const int down = block / (int)a[9] * 32, across = block % (int)a[9] * 32;",
        "const int column = t % 32, row = t / 32;",
        # One more in each row, or all of a column would lie in one bank.
        f"{kind}(*const left)[33] = ({kind}(*)[33])shared;",
        f"{kind}(*const right)[33] = left + 32;",
        f"{kind} total[4] = {{0, 0, 0, 0}};",
        "for (int begin = 0; begin < inner; begin += 32)", "{",
        "#pragma unroll",
        "for (int k = 0; k < 4; ++k)", "{",
        "const int other = row + 8 * k;",
        _loaded("left", "x", found.flags[0] == TRANSPOSED, "down", "rows", "begin", "inner", "6"),
        _loaded("right", "y", found.flags[1] == TRANSPOSED, "begin", "inner", "across", "columns", "7"),
        "}",
        "__syncthreads();",
        "#pragma unroll 8",
        "for (int k = 0; k < 32; ++k)", "{",
        f"const {kind} one = right[k][column];",
        "#pragma unroll",
        "for (int l = 0; l < 4; ++l)", "{",
        "total[l] += left[row + 8 * l][k] * one;",
        "}", "}",
        "__syncthreads();",
        "}",
        "#pragma unroll",
        "for (int l = 0; l < 4; ++l)", "{",
        "if (down + row + 8 * l < rows && across + column < columns)", "{",
        "z[(long long)(down + row + 8 * l) * (int)a[8] + across + column] = total[l];",
        "}", "}",
    ])  # fmt: skip
    arguments: tuple[Pointer | int, ...] = (*pointers, rows, columns, inner, *found.leading, wide)
    words = -(-2 * _SIDE * (_SIDE + 1) * size // 8)
    return Section(text, arguments, -(-rows // _SIDE) * wide, words, ())


def _loaded(square: str, given: str, transposed: bool, top: str, high: str, first: str, wide: str, apart: str) -> str:
    """Return what copies a square of a matrix; threads beside each other read elements beside each other."""
    if transposed:
        i, j, target = f"{top} + column", f"{first} + other", f"{square}[column][other]"
        at = f"({j}) * (int)a[{apart}] + {i}"
    else:
        i, j, target = f"{top} + other", f"{first} + column", f"{square}[other][column]"
        at = f"({i}) * (int)a[{apart}] + {j}"
    return f"{target} = {i} < {high} && {j} < {wide} ? __ldg({given} + {at}) : 0;"
