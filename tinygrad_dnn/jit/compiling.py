"""Compiling: which program stands for which call of a function, when it is recorded, and when it is not used."""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn import nested
from tinygrad_dnn.graph import modes, state
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.jit.recording import CannotRecordError, Output, Recording, Settled, record, users_place
from tinygrad_dnn.jit.replay import Replay
from tinygrad_dnn.jit.simplifying import simplify
from tinygrad_dnn.jit.watch import Watch
from tinygrad_dnn.tensor import Tensor

Run = Callable[[Sequence[Any]], list[Any]]

# With more, the function is called with something that differs each time, and recording costs more than it gains.
_MOST_PROGRAMS = 64

@dataclass
class _Entry:
    """What is known of calls with one signature: the program and its run, or none where the function cannot be one."""

    recording: Recording | None
    program: Program | None
    run: Run | None
    watch: Watch | None
    settled: Settled | None = None  # the call that showed that it cannot be a program, and counts


class Jitted:
    """A function of Tensors whose calls are answered by programs; what ``jit`` returns.

    Attributes:
        function: The function itself.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._entries: dict[Any, _Entry] = {}
        self._warned = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns for these arguments."""
        if state.recorder is not None:
            return self.function(*args, **kwargs)
        tensors: list[Tensor] = []
        key = (_signature((args, kwargs), tensors), state.grad_enabled, backends.floatx(), *(mode() for mode in modes))
        entry = self._entries.get(key)
        if entry is None or (entry.watch is not None and not entry.watch.same()):
            entry = self._recorded(key, args, kwargs, tensors)
            if entry.settled is not None:
                returned, entry.settled = entry.settled.returned, None
                return returned
        if entry.run is None or entry.recording is None:
            return self.function(*args, **kwargs)
        outputs = entry.run([tensor.data for tensor in tensors])
        return nested.map_leaves(
            lambda x: Tensor._wrap(outputs[x.number]) if type(x) is Output else x, entry.recording.result
        )

    def __get__(self, owner: Any, kind: type) -> Any:
        return self if owner is None else functools.partial(self, owner)

    def _recorded(self, key: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> _Entry:
        """Record the function for these arguments; where it cannot be, say so once and remember."""
        if len(self._entries) >= _MOST_PROGRAMS and key not in self._entries:
            self._warn(f"it was called with {_MOST_PROGRAMS} kinds of arguments", None)
            return _Entry(None, None, None, None)

        def of(given: Sequence[Tensor]) -> Any:
            waiting = iter(given)
            own_args, own_kwargs = nested.map_leaves(lambda x: next(waiting) if _is_array(x) else x, (args, kwargs))
            return self.function(*own_args, **own_kwargs)

        watch = Watch(self.function)
        settled = Settled(of, tensors)
        counted = [place for place, (before, now) in watch.changes().items() if _is_number(before) and _is_number(now)]
        try:
            if settled.looked is not None:
                raise CannotRecordError(f"the values of a Tensor are looked at{settled.looked}")
            if counted:
                raise CannotRecordError(f"it changes {counted[0]}, which Python holds: let a td.Variable hold it")
            settled.undo()
            recording, watch = _recorded_twice(self.function, of, tensors)
        except CannotRecordError as error:
            self._warn(str(error), error)
            entry = _Entry(None, None, None, Watch(self.function))
            if settled.looked is not None or counted:
                entry.settled = settled
        else:
            program = simplify(recording.program)
            entry = _Entry(recording, program, _lowered(program, tensors), watch)
        self._entries[key] = entry
        return entry

    def _warn(self, reason: str, error: Exception | None) -> None:
        if self._warned:
            return
        self._warned = True
        place = users_place(traceback.extract_tb(error.__traceback__)) if error is not None else ""
        name = getattr(self.function, "__qualname__", repr(self.function))
        warnings.warn(f"td.jit: {name} runs operation by operation: {reason}{place}.", stacklevel=4)

    def explain(self) -> str:
        """Return the programs recorded so far, as they were and as they are run."""
        parts = []
        for number, entry in enumerate(self._entries.values(), 1):
            if entry.recording is None or entry.program is None:
                parts.append(f"-- call {number}: runs operation by operation")
                continue
            before, after = entry.recording.program, entry.program
            parts.append(f"-- call {number}, recorded: {len(before.instructions)} instructions\n{before}")
            parts.append(f"-- call {number}, simplified: {len(after.instructions)} instructions\n{after}")
            if isinstance(entry.run, Replay):
                parts.append(
                    f"-- call {number}, run as {entry.run.calls} NumPy calls with {entry.run.temporary_bytes:,} bytes "
                    "of temporary values"
                )
        return "\n".join(parts) or "it was not called yet"


def jit(function: Callable[..., Any]) -> Jitted:
    """Return the function with its calls compiled: recorded at the first call of a kind, and replayed after it.

    Everything that is computed on Tensors inside is part of what is recorded: gradients, an optimizer's updates, random
    draws. What may differ from call to call is an argument or held by a Tensor: read anew each time. A change of
    anything else that the function can reach (arguments' shapes and dtypes, numbers among the arguments, attributes of
    objects, lists, closed-over and global names) lets it be recorded anew. Not seen are global variables that functions
    of other modules read. What a function prints or appends happens only while it is recorded, two or three times.

    A function that looks at values (``item``, ``if tensor:``, ``numpy``) or changes numbers that Python holds cannot be
    a program: it runs as it is, and a warning says why and where.

    Args:
        function: Takes and returns Tensors, arrays, numbers, and lists, tuples and dicts of them.

    Example:
        >>> w = td.Variable([1.0, 2.0], trainable=True)
        >>> @td.jit
        ... def step(x):
        ...     loss, slope = td.value_and_grad(lambda w: ((w - x) ** 2).sum())(w)
        ...     w.assign(w - 0.1 * slope)
        ...     return loss.detach()
        >>> [round(step(td.zeros(2)).item(), 3) for _ in range(3)]
        [5.0, 3.2, 2.048]
    """
    return Jitted(function)


def _recorded_twice(
    function: Callable[..., Any], of: Callable[[Sequence[Tensor]], Any], tensors: list[Tensor]
) -> tuple[Recording, Watch]:
    """Record a function until two recordings agree.

    What is built at first use would stand in the first one alone. What differs from the second to the third is nothing
    that a program could know.
    """
    watch = Watch(function)
    first, second = record(of, tensors), record(of, tensors)
    if not _agree(first, second):
        first, second = second, record(of, tensors)
        if not _agree(first, second):
            raise CannotRecordError("it computes something else each time it is called")
    changes = watch.changes()
    for place, (_, now) in changes.items():
        if isinstance(now, (bool, int, float, str)):
            raise CannotRecordError(f"it changes {place}, which Python holds: let a td.Variable hold it")
    return second, Watch(function, frozenset(changes)) if changes else watch


def _agree(first: Recording, second: Recording) -> bool:
    """Tell whether two recordings are of the same computation."""
    one, other = first.program, second.program
    if len(one.instructions) != len(other.instructions) or len(one.updates) != len(other.updates):
        return False
    same: dict[int, Value] = {}

    def agree(a: Any, b: Any) -> bool:
        if not isinstance(a, Value) or not isinstance(b, Value):
            return type(a) is type(b) and repr(a) == repr(b)
        if id(a) in same:
            return same[id(a)] is b
        same[id(a)] = b
        if (a.shape, a.dtype, a.tensor is None) != (b.shape, b.dtype, b.tensor is None):
            return False
        # Each recording makes its own constants, of equal values.
        return a.tensor is b.tensor or _equal(a.tensor, b.tensor)

    def steps_agree(a: Instruction, b: Instruction) -> bool:
        return (
            a.primitive is b.primitive
            and len(a.inputs) == len(b.inputs)
            and repr(sorted(a.attributes.items())) == repr(sorted(b.attributes.items()))
            and all(map(agree, (*a.inputs, a.output), (*b.inputs, b.output)))
        )

    return (
        all(map(agree, one.inputs, other.inputs))
        and all(map(steps_agree, one.instructions, other.instructions))
        and len(one.outputs) == len(other.outputs)
        and all(map(agree, one.outputs, other.outputs))
        and all(a[0] is b[0] and agree(a[1], b[1]) for a, b in zip(one.updates, other.updates, strict=True))
        and repr(first.result) == repr(second.result)
    )


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.numpy().tobytes() == b.numpy().tobytes()


def _lowered(program: Program, tensors: list[Tensor]) -> Run:
    """Return the fastest way there is to run a program."""
    hosts = [*tensors, *(value.tensor for value in program.held)]
    if all(tensor is not None and tensor.backend.name == "numpy" for tensor in hosts):
        return Replay(program)
    return Interpreted(program)


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _is_array(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray))


def _signature(given: Any, tensors: list[Tensor]) -> Any:
    """Return what tells calls of different programs apart, and collect the Tensors among the arguments."""
    if isinstance(given, Tensor):
        tensors.append(given)
        return given.data.shape, given.data.dtype, given.backend.name, given._requires_grad
    if isinstance(given, np.ndarray):
        tensors.append(Tensor._wrap(backends.current().from_host(given)))
        return given.shape, given.dtype, "array", backends.current().name
    if isinstance(given, (list, tuple)):
        return type(given), *(_signature(part, tensors) for part in given)
    if isinstance(given, dict):
        return dict, *((key, _signature(part, tensors)) for key, part in given.items())
    try:
        hash(given)
    except TypeError:
        return type(given), id(given)
    # 1, 1.0 and True are equal, and not the same argument.
    return type(given), given

