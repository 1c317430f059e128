"""Batches that are asked for by their number, as Keras's ``PyDataset`` and ``Sequence`` give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def is_indexed(data: Any) -> bool:
    """Tell whether ``data`` gives batches by their number: it has ``__getitem__``, and a length or ``num_batches``.

    What can be iterated as well is iterated, unless it wants to hear of the end of an epoch; arrays, lists, tuples and
    dicts are none of these.

    Example:
        >>> class Squares:
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, number):
        ...         return np.full((2, 1), number), np.full((2, 1), number**2)
        >>> td.data.is_indexed(Squares()), td.data.is_indexed([1, 2])
        (True, False)
    """
    kind = type(data)
    if not hasattr(kind, "__getitem__") or isinstance(data, (list, tuple, dict, str, bytes)):
        return False
    if hasattr(data, "__array__") or not (hasattr(kind, "__len__") or hasattr(kind, "num_batches")):
        return False
    return hasattr(data, "on_epoch_end") or not hasattr(kind, "__iter__")


class IndexedBatches:
    """An iterable of batches that are asked for by their number, in order or in a new random order each time.

    The data hear ``on_epoch_begin()`` and ``on_epoch_end()``, if they have such methods. Where they have
    ``get_state()`` and ``set_state(state)`` they say themselves what they are like; else a training that goes on tells
    them of as many epochs as have passed, so that data which shuffle themselves by a seed are as they were.

    Args:
        data: What ``is_indexed`` says yes to. What Keras's loads batches by, ``workers`` and ``max_queue_size``, is not
            used: each batch is loaded when it is due, in the thread that trains.
        rng: What draws the order of each round; None keeps the data's.
        goes_on: Whether a pass that is cut short is gone on with by the next one, round after round.
        caller: What errors call the function that was given the data.

    Raises:
        ValueError: There are no batches.

    Example:
        >>> class Squares:
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, number):
        ...         return number**2
        >>> list(td.data.IndexedBatches(Squares()))
        [0, 1, 4, 9]
    """

    def __init__(
        self, data: Any, rng: np.random.Generator | None = None, goes_on: bool = False, caller: str = "fit"
    ) -> None:
        self.data = data
        self.rng = rng
        self.caller = caller
        self._goes_on = goes_on
        # How many batches of the round were given, their order, and what drew it as it was before.
        self._place = 0
        self._order: np.ndarray | None = None
        self._before: Any = None
        self._resumed = False
        self._epochs = 0
        _ = self.count

    @property
    def count(self) -> int | None:
        """How many batches a round has; None if it has no end."""
        count: int | None = self.data.num_batches if hasattr(self.data, "num_batches") else len(self.data)
        if count is not None and count < 1:
            raise ValueError(f"{self.caller}: {type(self.data).__name__} has no batches, its length is {count}.")
        return count

    def __len__(self) -> int:
        return self.count or 0

    def __iter__(self) -> Iterator[Any]:
        if not (self._goes_on or self._resumed):
            self._place = 0
        self._resumed = False
        self._tell("on_epoch_begin")
        while True:
            if not self._place:
                self._draw()
            while (count := self.count) is None or self._place < count:
                number = self._place if self._order is None else int(self._order[self._place])
                self._place += 1
                yield self.data[number]
            if not self._goes_on:
                return
            self._place = 0

    def on_epoch_end(self) -> None:
        """Tell the data that an epoch is over."""
        self._epochs += 1
        if not self._goes_on:
            self._place = 0
        self._tell("on_epoch_end")

    def get_state(self) -> dict[str, Any]:
        """Return where it is, for ``set_state``."""
        state: dict[str, Any] = {"place": self._place, "epochs": self._epochs}
        if self.rng is not None:
            state["generator"] = self._before if self._place else self.rng.bit_generator.state
        if self._keeps_state():
            state["data"] = self.data.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Let the next pass go on where ``get_state`` was called."""
        if self._keeps_state():
            self.data.set_state(state["data"])
        else:
            for _ in range(state["epochs"] - self._epochs):
                self._tell("on_epoch_begin")
                self._tell("on_epoch_end")
        self._epochs, self._place, self._resumed = state["epochs"], state["place"], True
        if self.rng is not None:
            self.rng.bit_generator.state = state["generator"]
        if self._place:
            self._draw()

    def _draw(self) -> None:
        if self.rng is not None:
            self._before = self.rng.bit_generator.state
            self._order = None if (count := self.count) is None else self.rng.permutation(count)

    def _keeps_state(self) -> bool:
        return hasattr(self.data, "get_state") and hasattr(self.data, "set_state")

    def _tell(self, moment: str) -> None:
        method = getattr(self.data, moment, None)
        if method is not None:
            method()
