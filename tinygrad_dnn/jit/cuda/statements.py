"""Statements: what is done at one element in CUDA C, whichever loops are around it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import is_narrow
from tinygrad_dnn.jit.cuda.draws import PHILOX
from tinygrad_dnn.jit.cuda.elements import DIVISIONS, combined, converted, element
from tinygrad_dnn.jit.cuda.launches import Pointer
from tinygrad_dnn.jit.cuda.operands import Operands, PlaceOf
from tinygrad_dnn.jit.cuda.phases import Phases
from tinygrad_dnn.jit.cuda.text import NARROW, loaded, stored, stored_type, type_of
from tinygrad_dnn.jit.operands import Operand
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.views import INTEGERS


class Statements:
    """The lines of a section so far, with the arguments that they take.

    Of lengths, strides and places the lines may tell nothing but what they mean for the text. There ``p3`` is where
    operand 3 begins, ``l3`` what is read of it, and ``v5`` what operation 5 makes.
    """

    def __init__(self, found: Operands, place_of: PlaceOf, reach: int) -> None:
        """Begin with where the operands are.

        Args:
            found: The operands.
            place_of: Where the array of a value is.
            reach: How far anything is counted.
        """
        self.found = found
        self.operations = found.operations
        self.used = found.used
        self.phases = Phases(found)
        self.written = {x.number for x in self.phases.targets if x is not None}
        self.lines: list[str] = []
        self.arguments: list[Pointer | int] = []
        self.functions: set[str] = set()
        self._lengths: dict[int, str] = {}
        self._begin(place_of, reach)
        if any(map(is_narrow, (*(x.dtype for x in self.used), *(x.target.root.dtype for x in self.operations)))):
            self.functions.add(NARROW)

    def _begin(self, place_of: PlaceOf, reach: int) -> None:
        furthest = max([sum(abs(s) * (n - 1) for s, n in zip(x.strides, self.found.lengths, strict=True))
                     for x in self.used if x.view.root is not INTEGERS], default=0)  # fmt: skip
        is_short = max(reach, furthest) < 2**30
        self.line(f"typedef {'int' if is_short else 'long long'} place_t;")
        self.line(f"typedef {'unsigned int' if is_short else 'unsigned long long'} count_t;")
        for x in self.used:
            if x.view.root is INTEGERS:
                self.line(f"const long long p{x.number} = {self.argument(x.view.offset, 'long long')};")
                continue
            place = place_of(x.view.root)
            assert place is not None
            pointer = Pointer(place.slot, place.offset + x.view.offset * x.dtype.itemsize)
            kind = f"{'' if x.number in self.written else 'const '}{stored_type(x.dtype)}*"
            self.line(f"{kind} const p{x.number} = {self.argument(pointer, kind)};")
        self.steps = {(x.number, axis): self.argument(x.strides[axis]) for x in self.used for axis in x.stepped}

    # -- elements ---------------------------------------------------------------------------------------------------

    def elements(self, phase: int, places: dict[int, str], known: Collection[int]) -> None:
        """Write what is done at one element: all is read before anything is written."""
        needed = self.phases.needed(phase)
        read = {source for number in needed for source in self.found.sources[number] if isinstance(source, int)}
        for x in self.found.loaded:
            if x.number in read and x.number not in known:
                self.load(x, places[x.number])
        writes: list[str] = []
        for number in needed:
            operation = self.operations[number]
            if operation.kind == "map":
                self.compute(number, operation, places)
                if number in self.phases.stores[phase]:
                    target = self.found.target(number)
                    assert target is not None
                    writes.append(stored(target.dtype, places[target.number], f"v{number}"))
            else:
                writes += self._others(number, operation, places)
        for line in writes:
            self.line(line)

    def compute(self, number: int, operation: Operation, places: dict[int, str]) -> None:
        """Write an element of a map."""
        given = self._operands(number)
        dtype = operation.target.root.dtype
        if operation.name == "fill":
            value = given[0]
        elif operation.name == "copy":
            value = converted(given[0], operation.read[0].root.dtype, dtype)
        elif operation.name == "gather":
            x = self.found.of(operation.sources[0])
            value = loaded(x.dtype, self._at(operation, places[x.number], given[1:]), x.number not in self.written)
        else:
            value = element(operation.instruction, given)
        self.line(f"const {type_of(dtype)} v{number} = {value};")
        if operation.name in ("remainder", "floor_divide"):
            self.functions.add(DIVISIONS)

    def _others(self, number: int, operation: Operation, places: dict[int, str]) -> list[str]:
        """Write what is no map at one element; return what is to be written after all else is read."""
        given = self._operands(number)
        dtype = operation.target.root.dtype
        target = self.found.target(number)
        if operation.kind == "draw":
            assert target is not None
            return self._draw(number, given, dtype, places[target.number])
        source = operation.read[0].root.dtype
        self.line(f"const {type_of(dtype)} x{number} = {converted(given[0], source, dtype)};")
        if operation.kind == "reduce":
            return [f"v{number} = {combined(operation.name, dtype, f'v{number}', f'x{number}')};"]
        assert target is not None
        at, value = places[target.number], f"x{number}"
        if operation.kind == "scatter":
            at = self._at(operation, at, given[1:])
            total = combined("sum", dtype, f"y{number}", value)
            return [
                f"{stored_type(dtype)}* const at{number} = {at};",
                f"const {type_of(dtype)} y{number} = {loaded(dtype, f'at{number}', False)};",
                stored(dtype, f"at{number}", total),
            ]
        (step,) = self._steps_of(operation)
        total = combined("sum", dtype, f"y{number}", value)
        return [
            f"{stored_type(dtype)}* const at{number} = {at};",
            f"{type_of(dtype)} y{number} = {value};",
            f"if ({given[1]} != 0)",
            "{",
            f"y{number} = {loaded(dtype, f'at{number} - {step}', False)};",
            f"y{number} = {total};",  # not 0 + x, which would lose the sign of a zero
            "}",
            stored(dtype, f"at{number}", f"y{number}"),
        ]

    def _draw(self, number: int, given: list[str], dtype: np.dtype[Any], place: str) -> list[str]:
        self.functions.add(PHILOX)
        self.line(f"unsigned long long w{number}[4];")
        words = ", ".join(f"(unsigned long long){x}" for x in given)
        self.line(f"philox({words}, w{number});")
        bits = "w{0}[{1}] >> 11" if dtype == np.int64 else "w{0}[{1}] >> 8 & 0x00FFFFFF00FFFFFFULL"
        return [f"((unsigned long long*)({place}))[{i}] = {bits.format(number, i)};" for i in range(4)]

    def _operands(self, number: int) -> list[str]:
        return [
            x if isinstance(x, str) else f"v{-1 - x}" if x < 0 else f"l{x}" for x in self.found.sources[number]
        ]  # what a gather reads, it reads itself

    def _at(self, operation: Operation, place: str, indices: Sequence[str]) -> str:
        """Return where indices lead."""
        moves = zip(indices, self._steps_of(operation), strict=True)
        return " + ".join([place, *(f"{index} * {step}" for index, step in moves)])

    def _steps_of(self, operation: Operation) -> list[str]:
        number = self.operations.index(operation)
        for i, step in enumerate(operation.steps):
            if (-1 - number, i) not in self.steps:
                self.steps[-1 - number, i] = self.argument(step, "long long")
        return [self.steps[-1 - number, i] for i in range(len(operation.steps))]

    def load(self, x: Operand, place: str) -> None:
        """Append the reading of an operand."""
        if x.view.root is INTEGERS:
            self.line(f"const long long l{x.number} = {place};")
            return
        value = loaded(x.dtype, place, x.number not in self.written)
        self.line(f"const {type_of(x.dtype)} l{x.number} = {value};")

    def moved(self, x: Operand, pointer: str, indices: dict[int, str]) -> str:
        """Return where an operand is at some indices."""
        terms = [pointer]
        for axis, index in indices.items():
            if x.strides[axis]:
                step = self.steps.get((x.number, axis))
                terms.append(index if step is None else f"{index} * {step}")
        return " + ".join(terms)

    # -- text -------------------------------------------------------------------------------------------------------

    def indices(self, number: str, axes: Sequence[int], name: str) -> dict[int, str]:
        """Write the places along axes that a number stands for, of which the last moves fastest."""
        if len(axes) < 2:
            return dict.fromkeys(axes, number)
        found = {}
        rest = f"(count_t){number}"
        for axis in reversed(axes[1:]):
            length = self._length(axis)
            self.line(f"const count_t rest{name}{axis} = {rest}, over{name}{axis} = rest{name}{axis} / {length};")
            self.line(f"const place_t {name}{axis} = (place_t)(rest{name}{axis} - over{name}{axis} * {length});")
            found[axis] = f"{name}{axis}"
            rest = f"over{name}{axis}"
        self.line(f"const place_t {name}{axes[0]} = (place_t){rest};")
        found[axes[0]] = f"{name}{axes[0]}"
        return found

    def _length(self, axis: int) -> str:
        if axis not in self._lengths:
            self._lengths[axis] = self.argument(self.found.lengths[axis], "count_t")
        return self._lengths[axis]

    def argument(self, value: Pointer | int, kind: str = "place_t") -> str:
        """Return the expression of one more argument."""
        self.arguments.append(value)
        return f"(({kind})a[{len(self.arguments) - 1}])"

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append(text)

    def open(self, text: str) -> None:
        """Append the head of a loop or a condition, and begin what is in it."""
        self.lines += [text, "{"]

    def close(self) -> None:
        """End it."""
        self.lines.append("}")

