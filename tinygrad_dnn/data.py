"""What ``fit``, ``evaluate`` and ``predict`` are given, checked and cut into batches of Tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn import backend, ops
from tinygrad_dnn.tensor import Tensor, as_tensor

# Rows looked at in one go for NaN: the mask of a whole data set would double its memory.
_CHUNK = 4096


class Batch(NamedTuple):
    """One batch: inputs, and targets and weights where there are any, each with the batch as its first axis."""

    x: Any
    y: Any = None
    sample_weight: Any = None


def unpack_x_y_sample_weight(data: Any) -> Batch:
    """Return the parts of what ``train_step`` is given: (x), (x, y) or (x, y, sample_weight), the missing ones None.

    Raises:
        ValueError: It is a tuple of more than three parts.

    Example:
        >>> td.data.unpack_x_y_sample_weight((1, 2)).sample_weight is None
        True
    """
    parts = data if isinstance(data, tuple) else (data,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight), not a tuple of {len(parts)} parts.")
    return Batch(*parts)


class ArrayBatches:
    """Arrays cut into batches, in order or in a new random order each time.

    The arrays stay as they are (an image of bytes is not widened before its batch is due) and go to the thread's
    backend once.

    Args:
        x: Inputs, (samples, ...).
        y: Targets, (samples, ...), or None.
        sample_weight: One number a sample, or None.
        batch_size: How many samples a batch has, the last one perhaps fewer.
        rng: What draws the order of each epoch; None keeps the given order.
        caller: What errors call the function that was given the data.

    Raises:
        ValueError: The arrays are empty, of different lengths, hold NaN, or the batch size is no positive integer.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        rng: np.random.Generator | None = None,
        caller: str = "fit",
    ) -> None:
        batch_size = 32 if batch_size is None else batch_size
        if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or batch_size < 1:
            raise ValueError(f"{caller}: batch_size must be a positive integer, not {batch_size!r}.")
        named = {"x": x, "y": y, "sample_weight": sample_weight}
        arrays = {name: as_array(value, name, caller) for name, value in named.items() if value is not None}
        self.num_samples = len(arrays["x"])
        for name, array in arrays.items():
            if len(array) != self.num_samples:
                raise ValueError(
                    f"{caller}: x has {self.num_samples} samples and {name} has {len(array)}: "
                    "each sample needs its own."
                )
            check_finite(array, name, caller)
        if not self.num_samples:
            raise ValueError(f"{caller}: x has no samples (its shape is {arrays['x'].shape}): give it at least one.")
        weights = arrays.get("sample_weight")
        if weights is not None and weights.ndim != 1:
            raise ValueError(f"{caller}: sample_weight is one number a sample, not an array of shape {weights.shape}.")
        self.batch_size = int(batch_size)
        self.rng = rng
        self.sources = tuple(self._resident(arrays[name]) if name in arrays else None for name in named)

    @staticmethod
    def _resident(array: Any) -> Tensor:
        return array if isinstance(array, Tensor) else Tensor._wrap(backend.current().from_host(array))

    def __len__(self) -> int:
        return math.ceil(self.num_samples / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = None
        if self.rng is not None:
            order = self._resident(self.rng.permutation(self.num_samples))
        for start in range(0, self.num_samples, self.batch_size):
            chosen: Any = slice(start, min(start + self.batch_size, self.num_samples))
            if order is not None:
                chosen = order[chosen]
            yield Batch(*(None if source is None else source[chosen] for source in self.sources))


class IterableBatches:
    """Batches from any iterable of x, (x, y) or (x, y, sample_weight); unlike a list, a generator runs out.

    Args:
        batches: The iterable.
        steps: How many batches an epoch takes; by default all there are.
        class_weight: As for ``class_weights``, applied to each batch.
        caller: What errors call the function that was given the data.
    """

    num_samples = None

    def __init__(
        self, batches: Iterable[Any], steps: int | None = None, class_weight: Any = None, caller: str = "fit"
    ) -> None:
        self.batches = batches
        self.steps = steps
        self.class_weight = class_weight
        self.caller = caller
        self._running = iter(batches) if iter(batches) is batches else None

    def __len__(self) -> int:
        if self.steps is not None:
            return self.steps
        return len(self.batches) if isinstance(self.batches, Sized) else 0

    def __iter__(self) -> Iterator[Batch]:
        source = self._running if self._running is not None else iter(self.batches)
        count = 0
        # Asked before each item: asking after it would take one batch too many from a generator.
        while self.steps is None or count < self.steps:
            try:
                item = next(source)
            except StopIteration:
                break
            count += 1
            yield self._as_batch(item)
        if not count or (self.steps is not None and count < self.steps):
            raise ValueError(
                f"{self.caller}: the data ran out after {count} batches"
                + (f", {self.steps} are one epoch" if self.steps is not None else "")
                + ": a generator can be gone through once; give a list of batches, or one that goes on for all epochs."
            )

    def _as_batch(self, item: Any) -> Batch:
        batch = unpack_x_y_sample_weight(item)
        weight = class_weights(batch.y, self.class_weight, batch.sample_weight)
        parts = []
        for name, value in (("x", batch.x), ("y", batch.y), ("sample_weight", weight)):
            if value is not None and not isinstance(value, Tensor):
                value = as_array(value, name, self.caller)
                check_finite(value, name, self.caller)
            parts.append(None if value is None else as_tensor(value))
        return Batch(*parts)


def is_arrays(x: Any, y: Any) -> bool:
    """Tell whether ``x`` holds all samples at once, rather than being an iterable of batches."""
    if y is not None or isinstance(x, Tensor) or hasattr(x, "__array__"):
        return True
    if not hasattr(x, "__iter__"):
        raise ValueError(f"x must be an array or an iterable of batches, not {type(x).__name__}.")
    return isinstance(x, (list, tuple)) and not any(isinstance(item, tuple) or hasattr(item, "__array__") for item in x)


def as_array(value: Any, name: str, caller: str) -> Any:
    """Return ``value`` as a NumPy array of numbers, or the Tensor it is.

    Raises:
        ValueError: It is none, or has no axis of samples.
    """
    if not isinstance(value, Tensor):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{caller}: {name} is no array of numbers ({error}).") from error
        if value.dtype.kind not in "fiub":
            raise ValueError(f"{caller}: {name} must hold numbers, not {value.dtype}.")
    if not value.ndim:
        raise ValueError(f"{caller}: {name} is a single number; its first axis must be that of the samples.")
    return value


def check_finite(array: Any, name: str, caller: str) -> None:
    """Raise ValueError where a floating-point array holds NaN or infinity, naming the first sample that does."""
    if isinstance(array, Tensor) or array.dtype.kind != "f":
        return
    for start in range(0, len(array), _CHUNK):
        part = array[start : start + _CHUNK]
        finite = np.isfinite(part)
        if not finite.all():
            place = np.argwhere(~finite)[0]
            raise ValueError(
                f"{caller}: {name} holds {part[tuple(place)]} at sample {start + place[0]}"
                f"{f', place {tuple(int(i) for i in place[1:])}' if part.ndim > 1 else ''}: replace or drop it."
            )


def class_weights(y: Any, class_weight: Any, sample_weight: Any = None) -> Any:
    """Return one weight a sample: that of its class, times ``sample_weight`` where there is one.

    Args:
        y: Labels, (samples,) or (samples, 1), or one-hot rows.
        class_weight: A dict from class to weight, 1 for those left out; None returns ``sample_weight``.
        sample_weight: One number a sample, or None.

    Raises:
        ValueError: There are no targets to weigh by.
    """
    if class_weight is None:
        return sample_weight
    if y is None:
        raise ValueError("fit: class_weight needs targets y.")
    labels = y.numpy() if isinstance(y, Tensor) else np.asarray(y)
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    weights = np.ones(len(labels), backend.floatx())
    for label, weight in dict(class_weight).items():
        weights[labels == label] = weight
    return weights if sample_weight is None else weights * np.asarray(sample_weight)


def split_validation(arrays: tuple[Any, ...], fraction: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Cut the last ``fraction`` of the samples off each array; return the training and the validation part.

    Raises:
        ValueError: The fraction is not in (0, 1), or leaves one of the parts empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fit: validation_split must be in [0, 1), not {fraction!r}.")
    n = len(arrays[0])
    edge = math.floor(n * (1.0 - fraction))
    if edge in (0, n):
        raise ValueError(f"fit: validation_split={fraction} of {n} samples leaves {edge} to train on.")
    first = tuple(None if a is None else as_array(a, "x", "fit")[:edge] for a in arrays)
    return first, tuple(None if a is None else as_array(a, "x", "fit")[edge:] for a in arrays)


def to_host(outputs: list[Tensor]) -> np.ndarray:
    """Join the outputs of all batches into one NumPy array."""
    return np.concatenate([out.numpy() for out in outputs]) if outputs else ops.zeros((0,)).numpy()
