"""AUC: the area under a curve that a threshold draws, of true over false positives, or of precision over recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import activations, ops
from tinygrad_dnn.checks import as_choice, as_flag, as_integer, as_list, as_number
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.losses.inputs import spread_weights
from tinygrad_dnn.metrics.confusion import ConfusionCounts, checked_thresholds, inputs, ratio
from tinygrad_dnn.ops import log, maximum, minimum, reshape, where
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, as_tensor

CURVES = ("ROC", "PR")
SUMMATION_METHODS = ("interpolation", "majoring", "minoring")
# The first threshold lies below 0 and the last above 1 by this much, so that all and none are above them.
MARGIN = 1e-7


class AUC(ConfusionCounts):
    """The area under the receiver operating characteristic (ROC), or under the precision-recall curve (PR).

    For ROC it is the probability that a positive sample has a greater prediction than a negative one. The curve has a
    point for each threshold, so that predictions between two thresholds count as equal.

    Args:
        num_thresholds: How many thresholds there are, evenly from 0 to 1; at least 2.
        curve: "ROC" or "PR".
        summation_method: How the area between two points is found: "interpolation" (a trapezoid; for PR, where a line
            would be too high, Davis and Goadrich's integral), or the rectangle of the greater value ("majoring") or
            the smaller one ("minoring").
        name: As for ``Metric``.
        dtype: As for ``Metric``.
        thresholds: The thresholds between 0 and 1, in place of ``num_thresholds``.
        multi_label: Whether each output has an area of its own, of which the mean is taken; otherwise all outputs
            count as samples of one curve.
        num_labels: With ``multi_label``, the number of outputs; by default that of the first batch.
        label_weights: The weight of each output, of its area with ``multi_label`` and of its counts without.
        from_logits: Whether predictions are logits, which the sigmoid makes probabilities.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> metric = td.metrics.AUC(num_thresholds=3)
        >>> metric.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
        >>> metric.result()
        Tensor(0.75, dtype=float32)

    Reference:
        Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006.
    """

    _counted = ("true_positives", "false_positives", "true_negatives", "false_negatives")

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: DTypeLike | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        as_flag(from_logits, f"{self.name}: from_logits")
        self._check(num_thresholds, curve, summation_method, multi_label, num_labels, label_weights)
        if thresholds is None:
            inner = [number / (num_thresholds - 1) for number in range(1, num_thresholds - 1)]
        else:
            inner = sorted(checked_thresholds(self.name, thresholds, 0.5))
        self._thresholds = [-MARGIN, *inner, 1 + MARGIN]
        self._arguments: dict[str, Any] = {
            "num_thresholds": len(self._thresholds),
            "curve": curve.upper(),
            "summation_method": summation_method.lower(),
            "thresholds": None if thresholds is None else inner,
            "multi_label": multi_label,
            "num_labels": num_labels,
            "label_weights": None if label_weights is None else [float(weight) for weight in label_weights],
            "from_logits": from_logits,
        }
        if num_labels is not None or not multi_label:
            self._add_counts(*([num_labels] if num_labels is not None else []))

    def _check(
        self, num_thresholds: Any, curve: Any, summation_method: Any, multi_label: bool, num_labels: Any, weights: Any
    ) -> None:
        as_integer(num_thresholds, f"{self.name}: num_thresholds", "[2, inf)")
        as_flag(multi_label, f"{self.name}: multi_label")
        as_choice(curve.upper() if isinstance(curve, str) else curve, f"{self.name}: curve", CURVES)
        method = summation_method.lower() if isinstance(summation_method, str) else summation_method
        as_choice(method, f"{self.name}: summation_method", SUMMATION_METHODS)
        if num_labels is not None:
            as_integer(num_labels, f"{self.name}: num_labels", "[1, inf)", "None or an integer of at least 1")
            if not multi_label:
                raise ValueError(f"{self.name}: num_labels={num_labels} says something with multi_label=True alone.")
        for weight in as_list(weights, f"{self.name}: label_weights") if weights is not None else ():
            as_number(weight, f"{self.name}: each of label_weights", "[0, inf)")

    def update_state(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: 0 or 1, of shape (n, outputs); (n,) will do for one output.
            y_pred: Probabilities of shape (n, outputs), or logits with ``from_logits``.
            sample_weight: What each sample counts, of shape (n,) or (n, 1); 1 by default.

        Raises:
            ValueError: The shapes do not fit each other, ``multi_label``, ``num_labels`` or ``label_weights``.
        """
        with no_grad():
            y_true, y_pred = inputs(self.name, self.dtype, y_true, y_pred)
            if self._arguments["from_logits"]:
                y_pred = activations.sigmoid(y_pred)
            weights = ops.ones_like(y_pred)
            if sample_weight is not None:
                weights = weights * spread_weights(self.name, sample_weight, y_pred)
            label_weights = self._label_weights(y_pred)
            if self._arguments["multi_label"]:
                self._check_labels(y_pred.shape)
                self._count(y_true, y_pred, weights)
                return
            if label_weights is not None:
                weights = weights * label_weights
            self._count(reshape(y_true, -1), reshape(y_pred, -1), reshape(weights, -1))

    def _check_labels(self, shape: tuple[int, ...]) -> None:
        """Make the state for the first batch's number of labels, and hold all batches to it."""
        labels = self.true_positives.shape[1] if self.variables else shape[-1]
        if len(shape) != 2 or shape[1] != labels:
            wanted = labels if self.variables else "labels"
            raise ValueError(f"{self.name}: multi_label=True needs y_pred of shape (n, {wanted}), not {shape}.")
        if not self.variables:
            self._add_counts(labels)

    def _label_weights(self, values: Tensor) -> Tensor | None:
        weights = self._arguments["label_weights"]
        if weights is None:
            return None
        if len(weights) != values.shape[-1]:
            raise ValueError(f"{self.name}: there are {len(weights)} label_weights for {values.shape[-1]} outputs.")
        return as_tensor(weights, like=values)

    def result(self) -> Tensor:
        """Return the area under the curve of all samples since the last reset; 0 if there were none."""
        if not self.variables:
            return ops.zeros((), self.dtype)
        arguments = self._arguments
        interpolated = arguments["summation_method"] == "interpolation"
        areas = ops.sum(self._precision_integral() if interpolated and arguments["curve"] == "PR" else self._steps(), 0)
        if not arguments["multi_label"]:
            return areas
        weights = self._label_weights(areas)
        return ops.mean(areas) if weights is None else ratio(ops.sum(areas * weights), ops.sum(weights))

    def _steps(self) -> Tensor:
        """Return the area between each two points of the curve, as a trapezoid or a rectangle."""
        recall = ratio(self.true_positives, self.true_positives + self.false_negatives)
        if self._arguments["curve"] == "PR":
            x, y = recall, ratio(self.true_positives, self.true_positives + self.false_positives)
        else:
            x, y = ratio(self.false_positives, self.false_positives + self.true_negatives), recall
        sides = y[:-1], y[1:]
        heights = {
            "interpolation": lambda: (sides[0] + sides[1]) / 2,
            "majoring": lambda: maximum(*sides),
            "minoring": lambda: minimum(*sides),
        }[self._arguments["summation_method"]]()
        return (x[:-1] - x[1:]) * heights

    def _precision_integral(self) -> Tensor:
        """Return the integral of the precision over the recall between each two thresholds.

        Between two points true positives grow in proportion to positive predictions p, with a slope: the precision is
        slope + intercept / p, and its integral has a logarithm.
        """
        found, predicted = self.true_positives, self.true_positives + self.false_positives
        new = found[:-1] - found[1:]
        slope = ratio(new, maximum(predicted[:-1] - predicted[1:], 0.0))
        intercept = found[1:] - slope * predicted[1:]
        growing = (predicted[:-1] > 0) & (predicted[1:] > 0)
        growth = where(growing, predicted[:-1], 1.0) / where(growing, predicted[1:], 1.0)
        return ratio(slope * (new + intercept * log(growth)), found[1:] + self.false_negatives[1:])

    def get_config(self) -> dict[str, Any]:
        return {**self._arguments, **super().get_config()}
