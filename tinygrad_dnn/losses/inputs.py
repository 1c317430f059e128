"""What loss functions share: targets, predictions and weights of fitting shapes, logits, means over outputs."""

from __future__ import annotations

import warnings

from tinygrad_dnn import ops
from tinygrad_dnn.ops import cast, exp, floating, log, moveaxis, reshape, where
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor

EPSILON = 1e-7
# float16 would round 1 - 1e-7 to 1, and overflow in the slope 1 / 1e-7.
_FLOAT16 = (2.0**-14, 1 - 2.0**-11)


# -- shapes -----------------------------------------------------------------------------------------------------------


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


def with_classes(name: str, y_true: TensorLike, y_pred: TensorLike) -> tuple[Tensor, Tensor]:
    """Return both as ``matched`` does, and refuse single numbers, which have no axis of classes."""
    y_true, y_pred = matched(name, y_true, y_pred)
    if not y_pred.ndim:
        raise ValueError(f"{name}: y_pred of shape (..., classes) is needed, not a single number.")
    return y_true, y_pred


def last(name: str, axis: int, x: Tensor) -> Tensor:
    """Return ``x`` with one of its axes moved to the end."""
    if axis in (-1, x.ndim - 1):
        return x
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{name}: axis is from {-x.ndim} to {x.ndim - 1} for y_pred of shape {x.shape}, not {axis}.")
    return moveaxis(x, axis, -1)


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


def spread_weights(name: str, sample_weight: TensorLike, values: Tensor) -> Tensor:
    """Return ``fitting_weights`` with axes of 1 behind its own, so that it can be multiplied with ``values``."""
    weights = fitting_weights(name, sample_weight, values)
    return reshape(weights, weights.shape + (1,) * (values.ndim - weights.ndim))


def sample_means(name: str, values: Tensor, axis: int = -1) -> Tensor:
    """Return the mean over ``axis``; the values themselves where they have no axis but that of the samples."""
    return ops.mean(last(name, axis, values), -1) if values.ndim > 1 else values


# -- logits and probabilities -----------------------------------------------------------------------------------------


def logits_of(name: str, kind: str, y_pred: Tensor, from_logits: bool = False) -> Tensor | None:
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


def below_zero(x: Tensor) -> Tensor:
    """Subtract the maximum of the last axis, which cancels and so carries no gradient."""
    return x - ops.max(x.detach(), -1, keepdims=True)


def log_probabilities(logits: Tensor) -> Tensor:
    """Return the logarithm of the softmax over the last axis."""
    shifted = below_zero(logits)
    return shifted - log(ops.sum(exp(shifted), -1, keepdims=True))


def limits(like: Tensor) -> tuple[float, float]:
    """Return the limits of a probability whose logarithm is to be finite, and its slope too: 1e-7 and 1 - 1e-7."""
    return _FLOAT16 if like.dtype == "float16" else (EPSILON, 1 - EPSILON)


def clipped(probability: Tensor) -> Tensor:
    """Limit to [1e-7, 1 - 1e-7], as Keras does before a logarithm; in float16 to what it can tell from 0 and 1."""
    return ops.clip(probability, *limits(probability))


def total_of(scores: Tensor, keepdims: bool = False) -> Tensor:
    """Return what makes probabilities of the scores of the last axis: their sum, or 1 where that is 0."""
    total = ops.sum(scores, -1, keepdims=keepdims)
    return where(total == 0, 1.0, total)


def smoothed(y_true: Tensor, part: float, level: float) -> Tensor:
    """Replace a part of each target by ``level``."""
    return y_true * (1 - part) + part * level if part else y_true
