"""Views: which elements of an array a value is; reshaping, transposing, broadcasting and slicing compute nothing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit.program import Instruction, Value
from tinygrad_dnn.ops.shape import BROADCAST_TO, RESHAPE, SLICE, TRANSPOSE
from tinygrad_dnn.ops.window import WINDOWS

# NumPy's own rules say what a view becomes. They are asked on an array whose values nobody reads: its elements are
# bytes, so that its strides count elements, and all of it but the first byte is not there.
_ABSENT = np.zeros(1, np.int8)


INTEGERS = Value((), np.int64, name="integers")
"""Stands for the array in which each element is its own place; it is never stored."""


class View(NamedTuple):
    """Elements of the array of a value.

    Attributes:
        root: The value whose array it is, which lies there in row-major order.
        offset: Where its first element is, in elements.
        shape: Its lengths.
        strides: How many elements further each axis's next one is; 0 along axes of length 1.
    """

    root: Value
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the array, in the array's order."""
        return self.offset == 0 and self.size == self.root.size and self.strides == row_major(self.shape)

    def without(self, axes: Sequence[int]) -> View:
        """Return it at index 0 of some axes, without them."""
        kept = [i for i in range(len(self.shape)) if i not in axes]
        shape, strides = tuple(self.shape[i] for i in kept), tuple(self.strides[i] for i in kept)
        return View(self.root, self.offset, shape, strides)

    def squeezed(self) -> View:
        """Return it without its axes of length 1."""
        return self.without([i for i, n in enumerate(self.shape) if n == 1]) if 1 in self.shape else self

    def broadcast_to(self, shape: Sequence[int]) -> View:
        """Return it repeated to a shape."""
        target = tuple(shape)
        if target == self.shape:
            return self
        added = len(target) - len(self.shape)
        return View(self.root, self.offset, target, (0,) * added + self.strides)

    def transposed(self, axes: Sequence[int]) -> View:
        """Return it with its axes in another order."""
        return View(self.root, self.offset, tuple(self.shape[i] for i in axes), tuple(self.strides[i] for i in axes))

    def of(self, base: np.ndarray) -> np.ndarray:
        """Return it as a NumPy array, given the root's."""
        if self.is_whole:
            return base.reshape(self.shape)
        step = base.itemsize
        return np.ndarray(self.shape, base.dtype, base, self.offset * step, tuple(s * step for s in self.strides))


