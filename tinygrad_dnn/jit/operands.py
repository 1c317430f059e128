"""Operands: what a kernel reads and writes at each element, and the order of its loops, on the host or on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_dnn.jit.loops import operand_dtype
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import View


@dataclass(eq=False, slots=True)
class Operand:
    """What is read or written at each element."""

    view: View
    number: int
    strides: list[int] = field(default_factory=list)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.view.root.dtype
        return dtype

    @property
    def stepped(self) -> list[int]:
        """The axes along which it moves by more than the machine knows by itself: by another stride than 1 inmost."""
        last = len(self.strides) - 1
        return [i for i, stride in enumerate(self.strides) if stride and (i < last or stride != 1)]


class Operands:
    """The operands of operations that share loops.

    Attributes:
        operations: The operations, of one space.
        all: The operands; what is written where it was read is one.
        loaded: Those that are read from memory at each element.
        lengths: The lengths of the loops, the outermost first.
        sources: For each operation and each of its sources the text of a constant, the number of an operand, or, if
            operation i of them makes it, -1 - i.
    """

    def __init__(
        self, operations: Sequence[Operation], place_of: Callable[[Value], Place | None],
        constant: Callable[[Any, np.dtype[Any]], str],
    ) -> None:  # fmt: skip
        """List them.

        Args:
            operations: The operations.
            place_of: Where the array of a value is, or None if nobody but the operations needs the value.
            constant: Gives the text of a number.
        """
        self.operations = list(operations)
        self._place_of = place_of
        self._constant = constant
        self._found: dict[tuple[Any, ...], Operand] = {}
        self.loaded: list[Operand] = []
        self._targets: list[Operand | None] = []
        self.sources: list[list[str | int]] = []
        made: dict[int, list[tuple[View, int]]] = {}
        for number, operation in enumerate(self.operations):
            self.sources.append([self._source(operation, i, made) for i in range(len(operation.sources))])
            self._targets.append(self._target(operation))
            if operation.kind in ("map", "reduce"):
                made.setdefault(id(operation.target.root), []).append((operation.target, number))
        self.all = [*self._found.values()]
        in_order = any(x.kind == "scatter" for x in self.operations)
        self.lengths = arrange(list(self.operations[0].space), self.all, in_order)

    def _target(self, operation: Operation) -> Operand | None:
        return None if self._place_of(operation.target.root) is None else self.of(operation.target)

    def of(self, view: View) -> Operand:
        """Return the operand of a view."""
        place = self._place_of(view.root)
        key = (None if place is None else (place.slot, place.offset), view.offset, view.strides, view.root.dtype)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Operand(view, len(self._found), list(view.strides))
        return found

    def target(self, number: int) -> Operand | None:
        """Return what an operation writes to memory, or None if its result stays in registers."""
        return self._targets[number]

    def _source(self, operation: Operation, place: int, made: dict[int, list[tuple[View, int]]]) -> str | int:
        source = operation.sources[place]
        if not isinstance(source, View):
            if operation.name == "fill":
                return self._constant(source, operation.target.root.dtype)
            return self._constant(source, operand_dtype(operation.instruction, place))
        if operation.name == "gather" and place == 0:
            return self.of(source).number  # where it is read the indices tell
        for view, number in made.get(id(source.root), ()):
            if view is source or view == source:
                return -1 - number
        found = self.of(source)
        if found not in self.loaded:
            self.loaded.append(found)
        return found.number


def arrange(lengths: list[int], operands: Sequence[Operand], in_order: bool) -> list[int]:
    """Order the axes by how far apart their elements are, and make one of those that run on into each other.

    Args:
        lengths: The lengths of the loops.
        operands: What is read and written; their strides are changed.
        in_order: Whether the axes have to keep their order, and the first one has to stay alone.

    Returns:
        The lengths of the new loops, the outermost first.

    Example:
        >>> from tinygrad_dnn.jit.operands import Operand, arrange
        >>> view = td.jit.views.whole(td.jit.Value((2, 3), "float32"))
        >>> arrange([2, 3], [Operand(view, 0, [3, 1])], False)
        [6]
    """
    if not in_order:
        order = sorted(range(len(lengths)), key=lambda i: -sum(abs(x.strides[i]) for x in operands))
        lengths = [lengths[i] for i in order]
        for x in operands:
            x.strides = [x.strides[i] for i in order]
    for i in reversed(range(in_order, len(lengths) - 1)):
        n = lengths[i + 1]
        if all(x.strides[i] == x.strides[i + 1] * n for x in operands):
            lengths[i : i + 2] = [lengths[i] * n]
            for x in operands:
                x.strides[i : i + 2] = [x.strides[i + 1]]
    return lengths
