"""Losses of predicted numbers: errors that are squared, absolute, relative, logarithmic, or small in part only."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.losses import targets
from tinygrad_dnn.losses.arguments import INTEGER, POSITIVE, check_arguments, ranging
from tinygrad_dnn.losses.base import OfFunction
from tinygrad_dnn.losses.inputs import EPSILON, last, matched, sample_means
from tinygrad_dnn.ops import clip, expm1, log1p, maximum, square, where
from tinygrad_dnn.tensor import Tensor, TensorLike


def mean_squared_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``(y_true - y_pred)**2``, averaged over the last axis.

    Args:
        y_true: Targets of shape (n, outputs); (n,) will do for one output.
        y_pred: Predictions of shape (n, outputs).

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]])
        Tensor([2.5], dtype=float32)
    """
    name = "mean_squared_error"
    y_true, y_pred = matched(name, y_true, y_pred)
    return sample_means(name, square(y_true - y_pred))


def mean_absolute_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``|y_true - y_pred|``, averaged over the last axis.

    Args:
        y_true: Targets of shape (n, outputs); (n,) will do for one output.
        y_pred: Predictions of shape (n, outputs).

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.mean_absolute_error([[0.0, 1.0]], [[1.0, 3.0]])
        Tensor([1.5], dtype=float32)
    """
    name = "mean_absolute_error"
    y_true, y_pred = matched(name, y_true, y_pred)
    return sample_means(name, ops.abs(y_true - y_pred))


def mean_absolute_percentage_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``100 * |y_true - y_pred| / |y_true|``, averaged over the last axis.

    Args:
        y_true: Targets of shape (n, outputs); (n,) will do for one output. One nearer to 0 than 1e-7 divides by 1e-7.
        y_pred: Predictions of shape (n, outputs).

    Returns:
        The values in percent, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.mean_absolute_percentage_error([[1.0, 2.0]], [[1.5, 3.0]])
        Tensor([50.], dtype=float32)
    """
    name = "mean_absolute_percentage_error"
    y_true, y_pred = matched(name, y_true, y_pred)
    return 100.0 * sample_means(name, ops.abs((y_true - y_pred) / maximum(ops.abs(y_true), EPSILON)))


@targets.expecting(targets.not_negative)
def mean_squared_logarithmic_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``(log(1 + y_true) - log(1 + y_pred))**2``, averaged over the last axis: a relative error, squared.

    Args:
        y_true: Targets of shape (n, outputs), at least 0; (n,) will do for one output.
        y_pred: Predictions of shape (n, outputs). Targets and predictions below 1e-7 count as 1e-7, as in Keras, and
            have no gradient.

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.mean_squared_logarithmic_error([[0.0, 1.0]], [[1.0, 1.0]])
        Tensor([0.240226], dtype=float32)
    """
    name = "mean_squared_logarithmic_error"
    y_true, y_pred = matched(name, y_true, y_pred)
    return sample_means(name, square(log1p(maximum(y_pred, EPSILON)) - log1p(maximum(y_true, EPSILON))))


@ranging(delta=POSITIVE)
def huber(y_true: TensorLike, y_pred: TensorLike, delta: float = 1.0) -> Tensor:
    """Return half the squared error up to ``delta``, and beyond it a line with the slope ``delta``, averaged.

    Args:
        y_true: Targets of shape (n, outputs); (n,) will do for one output.
        y_pred: Predictions of shape (n, outputs).
        delta: The error at which the parabola becomes a line, above 0.

    Returns:
        The values, of shape (n,), averaged over the last axis; of predictions without an axis of outputs, each by
        itself.

    Raises:
        ValueError: The shapes do not fit, or ``delta`` is out of its range.

    Example:
        >>> td.losses.huber([[0.0], [0.0]], [[0.5], [3.0]])
        Tensor([0.125, 2.5  ], dtype=float32)

    Reference:
        Huber, "Robust estimation of a location parameter", 1964.
    """
    name = "huber"
    check_arguments(huber, delta=delta)
    y_true, y_pred = matched(name, y_true, y_pred)
    error = y_pred - y_true
    inner = clip(error, -delta, delta)  # one expression for both parts, in which no large error is squared
    return sample_means(name, inner * (error - 0.5 * inner))


def log_cosh(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return the logarithm of the error's hyperbolic cosine, averaged over the last axis.

    It is about half the squared error where that is small, and the absolute error less log 2 where it is large.

    Args:
        y_true: Targets of shape (n, outputs); (n,) will do for one output.
        y_pred: Predictions of shape (n, outputs).

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.log_cosh([[0.0], [0.0]], [[0.1], [1000.0]])
        Tensor([4.991688e-03, 9.993068e+02], dtype=float32)
    """
    name = "log_cosh"
    y_true, y_pred = matched(name, y_true, y_pred)
    error = y_pred - y_true
    # The function is even, so that either branch gives all derivatives at 0; ops.abs has slope 0 there.
    size = maximum(error, -error)
    return sample_means(name, size + log1p(0.5 * expm1(-2.0 * size)))