@functools.lru_cache(1024)
def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of an array of a shape whose last axis lies together, 0 along axes of length 1.

    Example:
        >>> td.jit.views.row_major((2, 1, 3))
        (3, 0, 1)
    """
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(0 if n == 1 else step)
        step *= n
    return tuple(reversed(strides))


def whole(value: Value) -> View:
    """Return the view of all of a value's array.

    Example:
        >>> td.jit.views.whole(td.jit.Value((2, 3), "float32")).strides
        (3, 1)
    """
    return View(value, 0, value.shape, row_major(value.shape))


def numbers(shape: Sequence[int], axis: int) -> View:
    """Return the places along an axis, as elements of an array of all integers that is nowhere.

    Example:
        >>> td.jit.views.numbers((2, 3), 1).strides
        (0, 1)
    """
    strides = tuple(int(i == axis and n != 1) for i, n in enumerate(shape))
    return View(INTEGERS, 0, tuple(shape), strides)


def apply(instruction: Instruction, source: View) -> View | None:
    """Return what an instruction makes of a view, or None if that is no view: it computes, or must copy."""
    if instruction.primitive is WINDOWS:
        return windows(source, **instruction.attributes)
    function = _FUNCTIONS.get(instruction.primitive)
    if function is None:
        return None
    try:
        return _seen(source, lambda x: function(x, **instruction.attributes))
    except ValueError:
        if instruction.primitive is RESHAPE:
            return None  # its order is not one that strides can tell
        raise


def part(view: View, index: Any) -> View:
    """Return what a basic index takes of a view."""
    return _seen(view, lambda x: sliced(x, index))


def windows(view: View, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> View:
    """Return the windows of images, as ``ops.window.windows`` has them."""
    places = zip(view.shape[1:3], size, strides, dilation, strict=True)
    counts = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in places]
    shape = (view.shape[0], *counts, *size, view.shape[3])
    batch, *image, channel = view.strides
    steps = (batch, *(x * s for x, s in zip(image, strides, strict=True)),
             *(x * d for x, d in zip(image, dilation, strict=True)), channel)  # fmt: skip
    return View(view.root, view.offset, shape, tuple(0 if n == 1 else s for n, s in zip(shape, steps, strict=True)))


def indexed(view: View, template: tuple[Any, ...], indices: Sequence[View]) -> tuple[View, list[View], tuple[int, ...]]:
    """Return what an index with arrays in it takes of a view, in the shape that NumPy gives it.

    Args:
        view: What is indexed.
        template: The parts of the index; what is no slice, integer, None or Ellipsis stands for an array.
        indices: The arrays, none of whose elements is negative.

    Returns:
        The view at index 0 of the arrays' axes, the arrays, and how many elements further one more of each leads.
    """
    used = sum(part is not None and part is not Ellipsis for part in template)
    parts = template if Ellipsis in template else (*template, Ellipsis)
    offset, axis, gaps = view.offset, 0, 0
    kept: list[tuple[int, int]] = []
    before: list[tuple[int, int]] = []  # the kept axes, and parts that stand between, before each that is not kept
    steps = []
    for part in parts:
        gaps += part is None or part is Ellipsis or isinstance(part, slice)
        if part is None:
            kept.append((1, 0))
        elif part is Ellipsis:
            following = axis + len(view.shape) - used
            kept += zip(view.shape[axis:following], view.strides[axis:following], strict=True)
            axis = following
        else:
            n, stride = view.shape[axis], view.strides[axis]
            axis += 1
            if isinstance(part, slice):
                start, _, step = part.indices(n)
                length = len(range(n)[part])
                offset += start * stride if length else 0
                kept.append((length, 0 if length == 1 else step * stride))
                continue
            before.append((gaps, len(kept)))
            if isinstance(part, int):
                offset += part % n * stride
            else:
                steps.append(stride)
    common = np.broadcast_shapes(*(x.shape for x in indices))
    # The arrays' own axes come where the arrays were, or first of all if these stand apart.
    at = before[0][1] if len(set(before)) == 1 else 0
    kept[at:at] = [(n, 0) for n in common]
    shape, strides = tuple(n for n, _ in kept), tuple(s for _, s in kept)
    spread = []
    for x in indices:
        x = x.broadcast_to(common)
        own = (0,) * at + x.strides + (0,) * (len(shape) - at - len(common))
        spread.append(View(x.root, x.offset, shape, own))
    return View(view.root, offset, shape, strides), spread, tuple(steps)


def _seen(view: View, function: Callable[[np.ndarray], np.ndarray]) -> View:
    absent = as_strided(_ABSENT, view.shape, view.strides)
    seen = function(absent)
    start = seen.__array_interface__["data"][0] - absent.__array_interface__["data"][0]
    strides = tuple(0 if n == 1 else s for n, s in zip(seen.shape, seen.strides, strict=True))
    return View(view.root, view.offset + start, seen.shape, strides)


def sliced(x: np.ndarray, index: Any) -> np.ndarray:
    """Return ``x[index]`` as an array, where NumPy would read a single element too."""
    parts = index if isinstance(index, tuple) else (index,)
    return x[parts if any(part is Ellipsis for part in parts) else (*parts, ...)]


_FUNCTIONS: dict[Primitive, Callable[..., np.ndarray]] = {
    RESHAPE: lambda x, shape: np.reshape(x, shape, copy=False),
    TRANSPOSE: lambda x, axes: np.transpose(x, axes),
    BROADCAST_TO: lambda x, shape: np.broadcast_to(x, shape),
    SLICE: sliced,
}
