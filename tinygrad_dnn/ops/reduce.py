"""Reductions over axes with their gradients: sums, means, extremes, and what is composed of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import is_narrow
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops.cast import cast, floating
from tinygrad_dnn.ops.elementwise import divide, equal, exp, log, not_equal, sqrt, where
from tinygrad_dnn.ops.shape import Axes, broadcast_to, flip, normalize_axes, reshape
from tinygrad_dnn.tensor import Tensor, TensorLike, apply, as_tensor


def _spread(g: Tensor, shape: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    """Broadcast what a reduction over ``axis`` gave back to the shape it was given."""
    kept = tuple(1 if i in axis else n for i, n in enumerate(shape))
    return broadcast_to(reshape(g, kept), shape)


def _extreme_slope(g: Tensor, out: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    """Share the gradient of an extreme evenly among the elements that attain it."""
    hit = cast(equal(x, _spread(out, x.shape, axis)), x.dtype)
    return _spread(g, x.shape, axis) * hit / sum(hit, axis, keepdims=True)


SUM = Primitive(
    "sum",
    lambda xp, x, *, axis, keepdims: xp.sum(x, axis=axis, keepdims=keepdims),
    x=lambda g, x_shape, axis: _spread(g, x_shape, axis),
)
MAX = Primitive(
    "max",
    lambda xp, x, *, axis, keepdims: xp.max(x, axis=axis, keepdims=keepdims),
    x=lambda g, out, x, axis: _extreme_slope(g, out, x, axis),
)
MIN = Primitive(
    "min",
    lambda xp, x, *, axis, keepdims: xp.min(x, axis=axis, keepdims=keepdims),
    x=lambda g, out, x, axis: _extreme_slope(g, out, x, axis),
)
ARGMAX = Primitive("argmax", lambda xp, x, *, axis: xp.argmax(x, axis=axis))
ARGMIN = Primitive("argmin", lambda xp, x, *, axis: xp.argmin(x, axis=axis))
CUMSUM = Primitive(
    "cumsum",
    lambda xp, x, *, axis: xp.cumsum(x, axis=axis),
    x=lambda g, axis: flip(cumsum(flip(g, axis), axis), axis),
)


def in_float32(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let an operation that adds up compute float16 and bfloat16 in float32, and round what it gives at the end.

    NumPy's own sum of bfloat16 is stuck at 256 ones, and one of float16 is infinite from 65,520 of them on, also where
    it is divided by their number next.
    """

    @functools.wraps(operation)
    def computed(x: TensorLike, *args: Any, **kwargs: Any) -> Tensor:
        x = as_tensor(x)
        dtype = x.data.dtype
        if not is_narrow(dtype):
            return operation(x, *args, **kwargs)
        return cast(operation(cast(x, np.float32), *args, **kwargs), dtype)

    return computed


