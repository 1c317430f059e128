"""Losses: value of each sample, reduced values, and gradients with respect to the predictions."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

FUNCTIONS = {
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "BinaryCrossentropy": "binary_crossentropy",
    "CategoricalFocalCrossentropy": "categorical_focal_crossentropy",
    "BinaryFocalCrossentropy": "binary_focal_crossentropy",
    "MeanSquaredError": "mean_squared_error",
    "MeanAbsoluteError": "mean_absolute_error",
    "MeanAbsolutePercentageError": "mean_absolute_percentage_error",
    "MeanSquaredLogarithmicError": "mean_squared_logarithmic_error",
    "Huber": "huber",
    "LogCosh": "log_cosh",
    "Hinge": "hinge",
    "SquaredHinge": "squared_hinge",
    "CategoricalHinge": "categorical_hinge",
    "KLDivergence": "kl_divergence",
    "Poisson": "poisson",
    "CosineSimilarity": "cosine_similarity",
}
SPARSE, CATEGORICAL, BINARY = "SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"
CLIPPED = "Keras on JAX clips probabilities to [1e-7, 1 - 1e-7]: value and gradient at 0 and 1 are that clip's"

# name: (class, arguments, labels, predictions, note)
CASES: dict[str, tuple[str, dict[str, Any], str, str, str | None]] = {
    "sparse_probabilities": (SPARSE, {}, "sparse", "probabilities", None),
    "sparse_column_probabilities": (SPARSE, {}, "sparse_column", "probabilities", None),
    "sparse_logits": (SPARSE, {"from_logits": True}, "sparse", "logits", None),
    "sparse_column_logits": (SPARSE, {"from_logits": True}, "sparse_column", "logits", None),
    "sparse_logits_extreme": (SPARSE, {"from_logits": True}, "sparse", "logits_extreme", None),
    "sparse_probabilities_clipped": (SPARSE, {}, "sparse", "probabilities_extreme", CLIPPED),
    "sparse_ignore_class": (SPARSE, {"from_logits": True, "ignore_class": 3}, "sparse", "logits", None),
    "categorical_probabilities": (CATEGORICAL, {}, "one_hot", "probabilities", None),
    "categorical_unnormalized": (
        CATEGORICAL,
        {},
        "one_hot",
        "probabilities_doubled",
        "rows that sum to 2 are divided by their sum",
    ),
    "categorical_smoothing": (CATEGORICAL, {"label_smoothing": 0.1}, "one_hot", "probabilities", None),
    "categorical_logits": (CATEGORICAL, {"from_logits": True}, "one_hot", "logits", None),
    "categorical_logits_soft": (CATEGORICAL, {"from_logits": True}, "soft", "logits", None),
    "categorical_logits_smoothing": (
        CATEGORICAL,
        {"from_logits": True, "label_smoothing": 0.1},
        "one_hot",
        "logits",
        None,
    ),
    "categorical_logits_extreme": (CATEGORICAL, {"from_logits": True}, "one_hot", "logits_extreme", None),
    "categorical_logits_smoothing_extreme": (
        CATEGORICAL,
        {"from_logits": True, "label_smoothing": 0.1},
        "one_hot",
        "logits_extreme",
        None,
    ),
    "categorical_probabilities_clipped": (CATEGORICAL, {}, "one_hot", "probabilities_extreme", CLIPPED),
    "binary_probabilities": (BINARY, {}, "binary", "binary_probabilities", None),
    "binary_smoothing": (BINARY, {"label_smoothing": 0.2}, "binary", "binary_probabilities", None),
    "binary_logits": (BINARY, {"from_logits": True}, "binary", "binary_logits", None),
    "binary_logits_smoothing": (
        BINARY,
        {"from_logits": True, "label_smoothing": 0.2},
        "binary",
        "binary_logits",
        None,
    ),
    "binary_logits_extreme": (BINARY, {"from_logits": True}, "binary", "binary_logits_extreme", None),
    "binary_probabilities_clipped": (BINARY, {}, "binary", "binary_probabilities_extreme", CLIPPED),
    "multilabel_probabilities": (BINARY, {}, "multilabel", "multilabel_probabilities", None),
    "multilabel_logits": (BINARY, {"from_logits": True}, "multilabel", "multilabel_logits", None),
    "mse": ("MeanSquaredError", {}, "targets", "outputs", None),
    "mse_column": ("MeanSquaredError", {}, "target_column", "output_column", None),
    "mae": ("MeanAbsoluteError", {}, "targets", "outputs", None),
    "mape": ("MeanAbsolutePercentageError", {}, "targets", "outputs", None),
    "msle": ("MeanSquaredLogarithmicError", {}, "targets_positive", "outputs_positive", None),
    "huber": ("Huber", {}, "targets", "outputs", None),
    "huber_delta": ("Huber", {"delta": 0.3}, "targets", "outputs", None),
    "log_cosh": ("LogCosh", {}, "targets", "outputs", None),
    "hinge": ("Hinge", {}, "signs", "outputs", None),
    "hinge_zero_one": ("Hinge", {}, "multilabel", "multilabel_logits", "labels 0 become -1"),
    "squared_hinge": ("SquaredHinge", {}, "signs", "outputs", None),
    "categorical_hinge": ("CategoricalHinge", {}, "one_hot", "probabilities", None),
    "kl_divergence": ("KLDivergence", {}, "soft", "probabilities", None),
    "poisson": ("Poisson", {}, "targets_positive", "outputs_positive", None),
    "cosine_similarity": ("CosineSimilarity", {}, "targets", "outputs", None),
    "binary_focal": ("BinaryFocalCrossentropy", {}, "binary", "binary_probabilities", None),
    "binary_focal_balanced": (
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5},
        "binary",
        "binary_probabilities",
        None,
    ),
    "categorical_focal": ("CategoricalFocalCrossentropy", {}, "one_hot", "probabilities", None),
    "categorical_focal_logits": (
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "gamma": 1.5},
        "one_hot",
        "logits",
        None,
    ),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Every case on eight samples; the labels and predictions stand among the inputs by name."""
    inputs = arrays()
    weight = inputs["sample_weight"]
    cases: dict[str, dict[str, Any]] = {}
    for name, (cls, config, labels, predictions, note) in CASES.items():
        kind = getattr(keras.losses, cls)
        y_true, y_pred = inputs[labels], inputs[predictions]
        loss = kind(**config)
        cases[name] = {
            "class": cls,
            "function": FUNCTIONS[cls],
            "config": config,
            "y_true": labels,
            "y_pred": predictions,
            **({"note": note} if note else {}),
            "per_sample": np.asarray(kind(**config, reduction="none")(y_true, y_pred)),
            "value": float(loss(y_true, y_pred)),
            "value_weighted": float(loss(y_true, y_pred, sample_weight=weight)),
            "value_sum": float(kind(**config, reduction="sum")(y_true, y_pred, sample_weight=weight)),
            "value_weighted_mean": float(
                kind(**config, reduction="mean_with_sample_weight")(y_true, y_pred, sample_weight=weight)
            ),
            "gradient": gradient(loss, y_true, y_pred, None),
            "gradient_weighted": gradient(loss, y_true, y_pred, weight),
        }
    return inputs, cases


