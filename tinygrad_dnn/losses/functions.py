"""Loss functions: one value a sample, and the shapes and logits that they ask for."""

from __future__ import annotations

import warnings

from tinygrad_dnn import ops
from tinygrad_dnn.losses import targets
from tinygrad_dnn.ops import cast, exp, floating, log, log1p, maximum, minimum, negative, reshape, where
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor

EPSILON = 1e-7


@targets.expecting(targets.classes)
def sparse_categorical_crossentropy(y_true: TensorLike, y_pred: TensorLike, from_logits: bool = False) -> Tensor:
    """Return minus the logarithm of the probability given to each sample's class.

    Args:
        y_true: Classes from 0 to classes - 1, of shape (n,) or (n, 1) and of any integer or floating-point type; more
            axes as in ``y_pred``.
        y_pred: Probabilities of shape (n, classes), or logits. The result of a softmax is taken back to its logits,
            see the module; other probabilities are divided by their sum.
        from_logits: Whether ``y_pred`` holds logits.

    Returns:
        The values, of shape (n,). A class out of range gives a meaningless one: no value is looked at on the host.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.sparse_categorical_crossentropy([1, 0], [[0.5, 0.5], [0.25, 0.75]])
        Tensor([0.693147, 1.386294], dtype=float32)
    """
    name = "sparse_categorical_crossentropy"
    y_pred = floating(y_pred)
    hits = one_hot_labels(name, y_true, y_pred)
    logits = _logits(name, "softmax", y_pred, from_logits)
    if logits is not None:
        shifted = _below_zero(logits)
        return log(ops.sum(exp(shifted), -1)) - ops.sum(where(hits, shifted, 0.0), -1)
    probability = ops.sum(where(hits, y_pred, 0.0), -1) / ops.sum(y_pred, -1)
    return negative(log(_clipped(probability)))


