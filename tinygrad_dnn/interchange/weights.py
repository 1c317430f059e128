"""Weights by their paths, the names of the layers they are in and their own: of Keras's models, and of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_dnn.models import Model

# What Keras's layers keep beside the weights that the same layers have here.
_NOT_WEIGHTS = frozenset({"count", "seed_generator_state"})


def weights_by_path(model: Any) -> dict[str, Any]:
    """Return all weights of a model, Keras's or this package's, by the names of the layers they are in and their own.

    Example:
        >>> model = td.Sequential([td.layers.Dense(2, name="d", input_shape=(3,))])
        >>> list(td.interchange.weights_by_path(model))
        ['d/kernel', 'd/bias']
    """
    found: dict[str, Any] = {}
    for layer in model.layers:
        own = {weight.name: weight for weight in getattr(layer, "weights", ())}  # Keras's operations have none
        inside = weights_by_path(layer) if hasattr(layer, "layers") else own
        found.update((f"{layer.name}/{name}", weight) for name, weight in inside.items())
    return found


def set_weights_by_path(model: Model, weights: Mapping[str, np.ndarray]) -> None:
    """Set all weights of a model from arrays by their paths; nothing is set if one is missing or has another shape.

    Raises:
        ValueError: A weight is missing, left over, or of another shape.

    Example:
        >>> model = td.Sequential([td.layers.Dense(1, name="d", input_shape=(2,))])
        >>> td.interchange.set_weights_by_path(model, {"d/kernel": np.ones((2, 1)), "d/bias": np.zeros(1)})
        >>> model.predict(np.ones((1, 2)))
        array([[2.]], dtype=float32)
    """
    own = weights_by_path(model)
    given = {path: weights[path] for path in weights if path in own or path.rpartition("/")[2] not in _NOT_WEIGHTS}
    left = sorted(set(given) - set(own))
    # A Normalization that was given its mean and variance keeps them as arguments in Keras.
    missing = [path for path in own if path not in given and not _is_given(model, path)]
    if left or missing:
        wrong = f"there is no weight {left[0]!r}" if left else f"the weight {missing[0]!r} is missing"
        raise ValueError(f"model {model.name!r}: {wrong}; the model has {sorted(own)}.")
    for path, value in given.items():
        if own[path].shape != tuple(value.shape):
            raise ValueError(
                f"model {model.name!r}: the weight {path!r} has shape {own[path].shape} and was given {value.shape}."
            )
    for path, value in given.items():
        own[path].assign(np.asarray(value).astype(own[path].dtype))


def _is_given(model: Model, path: str) -> bool:
    layer: Any = model
    for name in path.split("/")[:-1]:
        layer = layer.get_layer(name)
    return getattr(layer, "input_mean", None) is not None
