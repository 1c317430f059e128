"""Layers by Keras's names, by family."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.layers.core import Activation, Dense, Flatten, InputLayer
from tinygrad_dnn.layers.dropout import AlphaDropout, Dropout
from tinygrad_dnn.layers.normalization import BatchNormalization

__all__ = [
    "Activation",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "InputLayer",
    "Layer",
    "get",
]


def get(identifier: Any) -> Any:
    """Return a layer by name, configuration or as given; see ``Registry.get``.

    Example:
        >>> td.layers.get({"class_name": "dense", "config": {"units": 3}}).units
        3
    """
    return registry.layers.get(identifier)


@hookimpl
def register_layers(register: Register) -> None:
    """Register the built-in layers, as a plugin registers its own."""
    for layer in (InputLayer, Flatten, Activation, Dense, BatchNormalization, Dropout, AlphaDropout):
        register(layer)
