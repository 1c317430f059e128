"""Agreeing: a function recorded twice with the same outcome, and a program that does what the function did."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.autograd import is_freed
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.debugging import finite
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.jit.calls import Call
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Instruction, Program, Value, exact
from tinygrad_dnn.jit.recording import CannotRecordError, Given, Kept, Output, Recording, Settled, record
from tinygrad_dnn.jit.watch import Watch
from tinygrad_dnn.tensor import Tensor

_SMALL = 10_000


def recorded_twice(
    call: Call, function: Callable[..., Any], watch: Watch
) -> tuple[Recording, list[tuple[Tensor, Tensor | None]]]:
    """Record a function twice, the second time on other values, and return what both recordings agree on.

    What differs from one recording to the other is nothing that a program could know.
    """

    def recorded(tensors: Sequence[Tensor]) -> Recording:
        try:
            return record(functools.partial(call.run, function), tensors, watch)
        except CannotRecordError:
            raise
        except Exception as error:
            raise CannotRecordError(
                f"it raises {type(error).__name__} when it is given Tensors to record it ({error})"
            ) from error

    first = recorded(call.tensors)
    altered = _Altered(call.tensors, first.program, watch)
    try:
        second = recorded(altered.arguments)
    except CannotRecordError:
        altered.undo()
        second = recorded(call.tensors)  # it may not take values like those
    finally:
        altered.undo()
    if not agree(first, second):
        if agree(first, recorded(call.tensors)):
            raise CannotRecordError("it computes with values taken out of Tensors, as by .data")
        raise CannotRecordError("it computes something else each time it is called")
    graded = {id(tensor) for tensor, _, _ in second.graded}
    gradients = []
    for tensor, before, after in first.graded:
        if id(tensor) in graded:
            if after is not before:
                raise CannotRecordError(
                    "it leaves gradients in .grad: return them, or set .grad to None again before it ends"
                )
            gradients.append((tensor, before))
    return Recording(lasting(first, second), first.result, first.assigned, left=first.left), gradients


class _Altered:
    """Other values in the places of a program's inputs and state: what a function reads past Tensors then shows."""

    def __init__(self, arguments: Sequence[Tensor], program: Program, watch: Watch) -> None:
        self.arguments = []
        for given in arguments:
            other = Tensor._wrap(_other(given))
            other._requires_grad = given._requires_grad
            self.arguments.append(other)
        # Also of Tensors that the program does not read, as a learning rate: but not of whole sets of data.
        small = [x for x in watch.objects() if isinstance(x, Tensor) and x.size <= _SMALL]
        state = {id(x): x for x in [*small, *(value.tensor for value in program.held)] if x is not None}
        self._before = [(tensor, tensor.data) for tensor in state.values()]
        for tensor, _ in self._before:
            tensor.data = _other(tensor)

    def undo(self) -> None:
        """Put the state back."""
        for tensor, data in self._before:
            tensor.data = data


