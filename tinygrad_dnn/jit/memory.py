"""Memory: where each value lies; temporary ones share memory by lifetime, state is written where it was read."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.operations import Operation, Operations
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.jit.views import View
from tinygrad_dnn.tensor import Tensor

# Arrays begin at multiples of this, a cache line.
ALIGNMENT = 64

ARENA = 0
"""The slot of the memory that temporary values share."""


@dataclass(frozen=True)
class Place:
    """Where the array of a value begins: so many bytes into what a slot stands for."""

    slot: int
    offset: int = 0


@dataclass
class Memory:
    """Where the values of a program lie. A slot is an array that may be another one in each run.

    Attributes:
        places: The place of each value that is stored, by the value's identity.
        slots: How many slots there are; the first is the arena.
        arena_bytes: How much memory the temporary values share.
        inputs: The slot of each input.
        held: The values that Tensors hold at the start, with their slots; without those written in place.
        states: The Tensors whose new value is written where their old one was, with the slot of both.
        bound: The Tensors that are bound to a new array, with what is copied to it.
        outputs: For each output what it is, and the slot of its new array, or None if it has to be copied.
        calls: The slot of each value that a call makes.
    """

    places: dict[int, Place] = field(default_factory=dict)
    slots: int = 1
    arena_bytes: int = 0
    inputs: list[int] = field(default_factory=list)
    held: list[tuple[Value, int]] = field(default_factory=list)
    states: list[tuple[Tensor, int]] = field(default_factory=list)
    bound: list[tuple[Tensor, View]] = field(default_factory=list)
    outputs: list[tuple[View, int | None]] = field(default_factory=list)
    calls: dict[int, int] = field(default_factory=dict)

    def place(self, value: Value) -> Place | None:
        """Return where a value's array is, or None if the value is never stored."""
        return self.places.get(id(value))

    def _new_slot(self, value: Value) -> int:
        slot = self.slots
        self.slots += 1
        self.places[id(value)] = Place(slot)
        return slot


@dataclass
class _Uses:
    """Which groups write and read each value, by the value's identity, and which values are wanted at the end."""

    writes: dict[int, list[tuple[Group, Operation]]]
    reads: dict[int, list[tuple[Group, View]]]
    ends: set[int]


def plan(program: Program, lowered: Operations, groups: Sequence[Group]) -> Memory:
    """Return where the values of a program lie when its groups are run stage by stage."""
    memory = Memory()
    uses = _uses(program, lowered, groups)
    for value in program.inputs:
        memory.inputs.append(memory._new_slot(value))
    last_call = max((group.stage for group in groups if group.kind == "call"), default=-1)
    updated = _place_updates(memory, program, lowered, uses, last_call)
    for value in program.held:
        if id(value) not in memory.places:
            memory.held.append((value, memory._new_slot(value)))
    for value in program.outputs:
        view = lowered.view(value)
        direct = view.is_whole and id(view.root) not in memory.places and _is_looped(uses, view.root)
        memory.outputs.append((view, memory._new_slot(view.root) if direct else None))
    for value_id, found in uses.writes.items():
        if found[0][1].kind == "call" and value_id not in updated:
            memory.calls[value_id] = memory._new_slot(found[0][1].target.root)
    _place_temporaries(memory, uses)
    return memory


def _uses(program: Program, lowered: Operations, groups: Sequence[Group]) -> _Uses:
    writes: dict[int, list[tuple[Group, Operation]]] = defaultdict(list)
    reads: dict[int, list[tuple[Group, View]]] = defaultdict(list)
    for group in groups:
        for operation in group.operations:
            writes[id(operation.target.root)].append((group, operation))
            for view in operation.read:
                reads[id(view.root)].append((group, view))
    return _Uses(dict(writes), dict(reads), {id(lowered.view(value).root) for value in program.ends()})


def _is_looped(uses: _Uses, root: Value) -> bool:
    found = uses.writes.get(id(root))
    return bool(found) and all(operation.kind != "call" for _, operation in found or ())


def _place_updates(
    memory: Memory, program: Program, lowered: Operations, uses: _Uses, last_call: int
) -> set[int]:  # fmt: skip
    """Write what a Tensor is to hold over what it holds, if nobody reads that afterwards; return what was placed.

    Until the last call is over nothing is written over: it may raise an error.
    """
    held = {id(value.tensor): value for value in program.held}
    placed: set[int] = set()
    for tensor, value in program.updates:
        view, old = lowered.view(value), held.get(id(tensor))
        if (
            view.is_whole
            and id(view.root) not in memory.places
            and _is_looped(uses, view.root)
            and min(group.stage for group, _ in uses.writes[id(view.root)]) > last_call
            and (old is None or _is_over(old, view.root, uses))
        ):
            slot = memory._new_slot(view.root)
            placed.add(id(view.root))
            if old is not None:
                memory.places[id(old)] = Place(slot)
            memory.states.append((tensor, slot))
        else:
            memory.bound.append((tensor, view))
    return placed


def _is_over(old: Value, new: Value, uses: _Uses) -> bool:
    """Tell whether a value's array may be overwritten by another: whoever reads an element has done so by then."""
    if id(old) in uses.ends:
        return False
    writers = uses.writes[id(new)]
    first = min(group.stage for group, _ in writers)
    for group, view in uses.reads.get(id(old), ()):
        if group.stage < first:
            continue
        if len(writers) > 1 or group is not writers[0][0] or writers[0][1].kind != "map":
            return False
        target = writers[0][1].target
        if (view.offset, view.shape, view.strides) != (target.offset, target.shape, target.strides):
            return False
    return True


def _place_temporaries(memory: Memory, uses: _Uses) -> None:
    """Give each value that one group writes and another reads the lowest piece of memory that is free meanwhile.

    Groups of one stage may be run at the same time, so a piece is free from the stage after.
    """
    end_of_all = 1 + max((group.stage for found in uses.writes.values() for group, _ in found), default=0)
    taken: list[tuple[int, int, int]] = []  # start, end, and the last stage that needs it, in order
    stage = -1
    for key, found in sorted(uses.writes.items(), key=lambda item: min(group.stage for group, _ in item[1])):
        if key in memory.places:
            continue
        (group, operation), *_ = found
        readers = [reader for reader, _ in uses.reads.get(key, ())]
        if key not in uses.ends and operation.kind in ("map", "reduce") and all(reader is group for reader in readers):
            continue
        root = operation.target.root
        first = min(group.stage for group, _ in found)
        last = max((x.stage for x in (*readers, *(group for group, _ in found))), default=first)
        size = -(-max(root.size * root.dtype.itemsize, 1) // ALIGNMENT) * ALIGNMENT
        if first != stage:
            taken = [piece for piece in taken if piece[2] >= first]
            stage = first
        start = 0
        for begin, end, _ in taken:
            if begin - start >= size:
                break
            if end > start:
                start = end
        bisect.insort(taken, (start, start + size, end_of_all if key in uses.ends else last))
        memory.places[key] = Place(ARENA, start)
        memory.arena_bytes = max(memory.arena_bytes, start + size)
