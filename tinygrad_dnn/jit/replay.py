"""Replaying: a program run as NumPy calls into arrays that were laid out beforehand."""

from __future__ import annotations

import operator
import sys
from collections import deque
from collections.abc import Sequence
from itertools import starmap

import numpy as np

from tinygrad_dnn.jit.borrowing import CONSTANT_BYTES, INPUT_BYTES, loans
from tinygrad_dnn.jit.layout import Layout
from tinygrad_dnn.jit.packing import find_packs
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.tensor import Tensor, assigned_now

_data = operator.attrgetter("data")
_assigned = operator.attrgetter("_assigned")


def _references(tensor: Tensor) -> int:
    return sys.getrefcount(tensor.data)


_ALONE = _references(Tensor._wrap(np.zeros(1)))


def _protect(tensor: Tensor) -> None:
    """Let nobody write on what a Tensor alone holds: of that a copy is read, and the writing would not be seen.

    Whoever has the array besides may be a program, which has to write on it.
    """
    if _references(tensor) == _ALONE and type(tensor.data) is np.ndarray:
        tensor.data.flags.writeable = False


class Replay:
    """A program as a list of NumPy calls, bit-equal to running its primitives one by one.

    Temporary values share memory by lifetime. What a Tensor is to hold at the end is written into an array that belongs
    to the Tensor, unless somebody else holds that array: values do not change under anybody's feet. Where many Tensors
    are updated alike, as by an optimizer, these arrays are parts of one, which is computed with as a whole.

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

    _seen: list[tuple[int, int]]

    def __init__(self, program: Program) -> None:
        self.program = program
        self._packs = find_packs(program)
        self._link()

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the program on arrays; let its Tensors hold what they are to hold, and return its outputs."""
        # Loops over a model's hundreds of Tensors run in C: they would take as long as many of the program's calls.
        holding = list(map(operator.is_, map(_data, self._tensors), self._own))
        if list(map(sys.getrefcount, self._own)) != list(map(operator.add, self._references, holding)):
            self._link()  # somebody else holds one of the arrays that are written on
            holding = [False] * len(self._own)
        if not all(holding):
            for tensor, own, held in zip(self._tensors, self._own, holding, strict=True):
                if not held:
                    np.copyto(own, tensor.data)
        self._copy_constants()
        try:
            for (own, loan), array in zip(self._reads, [*inputs, *map(_data, self._long)], strict=True):
                if loan is None or not loan.borrow(array, self._calls):
                    np.copyto(own, array)
            deque(starmap(operator.call, self._calls), 0)
        finally:
            for _, loan in self._reads:
                if loan is not None:
                    loan.give_back(self._calls)
        outputs = [np.array(array) for array in self._outputs]  # before the state that some of them may show
        for own, new in self._copied:
            np.copyto(own, new)
        deque(map(assigned_now, self._tensors, self._own), 0)
        return outputs

    def _copy_constants(self) -> None:
        """Copy what Tensors hold that the program only reads, where it has changed."""
        # Another program may have changed the array in place: the assignment's stamp tells. The array itself is not
        # kept, or that program would have to make a new one.
        now = list(zip(map(id, map(_data, self._constants)), map(_assigned, self._constants), strict=True))
        if now != self._seen:
            for tensor, own, seen, before in zip(self._constants, self._copies, now, self._seen, strict=True):
                if seen != before:
                    np.copyto(own, tensor.data)
                    _protect(tensor)
            self._seen = now

    def _link(self) -> None:
        """Lay out the arrays, and bind the calls to them."""
        layout = Layout(self.program, self._packs)
        arrays = layout.arrays
        self.temporary_bytes = layout.temporary_bytes
        self._calls = layout.calls
        self.calls = len(self._calls)
        self._outputs = [arrays[id(value)] for value in self.program.outputs]
        self._tensors = [tensor for tensor, _, _ in layout.state]
        self._own = [own for _, own, _ in layout.state]
        self._copied = [(own, new) for _, own, new in layout.state if new is not None]
        updated = set(map(id, self._tensors))
        constants = [(value.tensor, arrays[id(value)]) for value in self.program.held if value.tensor is not None]
        constants = [(tensor, own) for tensor, own in constants if id(tensor) not in updated]
        inputs = [arrays[id(value)] for value in self.program.inputs]
        kept = [*self._outputs, *(new for _, new in self._copied)]
        long = loans([own for _, own in constants], CONSTANT_BYTES, self._calls, kept)
        self._constants = [tensor for (tensor, _), loan in zip(constants, long, strict=True) if loan is None]
        self._copies = [own for (_, own), loan in zip(constants, long, strict=True) if loan is None]
        self._seen = [(0, 0)] * len(self._constants)
        self._long = [tensor for (tensor, _), loan in zip(constants, long, strict=True) if loan is not None]
        self._reads = list(zip(inputs, loans(inputs, INPUT_BYTES, self._calls, kept), strict=True))
        self._reads += [(loan.own, loan) for loan in long if loan is not None]
        del layout, arrays
        # While its Tensor does not hold the array.
        self._references = list(map(sys.getrefcount, self._own))
