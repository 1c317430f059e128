"""Metrics: what is reported while training, updated batch by batch, by Keras's names and defaults."""

from __future__ import annotations

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    resolve_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from tinygrad_dnn.metrics.base import Mean, MeanMetricWrapper, Metric
from tinygrad_dnn.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from tinygrad_dnn.metrics.curves import AUC
from tinygrad_dnn.metrics.f_score import F1Score, FBetaScore
from tinygrad_dnn.metrics.of_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from tinygrad_dnn.metrics.r2_score import R2Score

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge",
    "KLDivergence", "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanMetricWrapper",
    "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric", "Poisson", "Precision", "R2Score", "Recall",
    "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SquaredHinge", "TopKCategoricalAccuracy", "TrueNegatives", "TruePositives",
    "accuracy", "binary_accuracy", "categorical_accuracy", "get", "resolve_accuracy", "serialize",
    "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip

get, serialize = registry.metrics.get, registry.metrics.serialize


@hookimpl
def register_metrics(register: Register) -> None:
    """Register the built-in metrics, as a plugin registers its own."""
    plain: tuple[type[Metric], ...] = (
        Mean, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
        SparseTopKCategoricalAccuracy, TruePositives, TrueNegatives, FalsePositives, FalseNegatives, Precision, Recall,
        AUC, F1Score, CategoricalCrossentropy, SparseCategoricalCrossentropy, Poisson, Hinge, SquaredHinge,
        CategoricalHinge, CosineSimilarity, RootMeanSquaredError, R2Score,
    )  # fmt: skip
    for metric in plain:
        register(metric)
    with_alias: dict[str, type[Metric]] = {
        "acc": Accuracy, "bce": BinaryCrossentropy, "fbeta_score": FBetaScore, "kld": KLDivergence,
        "logcosh": LogCoshError, "mae": MeanAbsoluteError, "mape": MeanAbsolutePercentageError,
        "mse": MeanSquaredError, "msle": MeanSquaredLogarithmicError,
    }  # fmt: skip
    for alias, metric in with_alias.items():
        register(metric, aliases=(alias,))
