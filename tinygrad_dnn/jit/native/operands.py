"""Operands: what a kernel reads and writes at each element, the order of its loops, and which kernels are one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.native.elements import operand_dtype
from tinygrad_dnn.jit.native.sums import BLOCK
from tinygrad_dnn.jit.native.text import constant
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import INTEGERS, View


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
    """The operands of a group's kernel.

    Attributes:
        operations: The group's.
        all: The operands; what is written where it was read is one.
        loaded: Those that are read from memory at each element.
        lengths: The lengths of the loops, the outermost first.
        sources: For each operation and each of its sources the text of a constant, the number of an operand, or, if
            operation i of the group makes it, -1 - i.
        parameters: What the kernel's loops are given besides their range: "i64" or "ptr", and a name.
        arguments: The integers that the kernel finds them by: one for each "i64", for each "ptr" its slot and offset.
        is_long: Whether it adds up so many elements in its innermost loop that these are added up in blocks.
        form: All that a kernel's text tells of: groups of equal forms have kernels of equal texts.

    Example:
        >>> from tinygrad_dnn.jit import grouping, memory, native, operations, views
        >>> program = td.jit.record(lambda x: td.exp(x[0]), [td.ones((2, 3))]).program
        >>> lowered = operations.operations(program, lambda instruction: True)
        >>> groups = grouping.group(lowered.operations)
        >>> found = native.operands.Operands(groups[0], memory.plan(program, lowered, groups).place)
        >>> found.lengths, found.sources, found.parameters
        ([6], [[0]], [('ptr', '%p0'), ('ptr', '%p1')])
    """

    def __init__(self, group: Group, place_of: Callable[[Value], Place | None]) -> None:
        self.operations = group.operations
        self._place_of = place_of
        self._found: dict[tuple[Any, ...], Operand] = {}
        self.loaded: list[Operand] = []
        self._targets: list[Operand | None] = []
        self.sources: list[list[str | int]] = []
        made: dict[int, list[tuple[View, int]]] = {}
        for number, operation in enumerate(self.operations):
            self.sources.append([self._source(operation, i, made) for i in range(len(operation.sources))])
            is_stored = place_of(operation.target.root) is not None
            self._targets.append(self.of(operation.target) if is_stored else None)
            if operation.kind == "map":
                made.setdefault(id(operation.target.root), []).append((operation.target, number))
        self.all = [*self._found.values()]
        in_order = any(x.kind == "scatter" for x in self.operations)
        self.lengths = arrange(list(group.space), self.all, in_order)
        self.is_long = (
            bool(self.lengths) and self.lengths[-1] > 2 * BLOCK and any(x.kind == "reduce" for x in self.operations)
        )
        self.parameters: list[tuple[str, str]] = []
        self.arguments: list[int] = []
        self._enter_all()
        self.form = self._form()

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
                return constant(source, operation.target.root.dtype)
            return constant(source, operand_dtype(operation.instruction, place))
        if operation.name == "gather" and place == 0:
            return self.of(source).number  # where it is read the indices tell
        for view, number in made.get(id(source.root), ()):
            if view is source or view == source:
                return -1 - number
        found = self.of(source)
        if found not in self.loaded:
            self.loaded.append(found)
        return found.number

    def _enter_all(self) -> None:
        """List the kernel's parameters, and what these are for this group."""
        for axis, length in enumerate(self.lengths[1:], 1):
            self._enter(f"%n{axis}", length)
        for x in self.all:
            if x.view.root is INTEGERS:
                self._enter(f"%p{x.number}", x.view.offset)
            else:
                place = self._place_of(x.view.root)
                assert place is not None
                self.parameters.append(("ptr", f"%p{x.number}"))
                self.arguments += (place.slot, place.offset + x.view.offset * x.dtype.itemsize)
            for axis in x.stepped:
                self._enter(f"%s{x.number}.{axis}", x.strides[axis])
        for number, operation in enumerate(self.operations):
            for i, step in enumerate(operation.steps):
                self._enter(f"%t{number}.{i}", step)

    def _enter(self, name: str, value: int) -> None:
        self.parameters.append(("i64", name))
        self.arguments.append(value)

    def _form(self) -> tuple[Any, ...]:
        operations = tuple([
            (
                x.kind, x.name, x.instruction.primitive, x.instruction.output.dtype, x.target.root.dtype,
                *[view.root.dtype for view in x.read], None if target is None else target.number, *sources,
            )
            for x, target, sources in zip(self.operations, self._targets, self.sources, strict=True)
        ])  # fmt: skip
        operands = tuple([(x.dtype, *map(bool, x.strides)) for x in self.all])
        loaded = tuple([x.number for x in self.loaded])
        return len(self.lengths), self.is_long, tuple(self.parameters), operands, loaded, operations


def arrange(lengths: list[int], operands: Sequence[Operand], in_order: bool) -> list[int]:
    """Order the axes by how far apart their elements are, and make one of those that run on into each other.

    Args:
        lengths: The lengths of the loops.
        operands: What is read and written; their strides are changed.
        in_order: Whether the axes have to keep their order, and the first one has to stay alone.

    Returns:
        The lengths of the new loops, the outermost first.

    Example:
        >>> from tinygrad_dnn.jit.native.operands import Operand, arrange
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
