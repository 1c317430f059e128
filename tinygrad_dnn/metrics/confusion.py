"""Metrics of yes and no: how many outputs above a threshold are right, and what is made of these counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_integer, as_number
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.losses.inputs import matched, spread_weights
from tinygrad_dnn.metrics.base import Metric
from tinygrad_dnn.ops import cast, expand_dims, reshape, where
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, Variable, as_tensor


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return the quotient, and 0 where ``part`` and ``whole`` are 0."""
    return part / where(whole == 0, 1.0, whole)


def inputs(name: str, dtype: str, y_true: TensorLike, y_pred: TensorLike) -> tuple[Tensor, Tensor]:
    """Return targets and predictions as Tensors of one shape, (n, ...), and of a metric's element type."""
    y_true, y_pred = matched(name, y_true, y_pred)
    return cast(y_true, dtype), cast(y_pred, dtype)


class ConfusionCounts(Metric):
    """Base of the metrics that count true and false positives and negatives at each of several thresholds.

    A subclass says in ``_counted`` which of the four it needs, and gets each as a state of this name.

    Args:
        dtype: As for ``Metric``.
        name: As for ``Metric``.
    """

    _counted: ClassVar[tuple[str, ...]]
    _thresholds: Sequence[float]
    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable

    def _add_counts(self, *shape: int) -> None:
        for counted in self._counted:
            setattr(self, counted, self.add_variable((len(self._thresholds), *shape), name=counted))

    def _count(self, y_true: Tensor, y_pred: Tensor, weights: Tensor | float) -> None:
        """Add what a batch counts to the state.

        Args:
            y_true: Targets, of shape (values,), or (values, labels) where each label is counted by itself; whatever
                is not 0 is positive.
            y_pred: Predictions of the same shape; those above a threshold say positive.
            weights: What each value counts, of a shape that broadcasts to this one.
        """
        limits = reshape(as_tensor(self._thresholds, like=y_pred), (-1,) + (1,) * y_pred.ndim)
        above = expand_dims(y_pred, 0) > limits
        positive = cast(y_true != 0, self.dtype) * weights
        negative = cast(y_true == 0, self.dtype) * weights
        for counted in self._counted:
            share = positive if counted in ("true_positives", "false_negatives") else negative
            chosen = (share, 0.0) if counted.endswith("positives") else (0.0, share)
            state = getattr(self, counted)
            state.assign(state + ops.sum(where(above, *chosen), 1))


def checked_thresholds(name: str, thresholds: Any, default: float) -> list[float]:
    """Return one threshold or several as a list, and ``default`` for None."""
    given = [default] if thresholds is None else thresholds
    given = list(given) if isinstance(given, (list, tuple)) else [given]
    if thresholds is None:
        return given
    words = "None, or a number in [0, 1], or a list of such"
    if not given:
        raise ValueError(f"{name}: thresholds must be {words}, not {thresholds!r}.")
    return [as_number(each, f"{name}: thresholds", "[0, 1]", words) for each in given]


class _AtThresholds(ConfusionCounts):
    """What is counted over all outputs of a batch, or the one of a class, at the user's thresholds."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None,
        name: str | None,
        dtype: DTypeLike | None,
        **selection: int | None,
    ) -> None:
        super().__init__(dtype, name)
        for argument, least in (("top_k", 1), ("class_id", 0)):
            value = selection.get(argument)
            if value is not None:
                words = f"None or an integer of at least {least}"
                as_integer(value, f"{self.name}: {argument}", f"[{least}, inf)", words)
        self._top_k, self._class_id = selection.get("top_k"), selection.get("class_id")
        self._arguments = {"thresholds": thresholds, **selection}
        # The top k are positive whatever their values; the other predictions become minus infinity.
        self._thresholds = checked_thresholds(self.name, thresholds, 0.5 if self._top_k is None else -1e10)
        self._add_counts()

    def update_state(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: 0 or 1, of shape (n, outputs); (n,) will do for one output.
            y_pred: Probabilities of shape (n, outputs).
            sample_weight: What each sample counts, of shape (n,) or (n, 1); 1 by default.

        Raises:
            ValueError: The shapes do not fit, or have fewer classes than ``top_k`` or ``class_id`` needs.
        """
        with no_grad():
            y_true, y_pred = inputs(self.name, self.dtype, y_true, y_pred)
            weights = ops.ones_like(y_pred)
            if sample_weight is not None:
                weights = weights * spread_weights(self.name, sample_weight, y_pred)
            classes = y_pred.shape[-1] if y_pred.ndim > 1 else 1
            if self._top_k is not None:
                self._check_classes("top_k", self._top_k, classes)
                y_pred = where(_in_top_k(y_pred, self._top_k), y_pred, float("-inf"))
            if self._class_id is not None:
                self._check_classes("class_id", self._class_id + 1, classes)
                y_true, y_pred, weights = (each[..., self._class_id] for each in (y_true, y_pred, weights))
            self._count(reshape(y_true, -1), reshape(y_pred, -1), reshape(weights, -1))

    def _check_classes(self, argument: str, needed: int, classes: int) -> None:
        if needed > classes:
            raise ValueError(
                f"{self.name}: {argument} is {self._arguments[argument]}, which needs {needed} classes, and y_pred "
                f"has {classes}."
            )

    def _value(self) -> Tensor:
        """Return what is made of the counts, for all thresholds."""
        raise NotImplementedError

    def result(self) -> Tensor:
        """Return the value, of shape () for one threshold, else with one number a threshold."""
        value = self._value()
        return value[0] if len(self._thresholds) == 1 else value

    def get_config(self) -> dict[str, Any]:
        return {**self._arguments, **super().get_config()}


