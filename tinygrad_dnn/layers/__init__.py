"""Layers by Keras's names, by family."""

from __future__ import annotations

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.layers.activation import ELU, LeakyReLU, PReLU, ReLU, RReLU, Softmax
from tinygrad_dnn.layers.augmentation import (
    CenterCrop,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Resizing,
)
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.layers.convolution import Conv2D, ZeroPadding2D
from tinygrad_dnn.layers.core import Activation, Dense, Flatten, Input, InputLayer
from tinygrad_dnn.layers.dropout import AlphaDropout, Dropout
from tinygrad_dnn.layers.functions import Lambda, Operation
from tinygrad_dnn.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from tinygrad_dnn.layers.noise import GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from tinygrad_dnn.layers.normalization import BatchNormalization, LayerNormalization
from tinygrad_dnn.layers.pooling import (
    AveragePooling2D,
    AvgPool2D,
    GlobalAveragePooling2D,
    GlobalAvgPool2D,
    MaxPool2D,
    MaxPooling2D,
)
from tinygrad_dnn.layers.reshaping import Normalization, Permute, RepeatVector, Rescaling, Reshape
from tinygrad_dnn.layers.symbolic import SymbolicTensor

__all__ = [
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "CenterCrop",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "ELU",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "Operation",
    "PReLU",
    "Permute",
    "RReLU",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "Subtract",
    "SymbolicTensor",
    "ZeroPadding2D",
    "add",
    "average",
    "concatenate",
    "get",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]

get, serialize = registry.layers.get, registry.layers.serialize


@hookimpl
def register_layers(register: Register) -> None:
    """Register the built-in layers, as a plugin registers its own."""
    for layer in (
        InputLayer, Flatten, Activation, Dense, Lambda, Operation,
        ReLU, LeakyReLU, PReLU, RReLU, ELU, Softmax,
        BatchNormalization, LayerNormalization,
        Dropout, AlphaDropout, SpatialDropout1D, SpatialDropout2D, GaussianDropout, GaussianNoise,
        Reshape, Permute, RepeatVector, Rescaling, Normalization,
        Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate,
        Conv2D, ZeroPadding2D, MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D,
        RandomFlip, RandomTranslation, RandomRotation, RandomZoom, RandomCrop, RandomContrast, RandomBrightness,
        CenterCrop, Resizing,
    ):  # fmt: skip
        register(layer)
