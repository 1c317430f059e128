"""Replaying: a program run as NumPy calls into arrays that were laid out beforehand."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.ops import elementwise
from tinygrad_dnn.ops.cast import CAST
from tinygrad_dnn.ops.linalg import MATMUL
from tinygrad_dnn.ops.reduce import MAX, MIN, SUM
from tinygrad_dnn.ops.shape import BROADCAST_TO, RESHAPE, SLICE, TRANSPOSE
from tinygrad_dnn.tensor import Tensor, assigned_now

# Primitives whose result is, where it can be, the same memory seen otherwise.
_VIEWS = frozenset({RESHAPE, TRANSPOSE, BROADCAST_TO, SLICE})

_REDUCTIONS = {SUM: np.add.reduce, MAX: np.maximum.reduce, MIN: np.minimum.reduce}

# By the primitives themselves: a plugin's may have the name of one of NumPy's functions and do something else.
_UFUNCS: dict[Primitive, np.ufunc] = {
    primitive: getattr(np, primitive.name)
    for primitive in (*vars(elementwise).values(), MATMUL)
    if isinstance(primitive, Primitive) and isinstance(getattr(np, primitive.name, None), np.ufunc)
}


class Replay:
    """A program as a list of NumPy calls, bit-equal to running its primitives one by one.

    Temporary values share memory by lifetime. What a Tensor is to hold at the end is written into an array that belongs
    to the Tensor, unless somebody else holds that array: values do not change under anybody's feet.

    Args:
        program: What to run; its Tensors live on the host.

    Attributes:
        temporary_bytes: How much memory the temporary values take.
        calls: How many calls a run makes.

    Example:
        >>> program = td.jit.record(lambda x: td.exp(x[0]) * 2, [td.zeros((2,))]).program
        >>> td.jit.Replay(program)([np.zeros(2, np.float32)])
        [array([2., 2.], dtype=float32)]
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._link()

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the program on arrays; let its Tensors hold what they are to hold, and return its outputs."""
        for place, (tensor, own, _) in enumerate(self._state):
            if tensor.data is own and sys.getrefcount(own) > self._references[place]:
                self._link()
                break
        for own, given in zip(self._inputs, inputs, strict=True):
            np.copyto(own, given)
        for tensor, own, _ in self._state:
            if tensor.data is not own:
                np.copyto(own, tensor.data)
        for place, (tensor, own) in enumerate(self._constant):
            # Another program may have changed the array in place: the assignment's stamp tells. The array itself is not
            # kept, or that program would have to make a new one.
            now = (id(tensor.data), tensor._assigned)
            if now != self._seen[place]:
                np.copyto(own, tensor.data)
                self._seen[place] = now
        for function, arguments in self._steps:
            function(*arguments)
        outputs = [np.array(array) for array in self._outputs]  # before the state that some of them may show
        for tensor, own, new in self._state:
            if new is not None:
                np.copyto(own, new)
            assigned_now(tensor, own)
        return outputs

    def _link(self) -> None:
        """Lay out the arrays, and bind the calls to them."""
        layout = _Layout(self.program)
        self.temporary_bytes = layout.pool.total
        self._steps = layout.steps
        self.calls = len(layout.steps)
        self._inputs = [layout.arrays[id(value)] for value in self.program.inputs]
        self._outputs = [layout.arrays[id(value)] for value in self.program.outputs]
        self._state: list[tuple[Tensor, np.ndarray, np.ndarray | None]] = layout.state
        updated = {id(tensor) for tensor, _, _ in self._state}
        self._constant = [
            (value.tensor, layout.arrays[id(value)])
            for value in self.program.held
            if value.tensor is not None and id(value.tensor) not in updated
        ]
        self._seen: list[tuple[int, int]] = [(0, 0)] * len(self._constant)
        del layout
        # While a Tensor holds its array, one more.
        self._references = [sys.getrefcount(own) + 1 for _, own, _ in self._state]


class _Pool:
    """Memory for temporary values: pieces that are given back are used again."""

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


class _Layout:
    """Where each value of a program lies, and the calls that make it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pool = _Pool()
        self.arrays: dict[int, np.ndarray] = {}
        self.steps: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.root: dict[int, Value] = {}  # whose memory a view shows
        self.held = {id(value.tensor): value for value in program.held}
        for value in [*program.inputs, *self.held.values()]:
            self.arrays[id(value)] = np.zeros(value.shape, value.dtype)
        self._find_last_uses()
        self._in_place = self._updates_in_place()
        self._kept = set(self.arrays) | set(self._in_place)
        for number, step in enumerate(program.instructions):
            self._place(number, step)
        self.state = self._ends()

    def _root(self, value: Value) -> Value:
        return self.root.get(id(value), value)

    def _find_last_uses(self) -> None:
        """Find the last instruction that reads each value, through views of it as well."""
        self.last: dict[int, int] = {}
        self.shown: dict[int, Value] = {}  # what may show another value's memory, and whose
        for number, step in enumerate(self.program.instructions):
            for source in step.sources:
                whose = self.shown.get(id(source), source)
                self.last[id(whose)] = number
                if step.primitive in _VIEWS:
                    self.shown[id(step.output)] = whose
        for value in self.program.ends():
            self.last[id(self.shown.get(id(value), value))] = len(self.program.instructions)

    def _updates_in_place(self) -> dict[int, np.ndarray]:
        """Find what may be written straight over the old value of the Tensor that is to hold it.

        Only after the last instruction that may fail, as for an index out of range: a run that fails changes nothing.
        """
        steps = self.program.instructions
        made = {id(step.output): number for number, step in enumerate(steps)}
        sound = max((number + 1 for number, step in enumerate(steps) if _may_fail(step)), default=0)
        wanted = Counter(id(value) for value in self.program.ends())
        found: dict[int, np.ndarray] = {}
        for tensor, value in self.program.updates:
            old = self.held.get(id(tensor))
            number = made.get(id(value), -1)
            if old is None or number < sound or wanted[id(value)] > 1 or self.last.get(id(old), -1) > number:
                continue
            reads_it_plainly = all(self.shown.get(id(x)) is not old for x in steps[number].sources)
            alike = (old.shape, old.dtype) == (value.shape, value.dtype)
            if reads_it_plainly and alike and _elementwise(steps[number]):
                found[id(value)] = self.arrays[id(old)]
        return found

    def _place(self, number: int, step: Instruction) -> None:
        """Decide where an instruction's value lies, and add the call that makes it."""
        given = [self.arrays[id(x)] if isinstance(x, Value) else x for x in step.inputs]
        forward = step.primitive.forward
        if step.primitive in _VIEWS:
            seen = forward(backend.get("numpy"), *given, **step.attributes)
            if isinstance(seen, np.ndarray) and np.may_share_memory(seen, given[0]):
                self.arrays[id(step.output)] = seen
                self.root[id(step.output)] = self._root(step.sources[0])
                return
        dying = self._dying(number, step)
        order = _order(step, given)
        out = self._in_place.get(id(step.output))
        if out is None and _elementwise(step) and order is None:
            # An elementwise call may write over an operand that nothing reads any more.
            for value in dying:
                if value in step.sources and (value.shape, value.dtype) == (step.output.shape, step.output.dtype):
                    out = self.arrays[id(value)]
                    dying.remove(value)
                    break
        if out is None:
            out = self.pool.take(step.output, order)
        for value in dying:
            self.pool.give_back(self.arrays[id(value)])
        self.arrays[id(step.output)] = out
        self.steps.append(_call(step, given, out))

    def _dying(self, number: int, step: Instruction) -> list[Value]:
        """Return the temporary values that nothing reads after an instruction."""
        found: dict[int, Value] = {}
        for source in step.sources:
            whose = self._root(source)
            if id(whose) not in self._kept and self.last.get(id(whose)) == number:
                found[id(whose)] = whose
        return list(found.values())

    def _ends(self) -> list[tuple[Tensor, np.ndarray, np.ndarray | None]]:
        """Return each Tensor that is to hold another value with its own array, and what must be copied there."""
        state: list[tuple[Tensor, np.ndarray, np.ndarray | None]] = []
        held = {id(value) for value in self.held.values()}
        for tensor, value in self.program.updates:
            old = self.held.get(id(tensor))
            own = np.empty(value.shape, value.dtype) if old is None else self.arrays[id(old)]
            new = self.arrays[id(value)]
            if id(value) in self._in_place:
                state.append((tensor, own, None))
                continue
            if id(self._root(value)) in held:
                # Another Tensor's old value, which that one's own update would overwrite first.
                aside = np.empty(value.shape, value.dtype)
                self.steps.append((np.copyto, (aside, new)))
                new = aside
            state.append((tensor, own, new))
        return state


