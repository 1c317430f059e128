"""Layout: in which array each value of a program lies, and the NumPy calls that fill these arrays one after another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.jit.numpy_calls import VIEWS, Call, Calls, is_elementwise, may_fail
from tinygrad_dnn.jit.packing import Pack, with_packs_last
from tinygrad_dnn.jit.pieces import Rows, piecewise
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.ops.linalg import MATMUL
from tinygrad_dnn.tensor import Tensor


class Layout:
    """Where each value of a program lies, and the calls that make it.

    Temporary values share memory by lifetime. What a Tensor is to hold at the end is written over what it holds, where
    nothing reads that any more.

    Args:
        program: What to lay out; its Tensors live on the host.
        packs: What of it to run at its end, as ``find_packs`` found it.

    Attributes:
        arrays: The array of each value that is not gone within a pack, by the value's identity.
        calls: What a run calls, in order.
        state: Each Tensor that is to hold another value, with its own array, and what must be copied there at the end.
        temporary_bytes: How much memory the temporary values take.

    Example:
        >>> program = td.jit.record(lambda x: td.exp(x[0]) * 2, [td.zeros((2,))]).program
        >>> layout = td.jit.layout.Layout(program, [])
        >>> for function, *arguments in layout.calls:
        ...     _ = function(*arguments)
        >>> layout.arrays[id(program.outputs[0])]
        array([2., 2.], dtype=float32)
    """

    def __init__(self, program: Program, packs: list[Pack]) -> None:
        self._program = with_packs_last(program, packs)
        self._pool = _Pool()
        self._make = Calls()
        self._root: dict[int, Value] = {}  # whose memory a view shows
        self._held = {id(value.tensor): value for value in program.held}
        self.arrays: dict[int, np.ndarray] = {}
        self.calls: list[Call] = []
        rows = [Rows(pack) for pack in packs]
        self._reserved = {key: part for row in rows for key, part in row.parts.items()}
        for value in [*program.inputs, *self._held.values()]:
            part = self._reserved.get(id(value))
            self.arrays[id(value)] = np.zeros(value.shape, value.dtype) if part is None else part
        self._find_last_uses()
        self._in_place = self._updates_in_place()
        written_over = [self._written_over(pack) for pack in packs]
        self._kept = {*self.arrays, *self._in_place, *self._reserved}
        packed = {id(step) for pack in packs for lane in pack.lanes for step in lane.steps}
        for number, step in enumerate(self._program.instructions):
            if id(step) not in packed:
                self._place(number, step)
        self.temporary_bytes = self._pool.total + sum(
            part.nbytes for key, part in self._reserved.items() if key not in self.arrays
        )
        for pack, row, places in zip(packs, rows, written_over, strict=True):
            self._place_pack(pack, row, places)
        self.state = self._ends()

    def _whose(self, value: Value) -> Value:
        return self._root.get(id(value), value)

    def _find_last_uses(self) -> None:
        """Find the last instruction that reads each value, through views of it as well."""
        self._last: dict[int, int] = {}
        self._shown: dict[int, Value] = {}  # what may show another value's memory, and whose
        for number, step in enumerate(self._program.instructions):
            for source in step.sources:
                whose = self._shown.get(id(source), source)
                self._last[id(whose)] = number
                if step.primitive in VIEWS:
                    self._shown[id(step.output)] = whose
        for value in self._program.ends():
            self._last[id(self._shown.get(id(value), value))] = len(self._program.instructions)

    def _updates_in_place(self) -> dict[int, np.ndarray]:
        """Find what may be written straight over the old value of the Tensor that is to hold it.

        Only after the last instruction that may fail, as for an index out of range: a run that fails changes nothing.
        """
        steps = self._program.instructions
        made = {id(step.output): number for number, step in enumerate(steps)}
        sound = max((number + 1 for number, step in enumerate(steps) if may_fail(step)), default=0)
        wanted = Counter(id(value) for value in self._program.ends())
        found: dict[int, np.ndarray] = {}
        for tensor, value in self._program.updates:
            old = self._held.get(id(tensor))
            number = made.get(id(value), -1)
            if old is None or number < sound or wanted[id(value)] > 1 or self._last.get(id(old), -1) > number:
                continue
            reads_it_plainly = all(self._shown.get(id(x)) is not old for x in steps[number].sources)
            alike = (old.shape, old.dtype) == (value.shape, value.dtype)
            if reads_it_plainly and alike and is_elementwise(steps[number]):
                found[id(value)] = self.arrays[id(old)]
        return found

    def _place(self, number: int, step: Instruction) -> None:
        """Decide where an instruction's value lies, and add the call that makes it."""
        given = [self.arrays[id(x)] if isinstance(x, Value) else x for x in step.inputs]
        if step.primitive in VIEWS:
            seen = step.primitive.forward(backend.get("numpy"), *given, **step.attributes)
            if isinstance(seen, np.ndarray) and np.may_share_memory(seen, given[0]):
                self.arrays[id(step.output)] = seen
                self._root[id(step.output)] = self._whose(step.sources[0])
                return
        dying = self._dying(number, step)
        order = _order(step, given)
        out = self._in_place.get(id(step.output))
        if out is None and order is None:
            out = self._reserved.get(id(step.output))
        if out is None and is_elementwise(step) and order is None:
            # An elementwise call may write over an operand that nothing reads any more.
            for value in dying:
                if value in step.sources and (value.shape, value.dtype) == (step.output.shape, step.output.dtype):
                    out = self.arrays[id(value)]
                    dying.remove(value)
                    break
        if out is None:
            out = self._pool.take(step.output, order)
        for value in dying:
            self._pool.give_back(self.arrays[id(value)])
        self.arrays[id(step.output)] = out
        self.calls += self._make.into(out, step, given)

    def _written_over(self, pack: Pack) -> dict[int, int]:
        """Return which of a pack's instructions write over which of its given arrays; in all lanes or in none."""
        known = [{id(self.arrays.get(id(value))): k for k, value in enumerate(lane.given)} for lane in pack.lanes]
        found = {}
        for number, steps in enumerate(zip(*(lane.steps for lane in pack.lanes), strict=True)):
            over = [self._in_place.get(id(step.output)) for step in steps]
            places = {
                -1 if array is None else own.get(id(array), -1) for own, array in zip(known, over, strict=True)
            }  # fmt: skip
            if len(places) == 1 and -1 not in places:
                found[number] = places.pop()
            else:
                for step in steps:
                    self._in_place.pop(id(step.output), None)
        return found

    def _place_pack(self, pack: Pack, rows: Rows, written_over: dict[int, int]) -> None:
        """Let a pack's values lie in rows, and add the calls that make them."""
        ends = {id(value) for _, value in self._program.updates}
        self.calls += rows.fill(self.arrays)
        for number, steps in enumerate(zip(*(lane.steps for lane in pack.lanes), strict=True)):
            if number in written_over:
                rows.write_over(number, written_over[number])
                self.arrays.update({id(step.output): self._in_place[id(step.output)] for step in steps})
            elif any(id(step.output) in ends for step in steps):
                self.arrays.update(rows.add(number))
        calls, nbytes = piecewise(pack.lanes[0].steps, rows.rows, self.arrays, self._make)
        self.calls += calls
        self.temporary_bytes += nbytes

    def _dying(self, number: int, step: Instruction) -> list[Value]:
        """Return the temporary values that nothing reads after an instruction."""
        found: dict[int, Value] = {}
        for source in step.sources:
            whose = self._whose(source)
            if id(whose) not in self._kept and self._last.get(id(whose)) == number:
                found[id(whose)] = whose
        return list(found.values())

    def _ends(self) -> list[tuple[Tensor, np.ndarray, np.ndarray | None]]:
        """Return each Tensor that is to hold another value with its own array, and what must be copied there."""
        state: list[tuple[Tensor, np.ndarray, np.ndarray | None]] = []
        held = {id(value) for value in self._held.values()}
        for tensor, value in self._program.updates:
            old = self._held.get(id(tensor))
            own = np.empty(value.shape, value.dtype) if old is None else self.arrays[id(old)]
            new = self.arrays[id(value)]
            if id(value) in self._in_place:
                state.append((tensor, own, None))
                continue
            if id(self._whose(value)) in held:
                # Another Tensor's old value, which that one's own update would overwrite first.
                aside = np.empty(value.shape, value.dtype)
                self.calls.append((np.copyto, aside, new))
                new = aside
            state.append((tensor, own, new))
        return state