def gradient(loss: keras.losses.Loss, y_true: np.ndarray, y_pred: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """d(reduced loss)/d(y_pred)."""
    return np.asarray(jax.grad(lambda p: loss(y_true, p, sample_weight=weight))(jax.numpy.asarray(y_pred)))


def arrays() -> dict[str, Any]:
    """Labels and predictions of every kind, eight samples each."""
    rng = np.random.default_rng(20240505)
    n, classes = 8, 10
    sparse = np.array([0, 3, 9, 5, 3, 7, 1, 2], dtype=np.int32)
    logits = 3 * rng.normal(size=(n, classes))
    soft = rng.dirichlet(np.ones(classes), size=n)
    # Rows of +-50 and +-1e4, the label's entry among the largest, the smallest and in between.
    extreme = rng.choice([-50.0, 50.0], size=(n, classes))
    extreme[4:] = rng.choice([-1e4, 0.0, 1e4], size=(4, classes))
    extreme[6] = -1e4
    extreme[7] = np.linspace(-1e4, 1e4, classes)
    probabilities_extreme = np.eye(classes)[sparse]
    probabilities_extreme[1::2] = np.roll(probabilities_extreme[1::2], 1, axis=1)
    multilabel_logits = 3 * rng.normal(size=(n, 3))
    binary_logits = 3 * rng.normal(size=(n, 1))
    column = np.array([-1e4, -50, 1e4, 50, -1e4, -50, 1e4, 50])[:, None]
    outputs = rng.normal(size=(n, 4))
    values = {
        "one_hot": np.eye(classes)[sparse],
        "soft": soft,
        "logits": logits,
        "logits_extreme": extreme,
        "probabilities": softmax(logits),
        "probabilities_doubled": 2 * softmax(logits),
        "probabilities_extreme": probabilities_extreme,
        "binary": np.array([0, 1, 1, 0, 1, 0, 0, 1])[:, None],
        "binary_logits": binary_logits,
        "binary_logits_extreme": column,
        "binary_probabilities": 1 / (1 + np.exp(-binary_logits)),
        "binary_probabilities_extreme": (column > 0).astype(float),
        "multilabel": rng.integers(0, 2, size=(n, 3)),
        "multilabel_logits": multilabel_logits,
        "multilabel_probabilities": 1 / (1 + np.exp(-multilabel_logits)),
        "targets": outputs + rng.normal(size=(n, 4)),
        "outputs": outputs,
        "target_column": outputs[:, :1] * 2,
        "output_column": outputs[:, 1:2],
        "targets_positive": rng.uniform(0.1, 3.0, size=(n, 4)),
        "outputs_positive": rng.uniform(0.1, 3.0, size=(n, 4)),
        "signs": rng.choice([-1.0, 1.0], size=(n, 4)),
        "sample_weight": np.array([1.0, 0.0, 2.5, 0.3, 1.0, 4.0, 0.7, 1.5]),
    }
    inputs: dict[str, Any] = {name: value.astype(np.float32) for name, value in values.items()}
    return inputs | {"sparse": sparse, "sparse_column": sparse[:, None]}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows to probabilities."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
