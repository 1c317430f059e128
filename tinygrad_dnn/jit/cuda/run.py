"""Running: a program on a device, launch by launch until its arrays stay where they are, and as one graph from then on.

What lies in the program's own memory stays there: inputs are copied in, outputs are copied out. Only the arrays of
Tensors may be elsewhere in a later run, and then the launches are made up anew.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_dnn.backend import Backend
from tinygrad_dnn.backend.devices import Array, Device, Graph
from tinygrad_dnn.jit.cuda.launches import Call, Launch, Product, Step
from tinygrad_dnn.jit.cuda.lowering import lower_groups, prepare
from tinygrad_dnn.jit.cuda.slots import Copy, slots
from tinygrad_dnn.jit.cuda.state import Read, Written, refuse_unlike
from tinygrad_dnn.jit.cuda.table import Table, rounded, row_major
from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.memory import Memory, plan
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.views import View
from tinygrad_dnn.jit.warning import warn

# Outputs of up to so many bytes are copied out together, and share memory from then on.
_SHORT = 16_384


def lower(program: Program, backend: Backend) -> Run:
    """Return what runs a program on the device of a backend whose arrays its Tensors hold.

    Raises:
        RuntimeError: A kernel cannot be compiled.
    """
    prepared = prepare(program)
    memory = plan(program, prepared.lowered, prepared.groups)
    return Run(program, backend, prepared.groups, memory, lower_groups(prepared.groups, memory.place))


class Run:
    """A program that can be run on a device; one thread at a time can be in it.

    A run is made launch by launch if it is the first, or if some array is elsewhere than in the one before. The next is
    captured as a graph, which all others launch. What cannot be captured goes on launch by launch, and what fails in
    the first run goes on primitive by primitive; a warning tells why, and Tensors hold what they held.

    Args:
        program: The program.
        backend: Whose device it runs on.
        groups: What is done, in order.
        memory: Where each value lies.
        steps: The same as launches, products and calls.

    Attributes:
        program: The program.
        groups: What is done, in order.
        steps: The same as launches, products and calls.
        arena_bytes: How much memory the temporary values share.
        reason: Why it is not run as a graph; empty if it is, or is to be.
        instead: What runs it if launches cannot.
    """

    def __init__(
        self, program: Program, backend: Backend, groups: Sequence[Group], memory: Memory, steps: Sequence[Step]
    ) -> None:
        self.program = program
        self.groups = list(groups)
        self.steps = list(steps)
        self.arena_bytes = memory.arena_bytes
        self.reason = ""
        self.instead: Interpreted | None = None
        self._backend, self._memory = backend, memory
        self._slots = slots(program, memory, self.steps)
        self._lock = threading.Lock()
        assert backend.device is not None
        self._settle(backend.device)

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the program on arrays; let its Tensors hold what they are to hold, and return new arrays.

        Raises:
            ValueError: An input, or what a Tensor holds now, is not of the kind for which it was recorded.
        """
        with self._lock:
            device = self._backend.device
            if self.instead is None and device is not None and device is not self._device:
                self._settle(device)
            if self.instead is None:
                with self._device.turn():
                    return self._run(inputs)
            return self.instead(inputs)

    def _run(self, inputs: Sequence[Array]) -> list[Array]:
        for value, given in zip(self.program.inputs, inputs, strict=True):
            refuse_unlike(value, given, self._backend)
        moved = [self._read.look(), self._written.claim()]
        if any(moved) or not self._linked:
            self._link()
        for target, given in zip(self._inputs, inputs, strict=True):
            self._device.copy(target, given)
        if self._graph is None:
            self._first_runs()
        if self.instead is not None:
            return self.instead(inputs)
        if self._graph is not None:
            self._graph.launch()
        results = self._results()
        self._written.done()
        return results

    @property
    def described(self) -> str:
        """How the next run is made, if all arrays are where they were, for a reader."""
        if self.instead is not None:
            return "run primitive by primitive, since that failed"
        if self.reason:
            return f"run one by one, since they cannot be captured as a graph ({self.reason})"
        return "run as one graph" if self._graph is not None else "to be captured as one graph"

    # -- once for a device, and whenever arrays are elsewhere ---------------------------------------------------------

    def _settle(self, device: Device) -> None:
        """Compile the kernels, and make the memory."""
        self._device = device
        self._functions = device.functions(self._backend)
        kernels = list({step.kernel.name: step.kernel for step in self.steps if isinstance(step, Launch)}.values())
        self._kernels = dict(zip((kernel.name for kernel in kernels), device.load(kernels), strict=True))
        table = self._table = Table(self._memory, device, self._slots.sizes)
        self._read = Read(table, self._backend, device, self._slots.read)
        self._written = Written(table, self._backend, device, self._slots.written)
        values = zip(self.program.inputs, self._memory.inputs, strict=True)
        self._inputs = [table.piece(slot, value.shape, value.dtype) for value, slot in values]
        short = {slot for slot in self._slots.outputs if self._slots.sizes[slot] <= _SHORT}
        self._short = table.bytes(0, sum(rounded(self._slots.sizes[slot]) for slot in short))
        # Of each output its value, and where it lies among the short ones, or what array is to be copied.
        self._outputs = [
            (value, table.begin(slot) if slot in short else table.piece(slot, value.shape, value.dtype))
            for value, slot in zip(self.program.outputs, self._slots.outputs, strict=True)
        ]
        self._proved = self._linked = self._calm = False
        self._graph: Graph | None = None

    def _link(self) -> None:
        """Make up what is done from where the arrays are now."""
        self._graph, self._calm, self._linked = None, False, True
        self._work = [self._bound(step) for step in self.steps]
        self._work += [functools.partial(self._copy, copy) for copy in self._slots.copies]

    def _bound(self, step: Step) -> Callable[[], None]:
        table, device = self._table, self._device
        if isinstance(step, Launch):
            kernel = self._kernels[step.kernel.name]
            return functools.partial(device.launch, kernel, step.blocks, table.packed(step.arguments))
        if isinstance(step, Product):
            places = table.at(step.x), table.at(step.y), table.at(step.z)
            return functools.partial(
                device.product, step.dtype, places, step.transposed, step.lengths, step.leading, step.count,
                step.distances,
            )  # fmt: skip
        return functools.partial(self._call, step)

    # -- in each run --------------------------------------------------------------------------------------------------

    def _first_runs(self) -> None:
        """Run launch by launch, or capture the graph that is to be launched."""
        if not self._proved:
            self._prove()
        elif not self._calm or self.reason:
            self._do()
            self._calm = True
        else:
            try:
                self._graph = self._device.capture(self._do)
            except Exception as error:
                self.reason = f"{type(error).__name__}: {error}"
                warn(f"td.jit: a program runs launch by launch, as it cannot be captured as a graph ({self.reason}).")
                self._do()

    def _prove(self) -> None:
        """Run for the first time; if that fails, let Tensors hold what they held, and run primitive by primitive."""
        homes = self._written.arrays()
        before = [self._copied(home) for home in homes]
        try:
            self._do()
            self._device.synchronize()
        except BaseException as error:
            for home, copy in zip(homes, before, strict=True):
                self._device.copy(home, copy)
            if not isinstance(error, Exception):  # somebody interrupted it
                raise
            self.instead = Interpreted(self.program)
            warn(f"td.jit: a program runs primitive by primitive ({type(error).__name__}: {error}).")
        self._proved = self._calm = True

    def _do(self) -> None:
        self._read.show()
        self._written.show()
        try:
            for step in self._work:
                step()
        finally:
            self._table.arrays.clear()  # to hold them would be to say that they are ours

    def _call(self, call: Call) -> None:
        operation, table = call.operation, self._table
        instruction, target = operation.instruction, operation.target.root
        function = functools.partial(instruction.primitive.forward, self._functions, **instruction.attributes)
        given = [table.array(x) if isinstance(x, View) else x for x in operation.sources]
        slot = self._memory.calls[id(target)]
        self._device.call(function, given, table.piece(slot, target.shape, target.dtype))

    def _copy(self, copy: Copy) -> None:
        table, value = self._table, copy.value
        source = copy.source
        given = table.array(source) if isinstance(source, View) else table.piece(source, value.shape, value.dtype)
        self._device.copy(table.piece(copy.slot, value.shape, value.dtype), given)

    def _copied(self, array: Array) -> Array:
        """Return a copy of an array that lies in row-major order."""
        new = self._device.empty(array.nbytes)
        copy = self._device.seen(new, 0, array.shape, array.dtype, row_major(array.shape, array.dtype.itemsize))
        self._device.copy(copy, array)
        return copy

    def _results(self) -> list[Array]:
        """Return the outputs in new arrays."""
        short: Any = self._copied(self._short) if self._short.nbytes else None
        seen = self._device.seen
        return [
            seen(short, place, value.shape, value.dtype, row_major(value.shape, value.dtype.itemsize))
            if isinstance(place, int)
            else self._copied(place)
            for value, place in self._outputs
        ]  # fmt: skip