@targets.expecting(targets.probabilities)
def categorical_crossentropy(
    y_true: TensorLike, y_pred: TensorLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """Return ``-sum(y_true * log(probabilities))`` over the last axis.

    Args:
        y_true: Target probabilities of shape (n, classes), one-hot rows as a rule.
        y_pred: Probabilities of the same shape, or logits. The result of a softmax is taken back to its logits, see
            the module; other probabilities are divided by their sum.
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: The part of each target, in [0, 1], that is spread evenly over the classes.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes differ, or ``label_smoothing`` is out of its range.

    Example:
        >>> td.losses.categorical_crossentropy([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.25, 0.75]])
        Tensor([0.693147, 1.386294], dtype=float32)

    Reference:
        For the smoothing, Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
    """
    name = "categorical_crossentropy"
    y_true, y_pred = matched(name, y_true, y_pred)
    if not y_pred.ndim:
        raise ValueError(f"{name}: y_pred of shape (..., classes) is needed, not a single number.")
    y_true = _smoothed(name, y_true, label_smoothing, 1 / y_pred.shape[-1])
    logits = _logits(name, "softmax", y_pred, from_logits)
    if logits is not None:
        shifted = _below_zero(logits)
        return ops.sum(y_true * (log(ops.sum(exp(shifted), -1, keepdims=True)) - shifted), -1)
    probabilities = y_pred / ops.sum(y_pred, -1, keepdims=True)
    return -ops.sum(y_true * log(_clipped(probabilities)), -1)


@targets.expecting(targets.probabilities)
def binary_crossentropy(
    y_true: TensorLike, y_pred: TensorLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """Return ``-(y_true * log(p) + (1 - y_true) * log(1 - p))``, averaged over the last axis.

    Args:
        y_true: 0 or 1, or a probability, of shape (n, outputs); (n,) will do for one output.
        y_pred: Probabilities of shape (n, outputs), or logits. The result of a sigmoid is taken back to its logits,
            see the module.
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: The part of each target, in [0, 1], that becomes 1/2.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes do not fit, or ``label_smoothing`` is out of its range.

    Example:
        >>> td.losses.binary_crossentropy([1, 0], [[0.5], [0.75]])
        Tensor([0.693147, 1.386294], dtype=float32)
    """
    name = "binary_crossentropy"
    y_true, y_pred = matched(name, y_true, y_pred)
    y_true = _smoothed(name, y_true, label_smoothing, 0.5)
    x = _logits(name, "sigmoid", y_pred, from_logits)
    if x is not None:
        # log(1 + exp(x)) - x y without overflow. At 0 both extremes choose the upper branch, which makes the slope
        # there right; abs(x) would have slope 0.
        return _sample_means(maximum(x, 0.0) - x * y_true + log1p(exp(minimum(-x, x))))
    p = _clipped(y_pred)
    return -_sample_means(y_true * log(p) + (1.0 - y_true) * log(1.0 - p))


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
    y_true, y_pred = matched("mean_squared_error", y_true, y_pred)
    return _sample_means(ops.square(y_true - y_pred))


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
    y_true, y_pred = matched("mean_absolute_error", y_true, y_pred)
    return _sample_means(ops.abs(y_true - y_pred))


# -- what they share --------------------------------------------------------------------------------------------------


def matched(name: str, y_true: TensorLike, y_pred: TensorLike) -> tuple[Tensor, Tensor]:
    """Return both as Tensors of one shape and floating-point type, the predictions'; an axis of 1 may be missing."""
    y_pred = floating(y_pred)
    y_true = cast(as_tensor(y_true, like=y_pred), y_pred.dtype)
    if y_true.shape == y_pred.shape:
        return y_true, y_pred
    if (*y_true.shape, 1) == y_pred.shape:
        return reshape(y_true, y_pred.shape), y_pred
    if y_true.shape == (*y_pred.shape, 1):
        return reshape(y_true, y_pred.shape), y_pred
    raise ValueError(
        f"{name}: y_true has shape {y_true.shape} and y_pred {y_pred.shape}; they must be equal (but for a last axis "
        "of 1)."
    )


def one_hot_labels(name: str, y_true: TensorLike, y_pred: Tensor) -> Tensor:
    """Return booleans of the shape of ``y_pred``, (..., classes), true at each sample's class."""
    labels = as_tensor(y_true, like=y_pred)
    samples = y_pred.shape[:-1]
    if not y_pred.ndim or labels.shape not in (samples, (*samples, 1)):
        raise ValueError(
            f"{name}: y_true has shape {labels.shape} and y_pred {y_pred.shape}; predictions of shape (n, classes) "
            "need one class a sample, of shape (n,) or (n, 1). One-hot targets go with categorical_crossentropy or "
            "CategoricalAccuracy."
        )
    classes = ops.arange(y_pred.shape[-1]).to(y_pred.backend.name)
    return reshape(labels, (*samples, 1)) == classes


def fitting_weights(name: str, sample_weight: TensorLike, values: Tensor) -> Tensor:
    """Return the weights of samples as a Tensor whose axes are the first ones of ``values``; axes of 1 are dropped."""
    weights = cast(as_tensor(sample_weight, like=values), values.dtype)
    shape = weights.shape
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    if shape != values.shape[: len(shape)]:
        raise ValueError(
            f"{name}: sample_weight has shape {weights.shape} and the values to be weighted {values.shape}; one weight "
            "a sample is needed."
        )
    return weights if shape == weights.shape else reshape(weights, shape)


def _logits(name: str, kind: str, y_pred: Tensor, from_logits: bool) -> Tensor | None:
    """Return the logits that ``y_pred`` is, or was made from by the activation ``kind``; None if there are none."""
    if y_pred._logits is None or y_pred._logits[0] != kind:
        return y_pred if from_logits else None
    logits = y_pred._logits[1]
    if max(y_pred._assigned, logits._assigned) > y_pred._serial:
        return y_pred if from_logits else None  # one of the two has got another value since
    if from_logits:
        warnings.warn(
            f"{name}: from_logits=True, but the predictions are the result of a {kind}; the loss is computed from "
            f"the logits before it. Leave out one of the two.",
            stacklevel=3,
        )
    return logits


def _below_zero(x: Tensor) -> Tensor:
    """Subtract the maximum, which cancels and so carries no gradient."""
    return x - ops.max(x.detach(), -1, keepdims=True)


def _clipped(probability: Tensor) -> Tensor:
    return ops.clip(probability, EPSILON, 1 - EPSILON)


def _smoothed(name: str, y_true: Tensor, part: float, level: float) -> Tensor:
    if not 0 <= part <= 1:
        raise ValueError(f"{name}: label_smoothing is in [0, 1], not {part!r}.")
    return y_true * (1 - part) + part * level if part else y_true


def _sample_means(values: Tensor) -> Tensor:
    return ops.mean(values, axis=-1) if values.ndim > 1 else values
