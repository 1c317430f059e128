"""Losses: axes other than the last, ignored classes, options of the focal losses, and values far out or at an edge."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from generators.losses import CLIPPED, FUNCTIONS, gradient, softmax

SPARSE, CATEGORICAL, BINARY = "SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"
BINARY_FOCAL, CATEGORICAL_FOCAL = "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"
MILD = "Keras computes a focal loss from probabilities, which of greater logits have lost digits"
ALPHAS = [0.1, 0.4, 1.0, 2.5]

# name: (class, arguments, labels, predictions, note)
CASES: dict[str, tuple[str, dict[str, Any], str, str, str | None]] = {
    "sparse_ignore_class": (SPARSE, {"ignore_class": 255}, "ignoring", "probabilities", None),
    "sparse_ignore_class_logits": (SPARSE, {"ignore_class": -1, "from_logits": True}, "ignoring_minus", "logits", None),
    "sparse_ignore_class_column": (SPARSE, {"ignore_class": 2}, "sparse_column", "probabilities", None),
    "categorical_axis": (CATEGORICAL, {"axis": 1}, "place_one_hot", "place_probabilities", None),
    "categorical_axis_logits": (CATEGORICAL, {"axis": -2, "from_logits": True}, "place_one_hot", "place_logits", None),
    "binary_axis": (BINARY, {"axis": 1, "label_smoothing": 0.1}, "place_one_hot", "place_probabilities", None),
    "binary_axis_logits": (BINARY, {"axis": 1, "from_logits": True}, "place_one_hot", "place_logits", None),
    "binary_focal_logits": (BINARY_FOCAL, {"from_logits": True}, "one_hot", "mild_logits", MILD),
    "binary_focal_gamma": (BINARY_FOCAL, {"gamma": 0.5}, "one_hot", "probabilities", None),
    "binary_focal_plain": (BINARY_FOCAL, {"gamma": 0.0}, "one_hot", "probabilities", None),
    "binary_focal_all": (
        BINARY_FOCAL,
        {"apply_class_balancing": True, "alpha": 0.7, "gamma": 3.0, "from_logits": True, "label_smoothing": 0.2},
        "one_hot",
        "mild_logits",
        MILD,
    ),
    "binary_focal_axis": (BINARY_FOCAL, {"axis": 1}, "place_one_hot", "place_probabilities", None),
    "binary_focal_clipped": (BINARY_FOCAL, {}, "one_hot", "certain", CLIPPED),
    "categorical_focal_alphas": (CATEGORICAL_FOCAL, {"alpha": ALPHAS}, "one_hot", "probabilities", None),
    "categorical_focal_gamma": (CATEGORICAL_FOCAL, {"gamma": 0.5, "alpha": 1.0}, "one_hot", "probabilities", None),
    "categorical_focal_smoothing": (
        CATEGORICAL_FOCAL,
        {"label_smoothing": 0.1, "from_logits": True},
        "one_hot",
        "logits",
        None,
    ),
    "categorical_focal_axis": (CATEGORICAL_FOCAL, {"axis": 1}, "place_one_hot", "place_probabilities", None),
    "cosine_similarity_axis": ("CosineSimilarity", {"axis": 1}, "place_logits_true", "place_logits", None),
    "huber_far": ("Huber", {"delta": 2.0}, "zeros", "far", None),
    "log_cosh_far": ("LogCosh", {}, "zeros", "far", None),
    "mape_far": ("MeanAbsolutePercentageError", {}, "zeros_and_ones", "far", "a target 0 divides by 1e-7"),
    "msle_far": ("MeanSquaredLogarithmicError", {}, "zeros_and_ones", "far", "below 1e-7 there is no gradient"),
    "hinge_far": ("Hinge", {}, "signs", "far", None),
    "hinge_only_ones": ("Hinge", {}, "ones", "far_shifted", None),
    "squared_hinge_far": ("SquaredHinge", {}, "signs", "far", None),
    "squared_hinge_zero_one": ("SquaredHinge", {}, "zeros_and_ones", "far", "labels 0 become -1"),
    "categorical_hinge_far": ("CategoricalHinge", {}, "far_one_hot", "far_row", None),
    "kl_divergence_clipped": ("KLDivergence", {}, "one_hot", "half_certain", "both clipped to [1e-7, 1]"),
    "poisson_far": ("Poisson", {}, "counts", "far_positive", None),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """As in ``losses``: every case on eight samples; the labels and predictions stand among the inputs by name."""
    inputs = arrays()
    cases: dict[str, dict[str, Any]] = {}
    for name, (cls, config, labels, predictions, note) in CASES.items():
        kind = getattr(keras.losses, cls)
        y_true, y_pred = inputs[labels], inputs[predictions]
        loss = kind(**config)
        per_sample = np.asarray(kind(**config, reduction="none")(y_true, y_pred))
        # Keras multiplies (n,) with the last axis of the values; a column is right.
        weight = inputs["sample_weight"] if per_sample.ndim == 1 else inputs["sample_weight"][:, None]
        values = {"value": loss(y_true, y_pred), "value_weighted": loss(y_true, y_pred, sample_weight=weight)}
        for key, reduction in (("value_sum", "sum"), ("value_weighted_mean", "mean_with_sample_weight")):
            values[key] = kind(**config, reduction=reduction)(y_true, y_pred, sample_weight=weight)
        cases[name] = {
            "class": cls,
            "function": FUNCTIONS[cls],
            "config": config,
            "y_true": labels,
            "y_pred": predictions,
            **({"note": note} if note else {}),
            "per_sample": per_sample,
            **{key: float(value) for key, value in values.items()},
            "gradient": gradient(loss, y_true, y_pred, None),
            "gradient_weighted": gradient(loss, y_true, y_pred, weight),
        }
    return inputs, cases


def arrays() -> dict[str, Any]:
    """Labels and predictions: 4 classes, also along the first of two axes; numbers far from 0; 1 and 0 exactly.

    None is at a kink, where the derivative is a convention of Keras on JAX.
    """
    rng = np.random.default_rng(20240507)
    n, classes, places = 8, 4, 8
    sparse = np.array([0, 3, 1, 2, 3, 1, 2, 0])
    ignoring = np.where(np.arange(n) % 3 == 1, 255, sparse)
    logits = 3 * rng.normal(size=(n, classes))
    place_logits = 2 * rng.normal(size=(n, classes, places))
    at = rng.integers(0, classes, size=(n, places))
    far = np.array([0, 1, -1, 1e3, -1e3, 1e4, -1e4, 0.25])
    certain = np.eye(classes)[np.where(np.arange(n) % 2 == 1, (sparse + 1) % classes, sparse)]
    values = {
        "one_hot": np.eye(classes)[sparse],
        "logits": logits,
        "mild_logits": logits / 4,
        "probabilities": softmax(logits),
        "certain": certain,
        "half_certain": certain / 2,
        "place_logits": place_logits,
        "place_logits_true": place_logits + rng.normal(size=place_logits.shape),
        "place_probabilities": np.moveaxis(softmax(np.moveaxis(place_logits, 1, -1)), -1, 1),
        "place_one_hot": np.moveaxis(np.eye(classes)[at], -1, 1),
        "far": far[:, None],
        "far_shifted": far[:, None] + 0.5,
        "far_positive": np.abs(far)[:, None],
        "far_row": rng.permuted(np.tile(far[:classes] + far[4:], (n, 1)), axis=1) + rng.normal(size=(n, classes)),
        "far_one_hot": np.eye(classes)[sparse],
        "zeros": np.zeros((n, 1)),
        "ones": np.ones((n, 1)),
        "zeros_and_ones": (np.arange(n) % 3 == 0).astype(float)[:, None],
        "signs": np.where(np.arange(n) % 2 == 0, 1.0, -1.0)[:, None],
        "counts": np.array([0, 1, 2, 1000, 0, 10000, 3, 1])[:, None],
        "sample_weight": np.array([1.0, 0.0, 2.5, 0.3, 1.0, 4.0, 0.7, 1.5]),
    }
    whole = {
        "sparse_column": sparse[:, None],
        "ignoring": ignoring,
        "ignoring_minus": np.where(ignoring == 255, -1, ignoring),
    }
    inputs: dict[str, Any] = {name: value.astype(np.float32) for name, value in values.items()}
    return inputs | {name: value.astype(np.int32) for name, value in whole.items()}
