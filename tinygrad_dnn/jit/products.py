"""Products: how a product of matrices that lie as views is done by a BLAS, on the host or on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import View, row_major, whole

PLAIN, TRANSPOSED = 111, 112
"""CBLAS's numbers."""


@dataclass(frozen=True)
class Product:
    """One product of matrices, or a stack of them whose distances are even.

    Attributes:
        flags: Whether x and y lie transposed, as CBLAS says it.
        lengths: The rows of x, the columns of y, and the length between.
        leading: How far apart the rows lie of x, y and the result, in elements.
        count: How many products there are.
        distances: How far apart the matrices of the stack lie, in elements.
        offsets: Where the first ones begin, in elements.
    """

    flags: tuple[int, int]
    lengths: tuple[int, int, int]
    leading: tuple[int, int, int]
    count: int
    distances: tuple[int, int, int]
    offsets: tuple[int, int, int]


def matched(
    operations: Sequence[Operation], can_multiply: Callable[[np.dtype[Any]], bool]
) -> tuple[list[Operation], dict[int, Product]]:  # fmt: skip
    """Return operations with the copies that their products need, and the products by their operations' identities.

    Args:
        operations: The operations; a product that no BLAS can do, even on copies, becomes a call.
        can_multiply: Tells whether there is a BLAS for a dtype.
    """
    products: dict[int, Product] = {}
    done: list[Operation] = []
    for operation in operations:
        if operation.kind == "product":
            found = None
            if can_multiply(operation.target.root.dtype):
                if product(operation) is None:
                    done += copies(operation)
                found = product(operation)
            if found is None:
                operation.kind = "call"
            else:
                products[id(operation)] = found
        done.append(operation)
    return done, products


def product(operation: Operation) -> Product | None:
    """Return a product as BLAS can do it, or None if it cannot: too many axes, or elements too far apart."""
    x, y = operation.read
    z = operation.target
    if not (x.size and y.size and z.size):
        return None
    batch = z.shape[:-2]
    x, y = x.broadcast_to((*batch, *x.shape[-2:])), y.broadcast_to((*batch, *y.shape[-2:]))
    lengths = list(batch)
    strides = [list(view.strides[:-2]) for view in (x, y, z)]
    _merge(lengths, strides)
    rows, inner, columns = z.shape[-2], x.shape[-1], z.shape[-1]
    left, right = _matrix(x), _matrix(y)
    if left is None or right is None or len(lengths) > 1:
        return None
    count = lengths[0] if lengths else 1
    distances = [s[0] if s else 0 for s in strides]
    # A stack of rows times one matrix is one taller product.
    if count > 1 and distances[1] == 0 and left[0] == PLAIN and distances[0] == rows * left[1]:
        rows, count = rows * count, 1
    return Product(
        (left[0], right[0]), (rows, columns, inner), (left[1], right[1], columns), count,
        (distances[0], distances[1], distances[2]), (x.offset, y.offset, z.offset),
    )  # fmt: skip


def copies(operation: Operation) -> list[Operation]:
    """Let a product read copies of its operands if BLAS can do it then; return what makes them, nothing if it cannot.

    First what does not lie together is copied as it is, then, if need be, each stack is written out.
    """
    given = operation.sources
    batch = operation.target.shape[:-2]
    for shape_of in (lambda x: x.shape, lambda x: (*batch, *x.shape[-2:])):
        made = []
        sources = []
        for x in given:
            x = x.broadcast_to(shape_of(x))
            if x.strides != row_major(x.shape):
                copy = whole(Value(x.shape, x.root.dtype))
                made.append(Operation("map", "copy", (x.squeezed(),), copy.squeezed(), operation.instruction))
                x = copy
            sources.append(x)
        operation.sources = tuple(sources)
        if product(operation) is not None:
            return made
    operation.sources = given
    return []


def _merge(lengths: list[int], strides: Sequence[list[int]]) -> None:
    """Drop axes of length 1, and make one of those that run on into each other."""
    for i in reversed(range(len(lengths))):
        if lengths[i] == 1:
            for s in (lengths, *strides):
                del s[i]
    for i in reversed(range(len(lengths) - 1)):
        n = lengths[i + 1]
        if all(s[i] == s[i + 1] * n for s in strides):
            lengths[i : i + 2] = [lengths[i] * n]
            for s in strides:
                s[i : i + 2] = [s[i + 1]]


def _matrix(view: View) -> tuple[int, int] | None:
    """Return CBLAS's flag for the last two axes and the distance of their rows, or None if neither lies together."""
    (rows, columns), (down, right) = view.shape[-2:], view.strides[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return PLAIN, max(down, columns)
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return TRANSPOSED, max(right, rows)
    return None
