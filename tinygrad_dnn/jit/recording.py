"""Recording: a function run once, operation by operation, with everything it computes noted as a program."""

from __future__ import annotations

import functools
import sys
import traceback
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import nested
from tinygrad_dnn.autograd import is_freed
from tinygrad_dnn.debugging import CHECK, users_place
from tinygrad_dnn.graph import Primitive, state
from tinygrad_dnn.jit.attributes import Attributes
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.jit.watch import Watch
from tinygrad_dnn.ops import random
from tinygrad_dnn.ops.cast import ASSIGN
from tinygrad_dnn.tensor import Tensor, Variable

# So many elements are worth being told of when they are gone.
_LARGE = 4096


class CannotRecordError(Exception):
    """The function does what a program cannot: its values are looked at, or change what Python holds.

    Example:
        >>> try:
        ...     td.jit.record(lambda x: x[0].item(), [td.ones(1)])
        ... except td.jit.CannotRecordError as error:
        ...     print(str(error)[:39])
        the values of a Tensor are looked at (<
    """


@dataclass(frozen=True)
class Output:
    """The place of a program's output in what its function returns.

    Attributes:
        number: Which output.
        requires_grad: Whether the Tensor returned is a leaf that requires a gradient.
        logits: Of a probability, what it was computed by and the place of its logits among the outputs; else None.

    Example:
        >>> td.jit.record(lambda x: x[0] * 2, [td.ones(1)]).result
        Output(number=0, requires_grad=False, logits=None)
    """

    number: int
    requires_grad: bool = False
    logits: tuple[str, int] | None = None


@dataclass(frozen=True)
class Given:
    """An argument in what a function returns.

    Example:
        >>> td.jit.record(lambda x: x[0], [td.ones(1)]).result
        Given(number=0)
    """

    number: int


@dataclass(frozen=True)
class Recording:
    """What came of recording.

    Attributes:
        program: What was computed.
        result: What the function returned, with an ``Output`` or ``Given`` in the place of each Tensor; a Variable is
            returned itself, and will hold what it is to hold.
        assigned: For each argument that was assigned to, its number and that of the output which it is to hold.
        graded: The Tensors whose ``grad`` was read or set, with what it was before and after.
        left: Attributes that were set to what was computed, with their names and values, as ``result`` has them.

    Example:
        >>> td.jit.record(lambda x: x[0].assign(x[0] * 2), [td.ones(1)]).assigned
        ((0, 0),)
    """

    program: Program
    result: Any
    assigned: tuple[tuple[int, int], ...] = ()
    graded: tuple[tuple[Tensor, Tensor | None, Tensor | None], ...] = ()
    left: tuple[tuple[Attributes, str, Any], ...] = ()


class Kept:
    """What Tensors held when a run began that assigns to them, to be put back."""

    def __init__(self) -> None:
        self._originals: dict[int, tuple[Tensor, Any, int]] = {}
        self._gradients: dict[int, tuple[Tensor, Tensor | None]] = {}

    def keep(self, target: Tensor) -> None:
        """Remember what a Tensor holds that is about to be assigned to."""
        self._originals.setdefault(id(target), (target, target.data, target._assigned))

    def graded(self, source: Tensor) -> None:
        """Remember the gradient of a Tensor."""
        self._gradients.setdefault(id(source), (source, source._grad))

    def undo(self, only: Sequence[Tensor] | None = None) -> None:
        """Let each Tensor hold again what it held; of those assigned to, only some if they are named."""
        named = None if only is None else {id(tensor) for tensor in only}
        for key, (target, data, assigned) in self._originals.items():
            if named is None or key in named:
                target.data, target._assigned = data, assigned
        for target, gradient in self._gradients.values():
            target._grad = gradient


