"""Records: pieces of machine code, each with the bytes that a part of its outermost loop reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.native.kernel import Kernel, operands
from tinygrad_dnn.jit.products import PLAIN, Product
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import INTEGERS, View


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes in what a slot stands for, among which are all that a part of a loop reads or writes there.

    Attributes:
        slot: The slot.
        begin: The first byte, at the loop's index 0.
        end: The byte behind the last one, at the loop's index 0.
        step: How many bytes further the next index leads.
        writes: Whether they are written.
    """

    slot: int
    begin: int
    end: int
    step: int = 0
    writes: bool = False

    @property
    def hangs_together(self) -> bool:
        """Whether no byte lies between those of parts that are next to each other."""
        return self.end - self.begin >= abs(self.step)

    def bytes(self, low: int, high: int) -> tuple[int, int]:
        """Return the first byte and the one behind the last of a part of the loop."""
        first, last = self.step * low, self.step * (high - 1)
        return (self.begin + first, self.end + last) if first <= last else (self.begin + last, self.end + first)


@dataclass(frozen=True)
class Record:
    """A piece of machine code.

    Attributes:
        address: Where it is.
        arguments: What it is called with.
        low: Where its outermost loop begins.
        high: Where it ends.
        cost: About how many nanoseconds it takes.
        splits: Whether the parts of its outermost loop may be done at the same time.
        regions: What its outermost loop reads and writes.
        again: How many of the nanoseconds each of two parts takes anew.
    """

    address: int
    arguments: tuple[int, ...]
    low: int
    high: int
    cost: float = 0.0
    splits: bool = False
    regions: tuple[Region, ...] = ()
    again: float = 0.0


def of_loop(group: Group, code: Kernel, place_of: Callable[[Value], Place | None]) -> tuple[Region, ...]:
    """Return what a group's kernel reads and writes."""
    lengths, views = operands(group, place_of)
    assert not lengths or lengths[0] == code.length
    written = {place_of(x.target.root) for x in group.operations}
    anywhere = {place_of(x.target.root) for x in group.operations if x.kind in ("scatter", "draw")}
    anywhere |= {place_of(x.sources[0].root) for x in group.operations if x.name == "gather"}
    found = []
    for view, strides in views:
        place = place_of(view.root)
        if view.root is INTEGERS:
            continue
        if place in anywhere:
            found.append(_all(view, place_of, place in written))
        else:
            found.append(_region(view, lengths, strides, place_of, place in written))
    return tuple(found)


def of_product(
    views: Sequence[View], product: Product, distances: Sequence[int], by: int,
    place_of: Callable[[Value], Place | None],
) -> tuple[Region, ...]:  # fmt: skip
    """Return what a product reads and writes.

    Args:
        views: The factors and the result.
        product: How BLAS does it.
        distances: How many bytes each moves along the range that it may be split by.
        by: What that is: the products of a stack (0), or the rows (1) or columns (2) of the result.
        place_of: Where the array of a value is.
    """
    rows, columns, inner = product.lengths
    rows, columns = (1 if by == 1 else rows), (1 if by == 2 else columns)
    x = (rows, inner) if product.flags[0] == PLAIN else (inner, rows)
    y = (inner, columns) if product.flags[1] == PLAIN else (columns, inner)
    found = []
    for number, lengths in enumerate((x, y, (rows, columns))):
        root = views[number].root
        place, size = place_of(root), root.dtype.itemsize
        assert place is not None
        begin = place.offset + product.offsets[number] * size
        extent = (lengths[0] - 1) * product.leading[number] + lengths[1]
        found.append(Region(place.slot, begin, begin + extent * size, distances[number], number == 2))
    return tuple(found)


def of_anything(views: Iterable[View], target: View, place_of: Callable[[Value], Place | None]) -> tuple[Region, ...]:
    """Return the arrays of what is read and written, as far as one may say nothing more."""
    return (*(_all(view, place_of, False) for view in views), _all(target, place_of, True))


def _all(view: View, place_of: Callable[[Value], Place | None], writes: bool) -> Region:
    """Return all of the array that a view is of."""
    root, place = view.root, place_of(view.root)
    assert place is not None
    return Region(place.slot, place.offset, place.offset + root.size * root.dtype.itemsize, 0, writes)


def _region(
    view: View, lengths: Sequence[int], strides: Sequence[int], place_of: Callable[[Value], Place | None], writes: bool
) -> Region:  # fmt: skip
    """Return what loops over a view's axes touch, of which the first is the outermost."""
    place, size = place_of(view.root), view.root.dtype.itemsize
    assert place is not None
    ends = [(n - 1) * s for n, s in zip(lengths[1:], strides[1:], strict=True)]
    begin = place.offset + (view.offset + sum(x for x in ends if x < 0)) * size
    end = place.offset + (view.offset + sum(x for x in ends if x > 0) + 1) * size
    return Region(place.slot, begin, end, strides[0] * size if strides else 0, writes)