@ranging(axis=INTEGER)
def cosine_similarity(y_true: TensorLike, y_pred: TensorLike, axis: int = -1) -> Tensor:
    """Return minus the cosine of the angle between target and prediction, from -1 (one direction) to 1 (opposite).

    Args:
        y_true: Targets of shape (n, outputs).
        y_pred: Predictions of the same shape; vectors of any length but 0, for which the value is 0.
        axis: The axis of the outputs.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes do not fit, or ``axis`` is out of its range.

    Example:
        >>> td.losses.cosine_similarity([[0.0, 1.0], [1.0, 1.0]], [[0.0, 3.0], [-1.0, -1.0]])
        Tensor([-1.,  1.], dtype=float32)
    """
    name = "cosine_similarity"
    check_arguments(cosine_similarity, axis=axis)
    y_true, y_pred = matched(name, y_true, y_pred)
    if not y_pred.ndim:
        raise ValueError(f"{name}: y_pred of shape (..., outputs) is needed, not a single number.")
    return -ops.sum(_direction(last(name, axis, y_true)) * _direction(last(name, axis, y_pred)), -1)


def _direction(x: Tensor) -> Tensor:
    """Return vectors of length 1 along the last axis, and 0 for 0."""
    # The length does not change the direction, so that the largest element, which keeps squares from overflow and
    # underflow, may be divided out without a gradient of its own.
    largest = ops.max(ops.abs(x.detach()), -1, keepdims=True)
    x = x / where(largest == 0, 1.0, largest)
    length = ops.norm(x, -1, keepdims=True)
    return x / where(length == 0, 1.0, length)


class MeanSquaredError(OfFunction):
    """The mean squared error, see ``mean_squared_error``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.MeanSquaredError()([[0.0], [1.0]], [[1.0], [3.0]])
        Tensor(2.5, dtype=float32)
    """

    _function = staticmethod(mean_squared_error)


class MeanAbsoluteError(OfFunction):
    """The mean absolute error, see ``mean_absolute_error``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.MeanAbsoluteError()([[0.0], [1.0]], [[1.0], [3.0]])
        Tensor(1.5, dtype=float32)
    """

    _function = staticmethod(mean_absolute_error)


class MeanAbsolutePercentageError(OfFunction):
    """The mean absolute error in percent of the targets, see ``mean_absolute_percentage_error``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.MeanAbsolutePercentageError()([[1.0], [2.0]], [[1.5], [3.0]])
        Tensor(50., dtype=float32)
    """

    _function = staticmethod(mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(OfFunction):
    """The mean squared error of logarithms, see ``mean_squared_logarithmic_error``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.MeanSquaredLogarithmicError()([[0.0], [1.0]], [[1.0], [1.0]])
        Tensor(0.240226, dtype=float32)
    """

    _function = staticmethod(mean_squared_logarithmic_error)


class Huber(OfFunction):
    """Huber's loss, see ``huber``; its registered name is "huber_loss".

    Args:
        delta: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Raises:
        ValueError: ``delta`` is out of its range.

    Example:
        >>> td.losses.Huber()([[0.0], [0.0]], [[0.5], [3.0]])
        Tensor(1.3125, dtype=float32)
    """

    _function = staticmethod(huber)

    def __init__(
        self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str = "huber_loss"
    ) -> None:
        super().__init__(reduction, name)
        self._keep(delta=delta)


class LogCosh(OfFunction):
    """The logarithm of the error's hyperbolic cosine, see ``log_cosh``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.LogCosh()([[0.0], [0.0]], [[0.0], [1.0]])
        Tensor(0.21689, dtype=float32)
    """

    _function = staticmethod(log_cosh)


class CosineSimilarity(OfFunction):
    """Minus the cosine of the angle between target and prediction, see ``cosine_similarity``.

    Args:
        axis: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Raises:
        ValueError: ``axis`` is out of its range.

    Example:
        >>> td.losses.CosineSimilarity()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]])
        Tensor(-0.5, dtype=float32)
    """

    _function = staticmethod(cosine_similarity)

    def __init__(
        self, axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str = "cosine_similarity"
    ) -> None:
        super().__init__(reduction, name)
        self._keep(axis=axis)
