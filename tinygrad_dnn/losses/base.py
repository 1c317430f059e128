"""Loss: how the values of samples are reduced to what is minimised; and the base of the classes of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_choice, as_name
from tinygrad_dnn.losses.arguments import check_arguments
from tinygrad_dnn.losses.inputs import spread_weights
from tinygrad_dnn.ops import cast, where
from tinygrad_dnn.ops.cast import widened
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
        self.name = as_name(name, f"{type(self).__name__}: name") or type(self).__name__
        self.reduction = as_choice(reduction, f"{self.name}: reduction", REDUCTIONS)

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """Return one value a sample, of shape (n,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred).")

    def _counted(self, y_true: TensorLike, values: Tensor) -> Tensor | None:
        """Return booleans of the shape of ``values``, false where a mean must not count one; None means all."""
        return None

    def __call__(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> Tensor:
        """Return the values reduced, a Tensor of shape () unless the reduction is "none".

        Predictions of float16 or bfloat16 are compared with the targets in float32.

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: What each sample's value is multiplied by, of shape (n,) or (n, 1).

        Raises:
            ValueError: The shapes do not fit.
        """
        y_pred = widened(y_pred)
        values = self.call(y_true, y_pred)
        counted = self._counted(y_true, values)
        weights = None
        if sample_weight is not None:
            weights = spread_weights(self.name, sample_weight, values)
            values = values * weights
        if self.reduction in ("none", None):
            return values
        if self.reduction == "sum":
            return ops.sum(values)
        counts = weights if self.reduction == "mean_with_sample_weight" else None
        if counted is not None:
            counts = cast(counted, values.dtype) if counts is None else where(counted, counts, 0.0)
        if counts is None:
            return ops.mean(values)
        total = ops.sum(counts)
        return ops.sum(values) / where(total == 0, 1.0, total)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Return the loss that ``get_config`` described."""
        return cls(**config)


class OfFunction(Loss):
    """Base of the classes whose values are those of a function, with the arguments that ``_keep`` was given.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``; by default the function's.
    """

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None) -> None:
        super().__init__(as_name(name, f"{type(self).__name__}: name") or type(self)._function.__name__, reduction)
        self._arguments: dict[str, Any] = {}

    def _keep(self, **arguments: Any) -> None:
        """Check the function's arguments, and give them to it with each call."""
        check_arguments(type(self)._function, self.name, **arguments)
        self._arguments = arguments

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        return type(self)._function(y_true, y_pred, **self._arguments)

    def check_targets(self, y: Any, outputs: tuple[int, ...]) -> None:
        """Raise ValueError where targets cannot be right for outputs of a shape; ``fit`` asks before it begins."""
        check = getattr(type(self)._function, "check_targets", None)
        if check is not None:
            check(y, outputs, **self._arguments)

    def get_config(self) -> dict[str, Any]:
        return {**self._arguments, **super().get_config()}