def _reduce(primitive: Primitive, x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    return apply(primitive, (x,), {"axis": normalize_axes(axis, x.ndim), "keepdims": keepdims})


@in_float32
def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the sum over ``axis`` (all axes by default); booleans are counted.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
        Tensor([4., 6.], dtype=float32)
    """
    return _reduce(SUM, as_tensor(x), axis, keepdims)


@in_float32
def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the mean over ``axis`` (all axes by default), NaN of nothing; integers become floats.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
        Tensor([1.5, 3.5], dtype=float32)
    """
    x = floating(x)
    return divide(sum(x, axis, keepdims), _count(x, axis) or float("nan"))


def _count(x: Tensor, axis: Axes) -> int:
    count = 1
    for a in normalize_axes(axis, x.ndim):
        count *= x.shape[a]
    return count


@in_float32
def var(x: TensorLike, axis: Axes = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Return the variance over ``axis``: the mean squared deviation from the mean, divided by n - ``ddof``.

    Example:
        >>> td.var([1.0, 3.0])
        Tensor(1., dtype=float32)
    """
    x = floating(x)
    deviation = x - mean(x, axis, keepdims=True)
    count = _count(x, axis) - ddof
    return divide(sum(deviation * deviation, axis, keepdims), count if count > 0 else float("nan"))


@in_float32
def std(x: TensorLike, axis: Axes = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Return the standard deviation over ``axis``, the square root of ``var``.

    Example:
        >>> td.std([1.0, 3.0])
        Tensor(1., dtype=float32)
    """
    return sqrt(var(x, axis, keepdims, ddof))


def max(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the maximum over ``axis``; elements that tie share the gradient.

    Raises:
        ValueError: ``axis`` is out of range, or there is nothing to choose from.

    Example:
        >>> td.max([[1.0, 2.0], [3.0, 4.0]], axis=0)
        Tensor([3., 4.], dtype=float32)
    """
    return _reduce(MAX, as_tensor(x), axis, keepdims)


def min(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the minimum over ``axis``; elements that tie share the gradient.

    Raises:
        ValueError: ``axis`` is out of range, or there is nothing to choose from.

    Example:
        >>> td.min([[1.0, 2.0], [3.0, 4.0]], axis=0)
        Tensor([1., 2.], dtype=float32)
    """
    return _reduce(MIN, as_tensor(x), axis, keepdims)


def _choose(primitive: Primitive, x: Tensor, axis: int | None) -> Tensor:
    return apply(primitive, (x,), {"axis": axis if axis is None else normalize_axes(axis, x.ndim)[0]})


def argmax(x: TensorLike, axis: int | None = None) -> Tensor:
    """Return the index of the maximum along ``axis``, of the first where several tie; int64.

    Raises:
        ValueError: ``axis`` is out of range, or there is nothing to choose from.

    Example:
        >>> td.argmax([[1.0, 2.0], [4.0, 3.0]], axis=1)
        Tensor([1, 0], dtype=int64)
    """
    return _choose(ARGMAX, as_tensor(x), axis)


def argmin(x: TensorLike, axis: int | None = None) -> Tensor:
    """Return the index of the minimum along ``axis``, of the first where several tie; int64.

    Raises:
        ValueError: ``axis`` is out of range, or there is nothing to choose from.

    Example:
        >>> td.argmin([[1.0, 2.0], [4.0, 3.0]], axis=1)
        Tensor([0, 1], dtype=int64)
    """
    return _choose(ARGMIN, as_tensor(x), axis)


def any(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Tell whether any element along ``axis`` is true (not zero).

    Example:
        >>> td.any([[True, False], [False, False]], axis=1)
        Tensor([ True, False], dtype=bool)
    """
    return sum(not_equal(as_tensor(x), 0), axis, keepdims) > 0


def all(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Tell whether all elements along ``axis`` are true (not zero).

    Example:
        >>> td.all([[True, False], [True, True]], axis=1)
        Tensor([False,  True], dtype=bool)
    """
    return equal(sum(equal(as_tensor(x), 0), axis, keepdims), 0)


@in_float32
def cumsum(x: TensorLike, axis: int = 0) -> Tensor:
    """Return the running sum along ``axis``.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.cumsum([1.0, 2.0, 3.0])
        Tensor([1., 3., 6.], dtype=float32)
    """
    x = as_tensor(x)
    (axis,) = normalize_axes(axis, x.ndim)
    return apply(CUMSUM, (x,), {"axis": axis})


@in_float32
def logsumexp(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the logarithm of the sum of exponentials over ``axis``, computed after subtracting the maximum.

    Example:
        >>> td.logsumexp([1000.0, 1000.0])
        Tensor(1000.6932, dtype=float32)
    """
    x = floating(x)
    # The shift cancels in value and gradient alike, so it carries none; an infinite one would give inf - inf.
    peak = max(x, axis, keepdims=True).detach()
    peak = where(_not_infinite(peak), peak, 0.0)
    total = log(sum(exp(x - peak), axis, keepdims=True)) + peak
    return total if keepdims else reshape(total, _reduced_shape(x, axis))


def _not_infinite(x: Tensor) -> Tensor:
    """Tell elementwise whether ``x`` is finite, with NaN counted as finite so that it shows in the result."""
    return (x != float("inf")) & (x != float("-inf"))


def _reduced_shape(x: Tensor, axis: Axes) -> tuple[int, ...]:
    axes = normalize_axes(axis, x.ndim)
    return tuple(n for i, n in enumerate(x.shape) if i not in axes)


@in_float32
def norm(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the Euclidean norm over ``axis``: the root of the sum of squares; its gradient at 0 is 0.

    Example:
        >>> td.norm([3.0, 4.0])
        Tensor(5., dtype=float32)
    """
    x = floating(x)
    total = sum(x * x, axis, keepdims)
    zero = equal(total, 0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, total)))  # the root's infinite slope at 0 would make it NaN


def count_nonzero(x: TensorLike, axis: Axes = None) -> Tensor:
    """Return how many elements along ``axis`` are not zero; int64.

    Example:
        >>> td.count_nonzero([0.0, 2.0, 3.0])
        Tensor(2, dtype=int64)
    """
    return sum(not_equal(as_tensor(x), 0), axis)
