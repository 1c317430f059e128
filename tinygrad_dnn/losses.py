"""Losses: what training makes small, one value a sample, by Keras's names and defaults.

A cross-entropy is exact only from logits: once a probability has been rounded to 0 or 1, its logarithm is lost. So
``activations.softmax`` and ``activations.sigmoid`` leave their input on their result (``Tensor._logits``), and where the
predictions of a cross-entropy carry it, the loss is computed from it; a model that ends in a softmax trains as if it
ended in logits. Other probabilities are limited to [1e-7, 1 - 1e-7], as Keras does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.ops import cast, exp, floating, log, log1p, maximum, minimum, reshape, where
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "Loss", "MeanAbsoluteError", "MeanSquaredError",
    "SparseCategoricalCrossentropy", "binary_crossentropy", "categorical_crossentropy", "get", "mae",
    "mean_absolute_error", "mean_squared_error", "mse", "serialize", "sparse_categorical_crossentropy",
]  # fmt: skip

EPSILON = 1e-7
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


# -- functions: one value a sample ----------------------------------------------------------------------------------


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
    return -log(_clipped(probability))


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


mse = mean_squared_error
mae = mean_absolute_error


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


# -- classes: reduced to what is minimised ------------------------------------------------------------------------------


class Loss:
    """Base of all loss classes; a subclass writes ``call`` and, where it has arguments, ``get_config``.

    Args:
        name: What errors and configurations call it.
        reduction: What calling it makes of the samples' values: "sum_over_batch_size" or "mean" (their mean, weights
            not counted), "mean_with_sample_weight" (divided by the sum of the weights), "sum", or "none" (or None).

    Raises:
        ValueError: ``reduction`` is none of these.

    Example:
        >>> class FourthPower(td.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return ((y_true - y_pred) ** 4).mean(axis=-1)
        >>> FourthPower()(td.tensor([[0.0], [0.0]]), td.tensor([[1.0], [2.0]]))
        Tensor(8.5, dtype=float32)
    """

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size") -> None:
        self.name = name or type(self).__name__
        if reduction not in REDUCTIONS:
            raise ValueError(f"{self.name}: reduction is one of {', '.join(map(repr, REDUCTIONS))}, not {reduction!r}.")
        self.reduction = reduction

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """Return one value a sample, of shape (n,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred).")

    def __call__(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> Tensor:
        """Return the values reduced, a Tensor of shape () unless the reduction is "none".

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: What each sample's value is multiplied by, of shape (n,) or (n, 1).

        Raises:
            ValueError: The shapes do not fit.
        """
        values = self.call(y_true, y_pred)
        weights = None
        if sample_weight is not None:
            weights = _fitting(self.name, sample_weight, values)
            values = values * weights
        if self.reduction in ("none", None):
            return values
        if self.reduction == "sum":
            return ops.sum(values)
        if weights is None or self.reduction != "mean_with_sample_weight":
            return ops.mean(values)
        total = ops.sum(weights)
        return ops.sum(values) / where(total == 0, 1.0, total)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Return the loss that ``get_config`` described."""
        return cls(**config)


def _fitting(name: str, sample_weight: TensorLike, values: Tensor) -> Tensor:
    """Return the weights as a Tensor that broadcasts along the samples of ``values``."""
    weights = cast(as_tensor(sample_weight, like=values), values.dtype)
    shape = weights.shape[:-1] if weights.shape == (*values.shape, 1) else weights.shape
    if shape != values.shape[: len(shape)]:
        raise ValueError(
            f"{name}: sample_weight has shape {weights.shape} and the loss {values.shape}; one weight a sample is needed."
        )
    return reshape(weights, (*shape, *(1,) * (values.ndim - len(shape))))


class _OfFunction(Loss):
    """A loss class whose values are those of one of the functions above, with the arguments that it keeps."""

    _function: Callable[..., Tensor]

    def __init__(self, name: str, reduction: str | None, **arguments: Any) -> None:
        super().__init__(name, reduction)
        self._arguments = arguments

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        return type(self)._function(y_true, y_pred, **self._arguments)

    def get_config(self) -> dict[str, Any]:
        return {**self._arguments, **super().get_config()}


class SparseCategoricalCrossentropy(_OfFunction):
    """The cross-entropy of integer classes, see ``sparse_categorical_crossentropy``.

    Args:
        from_logits: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> loss = td.losses.SparseCategoricalCrossentropy()
        >>> loss([1, 0], [[0.5, 0.5], [0.5, 0.5]])
        Tensor(0.693147, dtype=float32)
    """

    _function = staticmethod(sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits=from_logits)


class CategoricalCrossentropy(_OfFunction):
    """The cross-entropy of one-hot targets, see ``categorical_crossentropy``.

    Args:
        from_logits: As there.
        label_smoothing: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

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
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits=from_logits, label_smoothing=label_smoothing)


class BinaryCrossentropy(_OfFunction):
    """The cross-entropy of targets that are 0 or 1, see ``binary_crossentropy``.

    Args:
        from_logits: As there.
        label_smoothing: As there.
        reduction: As for ``Loss``.
        name: As for ``Loss``.

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
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits=from_logits, label_smoothing=label_smoothing)


class MeanSquaredError(_OfFunction):
    """The mean squared error, see ``mean_squared_error``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.MeanSquaredError()([[0.0], [1.0]], [[1.0], [3.0]])
        Tensor(2.5, dtype=float32)
    """

    _function = staticmethod(mean_squared_error)

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error"
    ) -> None:
        super().__init__(name, reduction)


class MeanAbsoluteError(_OfFunction):
    """The mean absolute error, see ``mean_absolute_error``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.MeanAbsoluteError()([[0.0], [1.0]], [[1.0], [3.0]])
        Tensor(1.5, dtype=float32)
    """

    _function = staticmethod(mean_absolute_error)

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error"
    ) -> None:
        super().__init__(name, reduction)


# -- by name ----------------------------------------------------------------------------------------------------------


def get(identifier: Any, /, **kwargs: Any) -> Any:
    """Return a loss by name, with arguments if any are given, or as it is; see ``Registry.get``.

    A name in snake case means the function, the same in capitals the class.

    Raises:
        ValueError: Nothing has this name.
        TypeError: What is given is no loss.

    Example:
        >>> td.losses.get("mse") is td.losses.mean_squared_error
        True
        >>> td.losses.get("MeanSquaredError").reduction
        'sum_over_batch_size'
    """
    return registry.losses.get(identifier, **kwargs)


def serialize(loss: Any) -> str | dict[str, Any] | None:
    """Return what ``get`` makes the loss from again; see ``Registry.serialize``.

    Raises:
        ValueError: It is not registered.

    Example:
        >>> td.losses.serialize(td.losses.mse)
        'mean_squared_error'
    """
    return registry.losses.serialize(loss)


@hookimpl
def register_losses(register: Register) -> None:
    """Register the built-in losses, as a plugin registers its own."""
    for loss in (
        sparse_categorical_crossentropy, categorical_crossentropy, binary_crossentropy,
        SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError, MeanAbsoluteError,
    ):  # fmt: skip
        register(loss)
    register(mean_squared_error, aliases=("mse",))
    register(mean_absolute_error, aliases=("mae",))
