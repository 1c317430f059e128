"""Tracing: what a model computes at inference, as one list of primitives for batches of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import backend, nested, ops
from tinygrad_dnn.export.lengths import Length, Size, VariesError, agreed
from tinygrad_dnn.graph import Primitive, no_grad
from tinygrad_dnn.jit import CannotRecordError, Given, Output, Program, Recording, Settled, Value, record
from tinygrad_dnn.jit.simplifying import without_dead
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.ops.random import UNIFORM
from tinygrad_dnn.tensor import Tensor, Variable

# Numbers of samples that are hardly ever other lengths of a network too, which the batch's could be taken for.
_BATCHES = (7, 11, 13)


@dataclass(eq=False)
class Array:
    """A value of a trace.

    Attributes:
        shape: Its lengths.
        dtype: The type of its elements.
        held: Its elements, where they depend on no input; if some of its lengths follow the batch, of length 1 there
            and to be repeated.
        step: The step from one sample to the next, where its elements are those of ``held`` plus their number times it.
        name: The path of the weight that it is, or nothing.
    """

    shape: tuple[Size, ...]
    dtype: np.dtype[Any]
    held: np.ndarray | None = None
    step: np.ndarray | None = None
    name: str = ""

    @property
    def constant(self) -> np.ndarray | None:
        """Its elements, where they depend neither on an input nor on the batch's length."""
        return None if any(isinstance(n, Length) for n in self.shape) else self.held


@dataclass(eq=False)
class Step:
    """A primitive applied; of its inputs and attributes any number may be a ``Length``."""

    primitive: Primitive
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    output: Array


@dataclass(eq=False)
class Trace:
    """What a model computes.

    Attributes:
        inputs: The values of its arguments.
        steps: In an order in which they can be run, without those that depend on no input.
        outputs: What it returns.
    """

    inputs: list[Array]
    steps: list[Step]
    outputs: list[Array]


def trace(layer: Layer, structure: Any, inputs: Sequence[tuple[tuple[int, ...], str]]) -> Trace:
    """Record what a layer or model computes at inference, and return it for batches of any length.

    It is recorded for batches of three lengths. Where the recordings differ, the number must be one that grows evenly
    with the batch: two of them say how, the third proves it.

    Args:
        layer: The layer or model.
        structure: What it is called with, the number of an input in the place of each.
        inputs: The shape of a sample, and the type, of each input.

    Raises:
        CannotRecordError: It looks at values, or computes something else for each length of the batch.
    """
    def call(given: Sequence[Tensor]) -> Any:
        with no_grad():
            return layer(nested.map_leaves(lambda number: given[number], structure), training=False)

    def zeros(batch: int) -> list[Tensor]:
        return [ops.zeros((batch, *shape), dtype=dtype) for shape, dtype in inputs]

    with np.errstate(all="ignore"):  # what is computed of zeros says nothing of the data to come
        alone = Settled(lambda: call(zeros(1)))
    alone.undo()
    try:
        traced = _Merged([_returned(record(call, zeros(batch))) for batch in _BATCHES]).trace()
        # A length of 1 is treated apart by some operations, as by squeeze.
        for one, y in zip(nested.leaves(alone.returned), traced.outputs, strict=True):
            shape = tuple(n.at(1) if isinstance(n, Length) else n for n in y.shape)
            if one.shape != shape:
                raise VariesError(f"of a batch of one it gives shape {one.shape}, where {shape} would follow")
    except VariesError as error:
        raise CannotRecordError(
            f"what it computes depends on the length of the batch by more than a number for each sample ({error})"
        ) from error
    return traced


def _returned(recording: Recording) -> Program:
    """Return the program of what a function returns, and of nothing else."""
    program, outputs = recording.program, []
    for place in nested.leaves(recording.result):
        if isinstance(place, (Output, Given)):
            outputs.append((program.outputs if isinstance(place, Output) else program.inputs)[place.number])
        elif isinstance(place, Variable):
            outputs.append(Value(place.shape, place.dtype, place))
        else:
            raise CannotRecordError(f"it returns {place!r:.60}, which is no Tensor")
    return without_dead(Program(program.inputs, program.instructions, outputs))


