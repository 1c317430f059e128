"""Operations: what is left of a program when views are views, each on elements that lie at known places."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_dnn.jit import views
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.jit.views import View, row_major
from tinygrad_dnn.ops.cast import CAST
from tinygrad_dnn.ops.linalg import MATMUL
from tinygrad_dnn.ops.reduce import MAX, MIN, SUM
from tinygrad_dnn.ops.shape import CONCATENATE, RESHAPE, UNSLICE

REDUCTIONS = {SUM: "sum", MAX: "max", MIN: "min"}


@dataclass(eq=False, slots=True)
class Operation:
    """Something to be computed.

    Attributes:
        kind: "map" makes each element from the elements at the same place, "reduce" goes over some axes, "product" is a
            matrix product, "call" is left to the primitive itself.
        name: What is done; of a map the name of its primitive, "copy" or "fill".
        sources: What it reads: views, and Python numbers. Those of a map or a reduction have one shape, without axes of
            length 1.
        target: What it writes. A reduction's has the shape of its source and does not move along the axes it goes over.
        after: Operations that must have written before.
        instruction: What it comes from.
    """

    kind: str
    name: str
    sources: tuple[Any, ...]
    target: View
    instruction: Instruction
    after: tuple[Operation, ...] = ()

    @property
    def read(self) -> list[View]:
        """The views among its sources."""
        return [x for x in self.sources if isinstance(x, View)]

    @property
    def space(self) -> tuple[int, ...]:
        """The lengths that its loops go over."""
        return self.target.shape

    def __repr__(self) -> str:
        return f"{self.name} {list(self.target.shape)}"


@dataclass(frozen=True)
class Operations:
    """A program as operations.

    Attributes:
        operations: In an order in which they can be run.
        views: Where each value lies, by the value's identity.
    """

    operations: list[Operation]
    views: dict[int, View]

    def view(self, value: Value) -> View:
        """Return where a value lies."""
        return self.views[id(value)]


def operations(program: Program, is_map: Callable[[Instruction], bool]) -> Operations:
    """Return what a program computes.

    Args:
        program: The program.
        is_map: Tells of an instruction whether it can be computed element by element in a loop; of a reduction, whether
            its elements can be.
    """
    made = _Made(program, is_map)
    for instruction in program.instructions:
        made.add(instruction)
    wanted = [made.views[id(value)].root for value in program.ends()]
    return Operations(_without_dead(_with_own_comparisons(made.operations), wanted), made.views)


class _Made:
    """The operations so far."""

    def __init__(self, program: Program, is_map: Callable[[Instruction], bool]) -> None:
        self.is_map = is_map
        self.operations: list[Operation] = []
        self.views: dict[int, View] = {}
        for value in (*program.inputs, *program.held):
            self.views[id(value)] = views.whole(value)

    def add(self, instruction: Instruction) -> None:
        """Add what an instruction does."""
        primitive, output = instruction.primitive, instruction.output
        sources = tuple(self.views[id(x)] if isinstance(x, Value) else x for x in instruction.inputs)
        if isinstance(sources[0], View):
            view = views.apply(instruction, sources[0])
            if view is not None:
                self.views[id(output)] = view
                return
        target = self.views[id(output)] = views.whole(output)
        if primitive is RESHAPE and self.is_map(instruction):
            source = sources[0]
            flat = View(output, 0, source.shape, row_major(source.shape))
            self._append("map", "copy", (source,), flat, instruction)
        elif primitive is CONCATENATE and self.is_map(instruction):
            self._concatenate(instruction, sources, target)
        elif primitive is UNSLICE and self.is_map(instruction):
            self._append("map", "fill", (0,), target, instruction)
            place = views.part(target, instruction.attributes["index"])
            self._append("map", "copy", sources, place, instruction, after=(self.operations[-1],))
        elif primitive in REDUCTIONS and self.is_map(instruction):
            self._reduce(instruction, sources[0], target)
        elif primitive is MATMUL and output.dtype in (np.float32, np.float64):
            self._append("product", "matmul", sources, target, instruction)
        elif primitive is not MATMUL and self.is_map(instruction):
            spread = tuple(x.broadcast_to(output.shape) if isinstance(x, View) else x for x in sources)
            self._append("map", "copy" if primitive is CAST else primitive.name, spread, target, instruction)
        else:
            self._append("call", primitive.name, sources, target, instruction)

    def _append(self, kind: str, name: str, sources: tuple[Any, ...], target: View, instruction: Instruction,
                after: tuple[Operation, ...] = ()) -> None:  # fmt: skip
        if kind in ("map", "reduce"):
            sources = tuple(x.squeezed() if isinstance(x, View) else x for x in sources)
            target = target.squeezed()
        self.operations.append(Operation(kind, name, sources, target, instruction, after))

    def _concatenate(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Copy each part to its place; what makes the part will write it there itself."""
        axis = instruction.attributes["axis"]
        start = 0
        for source in sources:
            end = start + source.shape[axis]
            place = views.part(target, (slice(None),) * axis + (slice(start, end),))
            self._append("map", "copy", (source,), place, instruction)
            start = end

    def _reduce(self, instruction: Instruction, source: View, target: View) -> None:
        gone = instruction.attributes["axis"]
        kept = tuple(1 if i in gone else n for i, n in enumerate(source.shape))
        spread = View(target.root, 0, kept, row_major(kept)).broadcast_to(source.shape)
        if not source.size:
            self._append("map", "fill", (0,), target, instruction)  # the sum of nothing; of extremes there is none
        elif any(source.shape[i] != 1 for i in gone):
            self._append("reduce", REDUCTIONS[instruction.primitive], (source,), spread, instruction)
        else:
            self._append("map", "copy", (source,), spread, instruction)


# Comparing again is cheaper than storing what came of it, and keeps what reads it apart from what else does.
_COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isfinite"})


def _with_own_comparisons(given: list[Operation]) -> list[Operation]:
    """Return the operations with a comparison of its own before each that reads one."""
    found = {
        id(operation.target.root): operation
        for operation in given
        if operation.name in _COMPARISONS and operation.kind == "map"
    }
    result: list[Operation] = []
    for operation in given:
        sources = []
        for x in operation.sources:
            comparison = found.get(id(x.root)) if isinstance(x, View) else None
            if comparison is None or operation.kind not in ("map", "reduce") or x != comparison.target:
                sources.append(x)
                continue
            own = Value(comparison.target.shape, np.bool_)
            result.append(replace(comparison, target=replace(comparison.target, root=own)))
            sources.append(replace(x, root=own))
        operation.sources = tuple(sources)
        result.append(operation)
    return result


def _without_dead(given: list[Operation], wanted: Iterable[Value]) -> list[Operation]:
    """Return the operations whose values are read, or wanted at the end."""
    needed = {id(value) for value in wanted}
    kept = []
    for operation in reversed(given):
        if id(operation.target.root) in needed:
            needed.update(id(view.root) for view in operation.read)
            kept.append(operation)
    return kept[::-1]
