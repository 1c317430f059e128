"""Data cut into batches of Tensors; where a pass over them is can be kept, and gone on from."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import numpy as np

from tinygrad_dnn import nested
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.data.given import Batch, check_finite, checked_arrays, unpack_x_y_sample_weight
from tinygrad_dnn.data.indexed import IndexedBatches, is_indexed
from tinygrad_dnn.data.residence import at_hand, fits, on_host, resident, sent
from tinygrad_dnn.data.weighing import class_weights
from tinygrad_dnn.tensor import Tensor


class ArrayBatches:
    """Arrays cut into batches, in order or in a new random order each time.

    The arrays stay as they are (an image of bytes is not widened before its batch is due) and go to the thread's
    backend once; where they are too large for that, see ``set_resident_limit``, each batch goes there by itself.

    Args:
        x: Inputs, (samples, ...), or several in a list, tuple or dict; likewise the two that follow.
        y: Targets, (samples, ...), or None.
        sample_weight: One number a sample, or None.
        batch_size: How many samples a batch has, the last one perhaps fewer; 32 by default.
        class_weight: As for ``class_weights``.
        rng: What draws the order of each epoch; None keeps the given order.
        caller: What errors call the function that was given the data.
        examine: Called once with the first inputs (at most a batch, or 32), all targets, and True: their values may be
            looked at.

    Raises:
        ValueError: The arrays are empty, of different lengths, hold NaN, or the batch size is no positive integer.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        *,
        class_weight: Any = None,
        rng: np.random.Generator | None = None,
        caller: str = "fit",
        examine: Callable[[Any, Any, bool], None] | None = None,
    ) -> None:
        batch_size = 32 if batch_size is None else batch_size
        as_integer(batch_size, f"{caller}: batch_size", "[1, inf)")
        arrays = checked_arrays(Batch(x, y, sample_weight), caller)
        for name, array in arrays.named():
            check_finite(array, name, caller)
        self.num_samples = len(nested.first(arrays.x))
        self.batch_size = int(batch_size)
        self.rng = rng
        self.class_weight = class_weight
        self.caller = caller
        self.is_resident = fits(arrays)
        sources = arrays.each(resident if self.is_resident else on_host)
        first = sources.each(lambda array: resident(array[: min(self.batch_size, 32)]))
        if self.is_resident:
            sources = self._weighted(sources)
        else:
            self._weighted(first)  # where the class weights are wrong, they are refused before the first step
        if examine is not None:
            examine(first.x, arrays.y, True)
        self.sources = sources
        # The batch that the next pass begins with, and what drew the order of the last one as it was before.
        self._first = 0
        self._before: Any = None

    def shuffle(self, make: Callable[[], np.random.Generator]) -> None:
        """Let what ``make`` returns draw a new order of the samples for each epoch."""
        self.rng = make()

    def __len__(self) -> int:
        return math.ceil(self.num_samples / self.batch_size)

    def get_state(self, step: int) -> dict[str, Any]:
        """Return what the passes that follow depend on, after so many batches of one; 0 between two passes."""
        if self.rng is None:
            return {"step": step}
        return {"step": step, "generator": self._before if step else self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Let the next pass begin where ``get_state`` was called."""
        self._first = state["step"]
        if self.rng is not None:
            self.rng.bit_generator.state = state["generator"]

    def __iter__(self) -> Iterator[Batch]:
        first, self._first = self._first, 0
        order = None
        if self.rng is not None:
            self._before = self.rng.bit_generator.state
            order = self.rng.permutation(self.num_samples)
        starts = range(first * self.batch_size, self.num_samples, self.batch_size)
        places = (slice(start, min(start + self.batch_size, self.num_samples)) for start in starts)
        yield from self._gathered(places, order) if self.is_resident else self._streamed(places, order)

    def _gathered(self, places: Iterable[slice], order: np.ndarray | None) -> Iterator[Batch]:
        """Yield the batches of data that lie where the steps are made: the order alone is brought there."""
        there = None if order is None else resident(order)
        for place in places:
            yield self.sources.each(operator.itemgetter(place if there is None else there[place]))

    def _streamed(self, places: Iterable[slice], order: np.ndarray | None) -> Iterator[Batch]:
        """Yield the batches of data that lie on the host; each begins to be brought over before the one before it."""
        mixed = any(isinstance(array, Tensor) for _, array in self.sources.named())
        there = resident(order) if mixed and order is not None else None

        def begin(place: slice) -> Batch:
            here: Any = place if order is None else order[place]
            on_device: Any = place if there is None else there[place]
            return self.sources.each(lambda array: sent(array[on_device if isinstance(array, Tensor) else here]))

        begun = map(begin, places)
        current = next(begun, None)
        while current is not None:
            following = next(begun, None)
            yield self._weighted(current.each(operator.call))
            current = following

    def _weighted(self, batch: Batch) -> Batch:
        return _weighted(batch, self.class_weight, self.caller)


class IterableBatches:
    """Batches from any iterable of x, (x, y) or (x, y, sample_weight); unlike a list, a generator runs out.

    An iterable that has the methods ``get_state()`` and ``set_state(state)`` says itself where it is; one that has
    ``on_epoch_end()`` is told when an epoch is over.

    Args:
        batches: The iterable; or what gives batches by their number, see ``IndexedBatches``.
        steps: How many batches an epoch takes; by default all there are.
        goes_on: Whether such an epoch begins where the one before has ended, of batches by their number; a generator
            goes on in any case, and a list begins anew.
        class_weight: As for ``class_weights``, applied to each batch.
        caller: What errors call the function that was given the data.
        examine: Called with the inputs and targets of each batch, and whether the targets' values may be looked at: not
            where that would be to wait for a device at each step.

    Raises:
        ValueError: ``steps`` is no positive integer, or missing where the batches have no end.
    """

    def __init__(
        self,
        batches: Any,
        steps: int | None = None,
        *,
        goes_on: bool = False,
        class_weight: Any = None,
        caller: str = "fit",
        examine: Callable[[Any, Any, bool], None] | None = None,
    ) -> None:
        if steps is not None:
            as_integer(steps, f"{caller}: the number of steps", "[1, inf)")
        if is_indexed(batches):
            batches = IndexedBatches(batches, goes_on=goes_on and steps is not None, caller=caller)
            if batches.count is None and steps is None:
                raise ValueError(
                    f"{caller}: {type(batches.data).__name__} has no end: say how many steps an epoch takes."
                )
        self.batches = batches
        self.steps = steps
        self.class_weight = class_weight
        self.caller = caller
        self.examine = examine
        self._first = 0
        self._source: Iterator[Any] | None = None
        # How many passes were made, where one goes on where the one before has ended.
        self._passes = 0

    def shuffle(self, make: Callable[[], np.random.Generator]) -> None:
        """Let what ``make`` returns draw a new order of batches that are asked for by their number; others keep it."""
        if isinstance(self.batches, IndexedBatches):
            self.batches.rng = make()

    def __len__(self) -> int:
        if self.steps is not None:
            return self.steps
        return len(self.batches) if isinstance(self.batches, Sized) else 0

    def get_state(self, step: int) -> dict[str, Any]:
        """Return where the iterable is, after so many batches of a pass; 0 between two passes."""
        own = getattr(self.batches, "get_state", None)
        if own is not None and hasattr(self.batches, "set_state"):
            return {"step": step, "own": own()}
        return {"step": step, "passes": self._passes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Let the next pass begin where ``get_state`` was called, of an iterable that gives the same batches again.

        Raises:
            ValueError: It gives fewer.
        """
        self._first = state["step"]
        if "own" in state:
            getattr(self.batches, "set_state")(state["own"])  # noqa: B009  # which an iterable need not have
            return
        for _ in range(state["passes"] - self._passes):
            self._skip(self.steps or 0)
            self._passes += 1
        self._source = self._skip(self._first)

    def _skip(self, count: int) -> Iterator[Any]:
        """Begin a pass, and take so many batches."""
        source: Iterator[Any] = iter(self.batches)
        for number in range(count):
            try:
                next(source)
            except StopIteration:
                raise ValueError(
                    f"{self.caller}: the data ran out after {number} batches, and {count} were taken before the "
                    "training was interrupted: give it the same batches, from the first on."
                ) from None
        return source

    def __iter__(self) -> Iterator[Batch]:
        # Of a generator, iter is itself: the next epoch goes on where this one ends.
        source = iter(self.batches) if self._source is None else self._source
        count, self._first, self._source = self._first, 0, None
        # Asked before each item: asking after it would take one batch too many from a generator.
        while self.steps is None or count < self.steps:
            try:
                item = next(source)
            except StopIteration:
                break
            yield self._as_batch(item)
            count += 1
        if not count or (self.steps is not None and count < self.steps):
            raise ValueError(
                f"{self.caller}: the data ran out after {count} batches"
                + (f", {self.steps} are one epoch" if self.steps is not None else "")
                + ": a generator can be gone through once; give a list of batches, or one that goes on for all epochs."
            )
        if source is self.batches and self.steps is not None:
            self._passes += 1
        ended = getattr(self.batches, "on_epoch_end", None)
        if ended is not None:
            ended()

    def _as_batch(self, item: Any) -> Batch:
        arrays = checked_arrays(unpack_x_y_sample_weight(item), self.caller)
        for name, array in arrays.named():
            if at_hand(array):
                check_finite(array, name, self.caller)
        batch = _weighted(arrays.each(sent).each(operator.call), self.class_weight, self.caller)
        if self.examine is not None:
            self.examine(batch.x, arrays.y, all(at_hand(array) for array in nested.leaves(arrays.y)))
        return batch


def _weighted(batch: Batch, class_weight: Any, caller: str) -> Batch:
    """Return a batch whose samples also count by their classes, where there are weights for these."""
    if class_weight is None:
        return batch
    return batch._replace(sample_weight=class_weights(batch.y, class_weight, batch.sample_weight, caller))