class Settled(Kept):
    """A run of a function by which it also builds what it builds at first use; it may be undone, or count as a call.

    Args:
        call: Calls the function.

    Attributes:
        returned: What it returned.

    Example:
        >>> w = td.Variable(1.0)
        >>> run = td.jit.Settled(lambda: w.assign(w + 2.0))
        >>> run.undo()
        >>> w
        Variable(1., dtype=float32)
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        before = state.recorder
        self._check = before if before is CHECK else None
        state.recorder = self
        try:
            self.returned = call()
        except BaseException:
            self.undo()
            raise
        finally:
            state.recorder = before
        self._held = [(target, target.data, target._assigned) for target, _, _ in self._originals.values()]
        self._graded = [(target, target._grad) for target, _ in self._gradients.values()]

    def applied(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], out: Tensor) -> None:
        """Note an assignment; under ``debug_nans`` look at the result."""
        if self._check is not None:
            self._check.applied(primitive, inputs, attributes, out)
        if primitive is ASSIGN:
            self.keep(inputs[0])

    def shared(self, source: Tensor, new: Tensor) -> None:
        """Let arrays be shared."""

    def copied(self, source: Tensor) -> None:
        """Let Tensors be copied, as when state is made."""

    def read(self, source: Tensor) -> None:
        """Let values be looked at."""

    def redo(self) -> None:
        """Let each Tensor hold what it held after the run."""
        for target, data, assigned in self._held:
            target.data, target._assigned = data, assigned
        for target, gradient in self._graded:
            target._grad = gradient


def record(function: Callable[..., Any], arguments: Sequence[Tensor], watch: Watch | None = None) -> Recording:
    """Run a function of Tensors and return what it computed; Tensors that it assigned to hold again what they held.

    Args:
        function: Called with a list of the arguments.
        arguments: The Tensors whose values may differ from call to call.
        watch: Of the function: attributes that it sets to computed Tensors are recorded, and put back.

    Raises:
        CannotRecordError: The function asked for the values of a Tensor, changes what Python holds otherwise, or
            returns a Tensor that gradients flow to.

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
    before, streams = state.recorder, random.get_state()
    state.recorder = recorder
    try:
        # What an operation says of its values, as of a division by zero, it says when they are computed for good.
        with np.errstate(all="ignore"):
            returned = function(recorder.arguments)
        state.recorder = before
        if random.get_state() != streams:
            raise CannotRecordError(
                "it begins a new stream of random numbers each time it is called: make a td.random.SeedGenerator "
                "outside of it, or give a seed"
            )
        return recorder.finished(returned, watch)
    finally:
        state.recorder = before
        random.set_state(streams)
        recorder.undo()
        if watch is not None:
            watch.restore()


