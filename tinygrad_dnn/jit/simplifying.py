"""Simplifying: leave out what is computed twice, or for nothing."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from tinygrad_dnn.jit.program import Instruction, Program, Value, exact


def simplify(program: Program) -> Program:
    """Return a program of the same results in which no value is made twice, and none that nothing needs.

    Example:
        >>> program = td.jit.record(lambda x: (x[0] + 1) * (x[0] + 1), [td.ones(2)]).program
        >>> print(td.jit.simplify(program))
        inputs   a: float32[2]
        b: float32[2] = add(a, 1)
        c: float32[2] = multiply(b, b)
        returns  c
    """
    return without_dead(without_repeats(program))


def without_repeats(program: Program, among: Container[int] | None = None) -> Program:
    """Return the program with one instruction for all that do the same to the same values.

    Args:
        program: The program.
        among: The identities of the instructions that are looked at; None looks at all.
    """
    made: dict[Any, Value] = {}
    stands_for: dict[int, Value] = {}
    instructions = []
    for step in program.instructions:
        inputs = step.inputs
        is_looked_at = among is None or id(step) in among
        if stands_for and any(id(x) in stands_for for x in inputs):
            inputs = tuple(stands_for.get(id(x), x) for x in inputs)
            step = Instruction(step.primitive, inputs, step.attributes, step.output)
        if not is_looked_at:
            instructions.append(step)
            continue
        given = tuple([id(x) if type(x) is Value else exact(x) for x in inputs])
        attributes = exact(step.attributes) if step.attributes else None
        first = made.setdefault((step.primitive, given, attributes, step.output.dtype), step.output)
        if first is step.output:
            instructions.append(step)
        else:
            stands_for[id(step.output)] = first
    return Program(
        program.inputs,
        instructions,
        [stands_for.get(id(value), value) for value in program.outputs],
        [(tensor, stands_for.get(id(value), value)) for tensor, value in program.updates],
    )


def without_dead(program: Program) -> Program:
    """Return the program without instructions whose values nothing needs, and assignments that change nothing."""
    updates = [(tensor, value) for tensor, value in program.updates if value.tensor is not tensor]
    kept = Program(program.inputs, [], program.outputs, updates)
    needed = {id(value) for value in kept.ends()}
    for step in reversed(program.instructions):
        if id(step.output) in needed:
            needed.update(id(value) for value in step.sources)
            kept.instructions.append(step)
    kept.instructions.reverse()
    return kept
