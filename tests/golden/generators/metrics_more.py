"""Metrics over three updates, without and with weights: counts above thresholds, areas, scores, means of losses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

BATCHES, N = 3, 10
BCE, CCE, SCCE = "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"
IGNORING = "Keras counts an ignored class as 0 unless there are weights: the weights of `values` are ones"

# name: (class, arguments, labels, predictions); a note says that `values` were made with weights of 1
CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "true_positives": ("TruePositives", {}, "binary", "scores"),
    "true_negatives": ("TrueNegatives", {"thresholds": 0.3}, "binary", "scores"),
    "false_positives": ("FalsePositives", {"thresholds": [0.25, 0.5, 0.9]}, "binary_column", "score_column"),
    "false_negatives": ("FalseNegatives", {"thresholds": [0.7]}, "labels", "label_scores"),
    "precision_labels": ("Precision", {}, "labels", "label_scores"),
    "precision_top_k": ("Precision", {"top_k": 2}, "labels", "label_scores"),
    "precision_top_k_threshold": ("Precision", {"top_k": 2, "thresholds": 0.6}, "labels", "label_scores"),
    "precision_class_id": ("Precision", {"class_id": 1, "thresholds": [0.4, 0.6]}, "labels", "label_scores"),
    "recall_evenly": ("Recall", {"thresholds": [0.0, 0.5, 1.0]}, "binary_column", "score_column"),
    "recall_top_k_class_id": ("Recall", {"top_k": 1, "class_id": 2}, "labels", "label_scores"),
    "recall_nothing_found": ("Recall", {"thresholds": 1.0}, "binary", "scores"),
    "auc": ("AUC", {}, "binary", "scores"),
    "auc_majoring": ("AUC", {"num_thresholds": 5, "summation_method": "majoring"}, "binary_column", "score_column"),
    "auc_minoring": ("AUC", {"num_thresholds": 7, "summation_method": "minoring"}, "binary_column", "score_column"),
    "auc_pr": ("AUC", {"curve": "PR", "num_thresholds": 20}, "binary", "scores"),
    "auc_pr_majoring": ("AUC", {"curve": "PR", "summation_method": "majoring"}, "binary", "scores"),
    "auc_pr_minoring": ("AUC", {"curve": "PR", "summation_method": "minoring"}, "binary", "scores"),
    "auc_thresholds": ("AUC", {"thresholds": [0.8, 0.2, 0.35]}, "binary", "scores"),
    "auc_two_thresholds": ("AUC", {"num_thresholds": 2}, "binary", "scores"),
    "auc_labels_as_samples": ("AUC", {}, "labels", "label_scores"),
    "auc_label_weights": ("AUC", {"label_weights": [0.5, 1.0, 3.0]}, "labels", "label_scores"),
    "auc_multi_label": ("AUC", {"multi_label": True}, "labels", "label_scores"),
    "auc_multi_label_pr": ("AUC", {"multi_label": True, "curve": "PR", "num_labels": 3}, "labels", "label_scores"),
    "auc_multi_label_weights": (
        "AUC",
        {"multi_label": True, "label_weights": [0.5, 1.0, 3.0], "num_thresholds": 11},
        "labels",
        "label_scores",
    ),
    "auc_logits": ("AUC", {"from_logits": True}, "binary", "logits"),
    "f1": ("F1Score", {}, "labels", "label_scores"),
    "f1_micro": ("F1Score", {"average": "micro", "threshold": 0.4}, "labels", "label_scores"),
    "f1_macro": ("F1Score", {"average": "macro", "threshold": 0.4}, "labels", "label_scores"),
    "f1_weighted": ("F1Score", {"average": "weighted"}, "labels", "label_scores"),
    "f_beta": ("FBetaScore", {"beta": 2.0, "threshold": 0.5}, "labels", "label_scores"),
    "f_beta_half": ("FBetaScore", {"beta": 0.5, "average": "macro"}, "labels", "label_scores"),
    "binary_crossentropy": (BCE, {}, "labels", "label_scores"),
    "binary_crossentropy_logits": (BCE, {"from_logits": True, "label_smoothing": 0.1}, "binary_column", "logit_column"),
    "categorical_crossentropy": (CCE, {}, "one_hot", "probabilities"),
    "categorical_crossentropy_logits": (CCE, {"from_logits": True, "label_smoothing": 0.1}, "one_hot", "outputs"),
    "categorical_crossentropy_axis": (CCE, {"axis": 1}, "places_one_hot", "place_probabilities"),
    "sparse_crossentropy_logits": (SCCE, {"from_logits": True}, "sparse", "outputs"),
    "sparse_crossentropy_ignoring": (SCCE, {"ignore_class": 1}, "sparse", "probabilities"),
    "root_mean_squared_error": ("RootMeanSquaredError", {}, "targets", "outputs"),
    "mape": ("MeanAbsolutePercentageError", {}, "targets", "outputs"),
    "msle": ("MeanSquaredLogarithmicError", {}, "positive", "probabilities"),
    "logcosh": ("LogCoshError", {}, "targets", "outputs"),
    "cosine_similarity": ("CosineSimilarity", {}, "targets", "outputs"),
    "cosine_similarity_axis": ("CosineSimilarity", {"axis": 1}, "places_one_hot", "place_probabilities"),
    "hinge": ("Hinge", {}, "signs", "outputs"),
    "squared_hinge": ("SquaredHinge", {}, "labels", "outputs"),
    "categorical_hinge": ("CategoricalHinge", {}, "one_hot", "outputs"),
    "kl_divergence": ("KLDivergence", {}, "soft", "probabilities"),
    "poisson": ("Poisson", {}, "positive", "probabilities"),
    "r2_score": ("R2Score", {}, "targets", "outputs"),
    "r2_score_each": ("R2Score", {"class_aggregation": None}, "targets", "outputs"),
    "r2_score_variance": ("R2Score", {"class_aggregation": "variance_weighted_average"}, "targets", "outputs"),
    "r2_score_adjusted": ("R2Score", {"num_regressors": 4}, "targets", "outputs"),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """``values`` and ``weighted_values`` are the results after each of the three batches; inputs stand by name."""
    inputs = arrays()
    weight, ones = inputs["sample_weight"], np.ones((BATCHES, N), np.float32)
    cases: dict[str, dict[str, Any]] = {}
    for name, (cls, config, labels, predictions) in CASES.items():
        ignoring = "ignore_class" in config
        cases[name] = {
            "metric": cls,
            "config": config,
            "y_true": labels,
            "y_pred": predictions,
            **({"note": IGNORING} if ignoring else {}),
            "values": updates(cls, config, inputs[labels], inputs[predictions], ones if ignoring else None),
            "weighted_values": updates(cls, config, inputs[labels], inputs[predictions], weight),
        }
    return inputs, cases


def updates(
    cls: str, config: dict[str, Any], y_true: np.ndarray, y_pred: np.ndarray, weight: np.ndarray | None
) -> list[Any]:
    """The result after each update, a number or a list of them."""
    metric = getattr(keras.metrics, cls)(**config)
    values = []
    for batch in range(BATCHES):
        metric.update_state(y_true[batch], y_pred[batch], sample_weight=None if weight is None else weight[batch])
        values.append(np.asarray(metric.result()).tolist())
    return values


def arrays() -> dict[str, Any]:
    """Three batches of ten samples: one output, three labels or classes, and three classes at four places."""
    rng = np.random.default_rng(20240508)
    shape, classes, places = (BATCHES, N), 3, 4
    binary = rng.integers(0, 2, size=shape)
    logits = 2 * rng.normal(size=shape) + 2 * binary - 1
    scores = 1 / (1 + np.exp(-logits))
    scores[0, :2] = 0.5  # at the threshold, hence not above it
    sparse = rng.integers(0, classes, size=shape)
    at = rng.integers(0, classes, size=(*shape, places))
    outputs = rng.normal(size=(*shape, classes))
    values = {
        "scores": scores,
        "score_column": scores[..., None],
        "logits": logits,
        "logit_column": logits[..., None],
        "label_scores": rng.uniform(size=(*shape, classes)),
        "outputs": outputs,
        "targets": outputs + rng.normal(size=outputs.shape) + [0.0, 1.0, -2.0],
        "positive": rng.uniform(0.1, 3.0, size=outputs.shape),
        "signs": rng.choice([-1.0, 1.0], size=outputs.shape),
        "one_hot": np.eye(classes)[sparse],
        "soft": rng.dirichlet(np.ones(classes), size=shape),
        "probabilities": rng.dirichlet(np.ones(classes), size=shape),
        "places_one_hot": np.moveaxis(np.eye(classes)[at], -1, 2),
        "place_probabilities": np.moveaxis(rng.dirichlet(np.ones(classes), size=(*shape, places)), -1, 2),
        "sample_weight": np.round(rng.uniform(0, 3, size=shape), 1),
    }
    whole = {
        "binary": binary,
        "binary_column": binary[..., None],
        "labels": rng.integers(0, 2, size=(*shape, classes)),
        "sparse": sparse,
    }
    inputs: dict[str, Any] = {name: value.astype(np.float32) for name, value in values.items()}
    return inputs | {name: value.astype(np.int32) for name, value in whole.items()}