class _Merged:
    """Programs of one function that were recorded for batches of several lengths, as one."""

    def __init__(self, programs: list[Program]) -> None:
        self.programs = programs
        self.known: dict[tuple[int, ...], Array] = {}

    def trace(self) -> Trace:
        """Return the programs as one.

        Raises:
            VariesError: They differ in more than in lengths.
        """
        inputs = [self._made(values) for values in self._together(lambda program: program.inputs)]
        steps = []
        for instructions in self._together(lambda program: program.instructions):
            names = [instruction.primitive.name for instruction in instructions]
            if len(set(names)) > 1:
                raise VariesError(f"{names[0]!r} becomes {names[1]!r}")
            given = zip(*(instruction.inputs for instruction in instructions), strict=True)
            step = Step(
                instructions[0].primitive,
                tuple(self._read(values) for values in given),
                agreed([instruction.attributes for instruction in instructions], _BATCHES),
                self._made([instruction.output for instruction in instructions]),
            )
            if not _computed(step):
                steps.append(step)
        outputs = [self._read(values) for values in self._together(lambda program: program.outputs)]
        return Trace(inputs, steps, outputs)

    def _together(self, part: Callable[[Program], list[Any]]) -> list[tuple[Any, ...]]:
        """Return what stands in the same place of each program's lists."""
        lists = [part(program) for program in self.programs]
        lengths = [len(each) for each in lists]
        if len(set(lengths)) > 1:
            raise VariesError(f"{lengths[0]} operations become {lengths[1]}")
        return list(zip(*lists, strict=True))

    def _made(self, values: Sequence[Value], **known: Any) -> Array:
        shape = agreed([value.shape for value in values], _BATCHES)
        array = self.known[_key(values)] = Array(shape, values[0].dtype, **known)
        return array

    def _read(self, given: Sequence[Any]) -> Any:
        """Return what an operation reads: a value, a number or a length."""
        if not any(isinstance(x, Value) for x in given):
            return agreed(given, _BATCHES)
        found = self.known.get(_key(given))
        if found is not None:
            return found
        tensors = [x.tensor for x in given if isinstance(x, Value) and x.tensor is not None]
        if len(tensors) < len(given):
            raise VariesError("an operation reads other values")
        first = tensors[0]
        if all(tensor is first for tensor in tensors):
            return self._made(given, held=first.numpy(), name=getattr(first, "path", ""))
        held, step = _constants([tensor.numpy() for tensor in tensors])
        return self._made(given, held=held, step=step)


def _key(values: Sequence[Value]) -> tuple[int, ...]:
    return tuple(map(id, values))


def _constants(arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return constants of batches of several lengths as one of length 1 there, and its step from sample to sample."""
    shape = agreed([array.shape for array in arrays], _BATCHES)
    axes = [axis for axis, n in enumerate(shape) if isinstance(n, Length)]
    firsts = [array[tuple(slice(1) if axis in axes else slice(None) for axis in range(array.ndim))] for array in arrays]
    steps = [np.zeros_like(first) for first in firsts]
    if len(axes) == 1 and arrays[0].dtype.kind in "iuf":
        steps = [np.take(array, [1], axes[0]) - first for array, first in zip(arrays, firsts, strict=True)]
    nan = arrays[0].dtype.kind == "f"
    for array, first, step in zip(arrays, firsts, steps, strict=True):
        spread = first
        if step.any():
            along = np.arange(array.shape[axes[0]]).reshape([-1 if axis in axes else 1 for axis in range(array.ndim)])
            spread = first + along.astype(array.dtype) * step
        same = np.array_equal(first, firsts[0], equal_nan=nan) and np.array_equal(step, steps[0])
        if not same or not np.array_equal(np.broadcast_to(spread, array.shape), array, equal_nan=nan):
            raise VariesError("a constant's values differ")
    return firsts[0], steps[0] if steps[0].any() else None


def _computed(step: Step) -> bool:
    """Compute what depends on no input; tell whether that was possible."""
    if step.primitive is UNIFORM or any(isinstance(n, Length) for n in step.output.shape):
        return False
    given = [x.constant if isinstance(x, Array) else x for x in step.inputs]
    if any(x is None or isinstance(x, Length) for x in given):
        return False
    for x in nested.leaves(step.attributes):
        if any(isinstance(n, Length) for n in ((x.start, x.stop, x.step) if isinstance(x, slice) else (x,))):
            return False
    xp: Any = backend.get("numpy")
    with np.errstate(all="ignore"):
        step.output.held = np.asarray(step.primitive.forward(xp, *given, **step.attributes))
    return True
