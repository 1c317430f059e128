"""Operations: what is left of a program when views are views, each on elements that lie at known places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit import views
from tinygrad_dnn.jit.expanding import BLOCK_BYTES, NUMBERS, PHILOX, expand
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.jit.views import View, row_major
from tinygrad_dnn.ops.cast import CAST
from tinygrad_dnn.ops.index import GATHER, SCATTER_ADD
from tinygrad_dnn.ops.linalg import MATMUL
from tinygrad_dnn.ops.reduce import CUMSUM, MAX, MIN, SUM
from tinygrad_dnn.ops.shape import CONCATENATE, RESHAPE, UNSLICE
from tinygrad_dnn.ops.window import CONVOLVE, CONVOLVE_KERNEL, CONVOLVE_TRANSPOSED, FOLD

REDUCTIONS = {SUM: "sum", MAX: "max", MIN: "min"}
CONVOLUTIONS = frozenset({CONVOLVE, CONVOLVE_KERNEL, CONVOLVE_TRANSPOSED})
LOOPS = frozenset({"map", "reduce", "scatter", "scan", "draw"})
"""The kinds of operations that share loops with others."""



@dataclass(eq=False, slots=True)
class Operation:
    """Something to be computed.

    Attributes:
        kind: "map" makes each element from the elements at the same place, "reduce" goes over some axes, "scatter" adds
            to the elements of its target in the order of its loops, "scan" is a running sum, "draw" makes several
            random integers at each place, "product" is a matrix product, "convolution" is one or a gradient of one,
            "call" is left to the primitive itself.
        name: What is done; of a map the name of its primitive, "copy" or "fill".
        sources: What it reads: views, and Python numbers. Those of a loop have one shape, without axes of length 1.
        target: What it writes. A reduction's has the shape of its source and does not move along the axes it goes over.
        instruction: What it comes from.
        after: Operations that must have written, or read, before.
        steps: How many elements further one more of an index leads: of a gather in its first source, of a scatter in
            its target, for each index among its sources; of a scan how far the axis's elements lie apart.
        apart: Of a scatter, whether different places of its first axis lead to different elements.
        window: The windows of a convolution's images, (batch, rows, columns, window rows, window columns, channels).
        over: The value that a Tensor holds before it is to hold what is written.
    """

    kind: str
    name: str
    sources: tuple[Any, ...]
    target: View
    instruction: Instruction
    after: tuple[Operation, ...] = ()
    steps: tuple[int, ...] = ()
    apart: bool = False
    window: View | None = None
    over: Value | None = None

    @property
    def read(self) -> list[View]:
        """The views among its sources."""
        return [x for x in self.sources if type(x) is View]

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


def operations(program: Program, is_map: Callable[[Instruction], bool], parts: int = 2) -> Operations:
    """Return what a program computes.

    Args:
        program: The program.
        is_map: Tells of an instruction whether it can be computed element by element in a loop; of a reduction, whether
            its elements can be.
        parts: In how many parts the gradient of a convolution's kernel is summed up; these may be made at the same
            time.
    """
    expanded = expand(program, is_map)
    made = _Made(program, is_map, parts)
    for instruction in expanded.instructions:
        made.add(instruction)
    for value, same in zip(program.ends(), expanded.ends(), strict=True):
        made.views[id(value)] = made.views[id(same)]
    wanted = [made.views[id(value)].root for value in program.ends()]
    result = _without_dead(_with_own_comparisons(made.operations), wanted)
    _order_updates(program, made.views, result)
    return Operations(result, made.views)


class _Made:
    """The operations so far."""

    def __init__(self, program: Program, is_map: Callable[[Instruction], bool], parts: int) -> None:
        self.is_map = is_map
        self.parts = parts
        self.operations: list[Operation] = []
        self.views: dict[int, View] = {}
        for value in (*program.inputs, *program.held):
            self.views[id(value)] = views.whole(value)

    def add(self, instruction: Instruction) -> None:
        """Add what an instruction does."""
        primitive, output = instruction.primitive, instruction.output
        if primitive is NUMBERS:
            self.views[id(output)] = views.numbers(output.shape, instruction.attributes["axis"])
            return
        sources = tuple(self.views[id(x)] if isinstance(x, Value) else x for x in instruction.inputs)
        if isinstance(sources[0], View):
            view = views.apply(instruction, sources[0])
            if view is not None:
                self.views[id(output)] = view
                return
        target = self.views[id(output)] = views.whole(output)
        make = _MAKERS.get(primitive)
        if primitive is MATMUL and output.dtype.kind in FLOATING:
            self._append("product", "matmul", sources, target, instruction)
        elif primitive is MATMUL or not self.is_map(instruction):
            self._append("call", primitive.name, sources, target, instruction)
        elif make is not None:
            make(self, instruction, sources, target)
        else:
            spread = tuple(x.broadcast_to(output.shape) if isinstance(x, View) else x for x in sources)
            self._append("map", "copy" if primitive is CAST else primitive.name, spread, target, instruction)

    def _append(
        self, kind: str, name: str, sources: tuple[Any, ...], target: View, instruction: Instruction,
        after: tuple[Operation, ...] = (), steps: tuple[int, ...] = (), apart: bool = False,
    ) -> None:  # fmt: skip
        if kind in LOOPS:
            apart = apart and target.shape[0] != 1
            sources = tuple(x.squeezed() if isinstance(x, View) else x for x in sources)
            target = target.squeezed()
        self.operations.append(Operation(kind, name, sources, target, instruction, after, steps, apart))

    def _reshape(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Copy in another order than the elements lie in."""
        shape = sources[0].shape
        self._append("map", "copy", sources, View(target.root, 0, shape, row_major(shape)), instruction)

    def _unslice(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Put a part into zeros."""
        self._append("map", "fill", (0,), target, instruction)
        place = views.part(target, instruction.attributes["index"])
        self._append("map", "copy", sources, place, instruction, after=(self.operations[-1],))

    def _scan(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Add up along an axis, whose first place begins a sum."""
        axis = instruction.attributes["axis"]
        places = views.numbers(target.shape, axis)
        self._append("scan", "cumsum", (*sources, places), target, instruction, steps=(target.strides[axis],))

    def _concatenate(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Copy each part to its place; what makes the part will write it there itself."""
        axis = instruction.attributes["axis"]
        start = 0
        for source in sources:
            end = start + source.shape[axis]
            place = views.part(target, (slice(None),) * axis + (slice(start, end),))
            self._append("map", "copy", (source,), place, instruction)
            start = end

    def _gather(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Read at places that indices tell."""
        x, *indices = sources
        seen, spread, steps = views.indexed(x, instruction.attributes["template"], indices)
        self._append("map", "gather", (seen, *spread), target, instruction, steps=steps)

    def _scatter(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Add at places that indices tell, one after the other."""
        x, *indices = sources
        self._append("map", "fill", (0,), target, instruction)
        place, spread, steps = views.indexed(target, instruction.attributes["template"], indices)
        x = x.broadcast_to(place.shape)
        apart = bool(place.shape) and place.strides[0] != 0
        self._append(
            "scatter", "scatter_add", (x, *spread), place, instruction, (self.operations[-1],), steps, apart
        )  # fmt: skip

    def _fold(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Put windows beside each other, or add those that overlap: place by place in the window, in long runs."""
        strides, dilation = instruction.attributes["strides"], instruction.attributes["dilation"]
        (source,) = sources
        window = source.shape[3:5]
        place = views.windows(target, window, strides, dilation)
        self._append("map", "fill", (0,), target, instruction)
        after = (self.operations[-1],)
        if all(k == 1 or s >= (k - 1) * d + 1 for k, s, d in zip(window, strides, dilation, strict=True)):
            self._append("map", "copy", (source,), place, instruction, after)
        else:
            order = (0, 3, 4, 1, 2, 5)
            source, place = source.transposed(order), place.transposed(order)
            self._append("scatter", "fold", (source,), place, instruction, after, apart=True)

    def _convolve(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Multiply windows; what is no images has to lie together."""
        primitive = instruction.primitive
        x, y = sources[:2]
        strides, dilation = instruction.attributes["strides"], instruction.attributes["dilation"]
        y = self._together(y, instruction)
        if primitive is CONVOLVE:
            seen = views.windows(x, y.shape[:2], strides, dilation)
        elif primitive is CONVOLVE_KERNEL:
            seen = views.windows(x, target.shape[:2], strides, dilation)
            if self.parts == 1 or math.prod(seen.shape[:3]) < self.parts:
                target = View(target.root, 0, (1, *target.shape), (0, *target.strides))
            else:
                whole, target = target, views.whole(Value((self.parts, *target.shape), target.root.dtype))
                self._append_convolution(instruction, (x, y), target, seen)
                self._append("reduce", "sum", (target,), whole.broadcast_to(target.shape), instruction)
                return
        else:
            x = self._together(x, instruction)
            seen = views.windows(target, y.shape[:2], strides, dilation)
        self._append_convolution(instruction, (x, y), target, seen)

    def _append_convolution(
        self, instruction: Instruction, sources: tuple[View, View], target: View, seen: View
    ) -> None:  # fmt: skip
        name = instruction.primitive.name
        self.operations.append(Operation("convolution", name, sources, target, instruction, window=seen))

    def _together(self, x: View, instruction: Instruction) -> View:
        """Return a view of the same elements in row-major order, a copy if need be."""
        if x.strides == row_major(x.shape):
            return x
        copy = views.whole(Value(x.shape, x.root.dtype))
        self._append("map", "copy", (x,), copy, instruction)
        return copy

    def _draw(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        """Draw whole blocks, each from its number and the three words of the state."""
        words = BLOCK_BYTES // target.root.dtype.itemsize
        blocks = target.root.size // words
        state = tuple(views.part(sources[0], i).broadcast_to((blocks,)) for i in range(3))
        spread = View(target.root, 0, (blocks,), (words,))
        self._append("draw", "philox", (*state, views.numbers((blocks,), 0)), spread, instruction)

    def _reduce(self, instruction: Instruction, sources: tuple[Any, ...], target: View) -> None:
        (source,) = sources
        gone = instruction.attributes["axis"]
        kept = tuple(1 if i in gone else n for i, n in enumerate(source.shape))
        spread = View(target.root, 0, kept, row_major(kept)).broadcast_to(source.shape)
        if not source.size:
            self._append("map", "fill", (0,), target, instruction)  # the sum of nothing; of extremes there is none
        elif any(source.shape[i] != 1 for i in gone):
            self._append("reduce", REDUCTIONS[instruction.primitive], (source,), spread, instruction)
        else:
            self._append("map", "copy", (source,), spread, instruction)


_MAKERS: dict[Primitive, Callable[[_Made, Instruction, tuple[Any, ...], View], None]] = {
    RESHAPE: _Made._reshape,
    CONCATENATE: _Made._concatenate,
    UNSLICE: _Made._unslice,
    **dict.fromkeys(REDUCTIONS, _Made._reduce),
    **dict.fromkeys(CONVOLUTIONS, _Made._convolve),
    CUMSUM: _Made._scan,
    GATHER: _Made._gather,
    SCATTER_ADD: _Made._scatter,
    FOLD: _Made._fold,
    PHILOX: _Made._draw,
}

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
        if not any(id(view.root) in found for view in operation.read):
            result.append(operation)
            continue
        sources = []
        for x in operation.sources:
            comparison = found.get(id(x.root)) if isinstance(x, View) else None
            if comparison is None or operation.kind not in LOOPS or x != comparison.target:
                sources.append(x)
                continue
            own = Value(comparison.target.shape, np.bool_)
            result.append(replace(comparison, target=comparison.target._replace(root=own)))
            sources.append(x._replace(root=own))
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


def _order_updates(program: Program, where: dict[int, View], given: list[Operation]) -> None:
    """Note over what may be written what a Tensor is to hold, and let it be written after that was read.

    Here that goes for readers that can have no loop with the writer; grouping sees to the others.
    """
    held = {id(value.tensor): value for value in program.held}
    readers: dict[int, list[tuple[int, Operation]]] = {}
    for number, operation in enumerate(given):
        if operation.kind not in ("map", "reduce"):
            for view in operation.read:
                readers.setdefault(id(view.root), []).append((number, operation))
    writers = {id(operation.target.root): (number, operation) for number, operation in enumerate(given)}
    for tensor, value in program.updates:
        old, found = held.get(id(tensor)), writers.get(id(where[id(value)].root))
        if old is not None and found is not None:
            number, writer = found
            writer.over = old
            earlier = tuple(reader for place, reader in readers.get(id(old), ()) if place < number)
            writer.after = (*writer.after, *earlier)
