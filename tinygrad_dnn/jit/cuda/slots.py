"""Slots: which memory of its own a program needs on a device, and what is copied there when all is computed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_dnn.jit.cuda.launches import SCRATCH, Call, Launch, Step
from tinygrad_dnn.jit.memory import ARENA, Memory
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.jit.views import View
from tinygrad_dnn.tensor import Tensor


@dataclass(frozen=True)
class Copy:
    """What a slot is to hold: a view of a value, or what another slot holds."""

    slot: int
    source: View | int
    value: Value


@dataclass(frozen=True)
class Slots:
    """The slots of a program.

    Attributes:
        sizes: The bytes of each slot that is memory of the program's own; its outputs come first, short ones before.
        outputs: The slot of each output.
        copies: What is copied when all is computed, in order.
        written: The Tensors that are written over, with what they are to hold, and their slots.
        read: The Tensors that are only read, with what they hold, and their slots.
    """

    sizes: dict[int, int]
    outputs: list[int]
    copies: list[Copy]
    written: list[tuple[Tensor, Value, int]]
    read: list[tuple[Tensor, Value, int]]


def slots(program: Program, memory: Memory, steps: Sequence[Step]) -> Slots:
    """Return the slots of a program, beside those of its memory plan some more.

    Example:
        >>> from tinygrad_dnn.jit.cuda.slots import slots
        >>> x = td.jit.Value((2,), "float32")
        >>> memory = td.jit.memory.Memory(slots=2, inputs=[1], outputs=[(td.jit.views.whole(x), None)])
        >>> slots(td.jit.Program([x], [], [x]), memory, []).sizes
        {2: 8, 1: 8, 0: 0, -1: 0}
    """
    new = itertools.count(memory.slots)
    copies: list[Copy] = []
    outputs: list[int] = []
    for value, (view, slot) in zip(program.outputs, memory.outputs, strict=True):
        outputs.append(next(new) if slot is None else slot)
        if slot is None:
            copies.append(Copy(outputs[-1], view, value))
    pairs = sorted(zip(outputs, program.outputs, strict=True), key=lambda pair: bytes_of(pair[1]))
    sizes = {slot: bytes_of(value) for slot, value in pairs}
    value_of = {id(tensor): value for tensor, value in program.updates}
    written = [(tensor, value_of[id(tensor)], slot) for tensor, slot in memory.states]
    written += _bound(memory, value_of, new, copies, sizes)
    over = {id(tensor) for tensor, _, _ in written}
    read = [(x.tensor, x, slot) for x, slot in memory.held if x.tensor is not None and id(x.tensor) not in over]
    sizes |= {slot: bytes_of(value) for value, slot in zip(program.inputs, memory.inputs, strict=True)}
    for step in steps:
        if isinstance(step, Call):
            root = step.operation.target.root
            sizes[memory.calls[id(root)]] = bytes_of(root)
    sizes[ARENA] = memory.arena_bytes
    sizes[SCRATCH] = max((step.scratch_bytes for step in steps if isinstance(step, Launch)), default=0)
    return Slots(sizes, outputs, copies, written, read)


def _bound(
    memory: Memory, value_of: dict[int, Value], new: itertools.count[int], copies: list[Copy], sizes: dict[int, int]
) -> list[tuple[Tensor, Value, int]]:  # fmt: skip
    """Return the Tensors to which a value is copied, with their slots, and add what is to be copied."""
    held = {id(value.tensor): slot for value, slot in memory.held}
    homes = [held[id(tensor)] if id(tensor) in held else next(new) for tensor, _ in memory.bound]
    late: list[Copy] = []
    for (tensor, view), home in zip(memory.bound, homes, strict=True):
        value, source = value_of[id(tensor)], memory.places[id(view.root)].slot
        if source not in homes:
            late.append(Copy(home, view, value))
            continue
        # What goes to one Tensor another still holds, as where two change places.
        between = next(new)
        sizes[between] = bytes_of(value)
        copies.append(Copy(between, view, value))
        late.append(Copy(home, between, value))
    copies += late
    return [(tensor, value_of[id(tensor)], home) for (tensor, _), home in zip(memory.bound, homes, strict=True)]


def bytes_of(value: Value) -> int:
    """Return how many bytes a value's array has.

    Example:
        >>> from tinygrad_dnn.jit.cuda.slots import bytes_of
        >>> bytes_of(td.jit.Value((2, 3), "float32"))
        24
    """
    return int(value.size * value.dtype.itemsize)