def _other(x: Tensor) -> Any:
    """Return other values of the same kind: positive ones stay so, and indices in range where they can.

    None stays as it is: it could be read past Tensors without being noticed.
    """
    with no_grad():
        given = x.detach()
        if x.dtype.kind in FLOATING:
            other = given * 0.75 + 0.1234567  # no number that anybody writes stays what it is
            return (other if finite(x.data) else ops.where(ops.isfinite(given), other, 1.0)).data
        if x.dtype.kind == "b":
            return ops.logical_not(given).data
        if not x.size:
            return x.data
        halved, largest = given // 2, ops.max(given)
        # Halves of 0 and -1 are these. Where there is a 1, that is in range too.
        other = ops.where(halved == given, ops.maximum(largest // 2, 1), halved)
        return ops.where(largest < 1, given + 1, other).data


def agree(first: Recording, second: Recording) -> bool:
    """Tell whether two recordings of a function are of the same computation.

    Tensors that one of them alone assigned to were made in it, and are gone.

    Example:
        >>> once, again = (td.jit.record(lambda x: x[0] + 1, [td.zeros(2)]) for _ in range(2))
        >>> td.jit.agree(once, again)
        True
        >>> td.jit.agree(once, td.jit.record(lambda x: x[0] + 2, [td.zeros(2)]))
        False
    """
    one, other = lasting(first, second), lasting(second, first)
    same: dict[int, Value] = {}
    compared: set[int] = set()

    def equal(a: Any, b: Any) -> bool:
        if type(a) is not Value or type(b) is not Value:
            return a is b or bool(exact(a) == exact(b))
        known = same.setdefault(id(a), b)
        if known is not b or id(a) in compared:
            return known is b
        compared.add(id(a))
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        # Each recording makes its own constants, of equal values.
        return a.tensor is b.tensor or _equal(a.tensor, b.tensor)

    def all_equal(a: Sequence[Any], b: Sequence[Any]) -> bool:
        return len(a) == len(b) and all(map(equal, a, b))

    def steps_equal(a: Instruction, b: Instruction) -> bool:
        return (
            a.primitive is b.primitive
            and (a.attributes == {} == b.attributes or exact(a.attributes) == exact(b.attributes))
            and all_equal(a.inputs, b.inputs)
            and equal(a.output, b.output)
        )

    return (
        all_equal(one.inputs, other.inputs)
        and len(one.instructions) == len(other.instructions)
        and all(map(steps_equal, one.instructions, other.instructions))
        and all_equal(one.outputs, other.outputs)
        and all_equal([value for _, value in one.updates], [value for _, value in other.updates])
        and first.assigned == second.assigned
        and _matches(first.result, second.result)
        and len(first.left) == len(second.left)
        and all(a[:2] == b[:2] and _matches(a[2], b[2]) for a, b in zip(first.left, second.left, strict=True))
    )


def lasting(recording: Recording, other: Recording) -> Program:
    """Return a recording's program with the updates of those Tensors alone that the other recording assigned to too."""
    program, there = recording.program, {id(tensor) for tensor, _ in other.program.updates}
    updates = [(tensor, value) for tensor, value in program.updates if id(tensor) in there]
    return Program(program.inputs, program.instructions, program.outputs, updates)


def reproduces(recording: Recording, settled: Settled, given: Sequence[Any], tensors: Sequence[Tensor]) -> bool:
    """Run a program in the place of a call that was made, and tell whether it gives the same, bit for bit.

    What the call assigned to is put back then, for the program to do it; else all stays as the call left it.

    Args:
        recording: Of the function, with its program.
        settled: The call.
        given: The arrays and Tensors among its arguments.
        tensors: The same as Tensors.
    """
    program = recording.program
    assigned = [tensor for tensor, _ in program.updates] + [tensors[number] for number, _ in recording.assigned]
    left = [tensor.data for tensor in assigned]
    settled.undo(assigned)
    kept = Kept()
    for tensor in assigned:
        kept.keep(tensor)
    try:
        with np.errstate(all="ignore"):
            outputs = [Tensor._wrap(array) for array in Interpreted(program)([tensor.data for tensor in tensors])]
        ends = [tensor.data for tensor, _ in program.updates] + [outputs[n].data for _, n in recording.assigned]
    except BaseException:
        settled.redo()
        raise
    kept.undo()

    def matches(place: Any, returned: Any) -> bool:
        if isinstance(place, Output):
            alike = isinstance(returned, Tensor) and _equal(outputs[place.number], returned)
            return alike and (place.requires_grad == returned._requires_grad or is_freed(returned))
        return returned is given[place.number] if isinstance(place, Given) else _same(place, returned)

    for attributes, key, place in recording.left:
        if not _matches(place, dict(attributes.pairs())[key], matches):
            settled.redo()
            return False
    if _matches(recording.result, settled.returned, matches) and all(
        _equal(Tensor._wrap(a), Tensor._wrap(b)) for a, b in zip(ends, left, strict=True)
    ):
        return True
    settled.redo()
    return False


def _same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, (Output, Given)) and a == b) or exact(a) == exact(b)


def _matches(a: Any, b: Any, same: Any = _same) -> bool:
    """Tell whether two structures have the same form, and the same in each place of it."""
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(_matches(a[key], b[key], same) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(_matches(x, y, same) for x, y in zip(a, b, strict=True))
    return bool(same(a, b))


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape or a.backend is not b.backend:
        return False
    return np.array_equal(a.numpy().reshape(-1).view(np.uint8), b.numpy().reshape(-1).view(np.uint8))
