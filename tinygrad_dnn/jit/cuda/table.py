"""The table: where the arrays of a program are on a device, by their slots, as addresses and as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.backend.devices import Array, Device
from tinygrad_dnn.jit.cuda.launches import Pointer
from tinygrad_dnn.jit.memory import Memory, Place
from tinygrad_dnn.jit.views import View

# Each piece of the block begins at a multiple of this: whatever a kernel reads at once lies in one line of the cache.
_ALIGNMENT = 256

_BYTE = np.dtype(np.uint8)


class Table:
    """One block of memory, in which some slots have a piece each, and the arrays of Tensors in the other slots.

    Args:
        memory: Where each value of the program lies.
        device: Where the block is to be.
        sizes: How many bytes each slot takes that has a piece of the block, in the block's order.

    Attributes:
        arrays: The arrays in the other slots, while a run needs them as such.
        nbytes: How many bytes the block has.
    """

    def __init__(self, memory: Memory, device: Device, sizes: Mapping[int, int]) -> None:
        self._places = memory.places
        self._device = device
        self.arrays: dict[int, Array] = {}
        self._offsets: dict[int, int] = {}
        self.nbytes = 0
        for slot, nbytes in sizes.items():
            self._offsets[slot] = self.nbytes
            self.nbytes += rounded(nbytes)
        self._block = device.empty(self.nbytes)
        start = device.address(self._block)
        self._addresses = {slot: start + offset for slot, offset in self._offsets.items()}

    def enter(self, slot: int, array: Array) -> bool:
        """Let kernels find an array in a slot; tell whether they have found something else there so far."""
        before, now = self._addresses.get(slot), self._device.address(array)
        self._addresses[slot] = now
        return before != now

    def at(self, pointer: Pointer) -> int:
        """Return the address that a pointer stands for."""
        return self._addresses[pointer.slot] + pointer.offset

    def packed(self, arguments: Iterable[Pointer | int]) -> bytes:
        """Return the bytes of a kernel's arguments."""
        return np.array([self.at(x) if type(x) is Pointer else x for x in arguments], "<i8").tobytes()

    def array(self, view: View) -> Array:
        """Return a view of a value's array; one that is in no piece of the block has to be among ``arrays``."""
        place = self._places[id(view.root)]
        step = view.root.dtype.itemsize
        strides = row_major(view.shape, step) if view.is_whole else tuple(s * step for s in view.strides)
        return self._seen(place, view.offset * step, view.shape, view.root.dtype, strides)

    def piece(self, slot: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return what a slot holds as an array."""
        return self._seen(Place(slot), 0, shape, dtype, row_major(shape, dtype.itemsize))

    def bytes(self, begin: int, end: int) -> Array:
        """Return a part of the block."""
        return self._device.seen(self._block, begin, (end - begin,), _BYTE, (1,))

    def begin(self, slot: int) -> int:
        """Return where a slot's piece of the block begins."""
        return self._offsets[slot]

    def _seen(
        self, place: Place, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...]
    ) -> Array:  # fmt: skip
        start = self._offsets.get(place.slot)
        base = self.arrays[place.slot] if start is None else self._block
        return self._device.seen(base, (start or 0) + place.offset + offset, shape, dtype, strides)


def rounded(nbytes: int) -> int:
    """Return how many bytes a piece of so many takes.

    Example:
        >>> from tinygrad_dnn.jit.cuda.table import rounded
        >>> rounded(0), rounded(4), rounded(257)
        (0, 256, 512)
    """
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def row_major(shape: Sequence[int], step: int) -> tuple[int, ...]:
    """Return how many bytes apart the elements of an array lie whose last axis lies together.

    Example:
        >>> from tinygrad_dnn.jit.cuda.table import row_major
        >>> row_major((2, 1, 3), 4)
        (12, 12, 4)
    """
    strides = []
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))
