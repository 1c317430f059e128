"""Metrics: what is reported while training, updated batch by batch, by Keras's names and defaults."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import losses, registry
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
from tinygrad_dnn.tensor import DTypeLike

__all__ = [
    "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "Mean", "MeanAbsoluteError", "MeanMetricWrapper",
    "MeanSquaredError", "Metric", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy", "accuracy", "binary_accuracy", "categorical_accuracy", "get", "resolve_accuracy",
    "serialize", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip


class MeanSquaredError(MeanMetricWrapper):
    """The mean squared error, see ``losses.mean_squared_error``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.MeanSquaredError()
        >>> metric.update_state([[0.0], [1.0]], [[1.0], [3.0]])
        >>> metric.result()
        Tensor(2.5, dtype=float32)
    """

    def __init__(self, name: str = "mean_squared_error", dtype: DTypeLike | None = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean absolute error, see ``losses.mean_absolute_error``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.MeanAbsoluteError()
        >>> metric.update_state([[0.0], [1.0]], [[1.0], [3.0]])
        >>> metric.result()
        Tensor(1.5, dtype=float32)
    """

    def __init__(self, name: str = "mean_absolute_error", dtype: DTypeLike | None = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)


def get(identifier: Any, /, **kwargs: Any) -> Any:
    """Return a metric by name, with arguments if any are given, or as it is; see ``Registry.get``.

    Raises:
        ValueError: Nothing has this name.
        TypeError: What is given is no metric.

    Example:
        >>> td.metrics.get("mse")
        MeanSquaredError(name='mean_squared_error')
    """
    return registry.metrics.get(identifier, **kwargs)


def serialize(metric: Any) -> str | dict[str, Any] | None:
    """Return what ``get`` makes the metric from again, without its state; see ``Registry.serialize``.

    Raises:
        ValueError: It is not registered.

    Example:
        >>> td.metrics.serialize(td.metrics.Mean())
        {'class_name': 'mean', 'config': {'name': 'mean', 'dtype': 'float32'}}
    """
    return registry.metrics.serialize(metric)


@hookimpl
def register_metrics(register: Register) -> None:
    """Register the built-in metrics, as a plugin registers its own."""
    register(Mean)
    register(Accuracy, aliases=("acc",))
    for metric in (
        BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
    ):  # fmt: skip
        register(metric)
    register(MeanSquaredError, aliases=("mse",))
    register(MeanAbsoluteError, aliases=("mae",))
