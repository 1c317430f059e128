"""Kernels: a group of operations as one loop nest in LLVM IR, which holds no address, no length and no stride."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.native.draws import philox
from tinygrad_dnn.jit.native.elements import converted, element
from tinygrad_dnn.jit.native.operands import Operands
from tinygrad_dnn.jit.native.sums import BLOCK, combined, identity, wide
from tinygrad_dnn.jit.native.text import Body, stored_type, type_of
from tinygrad_dnn.jit.operands import Operand
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import INTEGERS, View

NAME = "<name>"
"""Stands in a kernel's text for its name, which is no part of what makes two kernels equal."""

LOOP, LONG_SUM = "!<loop>", "!<long sum>"
"""Stand for the number of what the text says of its innermost loop; in a long sum several elements wait at a time."""


@dataclass(frozen=True)
class Kernel:
    """A function in LLVM IR and what it is to be called with.

    Attributes:
        text: The function, of (table, arguments, low, high): it does the part of its outermost loop from low to high.
        arguments: The integers that its second parameter points to.
        length: The length of its outermost loop.
        declarations: What the text calls.
        splits: Whether the parts of its outermost loop may be done at the same time.
    """

    text: str
    arguments: tuple[int, ...]
    length: int
    declarations: frozenset[str]
    splits: bool = False


def kernel(group: Group, place_of: Callable[[Value], Place | None]) -> Kernel:
    """Return the kernel of a group.

    Args:
        group: Operations that share a loop, whose views have no length of 0.
        place_of: Where the array of a value is, or None if nobody but the group needs the value.
    """
    operands = Operands(group, place_of)
    written = _written.get(operands.form)
    if written is None:
        written = _written[operands.form] = _Writer(operands).written()
    text, declarations = written
    depth = len(operands.lengths)
    splits = depth > 0 and all(_splits(x, operands) for x in group.operations)
    return Kernel(text, tuple(operands.arguments), operands.lengths[0] if depth else 1, declarations, splits)


def operands(
    group: Group, place_of: Callable[[Value], Place | None]
) -> tuple[list[int], list[tuple[View, list[int]]]]:  # fmt: skip
    """Return the lengths of the loops of a group's kernel, the outermost first, and its views with their strides."""
    found = Operands(group, place_of)
    return found.lengths, [(x.view, x.strides) for x in found.all]


# The layers of a network are mostly alike, so that a text is wanted many times, and again by the next program.
_written: dict[tuple[Any, ...], tuple[str, frozenset[str]]] = {}


def _splits(operation: Operation, operands: Operands) -> bool:
    """Tell whether the parts of the outermost loop have nothing to do with each other in an operation."""
    if operation.kind == "reduce":
        return operands.of(operation.target).strides[0] != 0
    if operation.kind == "scan":
        return operands.of(operation.sources[1]).strides[0] == 0
    return operation.kind != "scatter" or operation.apart


