"""Shapes and views with their gradients: reshape, transpose, broadcast, slices, and what joins and splits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from tinygrad_dnn.backend.element_types import FLOATING, common_float
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops.cast import cast
from tinygrad_dnn.ops.elementwise import where
from tinygrad_dnn.tensor import Tensor, TensorLike, apply, as_tensor, tensor

Axes: TypeAlias = int | Sequence[int] | None


def _unslice(xp: Any, x: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    out = xp.zeros(shape, dtype=x.dtype)
    out[index] = x
    return out


RESHAPE = Primitive("reshape", lambda xp, x, *, shape: xp.reshape(x, shape), x=lambda g, x_shape: reshape(g, x_shape))
TRANSPOSE = Primitive(
    "transpose",
    lambda xp, x, *, axes: xp.transpose(x, axes),
    x=lambda g, axes: transpose(g, tuple(int(i) for i in np.argsort(axes))),
)
BROADCAST_TO = Primitive(
    "broadcast_to", lambda xp, x, *, shape: xp.broadcast_to(x, shape), x=lambda g, x_shape: sum_to(g, x_shape)
)
SLICE: Primitive = Primitive(
    "slice",
    lambda xp, x, *, index: x[index],
    x=lambda g, x_shape, index: apply(UNSLICE, (g,), {"index": index, "shape": x_shape}),
)
# The transpose of a slice: zeros of the given shape with x at the slice's place.
UNSLICE: Primitive = Primitive("unslice", _unslice, x=lambda g, index: apply(SLICE, (g,), {"index": index}))
CONCATENATE = Primitive(
    "concatenate",
    lambda xp, *xs, axis: xp.concatenate(xs, axis=axis),
    xs=lambda g, i, xs_shapes, axis: _part(g, i, [shape[axis] for shape in xs_shapes], axis),
)


def _part(x: Tensor, i: int, lengths: Sequence[int], axis: int) -> Tensor:
    start = sum(lengths[:i])
    return apply(SLICE, (x,), {"index": (slice(None),) * axis + (slice(start, start + lengths[i]),)})


def normalize_axes(axis: Axes, ndim: int) -> tuple[int, ...]:
    """Return ``axis`` as a tuple of non-negative axes; None means all.

    Raises:
        ValueError: An axis is out of range or named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    axes = tuple(a + ndim if a < 0 else a for a in given)
    if len(set(axes)) < len(axes) or [a for a in axes if not 0 <= a < ndim]:
        raise ValueError(f"axis {axis} does not fit a Tensor of {ndim} axes.")
    return axes


def sum_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum ``x`` over the axes along which a Tensor of ``shape`` was broadcast to it.

    Args:
        x: A Tensor of a shape that ``shape`` broadcasts to.
        shape: The shape wanted.

    Example:
        >>> td.ops.sum_to(td.ones((2, 3)), (3,))
        Tensor([2., 2., 2.], dtype=float32)
    """
    if x.shape == shape:
        return x
    added = x.ndim - len(shape)
    axes = tuple(range(added)) + tuple(i + added for i, n in enumerate(shape) if n == 1 and x.shape[i + added] != 1)
    return reshape(x.sum(axes), shape)


def reshape(x: TensorLike, shape: int | Sequence[int]) -> Tensor:
    """Return ``x`` in another shape of as many elements, in row-major order; one length may be -1.

    Raises:
        ValueError: The number of elements differs.

    Example:
        >>> td.reshape([1, 2, 3, 4], (2, -1))
        Tensor([[1, 2],
                [3, 4]], dtype=int64)
    """
    x = as_tensor(x)
    target = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(n) for n in shape)
    return x if x.data.shape == target else _as_weight(apply(RESHAPE, (x,), {"shape": target}), x)


def _as_weight(out: Tensor, x: Tensor) -> Tensor:
    """Let a layer's weight in another shape still take the type of what it meets."""
    if x._autocast is not None:
        out._autocast = x._autocast
    return out


