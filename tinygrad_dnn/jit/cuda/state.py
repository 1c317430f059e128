"""State: the arrays of Tensors on a device, read where they are, and written in a home that stays where it is.

A graph holds addresses. So a Tensor that programs write over has an array of its own which all of them know, its home:
what is assigned to the Tensor in between is brought home, and the graphs stay what they are.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.backend import Backend
from tinygrad_dnn.backend.devices import Array, Device
from tinygrad_dnn.jit.cuda.table import Table, row_major
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.tensor import Tensor, assigned_now, written_now

_data = operator.attrgetter("data")
_assigned = operator.attrgetter("_assigned")


class Home:
    """The array that programs write over in the place of a Tensor's; it lasts as long as one of them.

    Attributes:
        array: The array; None as long as there is none.
        moves: How often it became another one.
    """

    __slots__ = ("__weakref__", "array", "moves")

    def __init__(self) -> None:
        self.array: Array | None = None
        self.moves = 0


# Of the programs' Tensors on each device, by their identity: a Home does not outlive the programs, which hold them.
_homes: weakref.WeakKeyDictionary[Device, weakref.WeakValueDictionary[int, Home]] = weakref.WeakKeyDictionary()


def _home_of(device: Device, tensor: Tensor) -> Home:
    homes = _homes.setdefault(device, weakref.WeakValueDictionary())
    return homes.setdefault(id(tensor), Home())


class Written:
    """Tensors that hold something else after a run.

    Args:
        table: Where their arrays are entered.
        backend: Whose arrays they are.
        device: Where they are.
        entries: The Tensors, with a value of the same shape and dtype, and the slot.
    """

    def __init__(
        self, table: Table, backend: Backend, device: Device, entries: Sequence[tuple[Tensor, Value, int]]
    ) -> None:
        self._table, self._backend, self._device = table, backend, device
        self._entries = list(entries)
        self.tensors = [tensor for tensor, _, _ in entries]
        self._homes = [_home_of(device, tensor) for tensor in self.tensors]
        self._moves = [-1] * len(entries)
        self._alone = [_alone(device)] * len(entries)

    def claim(self) -> bool:
        """Bring the Tensors home, each to an array that nobody else has; tell whether one of those moved.

        Raises:
            ValueError: One of them holds something else than an array as when the program was recorded.
        """
        if (
            all(map(operator.is_, map(_data, self.tensors), self.arrays()))
            and [home.moves for home in self._homes] == self._moves
            and self._device.references(self.arrays()) == self._alone
        ):
            return False
        for (tensor, value, _), home in zip(self._entries, self._homes, strict=True):
            refuse_unlike(value, tensor.data, self._backend, tensor)
            self._bring(tensor, home, value)
        moved = False
        for place, ((_, _, slot), home) in enumerate(zip(self._entries, self._homes, strict=True)):
            moved |= self._table.enter(slot, home.array)
            self._moves[place] = home.moves
        return moved

    def _bring(self, tensor: Tensor, home: Home, value: Value) -> None:
        """Let a Tensor hold its home, which is another one if somebody else has that."""
        there = tensor.data is home.array
        if home.array is None or self._device.references([home.array]) != [self._alone[0] - (not there)]:
            array = _new(self._device, value)
            self._device.copy(array, tensor.data)
            home.array = array
            home.moves += 1
        elif there:
            return
        else:
            self._device.copy(home.array, tensor.data)
        assigned_now(tensor, home.array)

    def arrays(self) -> list[Array]:
        """Return the homes."""
        return [home.array for home in self._homes]

    def show(self) -> None:
        """Let the table have the homes as arrays."""
        for (_, _, slot), home in zip(self._entries, self._homes, strict=True):
            self._table.arrays[slot] = home.array

    def done(self) -> None:
        """Note that the homes have been written over."""
        written_now(self.tensors)


class Read:
    """Tensors that a program only reads: where their arrays are, or, once that has changed, as copies.

    Args:
        table: Where their arrays are entered.
        backend: Whose arrays they are.
        device: Where they are.
        entries: The Tensors, each with its value and slot.
    """

    def __init__(
        self, table: Table, backend: Backend, device: Device, entries: Sequence[tuple[Tensor, Value, int]]
    ) -> None:
        self._table, self._backend, self._device = table, backend, device
        self._entries = list(entries)
        self._tensors = [tensor for tensor, _, _ in entries]
        self._seen: list[tuple[int, int] | None] = [None] * len(entries)
        self._copies: dict[int, Array] = {}

    def look(self) -> bool:
        """See what they hold; tell whether any array is elsewhere than before.

        Raises:
            ValueError: One of them holds something else than an array as when the program was recorded.
        """
        # The arrays themselves are not kept, or a program that writes over one would have to make another. Without
        # an assignment, of which the stamp tells, no array takes the place of another.
        now: list[Any] = list(zip(map(id, map(_data, self._tensors)), map(_assigned, self._tensors), strict=True))
        moved = False
        if now != self._seen:
            for place, (seen, before) in enumerate(zip(now, self._seen, strict=True)):
                if seen != before:
                    moved |= self._see(place, before is None)
                    self._seen[place] = seen
        return moved

    def _see(self, place: int, first: bool) -> bool:
        tensor, value, slot = self._entries[place]
        refuse_unlike(value, tensor.data, self._backend, tensor)
        copy = self._copies.get(place)
        if copy is None and self._device.is_plain(tensor.data):
            moved = self._table.enter(slot, tensor.data)
            if first or not moved:
                return moved
        if copy is not None:
            self._device.copy(copy, tensor.data)
            return False
        copy = self._copies[place] = _new(self._device, value)
        self._device.copy(copy, tensor.data)
        return self._table.enter(slot, copy)

    def show(self) -> None:
        """Let the table have the arrays as such."""
        for place, (tensor, _, slot) in enumerate(self._entries):
            self._table.arrays[slot] = self._copies.get(place, tensor.data)


def refuse_unlike(value: Value, given: Array, backend: Backend, tensor: Tensor | None = None) -> None:
    """Refuse an array that is not what a program was recorded for.

    Raises:
        ValueError: It is another library's, or has another shape or dtype.
    """
    kind: Any = backend.array_type
    whose = "" if tensor is None else f" by {getattr(tensor, 'path', '') or 'a Tensor'}"
    if not isinstance(given, kind):
        raise ValueError(
            f"the program was recorded for arrays of backend {backend.name!r}, and was given{whose} one of type "
            f"{type(given).__name__}: bring it over first."
        )
    if given.shape != value.shape or given.dtype != value.dtype:
        raise ValueError(
            f"the program was recorded for {value.dtype.name}{list(value.shape)}, and was given{whose} "
            f"{given.dtype.name}{list(given.shape)}."
        )


def _new(device: Device, value: Value) -> Array:
    step = value.dtype.itemsize
    memory = device.empty(value.size * step)
    return device.seen(memory, 0, value.shape, value.dtype, row_major(value.shape, step))


def _alone(device: Device) -> int:
    """Return how many references there are to an array that a Tensor and its Home hold, and the list it was put in."""
    home, tensor = Home(), Tensor._wrap(np.zeros(1))
    home.array = tensor.data = _new(device, Value((1,), np.uint8))
    (found,) = device.references([home.array])
    return found
