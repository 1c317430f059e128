"""Operands of native loops: what a kernel is given to find them by, and which kernels are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_dnn.jit import operands
from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.native.sums import BLOCK
from tinygrad_dnn.jit.native.text import constant
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import INTEGERS


class Operands(operands.Operands):
    """The operands of a group's kernel.

    Attributes:
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
        super().__init__(group.operations, place_of, constant)
        self.is_long = (
            bool(self.lengths) and self.lengths[-1] > 2 * BLOCK and any(x.kind == "reduce" for x in self.operations)
        )
        self.parameters: list[tuple[str, str]] = []
        self.arguments: list[int] = []
        self._enter_all()
        self.form = self._form()

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
