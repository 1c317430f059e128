"""R2Score: which part of the targets' variance the predictions explain."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_choice, as_integer
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.losses.inputs import spread_weights
from tinygrad_dnn.metrics.base import Metric
from tinygrad_dnn.metrics.confusion import inputs, ratio
from tinygrad_dnn.ops import square, where
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, Variable

AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """The coefficient of determination, 1 - (squared errors) / (squared deviations of the targets from their mean).

    Args:
        class_aggregation: None for one number an output; else their mean, plain ("uniform_average") or by the
            variance of each output's targets ("variance_weighted_average").
        num_regressors: The number of independent variables p by which the score is adjusted, to
            1 - (1 - R2) (n - 1) / (n - p - 1) for n targets; 0 for no adjustment, nor is there one for n <= p + 1.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> metric = td.metrics.R2Score()
        >>> metric.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
        >>> metric.result()
        Tensor(0.571429, dtype=float32)
    """

    num_samples: Variable
    count: Variable
    mean: Variable
    deviation: Variable
    residual: Variable

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(dtype, name)
        self._aggregation = as_choice(class_aggregation, f"{self.name}: class_aggregation", AGGREGATIONS)
        self._regressors = as_integer(num_regressors, f"{self.name}: num_regressors", "[0, inf)")

    def update_state(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: Targets of shape (n, outputs); (n,) will do for one output.
            y_pred: Predictions of shape (n, outputs).
            sample_weight: What each sample counts, of shape (n,) or (n, 1); 1 by default.

        Raises:
            ValueError: The shapes do not fit.
        """
        with no_grad():
            y_true, y_pred = inputs(self.name, self.dtype, y_true, y_pred)
            if y_pred.ndim != 2 or (self.variables and y_pred.shape[1:] != self.mean.shape):
                wanted = self.mean.shape[0] if self.variables else "outputs"
                raise ValueError(f"{self.name}: y_pred must have shape (n, {wanted}), not {y_pred.shape}.")
            if not self.variables:
                outputs = y_pred.shape[1]
                self.num_samples = self.add_variable(name="num_samples")
                self.count = self.add_variable((outputs,), name="count")
                self.mean = self.add_variable((outputs,), name="mean")
                self.deviation = self.add_variable((outputs,), name="deviation")
                self.residual = self.add_variable((outputs,), name="residual")
            weights = ops.ones_like(y_pred)
            if sample_weight is not None:
                weights = weights * spread_weights(self.name, sample_weight, y_pred)
            # Squares of deviations are merged batch by batch; a sum of squares less the square of a sum would lose
            # all digits of targets that are far from 0.
            count = ops.sum(weights, 0)
            mean = ratio(ops.sum(weights * y_true, 0), count)
            total, apart = self.count + count, mean - self.mean
            within = ops.sum(weights * square(y_true - mean), 0)
            self.deviation.assign(self.deviation + within + square(apart) * ratio(self.count * count, total))
            self.mean.assign(self.mean + apart * ratio(count, total))
            self.count.assign(total)
            self.residual.assign(self.residual + ops.sum(weights * square(y_true - y_pred), 0))
            self.num_samples.assign(self.num_samples + y_true.size)

    def result(self) -> Tensor:
        """Return the score since the last reset; 0 of an output whose targets are all equal."""
        if not self.variables:
            return ops.zeros((), self.dtype)
        constant = self.deviation == 0
        score = where(constant, 0.0, 1.0 - self.residual / where(constant, 1.0, self.deviation))
        if self._aggregation == "uniform_average":
            score = ops.mean(score)
        elif self._aggregation == "variance_weighted_average":
            score = ratio(ops.sum(self.deviation * score), ops.sum(self.deviation))
        if not self._regressors:
            return score
        freedom = self.num_samples - self._regressors - 1.0
        enough = freedom > 0
        return where(enough, 1.0 - (1.0 - score) * (self.num_samples - 1.0) / where(enough, freedom, 1.0), score)

    def get_config(self) -> dict[str, Any]:
        arguments = {"class_aggregation": self._aggregation, "num_regressors": self._regressors}
        return {**arguments, **super().get_config()}
