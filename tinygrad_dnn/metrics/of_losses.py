"""Metrics that are the running means of losses; and the root of one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinygrad_dnn import losses, ops
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.losses.arguments import check_arguments
from tinygrad_dnn.losses.crossentropy import not_ignored
from tinygrad_dnn.losses.inputs import spread_weights
from tinygrad_dnn.metrics.base import MeanMetricWrapper
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike


class MeanOfLoss(MeanMetricWrapper):
    """Base of the running means of a loss function, with the arguments that ``_keep`` was given.

    Args:
        name: As for ``Metric``; by default the function's.
        dtype: As for ``Metric``.
    """

    _loss: ClassVar[Callable[..., Tensor]]

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__(type(self)._loss, name, dtype)

    def _keep(self, **arguments: Any) -> None:
        """Check the function's arguments, and give them to it with each update."""
        check_arguments(type(self)._loss, self.name, **arguments)
        self._arguments = arguments


# -- errors of numbers ------------------------------------------------------------------------------------------------


class MeanSquaredError(MeanOfLoss):
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

    _loss = staticmethod(losses.mean_squared_error)


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean squared error of all samples since the last reset.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.RootMeanSquaredError()
        >>> metric.update_state([[0.0], [1.0]], [[1.0], [8.0]])
        >>> metric.result()
        Tensor(5., dtype=float32)
    """

    def __init__(self, name: str = "root_mean_squared_error", dtype: DTypeLike | None = None) -> None:
        super().__init__(name, dtype)

    def result(self) -> Tensor:
        """Return the root of the mean; 0 if there were no samples."""
        return ops.sqrt(super().result())


class MeanAbsoluteError(MeanOfLoss):
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

    _loss = staticmethod(losses.mean_absolute_error)


class MeanAbsolutePercentageError(MeanOfLoss):
    """The mean absolute error in percent of the targets, see ``losses.mean_absolute_percentage_error``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.MeanAbsolutePercentageError()
        >>> metric.update_state([[1.0], [2.0]], [[1.5], [3.0]])
        >>> metric.result()
        Tensor(50., dtype=float32)
    """

    _loss = staticmethod(losses.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(MeanOfLoss):
    """The mean squared error of logarithms, see ``losses.mean_squared_logarithmic_error``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.MeanSquaredLogarithmicError()
        >>> metric.update_state([[0.0], [1.0]], [[1.0], [1.0]])
        >>> metric.result()
        Tensor(0.240226, dtype=float32)
    """

    _loss = staticmethod(losses.mean_squared_logarithmic_error)


class LogCoshError(MeanOfLoss):
    """The mean logarithm of the error's hyperbolic cosine, see ``losses.log_cosh``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.LogCoshError()
        >>> metric.update_state([[0.0], [0.0]], [[0.0], [1.0]])
        >>> metric.result()
        Tensor(0.21689, dtype=float32)
    """

    _loss = staticmethod(losses.log_cosh)

    def __init__(self, name: str = "logcosh", dtype: DTypeLike | None = None) -> None:
        super().__init__(name, dtype)


class CosineSimilarity(MeanOfLoss):
    """The mean cosine of the angle between target and prediction: 1 for one direction, -1 for the opposite one.

    The loss, ``losses.cosine_similarity``, has the other sign, for it is made small.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.
        axis: As for the loss.

    Raises:
        ValueError: ``axis`` is no integer.

    Example:
        >>> metric = td.metrics.CosineSimilarity()
        >>> metric.update_state([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]])
        >>> metric.result()
        Tensor(0.5, dtype=float32)
    """

    _loss = staticmethod(losses.cosine_similarity)

    def __init__(self, name: str = "cosine_similarity", dtype: DTypeLike | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self._keep(axis=axis)

    def result(self) -> Tensor:
        """Return the mean; 0 if there were no samples."""
        return 0.0 - super().result()


# -- cross-entropies and distributions --------------------------------------------------------------------------------


class BinaryCrossentropy(MeanOfLoss):
    """The mean cross-entropy of targets that are 0 or 1, see ``losses.binary_crossentropy``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.
        from_logits: As for the loss.
        label_smoothing: As for the loss.

    Raises:
        ValueError: ``label_smoothing`` is out of its range.

    Example:
        >>> metric = td.metrics.BinaryCrossentropy()
        >>> metric.update_state([1, 0], [[0.5], [0.5]])
        >>> metric.result()
        Tensor(0.693147, dtype=float32)
    """

    _loss = staticmethod(losses.binary_crossentropy)

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: DTypeLike | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, dtype)
        self._keep(from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(MeanOfLoss):
    """The mean cross-entropy of one-hot targets, see ``losses.categorical_crossentropy``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.
        from_logits: As for the loss.
        label_smoothing: As for the loss.
        axis: As for the loss.

    Raises:
        ValueError: ``label_smoothing`` or ``axis`` is out of its range.

    Example:
        >>> metric = td.metrics.CategoricalCrossentropy()
        >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]])
        >>> metric.result()
        Tensor(0.693147, dtype=float32)
    """

    _loss = staticmethod(losses.categorical_crossentropy)

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: DTypeLike | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self._keep(from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(MeanOfLoss):
    """The mean cross-entropy of integer classes, see ``losses.sparse_categorical_crossentropy``.

    It is the mean of the samples which are not of ``ignore_class``, with weights and without.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.
        from_logits: As for the loss.
        ignore_class: As for the loss.
        axis: As for the loss.

    Raises:
        ValueError: ``ignore_class`` or ``axis`` is out of its range.

    Example:
        >>> metric = td.metrics.SparseCategoricalCrossentropy()
        >>> metric.update_state([1, 0], [[0.5, 0.5], [0.5, 0.5]])
        >>> metric.result()
        Tensor(0.693147, dtype=float32)
    """

    _loss = staticmethod(losses.sparse_categorical_crossentropy)

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: DTypeLike | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self._keep(from_logits=from_logits, ignore_class=ignore_class, axis=axis)

    def update_state(  # type: ignore[override]
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        ignored = self._arguments["ignore_class"]
        if ignored is None:
            super().update_state(y_true, y_pred, sample_weight)
            return
        with no_grad():
            values = self._function(y_true, y_pred, **self._arguments)
            weights = ops.cast(not_ignored(y_true, values, ignored), values.dtype)
            if sample_weight is not None:
                weights = weights * spread_weights(self.name, sample_weight, values)
        self._update(values, weights)


class KLDivergence(MeanOfLoss):
    """The mean Kullback-Leibler divergence, see ``losses.kl_divergence``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.KLDivergence()
        >>> metric.update_state([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.25, 0.75]])
        >>> metric.result()
        Tensor(0.071921, dtype=float32)
    """

    _loss = staticmethod(losses.kl_divergence)


class Poisson(MeanOfLoss):
    """Poisson's mean negative log-likelihood, see ``losses.poisson``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.Poisson()
        >>> metric.update_state([[0.0], [2.0]], [[1.0], [1.0]])
        >>> metric.result()
        Tensor(1., dtype=float32)
    """

    _loss = staticmethod(losses.poisson)


# -- hinges -----------------------------------------------------------------------------------------------------------


class Hinge(MeanOfLoss):
    """The mean hinge loss, see ``losses.hinge``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.Hinge()
        >>> metric.update_state([[-1.0], [1.0]], [[0.5], [2.0]])
        >>> metric.result()
        Tensor(0.75, dtype=float32)
    """

    _loss = staticmethod(losses.hinge)


class SquaredHinge(MeanOfLoss):
    """The mean squared hinge loss, see ``losses.squared_hinge``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.SquaredHinge()
        >>> metric.update_state([[-1.0], [1.0]], [[0.5], [2.0]])
        >>> metric.result()
        Tensor(1.125, dtype=float32)
    """

    _loss = staticmethod(losses.squared_hinge)


class CategoricalHinge(MeanOfLoss):
    """The mean hinge loss of several classes, see ``losses.categorical_hinge``.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> metric = td.metrics.CategoricalHinge()
        >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.5, 1.0], [0.0, 3.0]])
        >>> metric.result()
        Tensor(2.25, dtype=float32)
    """

    _loss = staticmethod(losses.categorical_hinge)
