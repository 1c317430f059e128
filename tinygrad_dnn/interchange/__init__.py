"""Interchange: models from Keras 3 and for it, and weights to and from PyTorch's state dicts."""

from tinygrad_dnn.interchange.keras import from_keras, to_keras
from tinygrad_dnn.interchange.keras_objects import (
    NoCounterpartError,
    layer_from_keras,
    layer_to_keras,
    value_from_keras,
    value_to_keras,
)
from tinygrad_dnn.interchange.keras_reading import compile_from_keras, model_from_keras
from tinygrad_dnn.interchange.keras_writing import compile_to_keras, model_to_keras
from tinygrad_dnn.interchange.state_dicts import load_state_dict, state_dict
from tinygrad_dnn.interchange.weights import set_weights_by_path, weights_by_path

__all__ = [
    "NoCounterpartError",
    "compile_from_keras",
    "compile_to_keras",
    "from_keras",
    "layer_from_keras",
    "layer_to_keras",
    "load_state_dict",
    "model_from_keras",
    "model_to_keras",
    "set_weights_by_path",
    "state_dict",
    "to_keras",
    "value_from_keras",
    "value_to_keras",
    "weights_by_path",
]