class _Writer:
    """Writes the text of one kernel. Of lengths, strides and places it may look at nothing but what the form tells."""

    def __init__(self, operands: Operands) -> None:
        self.operands = operands
        self.operations = operands.operations
        self.body = Body()
        depth = len(operands.lengths)
        self.ends = ["%hi", *(f"%n{i}" for i in range(1, depth))]
        self.steps = {(x.number, axis): f"%s{x.number}.{axis}" for x in operands.all for axis in x.stepped}
        self.accumulators: dict[int, str] = {}
        self.totals: dict[int, str] = {}
        self.indices: list[str] = []

    # -- the function -------------------------------------------------------------------------------------------------

    def written(self) -> tuple[str, frozenset[str]]:
        """Return the text, and what it calls."""
        for operation in self.operations:
            if operation.kind == "reduce" and self.operands.of(operation.target).strides[-1] == 0:
                dtype = operation.target.root.dtype
                self.accumulators[id(operation)] = self.body.new(f"alloca {type_of(dtype)}")
                self.totals[id(operation)] = self.body.new(f"alloca {type_of(wide(dtype))}")
        pointers = {x.number: f"%p{x.number}" for x in self.operands.all}
        if self.operands.lengths:
            self.body.line("%some = icmp slt i64 %lo, %hi")
            self.body.line("br i1 %some, label %begin, label %end")
            self.body.line("begin:")
            self._nest(0, pointers)
            self.body.line("br label %end")
            self.body.line("end:")
        else:
            self._elements(pointers, {})
        return "\n".join(self._function()), frozenset(self.body.declared)

    def _function(self) -> list[str]:
        """Return the kernel, which looks up what the loops are given."""
        head = Body()
        taken = 0

        def argument() -> str:
            nonlocal taken
            address = head.new(f"getelementptr i64, ptr %arguments, i64 {taken}")
            taken += 1
            return head.new(f"load i64, ptr {address}")

        given = []
        for kind, _ in self.operands.parameters:
            register = argument()
            if kind == "ptr":
                offset = argument()
                entry = head.new(f"getelementptr ptr, ptr %table, i64 {register}")
                base = head.new(f"load ptr, ptr {entry}")
                register = head.new(f"getelementptr i8, ptr {base}, i64 {offset}")
            given.append(f"{kind} {register}")
        # That no two of them lead to the same memory lets LLVM use vectors without looking.
        parameters = [f"{'ptr noalias' if kind == 'ptr' else kind} {name}" for kind, name in self.operands.parameters]
        signature, values = (", ".join([*x, "i64 %lo", "i64 %hi"]) for x in (parameters, given))
        return [
            f"define internal void @{NAME}.loops({signature}) alwaysinline {{", "entry:", *self.body.lines,
            "ret void", "}",
            f"define void @{NAME}(ptr %table, ptr %arguments, i64 %lo, i64 %hi) {{", *head.lines,
            f"call void @{NAME}.loops({values})", "ret void", "}",
        ]  # fmt: skip

    # -- loops --------------------------------------------------------------------------------------------------------

    def _nest(self, axis: int, pointers: dict[int, str]) -> None:
        """Write the loops from an axis inwards."""
        start = "%lo" if axis == 0 else "0"
        if axis == len(self.ends) - 1:
            self._innermost(pointers, start, self.ends[axis])
            return
        index, close = self.body.loop(start, self.ends[axis], "1")
        self.indices.append(index)
        moved = dict(pointers)
        for x in self.operands.all:
            if x.strides[axis]:
                moved[x.number] = self._moved(x, axis, pointers[x.number], index)
        self._nest(axis + 1, moved)
        close()

    def _moved(self, x: Operand, axis: int, pointer: str, index: str) -> str:
        step = self.steps.get((x.number, axis))
        distance = index if step is None else self.body.binary("mul nsw", "i64", index, step)
        if x.view.root is INTEGERS:
            return self.body.binary("add nsw", "i64", pointer, distance)
        return self.body.new(f"getelementptr inbounds {stored_type(x.dtype)}, ptr {pointer}, i64 {distance}")

    def _innermost(self, pointers: dict[int, str], start: str, end: str) -> None:
        """Write the innermost loop; where it sums up many elements, in blocks whose sums are added up in float64."""
        sums = [x for x in self.operations if id(x) in self.accumulators]
        firsts = {id(x): self._first(x) for x in self.operations if x.kind == "reduce"}
        blocks = bool(sums) and self.operands.is_long
        if blocks:
            for operation in sums:
                self._begin(operation, self.totals[id(operation)], wide(operation.target.root.dtype))
            block, close = self.body.loop(start, end, str(BLOCK))
            limit = self.body.binary("add nsw", "i64", block, str(BLOCK))
            inside = self.body.compare("slt", "i64", limit, end)
            start, end = block, self.body.select(inside, "i64", limit, end)
        for operation in sums:
            self._begin(operation, self.accumulators[id(operation)], operation.target.root.dtype)
        fixed = {x.number: self._load(x, pointers[x.number]) for x in self.operands.loaded if x.strides[-1] == 0}
        index, end_loop = self.body.loop(start, end, "1", f", !llvm.loop {LONG_SUM if blocks else LOOP}")
        moved = dict(pointers)
        for x in self.operands.all:
            if x.strides[-1]:
                moved[x.number] = self._moved(x, len(x.strides) - 1, pointers[x.number], index)
        self._elements(moved, fixed, firsts)
        end_loop()
        results = {id(x): self._reload(self.accumulators[id(x)], x.target.root.dtype) for x in sums}
        if blocks:
            for operation in sums:
                dtype = operation.target.root.dtype
                more = converted(self.body, results[id(operation)], dtype, wide(dtype))
                self._combine(operation, self.totals[id(operation)], wide(dtype), more)
            close()
            for operation in sums:
                dtype = operation.target.root.dtype
                total = self._reload(self.totals[id(operation)], wide(dtype))
                results[id(operation)] = converted(self.body, total, wide(dtype), dtype)
        for operation in sums:
            pointer = pointers[self.operands.of(operation.target).number]
            self._add_to(operation, results[id(operation)], pointer, firsts[id(operation)])

    def _begin(self, operation: Operation, variable: str, dtype: np.dtype[Any]) -> None:
        self.body.line(f"store {type_of(dtype)} {identity(operation.name, dtype)}, ptr {variable}")

    def _reload(self, variable: str, dtype: np.dtype[Any]) -> str:
        return self.body.new(f"load {type_of(dtype)}, ptr {variable}")

    def _combine(self, operation: Operation, variable: str, dtype: np.dtype[Any], x: str) -> None:
        total = self._reload(variable, dtype)
        total = combined(self.body, operation.name, dtype, total, x, in_any_order=True)
        self.body.line(f"store {type_of(dtype)} {total}, ptr {variable}")

    def _first(self, operation: Operation) -> str | None:
        """Return whether nothing has been added up yet, or None if each result is complete after one innermost loop."""
        strides = self.operands.of(operation.target).strides
        result = None
        for axis, index in enumerate(self.indices):
            if strides[axis] == 0:
                condition = self.body.compare("eq", "i64", index, "%lo" if axis == 0 else "0")
                result = condition if result is None else self.body.binary("and", "i1", result, condition)
        return result

    # -- elements -----------------------------------------------------------------------------------------------------

    def _load(self, x: Operand, pointer: str) -> str:
        if x.view.root is INTEGERS:
            return pointer
        loaded = self.body.new(f"load {stored_type(x.dtype)}, ptr {pointer}")
        return self.body.compare("ne", "i8", loaded, "0") if x.dtype == np.bool_ else loaded

    def _store(self, dtype: np.dtype[Any], register: str, pointer: str) -> None:
        if dtype == np.bool_:
            register = self.body.new(f"zext i1 {register} to i8")
        self.body.line(f"store {stored_type(dtype)} {register}, ptr {pointer}")

    def _elements(
        self, pointers: dict[int, str], fixed: dict[int, str], firsts: dict[int, str | None] | None = None
    ) -> None:
        """Write what is done at one element: all is read before anything is written."""
        registers = dict(fixed)
        for x in self.operands.loaded:
            if x.number not in registers:
                registers[x.number] = self._load(x, pointers[x.number])
        made: dict[int, str] = {}
        writes: list[Callable[[], None]] = []
        for number, operation in enumerate(self.operations):
            operands = [
                source if isinstance(source, str) else made[-1 - source] if source < 0 else registers.get(source, "")
                for source in self.operands.sources[number]
            ]  # what a gather reads, it reads itself
            target = self.operands.target(number)
            if operation.kind == "map":
                made[number] = self._result(operation, operands, pointers)
                if target is not None:
                    dtype = operation.target.root.dtype
                    writes.append(partial(self._store, dtype, made[number], pointers[target.number]))
            else:
                assert target is not None
                writes += self._others(operation, operands, pointers, pointers[target.number], firsts or {})
        for write in writes:
            write()

    def _others(
        self, operation: Operation, operands: list[str], pointers: dict[int, str], pointer: str,
        firsts: dict[int, str | None],
    ) -> list[Callable[[], None]]:  # fmt: skip
        """Write what an operation that is no map does at one element; return what is left to do after all reading."""
        dtype = operation.target.root.dtype
        if operation.kind == "draw":
            return [partial(self._store_words, philox(self.body, operands, dtype), pointer)]
        result = converted(self.body, operands[0], operation.read[0].root.dtype, dtype)
        if operation.kind == "reduce":
            self._accumulate(operation, result, pointer, firsts[id(operation)])
            return []
        if operation.kind == "scatter":
            return [partial(self._add_at, operation, result, operands[1:], pointer)]
        return [partial(self._add_before, operation, result, operands[1], pointer)]

    def _result(self, operation: Operation, operands: list[str], pointers: dict[int, str]) -> str:
        """Return the register of an element of a map."""
        if operation.name == "fill":
            return operands[0]
        if operation.name == "copy":
            return converted(self.body, operands[0], operation.read[0].root.dtype, operation.target.root.dtype)
        if operation.name == "gather":
            x = self.operands.of(operation.sources[0])
            return self._load(x, self._at(operation, x.dtype, pointers[x.number], operands[1:]))
        return element(self.body, operation.instruction, operands)

    def _at(self, operation: Operation, dtype: np.dtype[Any], pointer: str, indices: Sequence[str]) -> str:
        """Return the pointer to what indices stand for."""
        for index, step in zip(indices, self._steps_of(operation), strict=True):
            distance = self.body.binary("mul nsw", "i64", index, step)
            pointer = self.body.new(f"getelementptr {stored_type(dtype)}, ptr {pointer}, i64 {distance}")
        return pointer

    def _steps_of(self, operation: Operation) -> list[str]:
        number = self.operations.index(operation)
        return [f"%t{number}.{i}" for i in range(len(operation.steps))]

    def _add_at(self, operation: Operation, x: str, indices: Sequence[str], pointer: str) -> None:
        """Add to an element where indices tell."""
        dtype = operation.target.root.dtype
        pointer = self._at(operation, dtype, pointer, indices)
        old = self.body.new(f"load {type_of(dtype)}, ptr {pointer}")
        self._store(dtype, combined(self.body, "sum", dtype, old, x), pointer)

    def _add_before(self, operation: Operation, x: str, place: str, pointer: str) -> None:
        """Write the sum of an element and what is stored at the place before, if there is one."""
        dtype = operation.target.root.dtype
        kind = type_of(dtype)
        (step,) = self._steps_of(operation)
        first = self.body.compare("eq", "i64", place, "0")
        distance = self.body.binary("sub", "i64", "0", step)
        before = self.body.new(f"getelementptr {kind}, ptr {pointer}, i64 {distance}")
        old = self.body.new(f"load {kind}, ptr {self.body.select(first, 'ptr', pointer, before)}")
        # Not 0 + x, which would lose the sign of a zero.
        self._store(dtype, self.body.select(first, kind, x, combined(self.body, "sum", dtype, old, x)), pointer)

    def _store_words(self, words: Sequence[str], pointer: str) -> None:
        for number, word in enumerate(words):
            at = self.body.new(f"getelementptr i64, ptr {pointer}, i64 {number}")
            self.body.line(f"store i64 {word}, ptr {at}")

    def _accumulate(self, operation: Operation, x: str, pointer: str, first: str | None) -> None:
        if id(operation) in self.accumulators:
            self._combine(operation, self.accumulators[id(operation)], operation.target.root.dtype, x)
        else:
            self._add_to(operation, x, pointer, first)

    def _add_to(self, operation: Operation, x: str, pointer: str, first: str | None) -> None:
        """Add to what is stored already, if anything is."""
        dtype = operation.target.root.dtype
        if first is not None:
            old = self.body.new(f"load {type_of(dtype)}, ptr {pointer}")
            old = self.body.select(first, type_of(dtype), identity(operation.name, dtype), old)
            x = combined(self.body, operation.name, dtype, old, x)
        self._store(dtype, x, pointer)
