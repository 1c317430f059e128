"""What ``fit``, ``evaluate`` and ``predict`` are given, checked and cut into batches of Tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn import backend, nested, ops
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.tensor import Tensor

# Rows looked at in one go for NaN: the mask of a whole data set would double its memory.
_CHUNK = 4096


class Batch(NamedTuple):
    """One batch: inputs, and targets and weights where there are any, each with the batch as its first axis.

    Each is an array, or a list, tuple or dict of arrays where a model has several inputs or outputs.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None

    def packed(self) -> Any:
        """Return it as Keras hands it to ``train_step``: x, (x, y) or (x, y, sample_weight).

        Several inputs alone are (x,): their list would be taken for x and y.
        """
        if self.sample_weight is not None:
            return tuple(self)
        if self.y is not None:
            return (self.x, self.y)
        return (self.x,) if isinstance(self.x, (list, tuple)) else self.x


def unpack_x_y_sample_weight(data: Any) -> Batch:
    """Return the parts of a batch, as ``train_step`` is given it: x, (x, y) or (x, y, sample_weight); None if missing.

    Raises:
        ValueError: It is a tuple of more than three parts.

    Example:
        >>> td.data.unpack_x_y_sample_weight((1, 2)).sample_weight is None
        True
    """
    parts = tuple(data) if is_batch(data) else (data,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight), not a tuple of {len(parts)} parts.")
    return Batch(*parts)


class ArrayBatches:
    """Arrays cut into batches, in order or in a new random order each time.

    The arrays stay as they are (an image of bytes is not widened before its batch is due) and go to the thread's
    backend once.

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
        for name, array in _named(arrays):
            check_finite(array, name, caller)
        self.num_samples = len(nested.first(arrays.x))
        self.batch_size = int(batch_size)
        self.rng = rng
        x, y, weight = _each(resident, arrays)
        if class_weight is not None:
            weight = class_weights(y, class_weight, weight, caller)
        if examine is not None:
            examine(nested.map_leaves(lambda a: a[: min(self.batch_size, 32)], x), arrays.y, True)
        self.sources = Batch(x, y, weight)
        # The batch that the next pass begins with, and what drew the order of the last one as it was before.
        self._first = 0
        self._before: Any = None

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
        order = None
        first, self._first = self._first, 0
        if self.rng is not None:
            self._before = self.rng.bit_generator.state
            order = resident(self.rng.permutation(self.num_samples))
        for start in range(first * self.batch_size, self.num_samples, self.batch_size):
            chosen: Any = slice(start, min(start + self.batch_size, self.num_samples))
            if order is not None:
                chosen = order[chosen]
            yield _each(operator.itemgetter(chosen), self.sources)


class IterableBatches:
    """Batches from any iterable of x, (x, y) or (x, y, sample_weight); unlike a list, a generator runs out.

    An iterable that has the methods ``get_state()`` and ``set_state(state)`` says itself where it is.

    Args:
        batches: The iterable.
        steps: How many batches an epoch takes; by default all there are.
        class_weight: As for ``class_weights``, applied to each batch.
        caller: What errors call the function that was given the data.
        examine: Called with the inputs and targets of each batch, and whether the targets' values may be looked at: not
            where that would be to wait for a device at each step.

    Raises:
        ValueError: ``steps`` is no positive integer.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        steps: int | None = None,
        *,
        class_weight: Any = None,
        caller: str = "fit",
        examine: Callable[[Any, Any, bool], None] | None = None,
    ) -> None:
        if steps is not None:
            as_integer(steps, f"{caller}: the number of steps", "[1, inf)")
        self.batches = batches
        self.steps = steps
        self.class_weight = class_weight
        self.caller = caller
        self.examine = examine
        self._first = 0
        self._source: Iterator[Any] | None = None
        # How many passes were made, where one goes on where the one before has ended.
        self._passes = 0

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
        source = iter(self.batches)
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

    def _as_batch(self, item: Any) -> Batch:
        arrays = checked_arrays(unpack_x_y_sample_weight(item), self.caller)
        for name, array in _named(arrays):
            if _at_hand(array):
                check_finite(array, name, self.caller)
        x, y, weight = _each(resident, arrays)
        if self.class_weight is not None:
            weight = class_weights(y, self.class_weight, weight, self.caller)
        if self.examine is not None:
            self.examine(x, arrays.y, all(_at_hand(array) for array in nested.leaves(arrays.y)))
        return Batch(x, y, weight)


