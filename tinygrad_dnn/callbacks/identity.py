"""What a training is: the model, how it learns and how its data are cut, in words that tell it from another."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_dnn.data import ArrayBatches, IndexedBatches, IterableBatches
from tinygrad_dnn.tensor import Tensor

# Names are numbered by how many layers a process has made; what is trainable may change in training.
_PASSING = frozenset({"name", "trainable"})


def identity(model: Any, batches: ArrayBatches | IterableBatches) -> dict[str, Any]:
    """Return everything that a state of a training depends on and that the training itself does not change.

    Args:
        model: The model, built and compiled.
        batches: What it is trained on.

    Example:
        >>> model = td.Sequential([td.Input((3,)), td.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> found = td.callbacks.identity.identity(model, td.data.ArrayBatches(np.ones((8, 3)), np.ones((8, 2))))
        >>> found["layer 2 (Dense), units"], found["weights"], found["samples"]
        (2, ['float32 (3, 2)', 'float32 (2,)'], 8)
    """
    return {**dict(_of_model(model)), **dict(_of_data(batches))}


def difference(then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Return in words the first thing in which two of them differ, None if there is none.

    Example:
        >>> td.callbacks.identity.difference({"samples": 8, "batch size": 2}, {"samples": 8, "batch size": 4})
        'batch size is 2 there and 4 here'
    """
    for key in [*then, *(key for key in now if key not in then)]:
        if key not in now:
            return f"{key} is {_short(then[key])} there, and there is none here"
        if key not in then:
            return f"{key} is {_short(now[key])} here, and there is none there"
        if then[key] != now[key]:
            return f"{key} is {_short(then[key])} there and {_short(now[key])} here"
    return None


def _of_model(model: Any) -> Iterator[tuple[str, Any]]:
    layers = [layer for layer, _ in model._flatten()][1:]
    yield "the number of layers", len(layers)
    for number, layer in enumerate(layers, 1):
        kind = type(layer).__name__
        yield f"layer {number}", kind
        if not hasattr(layer, "fit"):  # a model inside is known by its layers
            yield from _configured(f"layer {number} ({kind})", layer)
    yield "weights", [f"{weight.dtype.name} {weight.shape}" for weight in model.weights]
    optimizer = model.optimizer
    while optimizer is not None:
        yield "the optimizer", type(optimizer).__name__
        inner = getattr(optimizer, "inner_optimizer", None)  # one that wraps another
        for key, value in _configured(f"the optimizer {type(optimizer).__name__}", optimizer):
            # A number as the learning rate is part of the state: callbacks change it.
            changes = key.endswith(", learning_rate") and isinstance(value, (int, float))
            if inner is None or not key.endswith(", inner_optimizer"):
                yield key, "a number" if changes else value
        optimizer = inner
    yield from ((key, _plain(value)) for key, value in model._objectives._given.items())


def _of_data(batches: ArrayBatches | IterableBatches) -> Iterator[tuple[str, Any]]:
    if isinstance(batches, ArrayBatches):
        yield "samples", batches.num_samples
        yield "batch_size", batches.batch_size
        yield "shuffle", batches.rng is not None
    else:
        yield "steps_per_epoch", batches.steps
        if isinstance(batches.batches, IndexedBatches):
            yield "batches", len(batches.batches)
            yield "shuffle", batches.batches.rng is not None


def _configured(owner: str, thing: Any) -> Iterator[tuple[str, Any]]:
    try:
        config = thing.get_config()
    except Exception:  # a class of the user's need not have one that works
        return
    for key, value in config.items():
        if key not in _PASSING:
            yield f"{owner}, {key}", _plain(value)


def _plain(value: Any) -> Any:
    """Return a value in JSON's types, without what differs between two makings of the same thing."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.generic)):
        return float(value) if value == value else "nan"  # which would differ from itself
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items() if key not in _PASSING}
    if isinstance(value, (Tensor, np.ndarray)):
        array = np.ascontiguousarray(value)
        return f"{array.dtype.name} {array.shape} with the checksum {zlib.crc32(array.tobytes())}"
    if not isinstance(value, type) and hasattr(value, "get_config"):
        try:
            return {"class_name": type(value).__name__, **_plain(value.get_config())}
        except Exception:  # as above
            return type(value).__name__
    return getattr(value, "__qualname__", None) or type(value).__name__


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
