"""The focal cross-entropies: samples that are classified well already count less, so that the hard ones decide."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_dnn import ops
from tinygrad_dnn.losses import targets
from tinygrad_dnn.losses.arguments import FLAG, FRACTION, INTEGER, NOT_NEGATIVE, WEIGHTS, check_arguments, ranging
from tinygrad_dnn.losses.base import OfFunction
from tinygrad_dnn.losses.crossentropy import elementwise_crossentropy
from tinygrad_dnn.losses.inputs import (
    EPSILON,
    clipped,
    last,
    log_probabilities,
    logits_of,
    matched,
    sample_means,
    smoothed,
    total_of,
    with_classes,
)
from tinygrad_dnn.ops import exp, expm1, log, maximum
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor


@targets.expecting(targets.probabilities)
@ranging(
    apply_class_balancing=FLAG, alpha=FRACTION, gamma=NOT_NEGATIVE, from_logits=FLAG, label_smoothing=FRACTION,
    axis=INTEGER,
)  # fmt: skip
def binary_focal_crossentropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return ``(1 - p_t)**gamma`` times the binary cross-entropy, averaged over the outputs.

    ``p_t`` is the probability given to the target: ``y_true * p + (1 - y_true) * (1 - p)``.

    Args:
        y_true: 0 or 1, or a probability, of shape (n, outputs); (n,) will do for one output.
        y_pred: Probabilities of shape (n, outputs), or logits. The result of a sigmoid is taken back to its logits,
            see the module.
        apply_class_balancing: Whether targets 1 are weighted by ``alpha`` and targets 0 by ``1 - alpha``.
        alpha: The weight of the class 1, in [0, 1].
        gamma: How much less the easy samples count, at least 0; 0 is the plain cross-entropy.
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: The part of each target, in [0, 1], that becomes 1/2.
        axis: The axis of the outputs.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes do not fit, or an argument is out of its range.

    Example:
        >>> td.losses.binary_focal_crossentropy([1, 0], [[0.5], [0.75]])
        Tensor([0.173287, 0.779791], dtype=float32)

    Reference:
        Lin, Goyal, Girshick, He and Dollar, "Focal loss for dense object detection", 2017.
    """
    name = "binary_focal_crossentropy"
    check_arguments(
        binary_focal_crossentropy, apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma,
        from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
    )  # fmt: skip
    y_true, y_pred = matched(name, y_true, y_pred)
    logits = logits_of(name, "sigmoid", y_pred, from_logits)
    y_true = smoothed(y_true, label_smoothing, 0.5)
    if logits is None:
        p, other = y_pred, 1.0 - y_pred
    else:  # minus a cross-entropy is the logarithm of a probability, exact in both tails
        p, other = (exp(-elementwise_crossentropy(target, y_pred, logits)) for target in (1.0, 0.0))
    values = _focus(y_true * other + (1.0 - y_true) * p, gamma) * elementwise_crossentropy(y_true, y_pred, logits)
    if apply_class_balancing:
        values = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * values
    return sample_means(name, values, axis)


@targets.expecting(targets.probabilities)
@ranging(alpha=WEIGHTS, gamma=NOT_NEGATIVE, from_logits=FLAG, label_smoothing=FRACTION, axis=INTEGER)
def categorical_focal_crossentropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return ``-sum(alpha * (1 - p)**gamma * y_true * log(p))`` over the classes.

    Args:
        y_true: Target probabilities of shape (n, classes), one-hot rows as a rule.
        y_pred: Probabilities p of the same shape, or logits. The result of a softmax is taken back to its logits, see
            the module; other probabilities are divided by their sum, unless that is 0.
        alpha: The weight of every class, or a list with the weight of each; at least 0.
        gamma: How much less the easy samples count, at least 0.
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: The part of each target, in [0, 1], that is spread evenly over the classes.
        axis: The axis of the classes.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes differ, an argument is out of its range, or ``alpha`` has not one weight a class.

    Example:
        >>> td.losses.categorical_focal_crossentropy([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.25, 0.75]])
        Tensor([0.043322, 0.194948], dtype=float32)

    Reference:
        Lin, Goyal, Girshick, He and Dollar, "Focal loss for dense object detection", 2017.
    """
    name = "categorical_focal_crossentropy"
    check_arguments(
        categorical_focal_crossentropy, alpha=alpha, gamma=gamma, from_logits=from_logits,
        label_smoothing=label_smoothing, axis=axis,
    )  # fmt: skip
    y_true, y_pred = with_classes(name, y_true, y_pred)
    logits = logits_of(name, "softmax", y_pred, from_logits)
    y_true, scores = last(name, axis, y_true), last(name, axis, y_pred if logits is None else logits)
    y_true = smoothed(y_true, label_smoothing, 1 / scores.shape[-1])
    if logits is None:
        probabilities = clipped(scores / total_of(scores, keepdims=True))
        logarithms, others = log(probabilities), 1.0 - probabilities
    else:
        logarithms = log_probabilities(scores)
        others = -expm1(logarithms)
    weights = _weight_of_each_class(name, alpha, scores) if isinstance(alpha, Sequence) else float(alpha)
    return -ops.sum(weights * _focus(others, gamma) * y_true * logarithms, -1)


def _focus(missing: Tensor, gamma: float) -> Tensor:
    """Return ``missing**gamma``; the limit keeps the slope finite where a gamma below 1 would make it infinite at 0."""
    return maximum(missing, EPSILON) ** gamma


def _weight_of_each_class(name: str, alpha: Sequence[float], y_pred: Tensor) -> Tensor:
    if len(alpha) != y_pred.shape[-1]:
        raise ValueError(f"{name}: alpha has {len(alpha)} weights, and there are {y_pred.shape[-1]} classes.")
    return ops.cast(as_tensor(alpha, like=y_pred), y_pred.dtype)


class BinaryFocalCrossentropy(OfFunction):
    """The focal cross-entropy of targets that are 0 or 1, see ``binary_focal_crossentropy``.

    Args:
        apply_class_balancing: As there.
        alpha: As there.
        gamma: As there.
        from_logits: As there.
        label_smoothing: As there.
        axis: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> loss = td.losses.BinaryFocalCrossentropy(gamma=1.0)
        >>> loss([1, 0], [[0.5], [0.5]])
        Tensor(0.346574, dtype=float32)
    """

    _function = staticmethod(binary_focal_crossentropy)

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
    ) -> None:
        super().__init__(reduction, name)
        self._keep(
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(OfFunction):
    """The focal cross-entropy of one-hot targets, see ``categorical_focal_crossentropy``.

    Args:
        alpha: As there.
        gamma: As there.
        from_logits: As there.
        label_smoothing: As there.
        axis: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> loss = td.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=1.0)
        >>> loss([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]])
        Tensor(0.346574, dtype=float32)
    """

    _function = staticmethod(categorical_focal_crossentropy)

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
    ) -> None:
        super().__init__(reduction, name)
        self._keep(alpha=alpha, gamma=gamma, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
