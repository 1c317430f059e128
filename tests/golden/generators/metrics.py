"""What ``metrics=["accuracy"]`` resolves to for each shape of labels, and the values of metrics over two updates."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras.src.trainers.compile_utils import CompileMetrics

N = 12


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Each case holds two batches; ``values`` and ``weighted_values`` are the results after each of them."""
    rng = np.random.default_rng(20240506)
    sparse = rng.integers(0, 10, size=(2, N))
    softmax = rng.dirichlet(np.full(10, 0.5), size=(2, N))
    hit = rng.uniform(size=(2, N)) < 0.5
    softmax[hit] = softmax[hit] * 0.2 + 0.8 * np.eye(10)[sparse[hit]]
    softmax[0, 0] = 0.1  # a tie: the first of the largest counts
    softmax[1, 3, :] = 0.0
    softmax[1, 3, [2, 5]] = 0.5
    binary = rng.integers(0, 2, size=(2, N))
    sigmoid = rng.uniform(size=(2, N))
    sigmoid[0, :2] = 0.5  # a prediction at the threshold counts as 0
    two = rng.dirichlet(np.ones(2), size=(2, N))
    many = rng.integers(0, 2, size=(2, N, 3))
    outputs = rng.uniform(size=(2, N, 3))
    weight = np.round(rng.uniform(0, 3, size=(2, N)), 1)
    weight[0, 4] = 0.0
    batches: dict[str, tuple[Any, Any]] = {
        "sparse": (sparse, softmax),
        "sparse_column": (sparse[..., None], softmax),
        "sparse_as_float": (sparse.astype(np.float32), softmax),
        "one_hot": (np.eye(10)[sparse], softmax),
        "binary_column": (binary[..., None], sigmoid[..., None]),
        "binary_flat_labels": (binary, sigmoid[..., None]),
        "two_classes_sparse": (binary, two),
        "two_classes_one_hot": (np.eye(2)[binary], two),
        "multilabel": (many, outputs),
    }
    cases: dict[str, dict[str, Any]] = {}
    for name, (y_true, y_pred) in batches.items():
        y_pred = y_pred.astype(np.float32)
        y_true = y_true.astype(np.int32 if np.issubdtype(y_true.dtype, np.integer) else np.float32)
        cases[name] = {"metric": "accuracy", **resolve("accuracy", y_true, y_pred, weight.astype(np.float32))}
        cases[name] |= {"y_true": y_true, "y_pred": y_pred}
    one_hot, probabilities = np.eye(10, dtype=np.float32)[sparse], softmax.astype(np.float32)
    column, flat = sigmoid[..., None].astype(np.float32), binary[..., None].astype(np.int32)
    classes: dict[str, tuple[str, dict[str, Any], np.ndarray, np.ndarray]] = {
        "top_k": ("TopKCategoricalAccuracy", {"k": 3}, one_hot, probabilities),
        "sparse_top_k": ("SparseTopKCategoricalAccuracy", {"k": 3}, sparse.astype(np.int32), probabilities),
        "binary_threshold": ("BinaryAccuracy", {"threshold": 0.7}, flat, column),
        "precision": ("Precision", {}, flat, column),
        "recall": ("Recall", {}, flat, column),
        "precision_thresholds": ("Precision", {"thresholds": [0.3, 0.7]}, flat, column),
        "auc": ("AUC", {}, flat, column),
        "auc_pr": ("AUC", {"curve": "PR"}, flat, column),
        "mse": ("MeanSquaredError", {}, many.astype(np.float32), outputs.astype(np.float32)),
        "mae": ("MeanAbsoluteError", {}, many.astype(np.float32), outputs.astype(np.float32)),
        "sparse_crossentropy": (
            "SparseCategoricalCrossentropy",
            {},
            sparse.astype(np.int32),
            np.clip(probabilities, 1e-4, 1).astype(np.float32),
        ),
        "mean": ("Mean", {}, many.astype(np.float32), np.zeros_like(outputs, dtype=np.float32)),
    }
    for name, (cls, config, y_true, y_pred) in classes.items():
        cases[name] = {"metric": cls, "config": config, "y_true": y_true, "y_pred": y_pred}
        for key, used in (("values", None), ("weighted_values", weight.astype(np.float32))):
            cases[name][key] = updates(cls, config, y_true, y_pred, used)
    return {"sample_weight": weight.astype(np.float32)}, cases


def resolve(name: str, y_true: np.ndarray, y_pred: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
    """What compile resolves the name to, and its values after each batch, without and with weights."""
    compiled = CompileMetrics(metrics=[name], weighted_metrics=[name])
    compiled.build(y_true[0], y_pred[0])
    record: dict[str, Any] = {"resolved": type(compiled.metrics[0]).__name__, "values": [], "weighted_values": []}
    for batch in range(2):
        compiled.update_state(y_true[batch], y_pred[batch], sample_weight=weight[batch])
        result = compiled.result()
        record["values"].append(float(result[name]))
        record["weighted_values"].append(float(result[f"weighted_{name}"]))
    return record


def updates(
    cls: str, config: dict[str, Any], y_true: np.ndarray, y_pred: np.ndarray, weight: np.ndarray | None
) -> list[Any]:
    """The result after each of the two updates; ``Mean`` is fed the labels as its values."""
    metric = getattr(keras.metrics, cls)(**config)
    values = []
    for batch in range(2):
        arguments = (y_true[batch],) if cls == "Mean" else (y_true[batch], y_pred[batch])
        metric.update_state(*arguments, sample_weight=None if weight is None else weight[batch])
        values.append(np.asarray(metric.result()).tolist())
    return values
