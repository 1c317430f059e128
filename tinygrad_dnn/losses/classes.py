"""Loss classes: a loss function with its arguments, and how its values are reduced to what is minimised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinygrad_dnn import ops
from tinygrad_dnn.losses.functions import (
    binary_crossentropy,
    categorical_crossentropy,
    fitting_weights,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from tinygrad_dnn.ops import reshape, where
from tinygrad_dnn.tensor import Tensor, TensorLike

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


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
            weights = fitting_weights(self.name, sample_weight, values)
            values = values * reshape(weights, weights.shape + (1,) * (values.ndim - weights.ndim))
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


class _OfFunction(Loss):
    """A loss class whose values are those of one of the functions above, with the arguments that it keeps."""

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(self, name: str, reduction: str | None, **arguments: Any) -> None:
        super().__init__(name, reduction)
        self._arguments = arguments

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        return type(self)._function(y_true, y_pred, **self._arguments)

    def check_targets(self, y: Any, outputs: tuple[int, ...]) -> None:
        """Raise ValueError where targets cannot be right for outputs of a shape; ``fit`` asks before it begins."""
        check = getattr(type(self)._function, "check_targets", None)
        if check is not None:
            check(y, outputs)

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
