"""Models from Keras and for Keras: what Keras itself is asked for; it is imported when it is needed."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_dnn import registry
from tinygrad_dnn.interchange.keras_objects import NoCounterpartError
from tinygrad_dnn.interchange.keras_reading import compile_from_keras, model_from_keras
from tinygrad_dnn.interchange.keras_writing import compile_to_keras, model_to_keras
from tinygrad_dnn.interchange.weights import set_weights_by_path, weights_by_path
from tinygrad_dnn.models import Model


def from_keras(model: Any, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Return a model of this package with the layers, names, weights and training settings of one of Keras 3.

    What Keras has and this package has not is refused by name. Where the optimizer, the loss or a metric is the reason,
    the model comes without training settings, and a warning says why. An optimizer begins anew: its moments stay
    behind.

    Args:
        model: A ``keras.Sequential`` or a functional ``keras.Model``, built.
        custom_objects: Layers and other things of this package by the names of the classes in Keras whose place they
            take, where these are not registered here.

    Raises:
        TypeError: It is no model of Keras's.
        NoCounterpartError: A ValueError: a layer, or an argument of one, has no counterpart here.

    Example:
        >>> import keras  # doctest: +SKIP
        >>> td.from_keras(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).count_params()  # doctest: +SKIP
        10
    """
    if not all(hasattr(model, name) for name in ("get_config", "get_compile_config", "layers", "weights")):
        raise TypeError(f"from_keras: it takes a model of Keras 3, not {type(model).__name__}.")
    name = type(model).__name__
    # As JSON, so that shapes are lists and numbers Python's, whatever Keras keeps them in.
    config = json.loads(json.dumps(model.get_config(), default=_plain))
    with registry.scope(custom_objects):
        return _from_keras(model, {"class_name": name, "config": config})


def _from_keras(model: Any, config: dict[str, Any]) -> Model:
    try:
        made = model_from_keras(config)
    except NoCounterpartError as error:
        raise NoCounterpartError(f"from_keras: {error}") from error
    if model.built:
        set_weights_by_path(made, {path: np.asarray(weight) for path, weight in weights_by_path(model).items()})
    settings = model.get_compile_config()
    if settings:
        try:
            compile_from_keras(made, json.loads(json.dumps(settings, default=_plain)))
        except (TypeError, ValueError) as error:
            warnings.warn(f"from_keras: model {made.name!r} is not compiled: {error}", stacklevel=3)
    return made


def to_keras(model: Model) -> Any:
    """Return a Keras 3 model with the layers, names, weights and training settings of one of this package.

    Needs keras, with a backend: ``pip install keras jax``.

    Args:
        model: A ``Sequential`` or a ``Model(inputs, outputs)``.

    Raises:
        ImportError: Keras is not installed.
        TypeError: It is no model.
        NoCounterpartError: A ValueError: a layer, or an argument of one, has no counterpart in Keras.

    Example:
        >>> model = td.Sequential([td.Input(shape=(4,)), td.layers.Dense(2)])
        >>> td.to_keras(model).count_params()  # doctest: +SKIP
        10
    """
    if not isinstance(model, Model):
        raise TypeError(f"to_keras: it takes a model, not {type(model).__name__}.")
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        raise ImportError("to_keras needs Keras 3 and a backend of it: pip install keras jax.") from error
    try:
        config = model_to_keras(model)
    except NoCounterpartError as error:
        raise NoCounterpartError(f"to_keras: {error}") from error
    cls = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    try:
        made = cls.from_config(config["config"])
    except (TypeError, ValueError) as error:
        raise NoCounterpartError(f"to_keras: Keras cannot make model {model.name!r}: {error}") from error
    own = weights_by_path(model)
    for path, weight in weights_by_path(made).items():
        if path in own:
            weight.assign(own[path].numpy())
    _settle(made)
    if model._compiled:
        try:
            made.compile_from_config(compile_to_keras(model))
        except (TypeError, ValueError) as error:
            warnings.warn(f"to_keras: model {model.name!r} is not compiled: {error}", stacklevel=2)
    return made


def _settle(model: Any) -> None:
    """Let Keras's layers that keep something made of their weights, as Normalization does, make it anew."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            _settle(layer)
        elif hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _plain(value: Any) -> Any:
    """Return what JSON has no form for as what it has."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
