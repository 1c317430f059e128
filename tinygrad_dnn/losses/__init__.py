"""Losses: what training makes small, one value a sample, by Keras's names and defaults.

A cross-entropy is exact only from logits: once a probability has been rounded to 0 or 1, its logarithm is lost. So
``activations.softmax`` and ``activations.sigmoid`` leave their input on their result (``Tensor._logits``), and where
the predictions of a cross-entropy carry it, the loss is computed from it; a model that ends in a softmax trains as
if it ended in logits. Other probabilities are limited to [1e-7, 1 - 1e-7], as Keras does.
"""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.losses.classes import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from tinygrad_dnn.losses.functions import (
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "Loss", "MeanAbsoluteError", "MeanSquaredError",
    "SparseCategoricalCrossentropy", "binary_crossentropy", "categorical_crossentropy", "get", "mae",
    "mean_absolute_error", "mean_squared_error", "mse", "serialize", "sparse_categorical_crossentropy",
]  # fmt: skip

mse = mean_squared_error
mae = mean_absolute_error


def get(identifier: Any, /, **kwargs: Any) -> Any:
    """Return a loss by name, with arguments if any are given, or as it is; see ``Registry.get``.

    A name in snake case means the function, the same in capitals the class.

    Raises:
        ValueError: Nothing has this name.
        TypeError: What is given is no loss.

    Example:
        >>> td.losses.get("mse") is td.losses.mean_squared_error
        True
        >>> td.losses.get("MeanSquaredError").reduction
        'sum_over_batch_size'
    """
    return registry.losses.get(identifier, **kwargs)


def serialize(loss: Any) -> str | dict[str, Any] | None:
    """Return what ``get`` makes the loss from again; see ``Registry.serialize``.

    Raises:
        ValueError: It is not registered.

    Example:
        >>> td.losses.serialize(td.losses.mse)
        'mean_squared_error'
    """
    return registry.losses.serialize(loss)


@hookimpl
def register_losses(register: Register) -> None:
    """Register the built-in losses, as a plugin registers its own."""
    for loss in (
        sparse_categorical_crossentropy, categorical_crossentropy, binary_crossentropy,
        SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError, MeanAbsoluteError,
    ):  # fmt: skip
        register(loss)
    register(mean_squared_error, aliases=("mse",))
    register(mean_absolute_error, aliases=("mae",))
