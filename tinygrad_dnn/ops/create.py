"""New Tensors from nothing: constants and ranges on the thread's backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, as_dtype, as_tensor

Shape = int | Sequence[int]


def _new(host: np.ndarray) -> Tensor:
    return Tensor._wrap(backends.current().from_host(host))


def _full(
    shape: Shape, value: float, dtype: np.dtype[Any], requires_grad: bool = False, like: Tensor | None = None
) -> Tensor:
    """Return a constant, made where it lives: uploading it would make a device wait."""
    xp: Any = like.backend if like is not None else backends.current()
    lengths = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    out = Tensor._wrap(xp.full(lengths, value, dtype=dtype))
    return out.requires_grad_() if requires_grad else out


def _dtype(dtype: DTypeLike | None) -> np.dtype[Any]:
    return as_dtype(backends.floatx() if dtype is None else dtype)


def zeros(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return zeros of a shape, in the default floating-point type unless another is named.

    Example:
        >>> td.zeros((2,))
        Tensor([0., 0.], dtype=float32)
    """
    return _full(shape, 0, _dtype(dtype), requires_grad)


def ones(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return ones of a shape, in the default floating-point type unless another is named.

    Example:
        >>> td.ones((2,))
        Tensor([1., 1.], dtype=float32)
    """
    return _full(shape, 1, _dtype(dtype), requires_grad)


def full(shape: Shape, fill_value: float, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a constant of a shape; integers give int64 unless a type is named.

    Example:
        >>> td.full((2,), 7.0)
        Tensor([7., 7.], dtype=float32)
    """
    if dtype is None:
        dtype = backends.floatx() if isinstance(fill_value, float) else np.asarray(fill_value).dtype
    return _full(shape, fill_value, as_dtype(dtype), requires_grad)


def _like(x: TensorLike, fill_value: float, dtype: DTypeLike | None) -> Tensor:
    x = as_tensor(x)
    return _full(x.shape, fill_value, x.dtype if dtype is None else as_dtype(dtype), like=x)


def zeros_like(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return zeros of the shape, dtype and backend of ``x``.

    Example:
        >>> td.zeros_like([1.0, 2.0])
        Tensor([0., 0.], dtype=float32)
    """
    return _like(x, 0, dtype)


def ones_like(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return ones of the shape, dtype and backend of ``x``.

    Example:
        >>> td.ones_like([1.0, 2.0])
        Tensor([1., 1.], dtype=float32)
    """
    return _like(x, 1, dtype)


def full_like(x: TensorLike, fill_value: float, dtype: DTypeLike | None = None) -> Tensor:
    """Return a constant of the shape, dtype and backend of ``x``.

    Example:
        >>> td.full_like([1.0, 2.0], 5)
        Tensor([5., 5.], dtype=float32)
    """
    return _like(x, fill_value, dtype)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike | None = None) -> Tensor:
    """Return numbers from ``start`` (0 if one number is given) to ``stop``, it excluded; integers give int64.

    Example:
        >>> td.arange(3)
        Tensor([0, 1, 2], dtype=int64)
    """
    host = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
    if dtype is not None or host.dtype.kind in FLOATING:
        host = host.astype(_dtype(dtype))
    return _new(host)


def linspace(start: float, stop: float, num: int = 50, dtype: DTypeLike | None = None) -> Tensor:
    """Return ``num`` numbers evenly spaced from ``start`` to ``stop``, both included.

    Example:
        >>> td.linspace(0.0, 1.0, 3)
        Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return _new(np.linspace(start, stop, num).astype(_dtype(dtype)))


def eye(n: int, m: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return an n x m matrix (square by default) with ones on its diagonal.

    Example:
        >>> td.eye(2)
        Tensor([[1., 0.],
                [0., 1.]], dtype=float32)
    """
    return _new(np.eye(n, m, dtype=_dtype(dtype)))
