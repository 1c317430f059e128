"""Pieces: a chain of elementwise instructions is run on one slice of its arrays after another, which stays in cache."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from tinygrad_dnn.jit.numpy_calls import Call, Calls, is_elementwise
from tinygrad_dnn.jit.packing import CACHE_BYTES, FEW, Pack
from tinygrad_dnn.jit.program import Instruction, Value

# So many elements are whole cache lines of any dtype.
_LINE = 64


class Rows:
    """The arrays of a pack's lanes, one behind the other.

    Args:
        pack: Whose arrays; those of a lane that is alone lie where they do otherwise.

    Attributes:
        parts: What is to be the array of each value that the lanes are given, by the value's identity.
        rows: The whole, a 1-D array for all lanes, by the identity of the first lane's value.
    """

    def __init__(self, pack: Pack) -> None:
        self._lanes = pack.lanes
        self.parts: dict[int, np.ndarray] = {}
        self.rows: dict[int, np.ndarray] = {}
        if len(pack.lanes) > 1:
            for values in zip(*(lane.given for lane in pack.lanes), strict=True):
                self.parts.update(self._new(values))

    def _new(self, values: tuple[Value, ...]) -> dict[int, np.ndarray]:
        """Make a row for a value of each lane; return its parts."""
        # No array: a view of a view of an array refers to the array, and not to the view between. But who else holds a
        # part is told by how many refer to it.
        memory = bytearray(sum(value.size for value in values) * values[0].dtype.itemsize)
        self.rows[id(values[0])] = np.frombuffer(memory, values[0].dtype)
        parts, begin = {}, 0
        for value in values:
            parts[id(value)] = np.ndarray(value.shape, value.dtype, memory, begin)
            begin += value.size * value.dtype.itemsize
        return parts

    def fill(self, arrays: Mapping[int, np.ndarray]) -> list[Call]:
        """Return the calls that copy what does not lie in its part."""
        calls: list[Call] = []
        for lane in self._lanes:
            for value in lane.given:
                array = arrays[id(value)]
                part = self.parts.get(id(value))
                if part is None:  # the lane is alone
                    part = array if array.flags.c_contiguous else np.empty(value.shape, value.dtype)
                    self.rows[id(value)] = part.reshape(-1)
                if part is not array:
                    calls.append((np.copyto, part, array))
        return calls

    def write_over(self, number: int, place: int) -> None:
        """Let an instruction's value take the place of a given one."""
        lane = self._lanes[0]
        self.rows[id(lane.steps[number].output)] = self.rows[id(lane.given[place])]

    def add(self, number: int) -> dict[int, np.ndarray]:
        """Let an instruction's value last; return its part in each lane, by the value's identity."""
        return self._new(tuple(lane.steps[number].output for lane in self._lanes))


def piecewise(
    steps: list[Instruction], rows: Mapping[int, np.ndarray], arrays: Mapping[int, np.ndarray], make: Calls
) -> tuple[list[Call], int]:
    """Return the calls of a chain, slice after slice, and the bytes of its temporary values.

    Args:
        steps: The chain.
        rows: 1-D arrays of one length, by the identities of the values that are given and of those that last.
        arrays: The 0-d arrays that it is given.
        make: What makes the calls.
    """
    length = next(iter(rows.values())).size
    shared = _shared(steps, rows)
    used = [row.itemsize for row in {id(row): row for row in rows.values()}.values()]
    used += [dtype.itemsize for dtype, _ in set(shared.values())]
    at_once = CACHE_BYTES if len(steps) >= FEW else 4 * CACHE_BYTES
    size = -(-length // -(-length * sum(used) // at_once))
    size += -size % _LINE
    buffers = {place: np.empty(min(size, length), place[0]) for place in set(shared.values())}
    calls: list[Call] = []
    for begin in range(0, length, size):
        end = min(begin + size, length)
        here = {key: buffers[place][: end - begin] for key, place in shared.items()}
        here.update({key: row[begin:end] for key, row in rows.items()})
        for step in steps:
            given = [x if not isinstance(x, Value) else here[id(x)] if x.shape else arrays[id(x)] for x in step.inputs]
            calls += make.into(here[id(step.output)], step, given)
    return calls, sum(buffer.nbytes for buffer in buffers.values())


def _shared(steps: list[Instruction], rows: Mapping[int, np.ndarray]) -> dict[int, tuple[np.dtype, int]]:
    """Return which buffer, a dtype and a number, holds each value that does not last; they are shared by lifetime."""
    last = {id(x): number for number, step in enumerate(steps) for x in step.sources}
    free: dict[np.dtype, list[int]] = defaultdict(list)
    taken: Counter[np.dtype] = Counter()
    buffers: dict[int, tuple[np.dtype, int]] = {}
    for number, step in enumerate(steps):
        dying = {buffers[id(x)] for x in step.sources if id(x) in buffers and last[id(x)] == number}
        over = is_elementwise(step)  # then the value may be written over what dies
        if over:
            _free(dying, free)
        if id(step.output) not in rows:
            dtype = step.output.dtype
            if not free[dtype]:
                free[dtype].append(taken[dtype])
                taken[dtype] += 1
            buffers[id(step.output)] = dtype, free[dtype].pop()
        if not over:
            _free(dying, free)
    return buffers


def _free(buffers: set[tuple[np.dtype, int]], free: dict[np.dtype, list[int]]) -> None:
    for dtype, number in sorted(buffers, key=lambda buffer: buffer[1]):
        free[dtype].append(number)
