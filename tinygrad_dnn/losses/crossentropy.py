"""The cross-entropies of integer classes, of one-hot targets, and of targets that are 0 or 1."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.losses import targets
from tinygrad_dnn.losses.arguments import CLASS, FLAG, FRACTION, INTEGER, check_arguments, ranging
from tinygrad_dnn.losses.base import OfFunction
from tinygrad_dnn.losses.inputs import (
    below_zero,
    clipped,
    last,
    log_probabilities,
    logits_of,
    matched,
    one_hot_labels,
    sample_means,
    smoothed,
    total_of,
    with_classes,
)
from tinygrad_dnn.ops import exp, floating, log, log1p, maximum, minimum, negative, reshape, where
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor


@targets.expecting(targets.classes)
@ranging(from_logits=FLAG, ignore_class=CLASS, axis=INTEGER)
def sparse_categorical_crossentropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """Return minus the logarithm of the probability given to each sample's class.

    Args:
        y_true: Classes from 0 to classes - 1, of shape (n,) or (n, 1) and of any integer or floating-point type; more
            axes as in ``y_pred``.
        y_pred: Probabilities of shape (n, classes), or logits. The result of a softmax is taken back to its logits,
            see the module; other probabilities are divided by their sum, unless that is 0.
        from_logits: Whether ``y_pred`` holds logits.
        ignore_class: The class, in its range or not, whose samples have the value 0.
        axis: The axis of the classes in ``y_pred``.

    Returns:
        The values, of shape (n,). A class out of range gives a meaningless one: no value is looked at on the host.

    Raises:
        ValueError: The shapes do not fit, or an argument is out of its range.

    Example:
        >>> td.losses.sparse_categorical_crossentropy([1, 0], [[0.5, 0.5], [0.25, 0.75]])
        Tensor([0.693147, 1.386294], dtype=float32)
    """
    name = "sparse_categorical_crossentropy"
    check_arguments(sparse_categorical_crossentropy, from_logits=from_logits, ignore_class=ignore_class, axis=axis)
    y_pred = floating(y_pred)
    logits = logits_of(name, "softmax", y_pred, from_logits)
    scores = last(name, axis, y_pred if logits is None else logits)
    labels = as_tensor(y_true, like=y_pred)
    if labels.ndim == y_pred.ndim > 0 and labels.shape[axis] == 1:
        labels = last(name, axis, labels)
    hits = one_hot_labels(name, labels, scores)
    if logits is not None:
        shifted = below_zero(scores)
        values = log(ops.sum(exp(shifted), -1)) - ops.sum(where(hits, shifted, 0.0), -1)
    else:
        probability = ops.sum(where(hits, scores, 0.0), -1) / total_of(scores)
        values = negative(log(clipped(probability)))
    return values if ignore_class is None else where(not_ignored(labels, values, ignore_class), values, 0.0)


def not_ignored(y_true: TensorLike, values: Tensor, ignore_class: int) -> Tensor:
    """Return booleans of the shape of ``values``, one for each class of ``y_true``: whether it is another one."""
    return reshape(as_tensor(y_true, like=values), values.shape) != ignore_class


@targets.expecting(targets.probabilities)
@ranging(from_logits=FLAG, label_smoothing=FRACTION, axis=INTEGER)
def categorical_crossentropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return ``-sum(y_true * log(probabilities))`` over the classes.

    Args:
        y_true: Target probabilities of shape (n, classes), one-hot rows as a rule.
        y_pred: Probabilities of the same shape, or logits. The result of a softmax is taken back to its logits, see
            the module; other probabilities are divided by their sum, unless that is 0.
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: The part of each target, in [0, 1], that is spread evenly over the classes.
        axis: The axis of the classes.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes differ, or an argument is out of its range.

    Example:
        >>> td.losses.categorical_crossentropy([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.25, 0.75]])
        Tensor([0.693147, 1.386294], dtype=float32)

    Reference:
        For the smoothing, Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
    """
    name = "categorical_crossentropy"
    check_arguments(categorical_crossentropy, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
    y_true, y_pred = with_classes(name, y_true, y_pred)
    logits = logits_of(name, "softmax", y_pred, from_logits)
    y_true, scores = last(name, axis, y_true), last(name, axis, y_pred if logits is None else logits)
    y_true = smoothed(y_true, label_smoothing, 1 / scores.shape[-1])
    if logits is None:
        return -ops.sum(y_true * log(clipped(scores / total_of(scores, keepdims=True))), -1)
    return -ops.sum(y_true * log_probabilities(scores), -1)


@targets.expecting(targets.probabilities)
@ranging(from_logits=FLAG, label_smoothing=FRACTION, axis=INTEGER)
def binary_crossentropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return ``-(y_true * log(p) + (1 - y_true) * log(1 - p))``, averaged over the outputs.

    Args:
        y_true: 0 or 1, or a probability, of shape (n, outputs); (n,) will do for one output.
        y_pred: Probabilities of shape (n, outputs), or logits. The result of a sigmoid is taken back to its logits,
            see the module.
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: The part of each target, in [0, 1], that becomes 1/2.
        axis: The axis of the outputs.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes do not fit, or an argument is out of its range.

    Example:
        >>> td.losses.binary_crossentropy([1, 0], [[0.5], [0.75]])
        Tensor([0.693147, 1.386294], dtype=float32)
    """
    name = "binary_crossentropy"
    check_arguments(binary_crossentropy, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
    y_true, y_pred = matched(name, y_true, y_pred)
    logits = logits_of(name, "sigmoid", y_pred, from_logits)
    return sample_means(name, elementwise_crossentropy(smoothed(y_true, label_smoothing, 0.5), y_pred, logits), axis)


def elementwise_crossentropy(y_true: Tensor | float, y_pred: Tensor, logits: Tensor | None) -> Tensor:
    """Return the binary cross-entropy of each element, from its logit where there are logits."""
    if logits is None:
        p = clipped(y_pred)
        return -(y_true * log(p) + (1.0 - y_true) * log(1.0 - p))
    # log(1 + exp(x)) - x y without overflow. At 0 both extremes choose the upper branch, which makes the slope
    # there right; abs(x) would have slope 0.
    return maximum(logits, 0.0) - logits * y_true + log1p(exp(minimum(-logits, logits)))


class SparseCategoricalCrossentropy(OfFunction):
    """The cross-entropy of integer classes, see ``sparse_categorical_crossentropy``.

    A mean is that of the samples which are not of ``ignore_class``.

    Args:
        from_logits: As there.
        ignore_class: As there.
        reduction: As for ``Loss``.
        axis: As for the function.
        name: As for ``Loss``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> loss = td.losses.SparseCategoricalCrossentropy()
        >>> loss([1, 0], [[0.5, 0.5], [0.5, 0.5]])
        Tensor(0.693147, dtype=float32)
    """

    _function = staticmethod(sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(reduction, name)
        self._keep(from_logits=from_logits, ignore_class=ignore_class, axis=axis)

    def _counted(self, y_true: TensorLike, values: Tensor) -> Tensor | None:
        ignored = self._arguments["ignore_class"]
        return None if ignored is None else not_ignored(y_true, values, ignored)


class CategoricalCrossentropy(OfFunction):
    """The cross-entropy of one-hot targets, see ``categorical_crossentropy``.

    Args:
        from_logits: As there.
        label_smoothing: As there.
        axis: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> loss = td.losses.CategoricalCrossentropy(label_smoothing=0.1)
        >>> loss([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]])
        Tensor(0.693147, dtype=float32)
    """

    _function = staticmethod(categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(reduction, name)
        self._keep(from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class BinaryCrossentropy(OfFunction):
    """The cross-entropy of targets that are 0 or 1, see ``binary_crossentropy``.

    Args:
        from_logits: As there.
        label_smoothing: As there.
        axis: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> loss = td.losses.BinaryCrossentropy()
        >>> loss([1, 0], [[0.5], [0.5]])
        Tensor(0.693147, dtype=float32)
    """

    _function = staticmethod(binary_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
        super().__init__(reduction, name)
        self._keep(from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
