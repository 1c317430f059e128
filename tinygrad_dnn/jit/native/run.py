"""Running: machine code and calls in turn, on arrays that are looked up where Tensors hold them at that moment."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.memory import ARENA, Memory
from tinygrad_dnn.jit.native import blas
from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.records import Record
from tinygrad_dnn.jit.native.schedule import schedule
from tinygrad_dnn.jit.native.stages import Stages
from tinygrad_dnn.jit.native.state import Read, Written, refuse_unlike
from tinygrad_dnn.jit.native.table import Table, address, is_plain
from tinygrad_dnn.jit.operations import Operation, Operations
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.jit.views import View
from tinygrad_dnn.tensor import Tensor, assigned_now

# Arrays of up to so many bytes that go in and out are copied; of longer ones the table is told the address.
_SHORT = 16_384


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
        self._lock = threading.Lock()
        self._table = Table(memory)
        self._link_inputs(memory)
        self._link_outputs(memory)
        self._link_state(memory)
        self._link_steps(steps, threads)

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the program on arrays; let its Tensors hold what they are to hold, and return new arrays.

        Raises:
            ValueError: An input, or what a Tensor holds now, has another shape or dtype than when it was recorded.
        """
        with self._lock:
            arrays = self._table.arrays
            try:
                self._take(inputs)
                read, written = self._read.arrays(), self._written.arrays()
                for slot, place in self._shown_read:
                    arrays[slot] = read[place]
                for slot, place in self._shown_written:
                    arrays[slot] = written[place]
                with self._one_blas_thread:
                    for segment in self._segments:
                        segment()
                return self._finish(written)
            finally:
                for slot in self._passing:
                    arrays[slot] = None

    # -- before -------------------------------------------------------------------------------------------------------

    def _link_inputs(self, memory: Memory) -> None:
        self._inputs: list[tuple[tuple[int, ...], np.dtype, int, np.ndarray | None]] = []
        for value, slot in zip(self.program.inputs, memory.inputs, strict=True):
            own = self._table.fix(slot, value.shape, value.dtype) if _is_short(value) else None
            self._inputs.append((value.shape, value.dtype, slot, own))

    def _link_outputs(self, memory: Memory) -> None:
        """Find what each output is a copy of, or the slot of the new array that it is in each run."""
        new = {slot: view.root for view, slot in memory.outputs if slot is not None}
        for slot, root in [*new.items()]:
            if _is_short(root):
                self._table.fix(slot, root.shape, root.dtype)
                del new[slot]
        self._new = [*new.items()]
        self._outputs = [
            (view, slot if slot in new else None, self._table.fixed(view)) for view, slot in memory.outputs
        ]

    def _link_state(self, memory: Memory) -> None:
        """Part the Tensors into those that are written over and those that are bound to another array, or only read."""
        new = {id(tensor): value for tensor, value in self.program.updates}
        held = {id(value.tensor): slot for value, slot in memory.held}
        written: list[tuple[Tensor, Value, int | None]]
        written = [(tensor, new[id(tensor)], slot) for tensor, slot in memory.states]
        self._moved: list[tuple[int, np.ndarray]] = []
        self._bound: list[tuple[Tensor, View]] = []
        for tensor, view in memory.bound:
            source = self._table.fixed(view)
            if source is None:
                self._bound.append((tensor, view))
            else:
                self._moved.append((len(written), source))
                written.append((tensor, new[id(tensor)], held.get(id(tensor))))
        over = {id(tensor) for tensor, _, _ in written}
        read = [(value.tensor, value, slot) for value, slot in memory.held if id(value.tensor) not in over]
        self._written = Written(self._table, written)
        self._read = Read(self._table, [(x, value, slot) for x, value, slot in read if x is not None])
        self._slots_written = {slot: place for place, (_, _, slot) in enumerate(written) if slot is not None}
        self._slots_read = {slot: place for place, (_, _, slot) in enumerate(read)}

    def _link_steps(self, steps: Sequence[Record | Call], threads: int) -> None:
        """Make one segment of the records that follow each other, and let calls stand between."""
        self._arrays_of_records: list[np.ndarray] = []
        self._segments: list[Callable[[], None]] = []
        waiting: list[Record] = []
        looked_at: list[View] = [view for view, _, fixed in self._outputs if fixed is None]
        looked_at += [view for _, view in self._bound]
        for step in steps:
            if isinstance(step, Record):
                waiting.append(step)
                continue
            self._segment(waiting, threads)
            called = _Called(step, self._table)
            looked_at += called.views
            self._segments.append(called)
            waiting = []
        self._segment(waiting, threads)
        functions = blas.thread_functions() if threads > 1 else None
        self._one_blas_thread: Any = contextlib.nullcontext() if functions is None else _OneBlasThread(*functions)
        slots = {self._table.memory.places[id(view.root)].slot for view in looked_at} - {ARENA}
        self._shown_read = [(slot, self._slots_read[slot]) for slot in slots & self._slots_read.keys()]
        self._shown_written = [(slot, self._slots_written[slot]) for slot in slots & self._slots_written.keys()]
        passing = {*slots, *self._table.memory.inputs, *self._table.memory.calls.values()}
        self._passing = sorted(passing | {slot for slot, _ in self._new})

    def _segment(self, records: Sequence[Record], threads: int) -> None:
        """Append a segment: one list, or the pieces of two threads if there is anything to share."""
        if not records:
            return
        found = compiler()
        table = self._table.address
        if threads > 1:
            first, second = schedule(records)
            if second:
                rows = [[(*self._list(piece.records), piece.needs) for piece in side] for side in (first, second)]
                self._segments.append(Stages((rows[0], rows[1]), table, found.run_stages, found.help))
                return
        self._segments.append(functools.partial(found.run_list, table, *self._list(records)))

    def _list(self, records: Sequence[Record]) -> tuple[int, int]:
        """Return the address of a list of records, and how many there are."""
        arguments = np.array([x for record in records for x in record.arguments] or [0], np.int64)
        place = address(arguments)
        rows = []
        for record in records:
            rows.append((record.address, place, record.low, record.high))
            place += 8 * len(record.arguments)
        table = np.array(rows or [(0, 0, 0, 0)], np.int64)
        self._arrays_of_records += [arguments, table]
        return address(table), len(records)

    # -- in each run --------------------------------------------------------------------------------------------------

    def _take(self, inputs: Sequence[np.ndarray]) -> None:
        """Enter what was given, and new arrays for what is to be returned."""
        arrays, enter = self._table.arrays, self._table.enter
        for (shape, dtype, slot, own), given in zip(self._inputs, inputs, strict=True):
            refuse_unlike(shape, dtype, given)
            if own is not None:
                np.copyto(own, given)
            else:
                arrays[slot] = array = given if is_plain(given) else np.array(given, order="C")
                enter(slot, array)
        for slot, root in self._new:
            arrays[slot] = array = np.empty(root.shape, root.dtype)
            enter(slot, array)

    def _finish(self, written: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs, and let Tensors hold what they are to hold."""
        table = self._table
        results = [
            fixed.copy() if fixed is not None
            else table.array(view).copy() if slot is None
            else table.array(view)
            for view, slot, fixed in self._outputs
        ]  # fmt: skip
        bound = [(tensor, table.array(view).copy()) for tensor, view in self._bound]
        for place, source in self._moved:
            np.copyto(written[place], source)
        self._written.done()
        for tensor, array in bound:
            assigned_now(tensor, array)
        return results

    def __str__(self) -> str:
        lines = [f"{number:4d}  {group}" for number, group in enumerate(self.groups)]
        lines.append(f"called: {', '.join(self.calls) or 'nothing'}; temporary values take {self.arena_bytes} bytes")
        return "\n".join(lines)


class _Called:
    """A primitive that computes when it is called, and whose result is entered into the table.

    Attributes:
        views: What it reads that may be another array in each run.
    """

    def __init__(self, call: Call, table: Table) -> None:
        instruction = call.operation.instruction
        self._forward = functools.partial(instruction.primitive.forward, backend.get("numpy"))
        self._attributes = instruction.attributes
        self._root = call.operation.target.root
        self._table, self._call = table, call
        self._given: list[Any] = []
        self.views: list[View] = []
        for x in call.operation.sources:
            fixed = table.fixed(x) if isinstance(x, View) else None
            self._given.append(x if fixed is None else fixed)
            if fixed is None and isinstance(x, View):
                self.views.append(x)

    def __call__(self) -> None:
        """Compute."""
        table, slot = self._table, self._call.slot
        given = [table.array(x) if isinstance(x, View) else x for x in self._given]
        result = np.asarray(self._forward(*given, **self._attributes))
        # What it returns may be a view of what is overwritten later.
        if result.base is not None or not result.flags.c_contiguous or any(result is x for x in given):
            result = np.array(result, order="C")
        if result.shape != self._root.shape or result.dtype != self._root.dtype:
            raise ValueError(
                f"{self._call.operation.name} gave {result.dtype.name}{list(result.shape)}, and "
                f"{self._root.dtype.name}{list(self._root.shape)} when the program was recorded."
            )
        table.arrays[slot] = result
        table.enter(slot, result)
        for slot in self._call.over:
            table.arrays[slot] = None


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


def _is_short(value: Value) -> bool:
    return bool(value.size * value.dtype.itemsize <= _SHORT)
