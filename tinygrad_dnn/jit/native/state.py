"""State: the arrays that Tensors hold when a program is run, read where they are, and written over where they may be.

A program keeps none of them between its runs, so that several programs can take turns with the same Tensors.
"""

from __future__ import annotations

import operator
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.jit.native.table import Table, is_plain
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.tensor import Tensor, written_now


class Read:
    """Tensors that a program reads, with the slots of what they hold.

    Example:
        >>> table = td.jit.native.table.Table(td.jit.memory.Memory(slots=2))
        >>> with td.backend.use("numpy"):
        ...     w = td.tensor([1.0, 2.0])
        >>> read = td.jit.native.state.Read(table, [(w, td.jit.Value((2,), "float32"), 1)])
        >>> read.arrays()
        [array([1., 2.], dtype=float32)]
    """

    def __init__(self, table: Table, entries: Sequence[tuple[Tensor, Value, int]]) -> None:
        self._table = table
        self._entries = list(entries)
        self._tensors = [tensor for tensor, _, _ in entries]
        self._seen: list[Callable[[], Any]] = [_nothing] * len(entries)
        self._copies: dict[int, np.ndarray] = {}

    def arrays(self) -> list[np.ndarray]:
        """Return what they hold, which is in the table then and must last for as long as it is read.

        Raises:
            ValueError: One of them holds another shape or dtype than when the program was recorded.
        """
        arrays = [tensor.data for tensor in self._tensors]
        if not all(map(operator.is_, arrays, map(operator.call, self._seen))):
            for place, (array, seen) in enumerate(zip(arrays, self._seen, strict=True)):
                if array is not seen():
                    self._see(place, array)
        return arrays

    def _see(self, place: int, array: np.ndarray) -> None:
        _, value, slot = self._entries[place]
        refuse_unlike(value.shape, value.dtype, array)
        if is_plain(array):
            self._copies.pop(place, None)
            self._table.enter(slot, array)
        else:
            self._copies[place] = np.array(array, order="C")
            self._table.enter(slot, self._copies[place])
        self._seen[place] = weakref.ref(array)


class Written:
    """Tensors that hold something else after a run, which is written over what they hold if nobody else has that array.

    Else each is first given a copy, since values do not change under anybody's feet.

    Attributes:
        tensors: The Tensors.

    Example:
        >>> table = td.jit.native.table.Table(td.jit.memory.Memory(slots=2))
        >>> with td.backend.use("numpy"):
        ...     w = td.tensor([1.0, 2.0])
        >>> written = td.jit.native.state.Written(table, [(w, td.jit.Value((2,), "float32"), 1)])
        >>> written.arrays()[0] is w.data
        True
        >>> held = w.data
        >>> written.arrays()[0] is held
        False
    """

    def __init__(self, table: Table, entries: Sequence[tuple[Tensor, Value, int | None]]) -> None:
        self._table = table
        self._entries = list(entries)
        self.tensors = [tensor for tensor, _, _ in entries]
        self._own: list[Callable[[], Any]] = [_nothing] * len(entries)
        self._alone = [_ALONE] * len(entries)

    def arrays(self) -> list[np.ndarray]:
        """Return what they hold, which they alone hold and which is in the table then; it must last while it is used.

        Raises:
            ValueError: One of them holds another shape or dtype than when the program was recorded.
        """
        arrays = [tensor.data for tensor in self.tensors]
        if _references(arrays) != self._alone or not all(map(operator.is_, arrays, map(operator.call, self._own))):
            del arrays
            for place, (tensor, value, slot) in enumerate(self._entries):
                self._claim(place, tensor, value, slot)
            arrays = [tensor.data for tensor in self.tensors]
        return arrays

    def _claim(self, place: int, tensor: Tensor, value: Value, slot: int | None) -> None:
        """Let a Tensor hold an array that nobody else has."""
        alone = _references([tensor.data]) == [_ALONE]
        array = tensor.data
        if alone and array is self._own[place]():
            return
        refuse_unlike(value.shape, value.dtype, array)
        whole = type(array) is np.ndarray and array.flags.owndata and array.flags.writeable and is_plain(array)
        if not (alone and whole):
            array = np.array(array, order="C")
            tensor.data = array
        if slot is not None:
            self._table.enter(slot, array)
        self._own[place] = weakref.ref(array)

    def done(self) -> None:
        """Note that their arrays have been written over."""
        written_now(self.tensors)


def refuse_unlike(shape: tuple[int, ...], dtype: np.dtype, given: np.ndarray) -> None:
    """Refuse an array that is not what a program was recorded for.

    Raises:
        ValueError: It has another shape or dtype.
    """
    if given.shape != shape or given.dtype != dtype:
        raise ValueError(
            f"the program was recorded for {dtype.name}{list(shape)}, and was given "
            f"{given.dtype.name}{list(given.shape)}."
        )


def _nothing() -> None:
    """Be a reference to what is no more."""


def _references(arrays: Sequence[np.ndarray]) -> list[int]:
    return list(map(sys.getrefcount, arrays))


def _alone() -> int:
    """Return how many references there are to an array that one Tensor holds, and the list it was put in."""
    tensor = Tensor._wrap(np.zeros(1))
    return _references([tensor.data])[0]


_ALONE = _alone()
