"""Matrix products with their gradients."""

from __future__ import annotations

import numpy as np

from tinygrad_dnn.backend.element_types import is_narrow
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops.cast import cast, promote
from tinygrad_dnn.ops.shape import reshape, swapaxes
from tinygrad_dnn.tensor import Tensor, TensorLike, apply, as_tensor

MATMUL: Primitive = Primitive(
    "matmul",
    lambda xp, x, y: xp.matmul(x, y),
    broadcasts=True,  # the axes before the last two
    x=lambda g, y: apply(MATMUL, (g, swapaxes(y, -1, -2))),
    y=lambda g, x: apply(MATMUL, (swapaxes(x, -1, -2), g)),
)


def _accumulates_widely(x: Tensor) -> bool:
    """Tell whether the array library's own product of 16-bit floats adds up in float32, as cuBLAS does."""
    return x.backend.name == "cupy"


def matmul(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the matrix product: (..., n, k) by (..., k, m) gives (..., n, m), leading axes broadcasting.

    A 1-D operand is a row on the left and a column on the right, and its axis is dropped from the result. The sums of
    products of float16 and bfloat16 are computed in float32 and rounded at the end, as a GPU's matrix units do it.

    Raises:
        ValueError: The inner lengths differ, or an operand is 0-d.

    Example:
        >>> td.matmul([[1.0, 2.0]], [[3.0], [4.0]])
        Tensor([[11.]], dtype=float32)
    """
    left_operand = as_tensor(x, like=y if isinstance(y, Tensor) else None)
    a, b = promote(left_operand, as_tensor(y, like=left_operand))
    left, right = a.shape, b.shape
    if not left or not right or left[-1] != right[-2 if len(right) > 1 else 0]:
        raise ValueError(f"matmul: shapes {left} and {right} do not fit: the inner lengths must be equal.")
    if is_narrow(a.data.dtype) and not _accumulates_widely(a):
        return cast(matmul(cast(a, np.float32), cast(b, np.float32)), a.data.dtype)
    if len(left) > 1 and len(right) > 1:
        return apply(MATMUL, (a, b))
    rows = reshape(a, (1, -1)) if len(left) == 1 else a
    columns = reshape(b, (-1, 1)) if len(right) == 1 else b
    out = apply(MATMUL, (rows, columns))
    shape = out.shape
    if len(right) == 1:
        shape = shape[:-1]
    if len(left) == 1:
        shape = shape[: len(shape) - (1 if len(right) == 1 else 2)] + (() if len(right) == 1 else shape[-1:])
    return reshape(out, shape)


def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the product of two vectors or matrices; ``matmul`` under NumPy's other name.

    Example:
        >>> td.dot([1.0, 2.0], [3.0, 4.0])
        Tensor(11., dtype=float32)
    """
    return matmul(x, y)


def outer(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the table of products of two vectors' elements, shape (n, m).

    Example:
        >>> td.outer([1.0, 2.0], [3.0, 4.0])
        Tensor([[3., 4.],
                [6., 8.]], dtype=float32)
    """
    return reshape(x, (-1, 1)) * reshape(y, (1, -1))