class _Pool:
    """Memory for temporary values: what is given back is used again."""

    def __init__(self) -> None:
        self.free: dict[int, list[np.ndarray]] = {}
        self.total = 0

    def take(self, value: Value, strides: tuple[int, ...] | None = None) -> np.ndarray:
        nbytes = max(value.size * value.dtype.itemsize, 1)
        waiting = self.free.get(nbytes)
        if waiting:
            block = waiting.pop()
        else:
            block = np.empty(nbytes, np.uint8)
            self.total += nbytes
        return np.ndarray(value.shape, value.dtype, block, strides=strides)

    def give_back(self, array: np.ndarray) -> None:
        block = array
        while isinstance(block.base, np.ndarray):
            block = block.base
        self.free.setdefault(block.nbytes, []).append(block)


def _order(step: Instruction, given: list[Any]) -> tuple[int, ...] | None:
    """Return the strides that NumPy itself would give the result; None if it is in row-major order.

    A sum goes over memory in its order, and another order would be another rounding.
    """
    if step.primitive is MATMUL or all(x.flags.c_contiguous for x in given if isinstance(x, np.ndarray)):
        return None
    try:
        with np.errstate(all="ignore"):
            made = step.primitive.forward(backend.get("numpy"), *given, **step.attributes)
    except Exception:  # it does not take values that mean nothing yet
        return None
    if not isinstance(made, np.ndarray) or made.flags.c_contiguous:
        return None
    low, high = np.lib.array_utils.byte_bounds(made)
    return made.strides if high - low == made.nbytes else None
