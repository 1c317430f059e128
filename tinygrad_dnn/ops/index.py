"""Indexing with its gradient: slices as views, arrays of integers as gather and scatter-add."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops.cast import cast, fitted, widened
from tinygrad_dnn.ops.elementwise import where
from tinygrad_dnn.ops.shape import SLICE, broadcast_to, normalize_axes, reshape
from tinygrad_dnn.tensor import Tensor, TensorLike, apply, as_tensor, tensor


class _Slot:
    """The place of an index array inside an index; the array itself is an input of the primitive."""

    def __repr__(self) -> str:
        return "<array>"


_SLOT = _Slot()


def _filled(template: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    remaining = iter(arrays)
    return tuple(next(remaining) if part is _SLOT else part for part in template)


def _gather(xp: Any, x: Any, *indices: Any, template: tuple[Any, ...]) -> Any:
    # One array along one axis: NumPy's take reads short rows seven times faster than its indexing.
    if len(indices) == 1 and all(part is _SLOT or part == slice(None) for part in template):
        return xp.take(x, indices[0], axis=template.index(_SLOT))
    return x[_filled(template, indices)]


def _scatter_add(xp: Any, values: Any, *indices: Any, template: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    return xp.scatter_add(xp.zeros(shape, dtype=values.dtype), _filled(template, indices), values)


GATHER: Primitive = Primitive(
    "gather",
    _gather,
    x=lambda g, x_shape, indices, template: _scattered(g, indices, template, x_shape),
)
SCATTER_ADD: Primitive = Primitive(
    "scatter_add",
    _scatter_add,
    values=lambda g, indices, template: apply(GATHER, (g, *indices), {"template": template}),
)


def _scattered(g: Tensor, indices: tuple[Any, ...], template: Any, shape: tuple[int, ...]) -> Tensor:
    """Add a gradient into zeros; of 16 bits in float32, which autograd rounds: CuPy cannot add bfloat16 to memory."""
    return apply(SCATTER_ADD, (widened(g), *indices), {"template": template, "shape": shape})


def getitem(x: TensorLike, index: Any) -> Tensor:
    """Return ``x[index]``, as NumPy indexes: integers, slices, None, Ellipsis, arrays of integers, boolean masks.

    A boolean mask has its true places counted on the host, which waits for the device.

    Raises:
        IndexError: An index is out of range, or there are more of them than axes.

    Example:
        >>> td.ops.getitem([[1, 2], [3, 4]], (slice(None), 0))
        Tensor([1, 3], dtype=int64)
    """
    x = as_tensor(x)
    template, arrays = _parse(x, index)
    if not arrays:
        return apply(SLICE, (x,), {"index": template})
    return apply(GATHER, (x, *arrays), {"template": template})


def _parse(x: Tensor, index: Any) -> tuple[tuple[Any, ...], list[Tensor]]:
    """Split an index into its fixed parts and its arrays, with all integers checked against the axes they index."""
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(_as_part(part) for part in parts)
    used = sum(_axes_used(part) for part in parts)
    if used > x.ndim:
        raise IndexError(f"{used} indices were given for a Tensor of shape {x.shape}.")
    template: list[Any] = []
    arrays: list[Tensor] = []
    axis = 0
    for part in parts:
        if part is Ellipsis:
            axis += x.ndim - used
            template.append(part)
        elif part is None or isinstance(part, slice):
            axis += part is not None
            template.append(part)
        elif isinstance(part, int):
            if not -x.shape[axis] <= part < x.shape[axis]:
                raise IndexError(f"index {part} is out of range for axis {axis} of a Tensor of shape {x.shape}.")
            axis += 1
            template.append(part)
        else:
            for places in _places(part, x, axis):
                template.append(_SLOT)
                arrays.append(places)
                axis += 1
    return tuple(template), arrays


def _as_part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, (slice, Tensor)):
        return part
    if isinstance(part, (int, np.integer)) and not isinstance(part, bool):
        return int(part)
    array = np.asarray(part)
    if array.size == 0 and array.dtype.kind == "f":  # an empty list
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise IndexError(f"a Tensor is indexed by integers, slices, masks, None or ..., not by {part!r}.")
    return array


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, (Tensor, np.ndarray)) and part.dtype.kind == "b":
        return part.ndim
    return 1


def _places(part: Any, x: Tensor, axis: int) -> list[Tensor]:
    """Return the integer index Tensors that a mask or an index array stands for."""
    if part.dtype.kind == "b":
        mask = part.numpy() if isinstance(part, Tensor) else part
        if not mask.ndim:
            raise IndexError("a Tensor is not indexed by a single truth value: use td.where.")
        covered = x.shape[axis : axis + mask.ndim]
        if mask.shape != covered:
            raise IndexError(f"a mask of shape {mask.shape} was given for axes of shape {covered}.")
        return [tensor(places, backend=x.backend) for places in np.nonzero(mask)]
    if isinstance(part, np.ndarray):
        # A device would wrap an index out of range in silence; on the host it costs little to look.
        n = x.shape[axis]
        if part.size and (part.min() < -n or part.max() >= n):
            raise IndexError(
                f"indices from {part.min()} to {part.max()} were given for axis {axis} of a Tensor of shape {x.shape}."
            )
        return [tensor(part, backend=x.backend)]
    if part.dtype.kind not in "iu":
        raise IndexError(f"a Tensor is indexed by integers or booleans, not by {part.dtype.name}.")
    return [part]


def setitem(x: Tensor, index: Any, value: TensorLike) -> Tensor:
    """Return ``x`` with ``value`` at ``index``; ``x`` itself stays as it is.

    Raises:
        IndexError: An index is out of range.
        ValueError: ``value`` does not broadcast to what is indexed.
        TypeError: The value's dtype cannot be cast to that of ``x`` without losing its kind (float to int, say).

    Example:
        >>> td.ops.setitem(td.zeros((3,)), 1, 5.0)
        Tensor([0., 5., 0.], dtype=float32)
    """
    # Which element of the flat Tensor each place of the selection is; on the host, since shapes alone decide it.
    numbers = np.arange(x.size).reshape(x.shape)
    host_index = tuple(
        part.numpy() if isinstance(part, Tensor) else part for part in (index if isinstance(index, tuple) else (index,))
    )
    chosen = numbers[host_index]
    new = reshape(broadcast_to(fitted(value, x), chosen.shape), (-1,))
    source = np.full(x.size, -1)
    source[chosen.reshape(-1)] = np.arange(chosen.size)
    source = source.reshape(x.shape)
    if not chosen.size:
        return x
    spread = getitem(new, np.maximum(source, 0))
    return where(tensor(source >= 0, backend=x.backend), spread, x)


def take(x: TensorLike, indices: TensorLike, axis: int = 0) -> Tensor:
    """Return the slices of ``x`` at ``indices`` along ``axis``.

    Raises:
        IndexError: An index is out of range; indices on a device are not checked.
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.take([10, 20, 30], [2, 0])
        Tensor([30, 10], dtype=int64)
    """
    x = as_tensor(x)
    (place,) = normalize_axes(axis, x.ndim)
    where_to = indices if isinstance(indices, Tensor) else np.asarray(indices)
    return getitem(x, (slice(None),) * place + (where_to,))


def one_hot(labels: TensorLike, num_classes: int, dtype: str | None = None) -> Tensor:
    """Return rows of zeros with a one at each label: shape ``labels.shape + (num_classes,)``.

    Example:
        >>> td.one_hot([0, 2], 3)
        Tensor([[1., 0., 0.],
                [0., 0., 1.]], dtype=float32)
    """
    labels = as_tensor(labels)
    classes = tensor(np.arange(num_classes), backend=labels.backend)
    return cast(reshape(labels, (*labels.shape, 1)) == classes, dtype or backends.floatx())
