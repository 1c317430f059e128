"""Losses: what training makes small, one value a sample, by Keras's names and defaults.

A cross-entropy is exact only from logits: once a probability has been rounded to 0 or 1, its logarithm is lost. So
``activations.softmax`` and ``activations.sigmoid`` leave their input on their result (``Tensor._logits``), and where
the predictions of a cross-entropy or a divergence carry it, the loss is computed from it; a model that ends in a
softmax trains as if it ended in logits. Other probabilities are limited to [1e-7, 1 - 1e-7], as Keras does; of float16
to [2**-14, 1 - 2**-11], what that type can tell from 0 and 1. A row that should be probabilities of classes is divided
by its sum first; where the sum is 0, as of a row of zeros, which is NaN in Keras, it is taken as it is.

By name, snake case means the function, the same in capitals the class: ``get("mean_squared_error")`` and
``get("MeanSquaredError")``. Names do not depend on capitals alone, so the classes ``Hinge``, ``Huber`` and ``Poisson``
are named "hinge_loss", "huber_loss" and "poisson_loss".
"""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.losses.base import Loss
from tinygrad_dnn.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from tinygrad_dnn.losses.distributions import KLDivergence, Poisson, kl_divergence, poisson
from tinygrad_dnn.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
)
from tinygrad_dnn.losses.hinge import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from tinygrad_dnn.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)

__all__ = [
    "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "Hinge", "Huber", "KLDivergence", "LogCosh", "Loss", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "SparseCategoricalCrossentropy", "SquaredHinge", "bce", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "cosine_similarity", "get",
    "hinge", "huber", "kl_divergence", "kld", "log_cosh", "mae", "mape", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "poisson",
    "serialize", "sparse_categorical_crossentropy", "squared_hinge",
]  # fmt: skip

bce = binary_crossentropy
kld = kl_divergence
mae = mean_absolute_error
mape = mean_absolute_percentage_error
mse = mean_squared_error
msle = mean_squared_logarithmic_error

get, serialize = registry.losses.get, registry.losses.serialize


@hookimpl
def register_losses(register: Register) -> None:
    """Register the built-in losses, as a plugin registers its own."""
    plain: tuple[Any, ...] = (
        sparse_categorical_crossentropy, categorical_crossentropy, binary_focal_crossentropy,
        categorical_focal_crossentropy, log_cosh, cosine_similarity, huber, hinge, squared_hinge, categorical_hinge,
        poisson,
        SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, BinaryFocalCrossentropy,
        CategoricalFocalCrossentropy, MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
        MeanSquaredLogarithmicError, LogCosh, CosineSimilarity, SquaredHinge, CategoricalHinge, KLDivergence,
    )  # fmt: skip
    for loss in plain:
        register(loss)
    with_alias = {
        "bce": binary_crossentropy, "kld": kl_divergence, "mae": mean_absolute_error,
        "mape": mean_absolute_percentage_error, "mse": mean_squared_error, "msle": mean_squared_logarithmic_error,
    }  # fmt: skip
    for alias, function in with_alias.items():
        register(function, aliases=(alias,))
    # Names have no capitals: as "huber", the class and the function would be one.
    renamed = {"hinge_loss": Hinge, "huber_loss": Huber, "poisson_loss": Poisson}
    for name, cls in renamed.items():
        register(cls, name=name)
