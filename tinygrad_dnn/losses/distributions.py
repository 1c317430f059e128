"""Losses of predicted distributions: the Kullback-Leibler divergence, and Poisson's negative log-likelihood."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.losses import targets
from tinygrad_dnn.losses.base import OfFunction
from tinygrad_dnn.losses.inputs import (
    EPSILON,
    limits,
    log_probabilities,
    logits_of,
    matched,
    sample_means,
    with_classes,
)
from tinygrad_dnn.ops import clip, log, where
from tinygrad_dnn.tensor import Tensor, TensorLike


@targets.expecting(targets.probabilities)
def kl_divergence(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``sum(y_true * log(y_true / y_pred))`` over the last axis.

    Args:
        y_true: The true distributions, of shape (n, classes).
        y_pred: The predicted ones, of the same shape. The result of a softmax is taken back to its logits, see the
            module, and then a target 0 adds exactly 0; otherwise both are limited to [1e-7, 1], as Keras does.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> td.losses.kl_divergence([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.25, 0.75]])
        Tensor([0.      , 0.143841], dtype=float32)
    """
    y_true, y_pred = with_classes("kl_divergence", y_true, y_pred)
    logits = logits_of("kl_divergence", "softmax", y_pred)
    if logits is None:
        least, _ = limits(y_pred)
        y_true, y_pred = clip(y_true, least, 1.0), clip(y_pred, least, 1.0)
        return ops.sum(y_true * log(y_true / y_pred), -1)
    return ops.sum(y_true * (log(where(y_true > 0, y_true, 1.0)) - log_probabilities(logits)), -1)


@targets.expecting(targets.not_negative)
def poisson(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``y_pred - y_true * log(y_pred)``, averaged over the last axis.

    It is the negative logarithm of the probability of ``y_true`` events where ``y_pred`` are expected, but for a term
    that no prediction changes.

    Args:
        y_true: Counts of shape (n, outputs), at least 0; (n,) will do for one output.
        y_pred: Expected counts of shape (n, outputs), at least 0, to which the logarithm adds 1e-7. Make them with an
            activation such as "softplus" or "exponential": the value of a negative one is NaN.

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.poisson([[0.0], [2.0]], [[1.0], [1.0]])
        Tensor([1., 1.], dtype=float32)
    """
    y_true, y_pred = matched("poisson", y_true, y_pred)
    return sample_means("poisson", y_pred - y_true * log(y_pred + EPSILON))


class KLDivergence(OfFunction):
    """The Kullback-Leibler divergence, see ``kl_divergence``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.KLDivergence()([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.25, 0.75]])
        Tensor(0.071921, dtype=float32)
    """

    _function = staticmethod(kl_divergence)


class Poisson(OfFunction):
    """Poisson's negative log-likelihood, see ``poisson``; its registered name is "poisson_loss".

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.Poisson()([[0.0], [2.0]], [[1.0], [1.0]])
        Tensor(1., dtype=float32)
    """

    _function = staticmethod(poisson)
