"""Accuracies: how many samples are right, for each shape of targets and predictions."""

from __future__ import annotations

from tinygrad_dnn import backend, ops
from tinygrad_dnn.checks import as_integer, as_number
from tinygrad_dnn.losses.inputs import matched, one_hot_labels
from tinygrad_dnn.metrics.base import MeanMetricWrapper
from tinygrad_dnn.ops import cast, floating, where
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, as_tensor


def accuracy(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Tell elementwise whether predictions equal their targets, as 0 and 1.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.metrics.accuracy([1, 2, 3], [1, 0, 3])
        Tensor([1., 0., 1.], dtype=float32)
    """
    y_true, y_pred = matched("accuracy", y_true, y_pred)
    return cast(y_true == y_pred, backend.floatx())


def sparse_categorical_accuracy(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Tell for each sample whether its class has the greatest probability, as 0 and 1; the first of equals counts.

    Args:
        y_true: Classes of shape (n,) or (n, 1), of any type.
        y_pred: Probabilities or logits of shape (n, classes).

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.metrics.sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]])
        Tensor([1., 0.], dtype=float32)
    """
    y_pred = floating(y_pred)
    labels = as_tensor(y_true, like=y_pred)
    samples = y_pred.shape[:-1]
    if labels.shape != samples or not y_pred.ndim:
        if labels.shape != (*samples, 1):
            one_hot_labels("sparse_categorical_accuracy", labels, y_pred)  # raises
        labels = ops.reshape(labels, samples)
    return cast(labels == ops.argmax(y_pred, -1), backend.floatx())


def categorical_accuracy(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Tell for each sample whether target and prediction have their greatest element in one place, as 0 and 1.

    Args:
        y_true: Targets of shape (n, classes), one-hot rows as a rule.
        y_pred: Probabilities or logits of the same shape.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> td.metrics.categorical_accuracy([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]])
        Tensor([1., 0.], dtype=float32)
    """
    y_true, y_pred = matched("categorical_accuracy", y_true, y_pred)
    return cast(ops.argmax(y_true, -1) == ops.argmax(y_pred, -1), backend.floatx())


def binary_accuracy(y_true: TensorLike, y_pred: TensorLike, threshold: float = 0.5) -> Tensor:
    """Return how many of each sample's outputs are on the right side of ``threshold``, in [0, 1].

    Args:
        y_true: 0 or 1, of shape (n, outputs); (n,) will do for one output.
        y_pred: Probabilities of shape (n, outputs); one at the threshold counts as 0.
        threshold: Above it a probability counts as 1.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.metrics.binary_accuracy([1, 0], [[0.9], [0.8]])
        Tensor([1., 0.], dtype=float32)
    """
    y_true, y_pred = matched("binary_accuracy", y_true, y_pred)
    right = cast(y_true == cast(y_pred > threshold, y_true.dtype), backend.floatx())
    return ops.mean(right, axis=-1) if right.ndim > 1 else right


def sparse_top_k_categorical_accuracy(y_true: TensorLike, y_pred: TensorLike, k: int = 5) -> Tensor:
    """Tell for each sample whether fewer than ``k`` classes have a greater probability than its own, as 0 and 1.

    Args:
        y_true: Classes of shape (n,) or (n, 1), of any type.
        y_pred: Probabilities or logits of shape (n, classes).
        k: How many classes count.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.metrics.sparse_top_k_categorical_accuracy([1, 0], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], k=2)
        Tensor([1., 0.], dtype=float32)
    """
    y_pred = floating(y_pred)
    hits = one_hot_labels("sparse_top_k_categorical_accuracy", y_true, y_pred)
    return _in_top_k(hits, y_pred, k)


def top_k_categorical_accuracy(y_true: TensorLike, y_pred: TensorLike, k: int = 5) -> Tensor:
    """Tell for each sample whether fewer than ``k`` classes have a greater probability than its own, as 0 and 1.

    Args:
        y_true: One-hot rows, of shape (n, classes).
        y_pred: Probabilities or logits of the same shape.
        k: How many classes count.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> td.metrics.top_k_categorical_accuracy([[0, 1, 0], [1, 0, 0]], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], k=2)
        Tensor([1., 0.], dtype=float32)
    """
    y_true, y_pred = matched("top_k_categorical_accuracy", y_true, y_pred)
    hits = one_hot_labels("top_k_categorical_accuracy", ops.argmax(y_true, -1), y_pred)
    return _in_top_k(hits, y_pred, k)


def _in_top_k(hits: Tensor, y_pred: Tensor, k: int) -> Tensor:
    own = ops.sum(where(hits, y_pred, 0.0), -1, keepdims=True)
    own = where(ops.isnan(own), float("-inf"), own)  # nothing is greater than NaN, and it is no high probability
    return cast(ops.sum(y_pred > own, -1) < k, backend.floatx())


class Accuracy(MeanMetricWrapper):
    """How often predictions equal their targets.

    In ``compile(metrics=["accuracy"])`` the name means, by the shapes, one of the three accuracies below.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.Accuracy()
        >>> metric.update_state([1, 2, 3, 4], [1, 0, 3, 4])
        >>> metric.result()
        Tensor(0.75, dtype=float32)
    """

    def __init__(self, name: str = "accuracy", dtype: DTypeLike | None = None) -> None:
        super().__init__(accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the class of a sample, an integer, has the greatest probability.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.SparseCategoricalAccuracy()
        >>> metric.update_state([1, 0], [[0.1, 0.9], [0.2, 0.8]])
        >>> metric.result()
        Tensor(0.5, dtype=float32)
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: DTypeLike | None = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the class of a sample, a one-hot row, has the greatest probability.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.CategoricalAccuracy()
        >>> metric.update_state([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]])
        >>> metric.result()
        Tensor(0.5, dtype=float32)
    """

    def __init__(self, name: str = "categorical_accuracy", dtype: DTypeLike | None = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often a probability is on the right side of ``threshold``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.
        threshold: Above it a probability counts as 1; in [0, 1].

    Raises:
        ValueError: ``threshold`` is out of its range.

    Example:
        >>> metric = td.metrics.BinaryAccuracy()
        >>> metric.update_state([1, 0], [[0.9], [0.8]])
        >>> metric.result()
        Tensor(0.5, dtype=float32)
    """

    def __init__(
        self, name: str = "binary_accuracy", dtype: DTypeLike | None = None, threshold: float = 0.5
    ) -> None:
        threshold = as_number(threshold, f"{name}: threshold", "[0, 1]")
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class of a sample, an integer, is among the ``k`` most probable.

    Args:
        k: How many classes count, at least 1.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: ``k`` is less than 1.

    Example:
        >>> metric = td.metrics.SparseTopKCategoricalAccuracy(k=2)
        >>> metric.update_state([1, 0], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
        >>> metric.result()
        Tensor(0.5, dtype=float32)
    """

    def __init__(
        self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy", dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=as_integer(k, f"{name}: k", "[1, inf)"))


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class of a sample, a one-hot row, is among the ``k`` most probable.

    Args:
        k: How many classes count, at least 1.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: ``k`` is less than 1.

    Example:
        >>> metric = td.metrics.TopKCategoricalAccuracy(k=2)
        >>> metric.update_state([[0, 1, 0], [1, 0, 0]], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
        >>> metric.result()
        Tensor(0.5, dtype=float32)
    """

    def __init__(
        self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=as_integer(k, f"{name}: k", "[1, inf)"))


def resolve_accuracy(y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> type[MeanMetricWrapper]:
    """Return which accuracy the name "accuracy" means for targets and predictions of these shapes, as Keras has it.

    One output is binary; targets without an axis of classes, or with one of length 1, are sparse; what remains is
    categorical, also where several outputs are each 0 or 1 (name ``BinaryAccuracy`` for those).

    Example:
        >>> td.metrics.resolve_accuracy((32,), (32, 10)).__name__
        'SparseCategoricalAccuracy'
    """
    if y_pred_shape[-1:] == (1,):
        return BinaryAccuracy
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1:] == (1,):
        return SparseCategoricalAccuracy
    return CategoricalAccuracy