def _in_top_k(y_pred: Tensor, k: int) -> Tensor:
    """Return booleans, true at the ``k`` greatest elements of the last axis, of equals the first."""
    classes = ops.arange(y_pred.shape[-1]).to(y_pred.backend.name)
    chosen = y_pred != y_pred
    for _ in range(k):
        greatest = expand_dims(ops.argmax(where(chosen, float("-inf"), y_pred), -1), -1)
        chosen = chosen | (greatest == classes)
    return chosen


class _OneCount(_AtThresholds):
    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(thresholds, name, dtype)

    def _value(self) -> Tensor:
        return self.variables[0] * 1.0


class TruePositives(_OneCount):
    """How many outputs are above the threshold, rightly; weighted where weights are given.

    Args:
        thresholds: Above it a prediction is positive; 0.5 by default. A list of several gives one number each.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: A threshold is outside [0, 1].

    Example:
        >>> metric = td.metrics.TruePositives()
        >>> metric.update_state([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
        >>> metric.result()
        Tensor(2., dtype=float32)
    """

    _counted = ("true_positives",)


class TrueNegatives(_OneCount):
    """How many outputs are not above the threshold, rightly; weighted where weights are given.

    Args:
        thresholds: As for ``TruePositives``.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: A threshold is outside [0, 1].

    Example:
        >>> metric = td.metrics.TrueNegatives()
        >>> metric.update_state([0, 1, 0, 0], [1.0, 1.0, 0.0, 0.0])
        >>> metric.result()
        Tensor(2., dtype=float32)
    """

    _counted = ("true_negatives",)


class FalsePositives(_OneCount):
    """How many outputs are above the threshold, wrongly; weighted where weights are given.

    Args:
        thresholds: As for ``TruePositives``.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: A threshold is outside [0, 1].

    Example:
        >>> metric = td.metrics.FalsePositives()
        >>> metric.update_state([0, 1, 0, 0], [0.0, 0.0, 1.0, 1.0])
        >>> metric.result()
        Tensor(2., dtype=float32)
    """

    _counted = ("false_positives",)


class FalseNegatives(_OneCount):
    """How many outputs are not above the threshold, wrongly; weighted where weights are given.

    Args:
        thresholds: As for ``TruePositives``.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: A threshold is outside [0, 1].

    Example:
        >>> metric = td.metrics.FalseNegatives()
        >>> metric.update_state([0, 1, 1, 1], [0.0, 1.0, 0.0, 0.0])
        >>> metric.result()
        Tensor(2., dtype=float32)
    """

    _counted = ("false_negatives",)


class Precision(_AtThresholds):
    """Which part of the positive predictions is right; 0 where there are none.

    Args:
        thresholds: As for ``TruePositives``.
        top_k: Count as positive the ``top_k`` greatest predictions of each sample (above the threshold, if one is
            given).
        class_id: Count this class's predictions alone.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> metric = td.metrics.Precision()
        >>> metric.update_state([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
        >>> metric.result()
        Tensor(0.666667, dtype=float32)
    """

    _counted = ("true_positives", "false_positives")

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, top_k=top_k, class_id=class_id)

    def _value(self) -> Tensor:
        return ratio(self.true_positives, self.true_positives + self.false_positives)


class Recall(_AtThresholds):
    """Which part of the positive targets is found; 0 where there are none.

    Args:
        thresholds: As for ``TruePositives``.
        top_k: As for ``Precision``.
        class_id: As for ``Precision``.
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> metric = td.metrics.Recall()
        >>> metric.update_state([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
        >>> metric.result()
        Tensor(0.666667, dtype=float32)
    """

    _counted = ("true_positives", "false_negatives")

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, top_k=top_k, class_id=class_id)

    def _value(self) -> Tensor:
        return ratio(self.true_positives, self.true_positives + self.false_negatives)