class _Recorder(Kept):
    """Notes what is applied, and by which value each Tensor is known."""

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        super().__init__()
        self.instructions: list[Instruction] = []
        self.values: dict[int, Value] = {}  # what a Tensor holds now, by its identity
        self.arrays: dict[int, Value] = {}  # what was computed here, by its array's identity
        self.assigned: dict[int, Tensor] = {}
        self.read_from: set[int] = set()
        self.alive: list[Any] = []  # or another object could take the identity of one that is gone
        self.watched: list[weakref.ref[Any]] = []  # or what is gone is forgotten
        self.refusal: CannotRecordError | None = None
        self.inputs: list[Value] = []
        self.arguments: list[Tensor] = []
        self.given = arguments
        for given in arguments:
            if given._requires_grad and given._primitive is not None and state.grad_enabled:
                raise CannotRecordError("an argument has a history that gradients flow to: detach it")
            # An array object of its own, since one array may be given twice, or be what a Variable holds.
            own = Tensor._wrap(given.data[...])
            own._requires_grad = given._requires_grad
            self.arguments.append(own)
            self.inputs.append(self._made(own))

    def _made(self, x: Tensor) -> Value:
        data = x.data
        value = Value(data.shape, data.dtype)
        self.arrays[id(data)] = value
        if data.size < _LARGE or not self._watches(data, self.arrays):
            self.alive.append(data)
        return self._is(x, value)

    def _is(self, x: Tensor, value: Value) -> Value:
        self.values[id(x)] = value
        if x.data.size < _LARGE or not self._watches(x, self.values):
            self.alive.append(x)
        return value

    def _watches(self, x: Any, known: dict[int, Value]) -> bool:
        """Let it be forgotten when it goes, if that can be told: all values of a step at once would fill the memory."""
        try:
            self.watched.append(weakref.ref(x, functools.partial(known.pop, id(x))))
        except TypeError:
            return False
        return True

    def value_of(self, x: Tensor) -> Value:
        """Return the value that a Tensor holds now."""
        value = self.values.get(id(x))
        if value is None:
            # Another Tensor of an array that was computed here, else state. Two that were there before are two, though
            # they may share an array now; and a Variable is state whatever it was made of.
            value = None if isinstance(x, Variable) else self.arrays.get(id(x.data))
            self._is(x, value := value or Value(x.shape, x.dtype, x))
        return value

    def applied(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], out: Tensor) -> None:
        """Note a primitive, or an assignment."""
        if primitive is ASSIGN:
            target, new = inputs
            self._is(target, self.value_of(new))
            self.assigned[id(target)] = target
            self.keep(target)
            return
        values, read_from = self.values, self.read_from
        sources: list[Any] = []
        for x in inputs:
            if isinstance(x, Tensor):
                read_from.add(id(x))
                sources.append(values.get(id(x)) or self.value_of(x))
            else:
                sources.append(x)
        self.instructions.append(Instruction(primitive, tuple(sources), attributes, self._made(out)))

    def shared(self, source: Tensor, new: Tensor) -> None:
        """Note that another Tensor holds the same value."""
        self.read_from.add(id(source))
        self._is(new, self.value_of(source))

    def read(self, source: Tensor) -> None:
        """Refuse: what Python does with values cannot be seen."""
        place = users_place(traceback.walk_stack(sys._getframe()))
        self.refusal = CannotRecordError(f"the values of a Tensor are looked at{place}")
        raise self.refusal

    copied = read

    def finished(self, returned: Any, watch: Watch | None) -> Recording:
        """Return what was recorded."""
        if self.refusal is not None:  # the function may have caught it
            raise self.refusal
        outputs: list[Value] = []
        numbers = {id(own): number for number, own in enumerate(self.arguments)}

        def output(x: Tensor) -> int:
            outputs.append(self.value_of(x))
            return len(outputs) - 1

        def place(x: Any) -> Any:
            if not isinstance(x, Tensor) or isinstance(x, Variable):
                return x
            if id(x) in numbers:
                return Given(numbers[id(x)])
            if x._requires_grad and x._primitive is not None and not is_freed(x):
                raise CannotRecordError(
                    "it returns a Tensor that gradients flow to: take them inside of the function, or call it under "
                    "no_grad"
                )
            logits = None if x._logits is None else (x._logits[0], output(x._logits[1]))
            return Output(output(x), x._requires_grad and x._primitive is None, logits)

        def kept(attribute: tuple[Attributes, str, Any, Any]) -> tuple[Attributes, str, Any]:
            attributes, key, before, now = attribute
            read = any(id(x) in self.read_from for x in nested.leaves(before))
            if read or not all(map(self._is_made, nested.leaves(now))):
                name = attributes.prefix + key
                raise CannotRecordError(f"it changes {name}, which Python holds: let a td.Variable hold it")
            return attributes, key, nested.map_leaves(place, now)

        result = nested.map_leaves(place, returned)
        left = () if watch is None else tuple(map(kept, watch.attributes_set()))
        for attributes, key, _ in left:
            attributes.put(key, dict(attributes.pairs())[key])
        if watch is not None and (changes := watch.changes()):
            raise CannotRecordError(f"it changes {changes[0]}, which Python holds: let a td.Variable hold it")
        own = tuple((numbers[key], output(target)) for key, target in self.assigned.items() if key in numbers)
        updates = [(t, self.value_of(t)) for key, t in self.assigned.items() if key not in numbers]
        for own_argument, given in zip(self.arguments, self.given, strict=True):
            if id(own_argument) in self._gradients and (own_argument._grad is not None or given._grad is not None):
                raise CannotRecordError("it reads or leaves gradients in .grad of an argument: return them")
        graded = tuple((t, before, t._grad) for t, before in self._gradients.values())
        return Recording(Program(self.inputs, self.instructions, outputs, updates), result, own, graded, left)

    def _is_made(self, x: Any) -> bool:
        return isinstance(x, Tensor) and not isinstance(x, Variable) and id(x) in self.values
