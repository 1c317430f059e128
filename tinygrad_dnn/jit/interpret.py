"""Interpreting: a program run primitive by primitive, on any backend; what every lowering must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import backend
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.tensor import assigned_now


class Interpreted:
    """A program that is run as it was recorded, without the graph that eager Tensors build.

    Args:
        program: What to run.

    Example:
        >>> program = td.jit.record(lambda x: td.exp(x[0]) * 2, [td.zeros((2,))]).program
        >>> td.jit.Interpreted(program)([np.zeros(2, np.float32)])
        [array([2., 2.], dtype=float32)]
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._held = program.held
        done_with: list[list[Value]] = []
        needed = {id(value) for value in program.ends()}
        for step in reversed(program.instructions):
            last = [x for x in step.inputs if type(x) is Value and id(x) not in needed]
            needed.update(map(id, last))
            done_with.append(last)
        self._done_with = done_with[::-1]

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Run the program on arrays; let its Tensors hold what they are to hold, and return its outputs."""
        arrays: dict[int, Any] = {id(v): array for v, array in zip(self.program.inputs, inputs, strict=True)}
        for value in self._held:
            arrays[id(value)] = value.tensor.data  # type: ignore[union-attr]
        for step, done_with in zip(self.program.instructions, self._done_with, strict=True):
            given = [arrays[id(x)] if isinstance(x, Value) else x for x in step.inputs]
            xp: Any = backend.of(next(x for x in given if backend.of(x) is not None))
            made = step.primitive.forward(xp, *given, **step.attributes)
            arrays[id(step.output)] = made if type(made) is xp.array_type else xp.asarray(made)
            for value in done_with:
                arrays.pop(id(value), None)  # an instruction may read it twice
        ends = [(tensor, arrays[id(value)]) for tensor, value in self.program.updates]
        for tensor, array in ends:
            assigned_now(tensor, array)
        return [arrays[id(value)] for value in self.program.outputs]
