"""Runs of lowered programs on the emulator, in memory that is watched: each array stands between two guards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.jit.cuda import emulator
from tinygrad_dnn import backend
from tinygrad_dnn.backend.element_types import is_narrow
from tinygrad_dnn.jit.cuda.launches import SCRATCH, Call, Launch, Pointer, Product, Step
from tinygrad_dnn.jit.cuda.lowering import lower_groups, prepare
from tinygrad_dnn.jit.memory import ARENA, plan
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.jit.views import View

_GUARD = 256
_MARK = 0xA5


class Emulated:
    """A program as kernels on the host.

    Attributes:
        steps: What is done, in order.
        order: In which order threads are run.
        calls: The names of the primitives that are called.
    """

    def __init__(self, program: Program, order: str = "forwards") -> None:
        self.program = program
        self.order = order
        prepared = prepare(program)
        self.groups = prepared.groups
        self._memory = plan(program, prepared.lowered, prepared.groups)
        self.steps: list[Step] = lower_groups(prepared.groups, self._memory.place)
        self.calls = [x.operation.name for x in self.steps if isinstance(x, Call)]

    @property
    def launches(self) -> list[Launch]:
        """The launches of kernels among the steps."""
        return [x for x in self.steps if isinstance(x, Launch)]

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the program; let its Tensors hold what they are to hold, and return new arrays."""
        compile_together([self])
        memory = self._memory
        self._guards: list[np.ndarray] = []
        self._slots: dict[int, np.ndarray] = {}
        self._slots[ARENA] = self._new(memory.arena_bytes)
        self._slots[SCRATCH] = self._new(max([x.scratch_bytes for x in self.launches], default=0))
        for slot, given in zip(memory.inputs, inputs, strict=True):
            self._put(slot, given)
        for value, slot in memory.held:
            self._put(slot, value.tensor.numpy())
        for tensor, slot in memory.states:
            self._put(slot, tensor.numpy())
        for view, new in memory.outputs:
            if new is not None:
                self._slots[new] = self._new(view.root.size * view.root.dtype.itemsize)
        for step in self.steps:
            self._do(step)
        outputs = [self._array(view).copy() for view, _ in memory.outputs]
        bound = [self._array(view).copy() for _, view in memory.bound]
        states = [self._slots[slot].copy() for _, slot in memory.states]
        for (tensor, _), data in zip(memory.bound, bound, strict=True):
            tensor.data = data
        for (tensor, _), data in zip(memory.states, states, strict=True):
            tensor.data = data[: tensor.size * tensor.dtype.itemsize].view(tensor.dtype).reshape(tensor.shape)
        for guard in self._guards:
            assert (guard == _MARK).all(), "a kernel wrote beside an array"
        return outputs

    def _new(self, nbytes: int) -> np.ndarray:
        """Return new bytes at a multiple of 256; floating-point numbers in them are none."""
        size = -(-max(nbytes, 1) // 256) * 256
        whole = np.full(size + 2 * _GUARD + 256, _MARK, np.uint8)
        begin = -whole.ctypes.data % 256 + _GUARD
        self._guards += [whole[:begin], whole[begin + nbytes :]]
        inside = whole[begin : begin + nbytes]
        inside[:] = 0xFF
        return inside

    def _put(self, slot: int, given: np.ndarray) -> None:
        if slot not in self._slots:
            self._slots[slot] = self._new(given.nbytes)
        self._slots[slot][:] = np.ascontiguousarray(given).reshape(-1).view(np.uint8)

    def _array(self, view: View) -> np.ndarray:
        return view.of(self._root(view.root))

    def _root(self, root: Value) -> np.ndarray:
        place = self._memory.place(root)
        assert place is not None
        begin = place.offset
        array = self._slots[place.slot][begin : begin + root.size * root.dtype.itemsize].view(root.dtype)
        return array.reshape(root.shape)

    def _do(self, step: Step) -> None:
        if isinstance(step, Launch):
            arguments = [self._address(x) if isinstance(x, Pointer) else x for row in step.rows for x in row]
            given = np.array(arguments, np.int64).tobytes()
            emulator.compile_all([step.kernel])[0].launch(step.blocks, given, self.order)
        elif isinstance(step, Product):
            self._multiply(step)
        else:
            operation = step.operation
            given = [self._array(x) if isinstance(x, View) else x for x in operation.sources]
            instruction = operation.instruction
            result = instruction.primitive.forward(backend.get("numpy"), *given, **instruction.attributes)
            root = operation.target.root
            place = self._memory.place(root)
            assert place is not None
            if place.slot not in self._slots:
                self._slots[place.slot] = self._new(root.size * root.dtype.itemsize)
            self._root(root)[...] = result

    def _address(self, x: Pointer) -> int:
        return int(self._slots[x.slot].ctypes.data) + x.offset

    def _multiply(self, step: Product) -> None:
        """Multiply as a BLAS does, that knows addresses and distances alone."""
        rows, columns, inner = step.lengths
        shapes = [(rows, inner), (inner, columns), (rows, columns)]
        turned = [*step.transposed, False]

        def matrices(number: int, pointer: Pointer) -> Any:
            lengths = shapes[number][::-1] if turned[number] else shapes[number]
            size = step.dtype.itemsize
            strides = (step.distances[number] * size, step.leading[number] * size, size)
            base = self._slots[pointer.slot]
            found = np.ndarray((step.count, *lengths), step.dtype, base, pointer.offset, strides)
            return found.swapaxes(1, 2) if turned[number] else found

        with np.errstate(all="ignore"):
            x, y = matrices(0, step.x), matrices(1, step.y)
            if is_narrow(step.dtype):  # is multiplied and added up in float32
                x, y = x.astype(np.float32), y.astype(np.float32)
            matrices(2, step.z)[...] = x @ y


def compile_together(runs: Iterable[Emulated]) -> None:
    """Compile the kernels of programs at once, which takes far less time than each alone."""
    emulator.compile_all([launch.kernel for run in runs for launch in run.launches])
