"""The F-scores: means of precision and recall, for each class or over all."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_choice, as_number
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.losses.inputs import spread_weights
from tinygrad_dnn.metrics.base import Metric
from tinygrad_dnn.metrics.confusion import inputs, ratio
from tinygrad_dnn.ops import cast
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike

AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """The harmonic mean of precision and recall, in which recall counts ``beta``**2 times as much.

    Args:
        average: None for one number a class; else one number: "micro" counts over all classes, "macro" is the mean of
            the classes' scores, "weighted" their mean by how many targets each has.
        beta: How much more recall counts than precision, above 0.
        threshold: Above it, in (0, 1], a prediction is positive; by default each sample's greatest one is.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> metric = td.metrics.FBetaScore(beta=2.0, threshold=0.5)
        >>> metric.update_state([[1, 1], [1, 0], [1, 1]], [[0.2, 0.6], [0.2, 0.6], [0.6, 0.8]])
        >>> metric.result()
        Tensor([0.384615, 0.909091], dtype=float32)
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(dtype, name)
        if threshold is not None:
            threshold = as_number(threshold, f"{self.name}: threshold", "(0, 1]", "None or a number in (0, 1]")
        self._average = as_choice(average, f"{self.name}: average", AVERAGES)
        self._beta = as_number(beta, f"{self.name}: beta", "(0, inf)")
        self._threshold = threshold
        self._classes = 0  # known from the first batch on

    def update_state(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: 0 or 1, of shape (n, classes); (n,) will do for one class.
            y_pred: Probabilities of shape (n, classes).
            sample_weight: What each sample counts, of shape (n,) or (n, 1); 1 by default.

        Raises:
            ValueError: The shapes do not fit.
        """
        with no_grad():
            y_true, y_pred = inputs(self.name, self.dtype, y_true, y_pred)
            if y_pred.ndim != 2 or (self.variables and y_pred.shape[1] != self._classes):
                wanted = self._classes if self.variables else "classes"
                raise ValueError(f"{self.name}: y_pred must have shape (n, {wanted}), not {y_pred.shape}.")
            if not self.variables:
                self._classes = y_pred.shape[1]
                shape = () if self._average == "micro" else (self._classes,)
                self.true_positives = self.add_variable(shape, name="true_positives")
                self.false_positives = self.add_variable(shape, name="false_positives")
                self.false_negatives = self.add_variable(shape, name="false_negatives")
            if self._threshold is None:
                # A row of zeros has no greatest element.
                chosen = (y_pred == ops.max(y_pred, -1, keepdims=True)) & (ops.abs(y_pred) > 1e-9)
            else:
                chosen = y_pred > self._threshold
            positive = cast(chosen, self.dtype)
            weights: Tensor | float = 1.0
            if sample_weight is not None:
                weights = spread_weights(self.name, sample_weight, y_pred)
            for state, counted in (
                (self.true_positives, positive * y_true),
                (self.false_positives, positive * (1.0 - y_true)),
                (self.false_negatives, (1.0 - positive) * y_true),
            ):
                state.assign(state + ops.sum(counted * weights, None if self._average == "micro" else 0))

    def result(self) -> Tensor:
        """Return the score since the last reset, one for each class where ``average`` is None; 0 of no samples."""
        if not self.variables:
            return ops.zeros((), self.dtype)
        found, more = self.true_positives, self._beta**2
        targets = found + self.false_negatives
        # The harmonic mean of found / predicted and found / targets, cleared of fractions.
        score = ratio((1.0 + more) * found, found + self.false_positives + more * targets)
        if self._average == "weighted":
            return ratio(ops.sum(score * targets), ops.sum(targets))
        return score if self._average is None else ops.mean(score)

    def get_config(self) -> dict[str, Any]:
        arguments = {"average": self._average, "beta": self._beta, "threshold": self._threshold}
        return {**arguments, **super().get_config()}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall.

    Args:
        average: As for ``FBetaScore``.
        threshold: As for ``FBetaScore``.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> metric = td.metrics.F1Score(threshold=0.5)
        >>> metric.update_state([[1, 1], [1, 0], [1, 1]], [[0.2, 0.6], [0.2, 0.6], [0.6, 0.8]])
        >>> metric.result()
        Tensor([0.5, 0.8], dtype=float32)
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config