def _elementwise(step: Instruction) -> bool:
    """Tell whether an instruction's element depends on the operands' elements in its place alone."""
    return step.primitive in _UFUNCS and step.primitive is not MATMUL


def _may_fail(step: Instruction) -> bool:
    """Tell whether an instruction may raise an exception for some values."""
    primitive = step.primitive
    return not (primitive in _UFUNCS or primitive in _REDUCTIONS or primitive in _VIEWS or primitive is CAST)


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


def _call(step: Instruction, given: list[Any], out: np.ndarray) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return the call that writes an instruction's value into an array."""
    primitive = step.primitive
    if ufunc := _UFUNCS.get(primitive):
        if ufunc in (np.maximum, np.minimum):  # NumPy takes their output by name alone
            return functools.partial(ufunc, out=out), tuple(given)
        return ufunc, (*given, out)
    if primitive in _REDUCTIONS and given[0].dtype == out.dtype:
        return _REDUCTIONS[primitive], (given[0], step.attributes["axis"], None, out, step.attributes["keepdims"])
    if primitive is CAST:
        return np.copyto, (out, given[0], "unsafe")
    return _compute_into, (out, step, given)


def _compute_into(out: np.ndarray, step: Instruction, given: list[Any]) -> None:
    np.copyto(out, step.primitive.forward(backend.get("numpy"), *given, **step.attributes))