def _each(function: Callable[[Any], Any], batch: Batch) -> Batch:
    """Return a batch with the function's values in the place of its arrays."""
    return Batch(*(nested.map_leaves(lambda a: None if a is None else function(a), part) for part in batch))


def _named(batch: Batch) -> Iterator[tuple[str, Any]]:
    """Yield each array of a batch with what an error calls it."""
    for name, part in zip(Batch._fields, batch, strict=True):
        yield from ((place, array) for place, array in nested.named_leaves(part, name) if array is not None)


def _at_hand(array: Any) -> bool:
    """Tell whether an array's values can be looked at without waiting for a device."""
    return not isinstance(array, Tensor) or array.backend.name == "numpy"


def is_arrays(x: Any, y: Any, caller: str, inputs: int = 1) -> bool:
    """Tell whether ``x`` holds all samples at once, rather than being an iterable of batches.

    Args:
        x: What the user gave for the inputs.
        y: What the user gave for the targets: what comes with targets holds all samples.
        caller: What errors call the function that was given the data.
        inputs: How many inputs the model is known to have: a list of arrays alone is several inputs to a model that has
            them, and batches to any other.

    Raises:
        ValueError: It is neither.
    """
    if x is None:
        raise ValueError(f"{caller}: there is no x; give the inputs.")
    if y is not None or isinstance(x, (Tensor, dict)) or hasattr(x, "__array__"):
        return True
    if not hasattr(x, "__iter__") or isinstance(x, (str, bytes, Mapping)):
        raise ValueError(f"{caller}: x must be an array or an iterable of batches, not {_shown(x)}.")
    if not isinstance(x, (list, tuple)) or any(is_batch(item) for item in x):
        return False
    return inputs > 1 or not any(hasattr(item, "__array__") for item in x)


def is_batch(item: Any) -> bool:
    """Tell whether ``item`` holds the parts of a batch: it is a tuple, or a list of arrays, as some loaders give."""
    return isinstance(item, tuple) or (isinstance(item, list) and any(hasattr(part, "__array__") for part in item))


def checked_arrays(given: Batch, caller: str) -> Batch:
    """Return NumPy arrays or Tensors of numbers for all samples of a data set or a batch, equally many each.

    Raises:
        ValueError: Something is no array of numbers, has no samples, or has another number of them than the inputs.
    """
    if given.x is None:
        raise ValueError(f"{caller}: there is no x; give the inputs.")
    arrays = Batch(*(None if a is None else as_arrays(a, n, caller) for n, a in zip(Batch._fields, given, strict=True)))
    (head, first), *others = _named(arrays)
    samples = len(first)
    if not samples:
        raise ValueError(f"{caller}: {head} has no samples (its shape is {first.shape}): give it at least one.")
    for name, array in others:
        if len(array) != samples:
            raise ValueError(
                f"{caller}: {head} has {samples} samples and {name} has {len(array)}: each sample needs its own."
            )
        if name.startswith("sample_weight") and array.shape not in ((samples,), (samples, 1)):
            raise ValueError(f"{caller}: {name} is one number a sample, not an array of shape {array.shape}.")
    return arrays


def as_arrays(value: Any, name: str, caller: str) -> Any:
    """Return ``value`` as a NumPy array of numbers or the Tensor it is; several in a list or dict, as they are in one.

    Among several targets or weights there may be None, for an output that has none.

    Raises:
        ValueError: It is none, or has no axis of samples.
    """
    if isinstance(value, dict):
        parts: Any = {key: _as_part(part, f"{name}[{key!r}]", caller) for key, part in value.items()}
    elif isinstance(value, (list, tuple)) and any(isinstance(a, dict) or getattr(a, "ndim", 0) for a in value):
        parts = [_as_part(part, f"{name}[{i}]", caller) for i, part in enumerate(value)]
    else:
        return _as_array(value, name, caller)
    if not parts:
        raise ValueError(f"{caller}: {name} is empty: give at least one array.")
    return parts


