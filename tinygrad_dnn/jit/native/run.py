"""Running: machine code and calls in turn, on arrays that are looked up where Tensors hold them at that moment."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.memory import ALIGNMENT, ARENA, Memory
from tinygrad_dnn.jit.native import blas
from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.parallel import Record, Stages, shared
from tinygrad_dnn.jit.operations import Operation, Operations
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.jit.views import View
from tinygrad_dnn.tensor import Tensor, assigned_now


@dataclass(frozen=True)
class Call:
    """A primitive that is called, the slot of its result, and the slots that nothing needs afterwards."""

    operation: Operation
    slot: int
    over: tuple[int, ...]


class Run:
    """A program that can be run: a list of machine code, interrupted by calls where a primitive is left to itself.

    What a Tensor is to hold is written over what it holds if nobody else has that array; else into a copy, so that
    values do not change under anybody's feet. One thread at a time can be in it.

    Attributes:
        program: The program.
        groups: What is done, in order.
        calls: The names of the primitives that are called.
        arena_bytes: How much memory the temporary values share.

    Example:
        >>> program = td.jit.record(lambda x: td.sum(td.exp(x[0])), [td.zeros((3,))]).program
        >>> print(td.jit.native.lower(program))
           0  loop [3]: exp, sum
        called: nothing; temporary values take 0 bytes
    """

    def __init__(
        self, program: Program, lowered: Operations, groups: Sequence[Group], memory: Memory,
        steps: Sequence[Record | Call], threads: int,
    ) -> None:  # fmt: skip
        self.program = program
        self.groups = list(groups)
        self.calls = [step.operation.name for step in steps if isinstance(step, Call)]
        self.arena_bytes = memory.arena_bytes
        self._memory = memory
        self._backend = backend.get("numpy")
        self._lock = threading.Lock()
        self._table = np.zeros(memory.slots, np.int64)
        self._arrays: list[Any] = [None] * memory.slots
        block = np.empty(memory.arena_bytes + ALIGNMENT, np.uint8)
        start = -_address(block) % ALIGNMENT
        self._arena = block[start : start + memory.arena_bytes]
        self._table[ARENA] = _address(self._arena)
        self._link(steps, threads)
        self._inputs = list(zip(program.inputs, memory.inputs, strict=True))
        self._held = [(value, value.tensor, slot) for value, slot in memory.held]
        self._seen: list[Any] = [None] * len(self._held)
        self._states = [tensor for tensor, _ in memory.states]
        self._state_slots = [slot for _, slot in memory.states]
        self._own: list[Any] = [None] * len(self._states)
        self._alone = [_ALONE] * len(self._states)
        self._bound = [(tensor, view, self._base(view.root)) for tensor, view in memory.bound]
        self._outputs = [
            (view, slot, None if slot is not None else self._base(view.root)) for view, slot in memory.outputs
        ]

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the program on arrays; let its Tensors hold what they are to hold, and return new arrays.

        Raises:
            ValueError: An input, or what a Tensor holds now, has another shape or dtype than when it was recorded.
        """
        with self._lock:
            self._look_up(inputs)
            with self._one_blas_thread:
                for segment in self._segments:
                    if isinstance(segment, Call):
                        self._call(segment)
                    else:
                        segment()
            return self._finish()

    # -- before -------------------------------------------------------------------------------------------------------

    def _link(self, steps: Sequence[Record | Call], threads: int) -> None:
        """Make one segment of the records that follow each other, and let calls stand between."""
        self._arrays_of_records: list[np.ndarray] = []
        self._segments: list[Any] = []
        waiting: list[Record] = []
        for step in steps:
            if isinstance(step, Record):
                waiting.append(step)
                continue
            self._segment(waiting, threads)
            self._segments.append(step)
            waiting = []
        self._segment(waiting, threads)
        functions = blas.thread_functions() if threads > 1 else None
        self._one_blas_thread: Any = contextlib.nullcontext() if functions is None else _OneBlasThread(*functions)

    def _segment(self, records: Sequence[Record], threads: int) -> None:
        """Append a segment: one list, or the stages of two threads if there is anything to share."""
        if not records:
            return
        found = compiler()
        table = _address(self._table)
        if threads > 1:
            stages = [shared(list(same)) for _, same in itertools.groupby(records, key=lambda x: x.stage)]
            if any(second for _, second in stages):
                rows = [(*self._list(first), *self._list(second)) for first, second in stages]
                self._segments.append(Stages(rows, table, found.run_stages, found.help))
                return
        self._segments.append(functools.partial(found.run_list, table, *self._list(records)))

    def _list(self, records: Sequence[Record]) -> tuple[int, int]:
        """Return the address of a list of records, and how many there are."""
        arguments = np.array([x for record in records for x in record.arguments] or [0], np.int64)
        address = _address(arguments)
        rows = []
        for record in records:
            rows.append((record.address, address, record.low, record.high))
            address += 8 * len(record.arguments)
        table = np.array(rows or [(0, 0, 0, 0)], np.int64)
        self._arrays_of_records += [arguments, table]
        return _address(table), len(records)

    def _look_up(self, inputs: Sequence[np.ndarray]) -> None:
        """Enter into the table where everything is that comes from outside."""
        for (value, slot), given in zip(self._inputs, inputs, strict=True):
            self._enter(value, slot, given)
        seen = self._seen
        for place, (value, tensor, slot) in enumerate(self._held):
            if tensor.data is not seen[place]:  # type: ignore[union-attr]
                seen[place] = tensor.data  # type: ignore[union-attr]
                self._enter(value, slot, seen[place])
        if _references(self._states) != self._alone or not all(
            tensor.data is own for tensor, own in zip(self._states, self._own, strict=True)
        ):
            self._take_over()
        for view, new, _ in self._outputs:
            if new is not None:
                array = np.empty(view.root.shape, view.root.dtype)
                self._arrays[new] = array
                self._table[new] = _address(array)

    def _enter(self, value: Value, slot: int, given: np.ndarray) -> None:
        if given.shape != value.shape or given.dtype != value.dtype:
            raise ValueError(
                f"the program was recorded for {value.dtype.name}{list(value.shape)}, and was given "
                f"{given.dtype.name}{list(given.shape)}."
            )
        array = given if given.flags.c_contiguous and given.flags.aligned else np.array(given, order="C")
        self._arrays[slot] = array
        self._table[slot] = _address(array)

    def _take_over(self) -> None:
        """Give each Tensor an array of its own whose array somebody else has, or that was assigned to."""
        for place, (tensor, slot) in enumerate(zip(self._states, self._state_slots, strict=True)):
            if tensor.data is not self._own[place] or _references([tensor]) != [_ALONE]:
                own = np.array(tensor.data, order="C")
                tensor.data = self._own[place] = own
                self._table[slot] = _address(own)

    # -- during and after ---------------------------------------------------------------------------------------------

    def _base(self, root: Value) -> Any:
        """Return the array of a value in the arena, or else its slot."""
        place = self._memory.places[id(root)]
        if place.slot != ARENA:
            return place.slot
        piece = self._arena[place.offset : place.offset + root.size * root.dtype.itemsize]
        return piece.view(root.dtype).reshape(root.shape)

    def _array(self, view: View, base: Any) -> np.ndarray:
        return view.of(self._array_at(base) if isinstance(base, int) else base)

    def _array_at(self, slot: int) -> np.ndarray:
        if slot in self._state_slots:
            found: np.ndarray = self._own[self._state_slots.index(slot)]
            return found
        return self._arrays[slot]  # type: ignore[no-any-return]

    def _call(self, call: Call) -> None:
        """Let a primitive compute, and enter its result into the table."""
        operation = call.operation
        given = [self._array(x, self._base(x.root)) if isinstance(x, View) else x for x in operation.sources]
        instruction = operation.instruction
        result = np.asarray(instruction.primitive.forward(self._backend, *given, **instruction.attributes))
        root = operation.target.root
        # What it returns may be a view of what is overwritten later.
        if result.base is not None or not result.flags.c_contiguous or any(result is x for x in given):
            result = np.array(result, order="C")
        self._arrays[call.slot] = result
        self._table[call.slot] = _address(result)
        if result.shape != root.shape or result.dtype != root.dtype:
            raise ValueError(
                f"{operation.name} gave {result.dtype.name}{list(result.shape)}, and {root.dtype.name}"
                f"{list(root.shape)} when the program was recorded."
            )
        for slot in call.over:
            self._arrays[slot] = None

    def _finish(self) -> list[np.ndarray]:
        new = [(tensor, self._array(view, base).copy()) for tensor, view, base in self._bound]
        results = [
            self._arrays[slot].reshape(view.shape) if slot is not None else self._array(view, base).copy()
            for view, slot, base in self._outputs
        ]
        for tensor, own in zip(self._states, self._own, strict=True):
            assigned_now(tensor, own)
        for tensor, array in new:
            assigned_now(tensor, array)
        for _, slot, _ in self._outputs:
            if slot is not None:
                self._arrays[slot] = None
        for slot in (*self._memory.inputs, *self._memory.calls.values()):
            self._arrays[slot] = None
        return results

    def __str__(self) -> str:
        lines = [f"{number:4d}  {group}" for number, group in enumerate(self.groups)]
        lines.append(f"called: {', '.join(self.calls) or 'nothing'}; temporary values take {self.arena_bytes} bytes")
        return "\n".join(lines)


class _OneBlasThread:
    """Keeps NumPy's BLAS to one thread inside a ``with`` block."""

    def __init__(self, get: Any, set_to: Any) -> None:
        self._get, self._set = get, set_to
        self._before = 1

    def __enter__(self) -> None:
        self._before = self._get()
        if self._before != 1:
            self._set(1)

    def __exit__(self, *_: object) -> None:
        if self._before != 1:
            self._set(self._before)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _references(tensors: Sequence[Tensor]) -> list[int]:
    """Return how many references there are to the array of each Tensor."""
    return [sys.getrefcount(tensor.data) for tensor in tensors]


def _alone() -> int:
    """Return how many there are to an array that one Tensor and one list hold."""
    own = [np.zeros(1)]
    return _references([Tensor._wrap(own[0])])[0]


_ALONE = _alone()
