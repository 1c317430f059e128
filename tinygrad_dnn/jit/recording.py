"""Recording: a function run once, operation by operation, with everything it computes noted as a program."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_dnn import nested
from tinygrad_dnn.graph import Primitive, state
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.ops.cast import ASSIGN
from tinygrad_dnn.tensor import Tensor, Variable

_PACKAGE = str(Path(__file__).parents[1])


class CannotRecordError(Exception):
    """The function does what a program cannot: its values are looked at, or change what Python holds."""


@dataclass(frozen=True)
class Recording:
    """What came of recording.

    Attributes:
        program: What was computed.
        result: What the function returned, with the number of the program's output in the place of each Tensor, as an
            ``Output``.
    """

    program: Program
    result: Any


@dataclass(frozen=True)
class Output:
    """The place of a program's output in what its function returns."""

    number: int


def record(function: Callable[..., Any], arguments: Sequence[Tensor]) -> Recording:
    """Run a function of Tensors and return what it computed; Tensors that it assigned to hold again what they held.

    Args:
        function: Called with a list of the arguments.
        arguments: The Tensors whose values may differ from call to call.

    Raises:
        CannotRecordError: The function asked for the values of a Tensor, or returns one that gradients flow to.

    Example:
        >>> w = td.Variable(3.0, name="w")
        >>> recording = td.jit.record(lambda x: w.assign(w * x[0]) * 1.0, [td.tensor(2.0)])
        >>> print(recording.program)
        inputs   a: float32[]
        holds    %w: float32[]
        b: float32[] = multiply(%w, a)
        c: float32[] = multiply(b, 1.0)
        assigns  %w = b
        returns  c
        >>> w
        Variable(3., dtype=float32)
    """
    recorder = _Recorder(arguments)
    before = state.recorder
    state.recorder = recorder
    try:
        returned = function(recorder.arguments)
        state.recorder = before
        return recorder.finished(returned)
    finally:
        state.recorder = before
        recorder.restore()


class Settled:
    """A run of a function by which it built what it builds at first use; it may be undone or count as a call.

    Args:
        function: Called with a list of the arguments.
        arguments: Tensors.

    Attributes:
        returned: What it returned.
        looked: Where in the user's code the values of a Tensor were looked at, or None.

    Example:
        >>> w = td.Variable(1.0)
        >>> run = td.jit.Settled(lambda x: w.assign(w + x[0]), [td.tensor(2.0)])
        >>> run.undo()
        >>> w
        Variable(1., dtype=float32)
    """

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Tensor]) -> None:
        self._originals: dict[int, tuple[Tensor, Any, Any]] = {}
        self.looked: str | None = None
        before = state.recorder
        state.recorder = self
        try:
            self.returned = function(arguments)
        except BaseException:
            self.undo()
            raise
        finally:
            state.recorder = before

    def applied(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], out: Tensor) -> None:
        """Note an assignment."""
        if primitive is ASSIGN:
            target = inputs[0]
            self._originals.setdefault(id(target), (target, target.data, target._assigned))

    def shared(self, source: Tensor) -> None:
        """Let arrays be shared."""

    def copied(self, source: Tensor) -> None:
        """Let Tensors be copied, as when state is made."""

    def read(self, source: Tensor) -> None:
        """Note where values are looked at."""
        if self.looked is None:
            self.looked = users_place(traceback.extract_stack()) or ""

    def undo(self) -> None:
        """Let each Tensor that was assigned to hold again what it held."""
        for target, data, assigned in self._originals.values():
            target.data = data
            target._assigned = assigned


def users_place(frames: Iterable[traceback.FrameSummary]) -> str:
    """Return the innermost place outside of the package, as a message names it, or an empty text.

    Example:
        >>> import traceback
        >>> frame = traceback.FrameSummary("/home/me/net.py", 12, "call", line="x.item()")
        >>> td.jit.users_place([frame])
        ' (/home/me/net.py, line 12: x.item())'
    """
    place = ""
    for frame in frames:
        if not frame.filename.startswith(_PACKAGE):
            place = f" ({frame.filename}, line {frame.lineno}: {frame.line})"
    return place


class _Recorder:
    """Notes what is applied. An array stands for its value: no operation writes on one, and each makes a new one."""

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        self._originals: dict[int, tuple[Tensor, Any, Any]] = {}  # what Tensors held, before they were assigned to
        self.instructions: list[Instruction] = []
        self.values: dict[int, Value] = {}  # by the array's identity
        self.bound: dict[int, Value] = {}  # what a Variable holds now, by its identity
        self.held: dict[int, Tensor] = {}
        self.alive: list[Any] = []  # or another array could take the identity of one that is gone
        self.inputs: list[Value] = []
        self.arguments: list[Tensor] = []
        for given in arguments:
            # An array object of its own, since one array may be given twice, or be what a Variable holds.
            own = Tensor._wrap(given.data[...])
            own._requires_grad = given._requires_grad
            self.arguments.append(own)
            self.inputs.append(self._new(own, None))

    def _new(self, x: Tensor, holder: Tensor | None) -> Value:
        value = Value(x.shape, x.dtype, holder)
        self.values[id(x.data)] = value
        self.alive.append(x.data)
        return value

    def value_of(self, x: Tensor) -> Value:
        """Return the value that a Tensor holds now."""
        if isinstance(x, Variable):
            # Its array may have been computed in this recording, and is state all the same: a moment that begins as
            # zeros must not begin as zeros each time.
            if id(x) not in self.bound:
                self.bound[id(x)] = self._new(x, x)
                self.alive.append(x)
            return self.bound[id(x)]
        value = self.values.get(id(x.data))
        if value is None:
            value = self._new(x, x)
        return value

    def applied(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], out: Tensor) -> None:
        """Note a primitive, or an assignment."""
        if primitive is ASSIGN:
            target, new = inputs
            value = self.value_of(new)
            if isinstance(target, Variable):
                self.value_of(target)
                self.bound[id(target)] = value
            self.held[id(target)] = target
            self._originals.setdefault(id(target), (target, target.data, target._assigned))
            return
        sources = tuple(self.value_of(x) if isinstance(x, Tensor) else x for x in inputs)
        self.instructions.append(Instruction(primitive, sources, attributes, self._new(out, None)))

    def shared(self, source: Tensor) -> None:
        """Note which value an array stands for before another Tensor takes it over."""
        value = self.value_of(source)
        self.values[id(source.data)] = value
        self.alive.append(source.data)

    def read(self, source: Tensor) -> None:
        """Refuse: what Python does with values cannot be seen."""
        raise CannotRecordError("the values of a Tensor are looked at")

    copied = read

    def restore(self) -> None:
        """Let each Tensor hold again what it held."""
        for target, data, assigned in self._originals.values():
            target.data = data
            target._assigned = assigned

    def finished(self, returned: Any) -> Recording:
        """Return what was recorded."""
        outputs: list[Value] = []

        def place(x: Any) -> Any:
            if not isinstance(x, Tensor) or isinstance(x, Variable):
                return x  # a Variable is returned itself, and will hold what it is to hold
            if x._requires_grad and x._primitive is not None:
                raise CannotRecordError(
                    "it returns a Tensor that gradients flow to: take them inside of the function, or call it under "
                    "no_grad"
                )
            outputs.append(self.value_of(x))
            return Output(len(outputs) - 1)

        result = nested.map_leaves(place, returned)
        updates = [(target, self.value_of(target)) for target in self.held.values()]
        return Recording(Program(self.inputs, self.instructions, outputs, updates), result)
