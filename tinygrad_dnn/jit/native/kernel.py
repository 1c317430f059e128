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
from tinygrad_dnn.jit.native.elements import converted, element, operand_dtype
from tinygrad_dnn.jit.native.operands import Operand, arrange
from tinygrad_dnn.jit.native.sums import combined, identity, wide
from tinygrad_dnn.jit.native.text import Body, constant, stored_type, type_of
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import INTEGERS, View

# A sum over more elements than this adds up parts of this length, which keeps the rounding errors small.
_BLOCK = 512

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
    return _Writer(group, place_of).kernel()


class _Writer:
    """Writes one kernel."""

    def __init__(self, group: Group, place_of: Callable[[Value], Place | None]) -> None:
        self.group = group
        self.place_of = place_of
        self.body = Body()
        self.operands: dict[tuple[Any, ...], Operand] = {}
        self.loaded: list[Operand] = []
        made: dict[int, list[View]] = {}
        for operation in group.operations:
            for view in operation.read:
                if operation.name == "gather" and view is operation.sources[0]:
                    self._operand(view)  # where it is read the indices tell
                elif view not in made.get(id(view.root), ()) and self._operand(view) not in self.loaded:
                    self.loaded.append(self._operand(view))
            if place_of(operation.target.root) is not None:
                self._operand(operation.target)
            if operation.kind == "map":
                made.setdefault(id(operation.target.root), []).append(operation.target)
        in_order = any(x.kind == "scatter" for x in group.operations)
        self.lengths = arrange(list(group.space), [*self.operands.values()], in_order)

    def _operand(self, view: View) -> Operand:
        """Return the operand of a view; what is written where it was read is one with it."""
        key = (self.place_of(view.root), view.offset, view.strides, view.root.dtype)
        if key not in self.operands:
            self.operands[key] = Operand(view, len(self.operands), list(view.strides))
        return self.operands[key]

    # -- the function -------------------------------------------------------------------------------------------------

    def kernel(self) -> Kernel:
        """Write the kernel."""
        self.arguments: list[int] = []
        self.head = Body()
        self.parameters: list[str] = []
        self.given: list[str] = []
        depth = len(self.lengths)
        self.ends = ["%hi"] + [self._argument(n, f"%n{i}") for i, n in enumerate(self.lengths[1:], 1)]
        self.pointers: dict[int, str] = {}
        self.steps: dict[tuple[int, int], str] = {}
        for x in self.operands.values():
            self._bind(x)
        self.accumulators: dict[int, str] = {}
        self.totals: dict[int, str] = {}
        for operation in self.group.operations:
            if operation.kind == "reduce" and self._operand(operation.target).strides[-1] == 0:
                dtype = operation.target.root.dtype
                self.accumulators[id(operation)] = self.body.new(f"alloca {type_of(dtype)}")
                self.totals[id(operation)] = self.body.new(f"alloca {type_of(wide(dtype))}")
        self.indices: list[str] = []
        if depth:
            self.body.line("%some = icmp slt i64 %lo, %hi")
            self.body.line("br i1 %some, label %begin, label %end")
            self.body.line("begin:")
            self._nest(0, dict(self.pointers))
            self.body.line("br label %end")
            self.body.line("end:")
        else:
            self._elements(dict(self.pointers), {})
        parameters = ", ".join([*self.parameters, "i64 %lo", "i64 %hi"])
        given = ", ".join([*self.given, "i64 %lo", "i64 %hi"])
        inner = [f"define internal void @{NAME}.loops({parameters}) alwaysinline {{", "entry:", *self.body.lines]
        outer = [f"define void @{NAME}(ptr %table, ptr %arguments, i64 %lo, i64 %hi) {{", *self.head.lines]
        outer += [f"call void @{NAME}.loops({given})", "ret void", "}"]
        return Kernel(
            "\n".join([*inner, "ret void", "}", *outer]),
            tuple(self.arguments),
            self.lengths[0] if depth else 1,
            frozenset(self.body.declared),
            depth > 0 and all(map(self._splits, self.group.operations)),
        )

    def _splits(self, operation: Operation) -> bool:
        """Tell whether the parts of the outermost loop have nothing to do with each other in an operation."""
        if operation.kind == "reduce":
            return self._operand(operation.target).strides[0] != 0
        if operation.kind == "scan":
            return self._operand(operation.sources[1]).strides[0] == 0
        return operation.kind != "scatter" or operation.apart

    def _argument(self, value: int, name: str) -> str:
        """Give the kernel an integer."""
        address = self.head.new(f"getelementptr i64, ptr %arguments, i64 {len(self.arguments)}")
        register = self.head.new(f"load i64, ptr {address}")
        self.arguments.append(value)
        self.parameters.append(f"i64 {name}")
        self.given.append(f"i64 {register}")
        return name

    def _bind(self, x: Operand) -> None:
        """Give the kernel an operand's pointer and strides; of integers that are nowhere the first one."""
        name = self.pointers[x.number] = f"%p{x.number}"
        if x.view.root is INTEGERS:
            self._argument(x.view.offset, name)
        else:
            self._point(x, name)
        for axis, stride in enumerate(x.strides):
            if stride and (axis < len(x.strides) - 1 or stride != 1):
                self.steps[x.number, axis] = self._argument(stride, f"%s{x.number}.{axis}")

    def _point(self, x: Operand, name: str) -> None:
        place = self.place_of(x.view.root)
        assert place is not None
        registers = []
        for number in (place.slot, place.offset + x.view.offset * x.dtype.itemsize):
            address = self.head.new(f"getelementptr i64, ptr %arguments, i64 {len(self.arguments)}")
            registers.append(self.head.new(f"load i64, ptr {address}"))
            self.arguments.append(number)
        entry = self.head.new(f"getelementptr ptr, ptr %table, i64 {registers[0]}")
        base = self.head.new(f"load ptr, ptr {entry}")
        pointer = self.head.new(f"getelementptr i8, ptr {base}, i64 {registers[1]}")
        self.parameters.append(f"ptr noalias {name}")
        self.given.append(f"ptr {pointer}")

    # -- loops --------------------------------------------------------------------------------------------------------

    def _nest(self, axis: int, pointers: dict[int, str]) -> None:
        """Write the loops from an axis inwards."""
        start = "%lo" if axis == 0 else "0"
        if axis == len(self.lengths) - 1:
            self._innermost(pointers, start, self.ends[axis])
            return
        index, close = self.body.loop(start, self.ends[axis], "1")
        self.indices.append(index)
        moved = dict(pointers)
        for x in self.operands.values():
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
        sums = [x for x in self.group.operations if id(x) in self.accumulators]
        firsts = {id(x): self._first(x) for x in self.group.operations if x.kind == "reduce"}
        blocks = bool(sums) and self.lengths[-1] > 2 * _BLOCK
        if blocks:
            for operation in sums:
                self._begin(operation, self.totals[id(operation)], wide(operation.target.root.dtype))
            block, close = self.body.loop(start, end, str(_BLOCK))
            limit = self.body.binary("add nsw", "i64", block, str(_BLOCK))
            inside = self.body.compare("slt", "i64", limit, end)
            start, end = block, self.body.select(inside, "i64", limit, end)
        for operation in sums:
            self._begin(operation, self.accumulators[id(operation)], operation.target.root.dtype)
        fixed = {x.number: self._load(x, pointers[x.number]) for x in self.loaded if x.strides[-1] == 0}
        index, end_loop = self.body.loop(start, end, "1", f", !llvm.loop {LONG_SUM if blocks else LOOP}")
        moved = dict(pointers)
        for x in self.operands.values():
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
            pointer = pointers[self._operand(operation.target).number]
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
        strides = self._operand(operation.target).strides
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
        for x in self.loaded:
            if x.number not in registers:
                registers[x.number] = self._load(x, pointers[x.number])
        made: dict[int, list[tuple[View, str]]] = {}
        writes: list[Callable[[], None]] = []
        for operation in self.group.operations:
            operands = []
            for place, source in enumerate(operation.sources):
                operands.append(self._source(operation, place, source, registers, made))
            writes += self._one(operation, operands, pointers, made, firsts or {})
        for write in writes:
            write()

    def _one(
        self, operation: Operation, operands: list[str], pointers: dict[int, str],
        made: dict[int, list[tuple[View, str]]], firsts: dict[int, str | None],
    ) -> list[Callable[[], None]]:  # fmt: skip
        """Write what an operation does at one element; return what writes its result to memory, where it goes there."""
        target, dtype = operation.target, operation.target.root.dtype
        if operation.kind == "map":
            result = self._result(operation, operands, pointers)
            made.setdefault(id(target.root), []).append((target, result))
            if self.place_of(target.root) is None:
                return []
            return [partial(self._store, dtype, result, pointers[self._operand(target).number])]
        pointer = pointers[self._operand(target).number]
        if operation.kind == "draw":
            return [partial(self._store_words, philox(self.body, operands, dtype), pointer)]
        result = converted(self.body, operands[0], operation.read[0].root.dtype, dtype)
        if operation.kind == "reduce":
            self._accumulate(operation, result, pointers, firsts[id(operation)])
            return []
        if operation.kind == "scatter":
            return [partial(self._add_at, operation, result, operands[1:], pointer)]
        return [partial(self._add_before, operation, result, operands[1], pointer)]

    def _source(self, operation: Operation, place: int, source: Any, registers: dict[int, str],
                made: dict[int, list[tuple[View, str]]]) -> str:  # fmt: skip
        if not isinstance(source, View):
            dtype = operation.target.root.dtype
            return constant(source, dtype if operation.name == "fill" else operand_dtype(operation.instruction, place))
        for view, register in made.get(id(source.root), []):
            if view == source:
                return register
        return registers.get(self._operand(source).number, "")  # what a gather reads, it reads itself

    def _result(self, operation: Operation, operands: list[str], pointers: dict[int, str]) -> str:
        """Return the register of an element of a map."""
        if operation.name == "fill":
            return operands[0]
        if operation.name == "copy":
            return converted(self.body, operands[0], operation.read[0].root.dtype, operation.target.root.dtype)
        if operation.name == "gather":
            x = self._operand(operation.sources[0])
            return self._load(x, self._at(operation, x.dtype, pointers[x.number], operands[1:]))
        return element(self.body, operation.instruction, operands)

    def _at(self, operation: Operation, dtype: np.dtype[Any], pointer: str, indices: Sequence[str]) -> str:
        """Return the pointer to what indices stand for."""
        for index, step in zip(indices, self._steps_of(operation), strict=True):
            distance = self.body.binary("mul nsw", "i64", index, step)
            pointer = self.body.new(f"getelementptr {stored_type(dtype)}, ptr {pointer}, i64 {distance}")
        return pointer

    def _steps_of(self, operation: Operation) -> list[str]:
        number = self.group.operations.index(operation)
        return [self._argument(step, f"%t{number}.{i}") for i, step in enumerate(operation.steps)]

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

    def _accumulate(self, operation: Operation, x: str, pointers: dict[int, str], first: str | None) -> None:
        if id(operation) in self.accumulators:
            self._combine(operation, self.accumulators[id(operation)], operation.target.root.dtype, x)
        else:
            self._add_to(operation, x, pointers[self._operand(operation.target).number], first)

    def _add_to(self, operation: Operation, x: str, pointer: str, first: str | None) -> None:
        """Add to what is stored already, if anything is."""
        dtype = operation.target.root.dtype
        if first is not None:
            old = self.body.new(f"load {type_of(dtype)}, ptr {pointer}")
            old = self.body.select(first, type_of(dtype), identity(operation.name, dtype), old)
            x = combined(self.body, operation.name, dtype, old, x)
        self._store(dtype, x, pointer)
