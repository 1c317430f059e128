"""Compiling: which program stands for which call of a function, when it is recorded, and when it is not used."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import random
import sys
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinygrad_dnn import environment
from tinygrad_dnn.backend import Backend
from tinygrad_dnn.debugging import CHECK
from tinygrad_dnn.graph import state
from tinygrad_dnn.jit.agreeing import recorded_twice, reproduces
from tinygrad_dnn.jit.calls import Call, Run
from tinygrad_dnn.jit.checking import answer, plainly
from tinygrad_dnn.jit.explaining import explained
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import CannotRecordError, Recording, Settled
from tinygrad_dnn.jit.replay import Replay
from tinygrad_dnn.jit.simplifying import simplify
from tinygrad_dnn.jit.turns import Turn
from tinygrad_dnn.jit.warning import warn
from tinygrad_dnn.jit.watch import Watch
from tinygrad_dnn.tensor import Tensor

# So many programs are kept, and beyond a few only while their temporary values take fewer bytes than this. With more,
# recording may cost more than it gains, as where something differs at each call: a kind of call then has to come as
# often as there may be programs before it takes the place of the one that was not used for longest.
_MOST_PROGRAMS = 64
_A_FEW = 4
_MOST_BYTES = 2**30

# Of so many kinds it is counted how often they come.
_MOST_COUNTED = 4096

# So often in a row a recording may be of no use for more than one call.
_MOST_WASTED = 4

# What all functions may draw from.
_CHANCE = (random.random.__self__, np.random.random_sample.__self__)  # type: ignore[attr-defined]


@dataclass
class _Entry:
    """What is known of calls with one signature.

    Attributes:
        recording: The function recorded; None where it cannot be, or not yet.
        program: The program as it is run.
        run: What runs it.
        watch: What the recording depends on; None if nothing can make the function a program.
        gradients: The Tensors whose ``grad`` the program reads, with what it was.
        changed: The identities of the Tensors that the program changes.
        counts: Numbers that Python holds and that the call changed, by name.
        again: Whether the next call is to be recorded, since the one that was built something.
        calls: How many calls it has answered.
        wasted: How many entries before it, without a break, were of no use.
        looked_at: The moment since which its watch has been looked at.
        used: How many calls of any kind had been made when it was last used.
    """

    recording: Recording | None = None
    program: Program | None = None
    run: Run | None = None
    watch: Watch | None = None
    gradients: list[tuple[Tensor, Tensor | None]] = field(default_factory=list)
    changed: frozenset[int] = frozenset()
    counts: list[str] = field(default_factory=list)
    again: bool = False
    calls: int = 0
    wasted: int = 0
    looked_at: object | None = None
    used: int = 0

    @property
    def bytes(self) -> int:
        """How much memory it keeps for temporary values."""
        found: int = getattr(self.run, "temporary_bytes", 0) or getattr(self.run, "arena_bytes", 0)
        return found

    def holds(self) -> bool:
        """Tell whether nothing has changed that it depends on."""
        if self.again or self.watch is None:
            return not self.again
        return all(tensor._grad is gradient for tensor, gradient in self.gradients) and self.watch.same()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for cycles: next to nothing of what is recorded is garbage, and each look is at all."""
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looks:
            gc.enable()


