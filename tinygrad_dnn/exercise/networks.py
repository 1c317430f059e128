"""The networks of the exercise: 20 dense layers of 100 units in four variants, which is too many; that is the point."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tinygrad_dnn import layers
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.optimizers import Nadam

HIDDEN_LAYERS, UNITS, CLASSES = 20, 100, 10


def elu(model: Sequential) -> None:
    """Add the hidden layers of part 1."""
    for _ in range(HIDDEN_LAYERS):
        model.add(layers.Dense(UNITS, activation="elu", kernel_initializer="he_normal"))


def batch_normalization(model: Sequential) -> None:
    """Add the hidden layers of part 2."""
    model.add(layers.BatchNormalization())
    for _ in range(HIDDEN_LAYERS):
        model.add(layers.Dense(UNITS, kernel_initializer="he_normal"))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("elu"))


def selu(model: Sequential) -> None:
    """Add the hidden layers of part 3."""
    for _ in range(HIDDEN_LAYERS):
        model.add(layers.Dense(UNITS, activation="selu", kernel_initializer="lecun_normal"))


def alpha_dropout(model: Sequential) -> None:
    """Add the hidden layers of part 4."""
    selu(model)
    model.add(layers.AlphaDropout(rate=0.1))


class Variant(NamedTuple):
    """One part of the exercise."""

    title: str
    add_hidden_layers: Callable[[Sequential], None]
    learning_rate: float
    standardized: bool


VARIANTS = {
    "elu": Variant("ELU, He", elu, 5e-5, standardized=False),
    "bn": Variant("batch normalisation", batch_normalization, 5e-4, standardized=False),
    "selu": Variant("SELU, LeCun", selu, 7e-4, standardized=True),
    "alpha": Variant("SELU, alpha dropout", alpha_dropout, 5e-4, standardized=True),
}


def build(variant: Variant, image_shape: tuple[int, ...]) -> Sequential:
    """Make and compile the network of a variant."""
    model = Sequential([layers.InputLayer(shape=image_shape), layers.Flatten()])
    variant.add_hidden_layers(model)
    model.add(layers.Dense(CLASSES, activation="softmax"))
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=Nadam(learning_rate=variant.learning_rate),
        metrics=["accuracy"],
    )
    return model