def _as_part(value: Any, name: str, caller: str) -> Any:
    if value is None and not name.startswith("x"):
        return None
    return as_arrays(value, name, caller)


def _as_array(value: Any, name: str, caller: str) -> Any:
    if not isinstance(value, Tensor):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"{caller}: {name} must be an array of numbers, not nested lists of unequal lengths."
            ) from error
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            what = {"O": _shown(value), "U": "text", "S": "text"}.get(array.dtype.kind, array.dtype)
            raise ValueError(f"{caller}: {name} must be an array of numbers, not {what}.")
        value = array
    if not value.ndim:
        raise ValueError(f"{caller}: {name} is a single number; its first axis must be that of the samples.")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def resident(array: Any) -> Tensor:
    """Return an array as a Tensor on the thread's backend, without history and, where possible, without a copy."""
    here = backend.current()
    if isinstance(array, Tensor):
        # Without history: the first backward pass would free the graph that the array came from.
        return array.to(here.name).detach()
    return Tensor._wrap(here.from_host(array))


def check_finite(array: Any, name: str, caller: str) -> None:
    """Raise ValueError where a floating-point array holds NaN or infinity, naming the first sample that does."""
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), _CHUNK):
        part = array[start : start + _CHUNK]
        if isinstance(part, Tensor):
            if bool(ops.all(ops.isfinite(part))):
                continue
            part = part.numpy()
        finite = np.isfinite(part)
        if not finite.all():
            place = np.argwhere(~finite)[0]
            raise ValueError(
                f"{caller}: {name} holds {part[tuple(place)]} at sample {start + place[0]}"
                f"{f', place {tuple(int(i) for i in place[1:])}' if part.ndim > 1 else ''}: replace or drop it."
            )


def class_weights(y: Tensor | None, class_weight: Any, sample_weight: Tensor | None, caller: str) -> Tensor:
    """Return one weight a sample: that of its class, times ``sample_weight`` where there is one.

    Args:
        y: Labels, (samples,) or (samples, 1), or one-hot rows.
        class_weight: A dict from class to weight, 1 for those left out.
        sample_weight: One number a sample, or None.
        caller: What errors call the function that was given the data.

    Raises:
        ValueError: There are no targets to weigh by, or the weights are no such dict.
    """
    if not isinstance(y, Tensor):
        what = "targets y" if y is None else "one array of targets, and there are several: give sample_weight"
        raise ValueError(f"{caller}: class_weight needs {what}.")
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"{caller}: class_weight must be a dict from class to weight, as {{0: 1.0, 1: 2.5}}, not "
            f"{_shown(class_weight)}."
        )
    if y.ndim > 2:
        raise ValueError(f"{caller}: class_weight needs one class a sample, and y has shape {y.shape}.")
    labels = y
    if y.ndim == 2:
        labels = ops.argmax(y, -1) if y.shape[-1] > 1 else ops.reshape(y, (-1,))
    weights = ops.ones_like(labels, backend.floatx())
    for label, weight in class_weight.items():
        if not (_is_number(label) and float(label).is_integer() and _is_number(weight) and 0 <= weight < math.inf):
            raise ValueError(
                f"{caller}: class_weight must give integer classes weights of at least 0, not {label!r} the weight "
                f"{weight!r}."
            )
        weights = ops.where(labels == int(label), float(weight), weights)
    if sample_weight is None:
        return weights
    return weights * ops.reshape(ops.cast(sample_weight, weights.dtype), weights.shape)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def split_validation(arrays: Batch, fraction: float) -> tuple[Batch, Batch]:
    """Cut the last ``fraction`` of the samples off each array; return the training and the validation part.

    Raises:
        ValueError: The fraction is not in (0, 1), or leaves one of the parts empty.
    """
    if not _is_number(fraction) or not 0 < fraction < 1:
        raise ValueError(f"fit: validation_split must be in [0, 1), not {fraction!r}.")
    n = len(nested.first(arrays.x))
    edge = math.floor(n * (1.0 - fraction))
    if edge in (0, n):
        raise ValueError(
            f"fit: validation_split={fraction} of {n} samples leaves {edge} to train on and {n - edge} to validate on."
        )
    return _each(lambda array: array[:edge], arrays), _each(lambda array: array[edge:], arrays)