def ravel(x: TensorLike) -> Tensor:
    """Return the elements of ``x`` as one axis.

    Example:
        >>> td.ravel([[1, 2], [3, 4]])
        Tensor([1, 2, 3, 4], dtype=int64)
    """
    return reshape(x, (-1,))


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Return ``x`` with its axes in the order ``axes``, reversed by default.

    Raises:
        ValueError: ``axes`` is no permutation of the axes.

    Example:
        >>> td.transpose([[1, 2], [3, 4]])
        Tensor([[1, 3],
                [2, 4]], dtype=int64)
    """
    x = as_tensor(x)
    order = tuple(range(x.ndim))[::-1] if axes is None else normalize_axes(axes, x.ndim)
    return _as_weight(apply(TRANSPOSE, (x,), {"axes": order}), x)


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Return ``x`` with two axes exchanged.

    Raises:
        ValueError: An axis is out of range.

    Example:
        >>> td.swapaxes(td.zeros((2, 3, 4)), 0, 2).shape
        (4, 3, 2)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    (a,), (b,) = normalize_axes(axis1, x.ndim), normalize_axes(axis2, x.ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


def moveaxis(x: TensorLike, source: int, destination: int) -> Tensor:
    """Return ``x`` with one axis moved to another place.

    Raises:
        ValueError: An axis is out of range.

    Example:
        >>> td.moveaxis(td.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    (start,), (end,) = normalize_axes(source, x.ndim), normalize_axes(destination, x.ndim)
    order.insert(end, order.pop(start))
    return transpose(x, order)


def broadcast_to(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """Return ``x`` repeated, without a copy, to ``shape``.

    Raises:
        ValueError: ``x`` does not broadcast to it.

    Example:
        >>> td.broadcast_to([1, 2], (2, 2))
        Tensor([[1, 2],
                [1, 2]], dtype=int64)
    """
    x = as_tensor(x)
    target = tuple(int(n) for n in shape)
    return x if x.data.shape == target else apply(BROADCAST_TO, (x,), {"shape": target})


def expand_dims(x: TensorLike, axis: int) -> Tensor:
    """Return ``x`` with an axis of length 1 inserted before place ``axis``.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.expand_dims([1, 2], 0).shape
        (1, 2)
    """
    x = as_tensor(x)
    place = axis + x.ndim + 1 if axis < 0 else axis
    if not 0 <= place <= x.ndim:
        raise ValueError(f"expand_dims: axis {axis} does not fit a Tensor of {x.ndim} axes.")
    return reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x: TensorLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return ``x`` without its axes of length 1, or without those of them named.

    Raises:
        ValueError: A named axis is out of range, or longer than 1.

    Example:
        >>> td.squeeze(td.zeros((1, 2, 1))).shape
        (2,)
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(x, tuple(n for n in x.shape if n != 1))
    named = normalize_axes(axis, x.ndim)
    for a in named:
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of a Tensor of shape {x.shape} has length {x.shape[a]}, not 1.")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in named))


def flip(x: TensorLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return ``x`` with the order of its elements reversed along ``axis`` (all axes by default).

    Raises:
        ValueError: An axis is out of range.

    Example:
        >>> td.flip([1, 2, 3])
        Tensor([3, 2, 1], dtype=int64)
    """
    x = as_tensor(x)
    named = normalize_axes(axis, x.ndim)
    index = tuple(slice(None, None, -1) if i in named else slice(None) for i in range(x.ndim))
    return apply(SLICE, (x,), {"index": index})


def concatenate(xs: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join Tensors along an existing axis.

    Raises:
        ValueError: There are none, their other axes differ, or ``axis`` is out of range.

    Example:
        >>> td.concatenate([[1.0, 2.0], [3.0]])
        Tensor([1., 2., 3.], dtype=float32)
    """
    tensors = [as_tensor(x) for x in xs]
    if not tensors:
        raise ValueError("concatenate needs at least one Tensor.")
    floats = [t.dtype for t in tensors if t.dtype.kind in FLOATING]
    # Integers beside floats take the floats' type.
    common = functools.reduce(common_float, floats) if floats else np.result_type(*(t.dtype for t in tensors))
    (place,) = normalize_axes(axis, tensors[0].ndim)
    return apply(CONCATENATE, tuple(cast(t, common) for t in tensors), {"axis": place})


def stack(xs: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join Tensors of one shape along a new axis.

    Raises:
        ValueError: There are none, or their shapes differ.

    Example:
        >>> td.stack([[1, 2], [3, 4]], axis=1)
        Tensor([[1, 3],
                [2, 4]], dtype=int64)
    """
    return concatenate([expand_dims(x, axis) for x in xs], axis)


def split(x: TensorLike, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut ``x`` along ``axis`` into equal sections, or before each of the given places.

    Raises:
        ValueError: The axis does not divide into so many equal sections, or is out of range.

    Example:
        >>> [part.tolist() for part in td.split([1, 2, 3, 4], 2)]
        [[1, 2], [3, 4]]
    """
    x = as_tensor(x)
    (axis,) = normalize_axes(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(sections, int):
        if sections < 1 or length % sections:
            raise ValueError(f"split: an axis of length {length} does not divide into {sections} equal sections.")
        lengths = [length // sections] * sections
    else:
        edges = [0, *sections, length]
        lengths = [end - start for start, end in pairwise(edges)]
    return [_part(x, i, lengths, axis) for i in range(len(lengths))]


def pad(x: TensorLike, pad_width: Sequence[tuple[int, int]], constant_values: float = 0.0) -> Tensor:
    """Surround ``x`` with a constant: ``pad_width`` gives (before, after) for each axis.

    Raises:
        ValueError: ``pad_width`` does not give a pair of non-negative lengths for each axis.

    Example:
        >>> td.pad([1.0, 2.0], [(1, 2)])
        Tensor([0., 1., 2., 0., 0.], dtype=float32)
    """
    x = as_tensor(x)
    if len(pad_width) != x.ndim or any(before < 0 or after < 0 for before, after in pad_width):
        raise ValueError(f"pad: {pad_width!r} does not give a pair of lengths for each axis of shape {x.shape}.")
    index = tuple(slice(before, before + n) for (before, _), n in zip(pad_width, x.shape, strict=True))
    shape = tuple(before + n + after for (before, after), n in zip(pad_width, x.shape, strict=True))
    padded = apply(UNSLICE, (x,), {"index": index, "shape": shape})
    if not constant_values:
        return padded
    inside = np.zeros(shape, bool)
    inside[index] = True
    return where(tensor(inside, backend=x.backend), padded, constant_values)


def tile(x: TensorLike, repetitions: Sequence[int]) -> Tensor:
    """Repeat ``x`` a number of times along each axis.

    Raises:
        ValueError: ``repetitions`` does not name each axis.

    Example:
        >>> td.tile([1, 2], (2,))
        Tensor([1, 2, 1, 2], dtype=int64)
    """
    x = as_tensor(x)
    if len(repetitions) != x.ndim:
        raise ValueError(f"tile: {tuple(repetitions)} does not name each axis of shape {x.shape}.")
    pairs = tuple(n for r, length in zip(repetitions, x.shape, strict=True) for n in (r, length))
    spread = broadcast_to(reshape(x, tuple(n for length in x.shape for n in (1, length))), pairs)
    return reshape(spread, tuple(r * length for r, length in zip(repetitions, x.shape, strict=True)))