class Jitted:
    """A function of Tensors whose calls are answered by programs; what ``jit`` returns.

    Attributes:
        function: The function itself.
        native: Whether its programs become machine code where they can.
        after: How many calls of a kind are made as they are before one is recorded, which costs as much as several.

    Example:
        >>> double = td.jit(lambda x: x * 2)
        >>> double(td.ones(1)), double.function(3)
        (Tensor([2.], dtype=float32), 6)
    """

    _unwatched: ClassVar = frozenset({"_entries", "_owners", "_seen", "_answered", "_warned", "_lock"})

    def __init__(self, function: Callable[..., Any], native: bool = False, after: int = 0) -> None:
        functools.update_wrapper(self, function, updated=())  # what an object holds is its own
        self.function = function
        self.native = native
        self.after = after
        self._seen: Counter[Any] = Counter()
        self._entries: dict[Any, _Entry] = {}
        self._owners: dict[int, Any] = {}  # the objects that signatures name by identity
        self._answered = 0
        self._warned = False
        self._lock = Turn(self.name)

    def __reduce__(self) -> Any:
        return Jitted, (self.function, self.native, self.after)  # a copy records its own programs

    def __get__(self, owner: Any, kind: type) -> Any:
        return self if owner is None else types.MethodType(self, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns for these arguments."""
        return self.since(None, args, kwargs)

    def since(self, moment: object | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it, looking for changes of what Python holds only once for each program since a moment.

        Args:
            moment: Any object that stands for a moment since which only programs have run; None looks at each call.
            args: The arguments by position.
            kwargs: The arguments by name.
        """
        if state.recorder is not None and state.recorder is not CHECK:
            return self.function(*args, **kwargs)
        call = Call(args, kwargs)
        if self._waits(call):
            return plainly(self.function, *args, **kwargs)
        with self._lock:
            entry = self._entries.get(call.key)
            looks = moment is None or entry is None or entry.looked_at is not moment
            if entry is None or (looks and not entry.holds()):
                entry, settled = self._recorded(call, entry)
                if settled is not None:
                    return settled.returned
            entry.looked_at = moment
            entry.calls += 1
            self._answered += 1
            entry.used = self._answered
            # A Tensor that the function also knows by another name may be changed there, and read as an argument.
            if entry.run is not None and entry.recording is not None and entry.changed.isdisjoint(map(id, call.given)):
                return answer(call, self.function, entry.recording, entry.run)
        return plainly(self.function, *args, **kwargs)

    def _waits(self, call: Call) -> bool:
        """Tell whether a call is too early to be recorded, and count it."""
        if call.key in self._entries:
            return False
        is_full = self._is_full()
        came = self._seen[call.key]
        if came >= (max(self.after, _MOST_PROGRAMS) if is_full else self.after):
            return False
        if is_full:
            self._warn(
                f"it was called with {len(self._entries)} kinds of arguments, and this one has not come "
                f"{_MOST_PROGRAMS} times: let a Tensor hold a number that changes"
            )
        if len(self._seen) >= _MOST_COUNTED:
            self._seen.clear()
        self._seen[call.key] = came + 1
        return True

    def _is_full(self) -> bool:
        """Tell whether another program is one too many."""
        entries = list(self._entries.values())
        held = sum(entry.bytes for entry in entries)
        return len(entries) >= _MOST_PROGRAMS or (len(entries) >= _A_FEW and held >= _MOST_BYTES)

    def _recorded(self, call: Call, old: _Entry | None) -> tuple[_Entry, Settled | None]:
        """Record the function for a call; return what is known now, and the call itself if it was made on the way."""
        useless = old is not None and (old.run is None or old.calls <= 1)
        entry = _Entry(wasted=old.wasted + 1 if old is not None and useless else 0)
        changed = old.watch.changes() if old is not None and old.watch is not None else []
        _tell(f"{self.name} is recorded" + (f" anew, since there is a change of {changed[0]}" if changed else ""))
        before = Watch(self.function, *call.objects)
        settled = Settled(lambda: self.function(*call.args, **call.kwargs))
        entry.watch = Watch(self.function, *call.objects, *_CHANCE)
        try:
            entry.counts = before.counted()
            if entry.counts and old is not None and old.counts == entry.counts:
                raise CannotRecordError(f"it changes {entry.counts[0]}, which Python holds: let a td.Variable hold it")
            if entry.wasted >= _MOST_WASTED:
                entry.watch, entry.again = None, False
                if changed:
                    raise CannotRecordError(f"{changed[0]} is another at each call")
                raise CannotRecordError("it gives something else for Tensors, as where it computes by NumPy")
            if Call(call.args, call.kwargs).key != call.key:
                raise CannotRecordError("it changes its arguments")
            if not entry.counts:  # what counts at each call is not even recorded, with whatever else it does
                self._fill(entry, call, settled)
        except CannotRecordError as error:
            if entry.watch is not None:
                entry.watch.restore()
            self._warn(str(error))
        else:
            entry.again = entry.run is None
        self._keep(call, entry)
        return entry, settled if entry.run is None else None

    @_uncollected()
    def _fill(self, entry: _Entry, call: Call, settled: Settled) -> None:
        """Record the function twice; a program that does what the call did goes into the entry."""
        assert entry.watch is not None
        recording, gradients = recorded_twice(call, self.function, entry.watch)
        if not reproduces(recording, settled, call.given, call.tensors):
            # It built something at this first call, as a layer's streams of random numbers, and will not again.
            _tell(f"{self.name} did something else than it will do again; this call counts as it was")
            return
        entry.recording, entry.gradients = recording, gradients
        entry.program = simplify(recording.program)
        entry.run = _lowered(entry.program, call.tensors, self.native)
        entry.watch.leave_out((attributes, key) for attributes, key, _ in recording.left)  # each call sets them
        entry.watch.loosen([value.tensor for value in recording.program.held if value.tensor is not None])
        entry.changed = frozenset(id(tensor) for tensor, _ in recording.program.updates)
        if recording.assigned:
            entry.changed |= {id(value.tensor) for value in recording.program.held}
        _tell(f"{self.name}:", lambda: _explained(entry))

    def _keep(self, call: Call, entry: _Entry) -> None:
        """Remember an entry for as long as the objects live that its signature names by their identity."""
        entries, owners = self._entries, self._owners
        while call.key not in entries and self._is_full():
            oldest, _ = min(list(entries.items()), key=lambda item: item[1].used)
            entries.pop(oldest, None)
            for identity in [x for x in list(owners) if not any(_names(key, x) for key in list(entries))]:
                owners.pop(identity, None)
        entries[call.key] = entry
        self._seen.pop(call.key, None)
        for given in call.objects:
            if id(given) not in owners:
                try:
                    owners[id(given)] = weakref.ref(given, functools.partial(_forget, entries, owners, id(given)))
                except TypeError:
                    owners[id(given)] = given

    @property
    def name(self) -> str:
        """What messages call it."""
        return getattr(self.function, "__qualname__", None) or repr(self.function)

    def _warn(self, reason: str) -> None:
        _tell(f"{self.name} runs operation by operation: {reason}")
        if not self._warned:
            self._warned = True
            code = getattr(self.function, "__code__", None)
            place = "" if code is None or " (" in reason else f" ({code.co_filename}, line {code.co_firstlineno})"
            text = f"td.jit: {self.name} runs operation by operation: {reason}{place}."
            warn(text)

    def explain(self) -> str:
        """Return the programs recorded so far: as they were and as they are run, their kernels and buffers.

        Example:
            >>> double = td.jit(lambda x: x * 2)
            >>> with td.backend.use("numpy"):
            ...     _ = double(td.ones(3))
            >>> print(double.explain())
            -- call 1
            recorded: 1 instruction
            inputs   a: float32[3]
            b: float32[3] = multiply(a, 2)
            returns  b
            simplified: 1 instruction
            inputs   a: float32[3]
            b: float32[3] = multiply(a, 2)
            returns  b
            run as 1 NumPy call
            buffers: temporary values share 12 bytes
              given: 1 array of 12 bytes
              returned in new arrays: 1 array of 12 bytes
        """
        parts = [f"-- call {n}\n{_explained(entry)}" for n, entry in enumerate([*self._entries.values()], 1)]
        return "\n".join(parts) or "it was not called yet"


def jit(function: Callable[..., Any], native: bool = False) -> Jitted:
    """Return the function with its calls compiled: recorded at the first call of a kind, and replayed after it.

    Everything that is computed on Tensors inside is part of what is recorded: gradients, an optimizer's updates, random
    draws. What may differ from call to call is a Tensor or array among the arguments, or held by a Tensor: it is read
    anew each time. A change of anything else that the function can reach lets it be recorded anew: shapes and dtypes,
    numbers among the arguments, attributes of objects and of the user's classes, lists, short NumPy arrays, closed-over
    and global names. Not seen is what changes in a NumPy array of more than 10,000 elements, in files, in the
    environment, in names that are looked up as text, and in what libraries keep to themselves. What a function prints
    happens only while it is recorded, three times.

    A function that looks at values (``item``, ``if tensor:``, ``numpy``), or changes what Python holds (a counter, a
    list, an attribute), cannot be a program: it runs as it is, and a warning says why and where.

    The programs of 64 kinds of calls are kept; of fewer, but at least four, if their temporary values take a GiB. Each
    further kind runs as it is until it has come 64 times, and then takes the place of that not used for longest.

    Args:
        function: Takes and returns Tensors, arrays, numbers, and lists, tuples and dicts of them. An object among the
            arguments, a Variable too, has programs of its own.
        native: Turn programs into machine code, with loops fused and work split over two cores. That needs llvmlite
            (``pip install "tinygrad-dnn[jit]"``) and Tensors on the host; otherwise they are run as NumPy calls, which
            are bit-equal to the function. Machine code rounds otherwise: by some 1e-5 of a result's size in float32.
            It is kept among the user's caches for later processes, or where the environment variable
            TINYGRAD_DNN_CACHE says, unless that is "off".
            On a GPU programs become CUDA kernels and products of cuBLAS, and from the second run on one graph.

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
    return Jitted(function, native)


@functools.cache
def has_llvmlite() -> bool:
    """Tell whether llvmlite is installed, without which there is no machine code.

    Example:
        >>> td.jit.has_llvmlite() in (True, False)
        True
    """
    return importlib.util.find_spec("llvmlite") is not None


def _lowered(program: Program, tensors: Sequence[Tensor], native: bool) -> Run:
    """Return what runs a program: machine code if it may and can be, else NumPy calls, else primitive by primitive."""
    used = {x.backend for x in (*tensors, *(value.tensor for value in program.held)) if x is not None}
    if any(backend.name != "numpy" for backend in used):
        return _on_device(program, *used) if native and len(used) == 1 else Interpreted(program)
    if native and has_llvmlite():
        from tinygrad_dnn.jit.native import lower

        return lower(program)
    return Replay(program)


def _on_device(program: Program, backend: Backend) -> Run:
    """Return what runs a program on a backend's device, or primitive by primitive if that cannot be."""
    if backend.device is None:
        return Interpreted(program)
    from tinygrad_dnn.jit.cuda.run import lower

    try:
        return lower(program, backend)
    except Exception as error:  # whatever compiler, driver or library has to say
        warn(f"td.jit: a program runs primitive by primitive ({type(error).__name__}: {error}).")
        return Interpreted(program)


def _forget(entries: dict[Any, _Entry], owners: dict[int, Any], identity: int, _: Any) -> None:
    """Forget the programs of an object that is gone."""
    owners.pop(identity, None)
    for key in [key for key in entries if _names(key, identity)]:
        del entries[key]


def _names(key: Any, identity: int) -> bool:
    return isinstance(key, tuple) and (
        (len(key) == 2 and isinstance(key[0], type) and type(key[1]) is int and key[1] == identity)
        or any(_names(part, identity) for part in key)
    )


def _explained(entry: _Entry) -> str:
    if entry.recording is None or entry.program is None:
        return "runs operation by operation"
    return explained(entry.recording, entry.program, entry.run)


def _tell(text: str, more: Callable[[], str] = str) -> None:
    """Print what happens, if the environment asks for it."""
    if "jit" in environment.words(environment.DEBUG, environment.DEBUGS):
        print(f"td.jit: {text}", more(), sep="\n" if more is not str else "", file=sys.stderr)
