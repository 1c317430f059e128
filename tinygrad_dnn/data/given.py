"""What a user gave: all samples or batches of them, and whether they are numbers, equally many and finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn import nested, ops
from tinygrad_dnn.backend.base import memory_of
from tinygrad_dnn.data.indexed import is_indexed
from tinygrad_dnn.tensor import Tensor, from_dlpack, refuse_masked

# Numbers looked at in one go for NaN: their mask stays in the processor's cache; on a device few kernels are started.
_CHUNK, _CHUNK_ON_DEVICE = 2**17, 2**24


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

    def each(self, function: Callable[[Any], Any]) -> Batch:
        """Return a batch with a function's values in the place of the arrays."""
        return Batch(*(nested.map_leaves(lambda a: None if a is None else function(a), part) for part in self))

    def named(self) -> Iterator[tuple[str, Any]]:
        """Yield each array with what an error calls it."""
        for name, part in zip(self._fields, self, strict=True):
            yield from ((place, array) for place, array in nested.named_leaves(part, name) if array is not None)


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


def is_arrays(x: Any, y: Any, caller: str, inputs: int = 1) -> bool:
    """Tell whether ``x`` holds all samples at once, rather than being an iterable of batches.

    Args:
        x: What the user gave for the inputs.
        y: What the user gave for the targets: what comes with targets holds all samples.
        caller: What errors call the function that was given the data.
        inputs: How many inputs the model is known to have: a list of arrays alone is several inputs to a model that has
            them, and batches to any other.

    Raises:
        ValueError: It is neither, or gives batches by their number and there are targets besides.
    """
    if x is None:
        raise ValueError(f"{caller}: there is no x; give the inputs.")
    if is_indexed(x):
        if y is not None:
            raise ValueError(f"{caller}: {type(x).__name__} gives batches (x, y) by their number: leave out y.")
        return False
    if y is not None or isinstance(x, (Tensor, dict)) or hasattr(x, "__array__"):
        return True
    if not hasattr(x, "__iter__") or isinstance(x, (str, bytes, Mapping)):
        raise ValueError(f"{caller}: x must be an array or an iterable of batches, not {shown(x)}.")
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
    (head, first), *others = arrays.named()
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
    if not isinstance(value, Tensor) and memory_of(value) == "cuda":
        value = from_dlpack(value)
    refuse_masked(value, f"{caller}: {name}")
    if not isinstance(value, Tensor):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"{caller}: {name} must be an array of numbers, not nested lists of unequal lengths."
            ) from error
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            what = {"O": shown(value), "U": "text", "S": "text"}.get(array.dtype.kind, array.dtype)
            raise ValueError(f"{caller}: {name} must be an array of numbers, not {what}.")
        value = array
    if not value.ndim:
        raise ValueError(f"{caller}: {name} is a single number; its first axis must be that of the samples.")
    return value


def shown(value: object) -> str:
    """Return a value with its type, for an error."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def check_finite(array: Any, name: str, caller: str) -> None:
    """Raise ValueError where a floating-point array holds NaN or infinity, naming the first sample that does."""
    if array.dtype.kind != "f":
        return
    chunk = _CHUNK_ON_DEVICE if isinstance(array, Tensor) else _CHUNK
    rows = max(1, chunk * len(array) // max(1, array.size))
    parts = [array[start : start + rows] for start in range(0, len(array), rows)]
    if isinstance(array, Tensor):
        # All are looked at before the first answer is waited for.
        finite = ops.stack([ops.all(ops.isfinite(part)) for part in parts]).numpy()
        if finite.all():
            return
        parts = [part if good else part.numpy() for part, good in zip(parts, finite, strict=True)]
    for number, part in enumerate(parts):
        if isinstance(part, np.ndarray) and not (finite := np.isfinite(part)).all():
            place = np.argwhere(~finite)[0]
            raise ValueError(
                f"{caller}: {name} holds {part[tuple(place)]} at sample {number * rows + place[0]}"
                f"{f', place {tuple(int(i) for i in place[1:])}' if part.ndim > 1 else ''}: replace or drop it."
            )
