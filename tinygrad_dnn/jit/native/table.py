"""The table: where the arrays of a program are in memory, for machine code by slot and for Python by value."""

from __future__ import annotations

import numpy as np

from tinygrad_dnn.jit.memory import ALIGNMENT, ARENA, Memory
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import View


class Table:
    """The addresses of a program's arrays by their slots, and the memory that temporary values share.

    What is entered is not kept: who enters an array sees to it that the array lasts for as long as a run needs it.

    Attributes:
        memory: Where each value lies.
        address: Where the table itself is.
        arrays: The arrays of some slots, for what Python reads by ``array`` during a run.

    Example:
        >>> table = td.jit.native.table.Table(td.jit.memory.Memory(slots=2, arena_bytes=64))
        >>> table.enter(1, np.zeros(3))
        >>> len(table.arrays)
        2
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.arrays: list[np.ndarray | None] = [None] * memory.slots
        self._addresses = np.zeros(memory.slots, np.int64)
        self.address = address(self._addresses)
        block = np.empty(memory.arena_bytes + ALIGNMENT, np.uint8)
        start = -address(block) % ALIGNMENT
        self._arena = block[start : start + memory.arena_bytes]
        self.enter(ARENA, self._arena)
        self._fixed: dict[int, np.ndarray] = {}

    def enter(self, slot: int, array: np.ndarray) -> None:
        """Let machine code find an array in a slot."""
        self._addresses[slot] = address(array)

    def fix(self, slot: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return a new array that is to be in a slot in all runs."""
        array = self._fixed[slot] = np.zeros(shape, dtype)
        self.enter(slot, array)
        return array

    def fixed(self, view: View) -> np.ndarray | None:
        """Return a view of a value's array if that is the same in all runs."""
        base = self._base(view.root)
        return None if base is None else view.of(base)

    def array(self, view: View) -> np.ndarray:
        """Return a view of a value's array in this run."""
        base = self._base(view.root)
        if base is None:
            base = self.arrays[self.memory.places[id(view.root)].slot]
            assert base is not None
        return view.of(base)

    def _base(self, root: Value) -> np.ndarray | None:
        place = self.memory.places[id(root)]
        if place.slot != ARENA:
            return self._fixed.get(place.slot)
        piece: np.ndarray = self._arena[place.offset : place.offset + root.size * root.dtype.itemsize]
        return piece.view(root.dtype).reshape(root.shape)  # type: ignore[no-any-return]


def address(array: np.ndarray) -> int:
    """Return where the first element of an array is.

    Example:
        >>> x = np.zeros(3)
        >>> td.jit.native.table.address(x[1:]) - td.jit.native.table.address(x)
        8
    """
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def is_plain(array: np.ndarray) -> bool:
    """Tell whether machine code can read an array as it lies: elements in row-major order, aligned, side by side.

    Example:
        >>> td.jit.native.table.is_plain(np.zeros((2, 3)).T)
        False
    """
    return array.flags.c_contiguous and array.flags.aligned
