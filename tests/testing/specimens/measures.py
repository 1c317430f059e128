"""Broken losses and metrics."""

from __future__ import annotations

from typing import Any

import tinygrad_dnn as td
from tests.testing.specimens.breaking import breaks, crooked, mean_square
from tinygrad_dnn.tensor import Tensor

# -- losses ------------------------------------------------------------------------------------------------------------


@breaks("losses", "gradients", "its derivative is wrong")
def wrong_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return crooked(y_true - y_pred).mean(axis=-1)


@breaks("losses", "one_value_a_sample", "predictions float32[5, 3] gave float32[5, 3]")
def of_elements(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return (y_true - y_pred) ** 2


@breaks("losses", "samples_apart", "the samples one by one gave something else")
def centred_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    deviation = y_true - y_pred
    return ((deviation - 0.5 * deviation.mean(axis=0)) ** 2).mean(axis=-1)


@breaks("losses", "sample_weights", "with sample weights it gave something else")
class Unweighted(td.losses.Loss):
    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return mean_square(y_true, y_pred)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        return super().__call__(y_true, y_pred)


@breaks("losses", "finite_values", "the loss is")
def unclipped(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return -(y_true * td.log(y_pred)).sum(axis=-1)


@breaks("losses", "finite_gradients", "the slope is nan at 1000")
def clipped_outside(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return (y_true * td.where(y_pred < 10, td.exp(y_pred), y_pred)).mean(axis=-1)


@breaks("losses", "zero_for_perfect", "perfect predictions give 0.1")
def lifted(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return mean_square(y_true, y_pred) + 0.1


lifted.conformance = {"claims": {"zero_for_perfect": True}}


@breaks("losses", "in_a_model", "does not depend on its trainable weights")
def of_signs(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return td.sign(y_pred - y_true).mean(axis=-1)


# -- metrics -----------------------------------------------------------------------------------------------------------


class Squared(td.metrics.Metric):
    """The mean squared error, in which there is nothing wrong."""

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(dtype, name)
        self.total, self.count = self.add_variable(name="total"), self.add_variable(name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        values = mean_square(y_true, y_pred)
        weights = td.ones_like(values) if sample_weight is None else td.tensor(sample_weight)
        self.add((values * weights).sum(), weights.sum())

    def add(self, total: Tensor, count: Tensor) -> None:
        self.total.assign(self.total + total)
        self.count.assign(self.count + count)

    def result(self) -> Tensor:
        return self.total / td.where(td.equal(self.count, 0), 1.0, self.count)


@breaks("metrics", "in_parts", "in batches of 3, 4 and 1 it gave something else")
class MeanOfMeans(Squared):
    def add(self, total: Tensor, count: Tensor) -> None:
        super().add(total / count, td.ones_like(count))


@breaks("metrics", "reset", "after reset_state it gave something else")
class HalfReset(Squared):
    def reset_state(self) -> None:
        self.count.assign(0.0)


@breaks("metrics", "weighted", "with sample_weight of ones, or of zeros")
class Unmoved(Squared):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, y_pred)


@breaks("metrics", "result_is_pure", "read twice it differs")
class WearsOut(Squared):
    def result(self) -> Tensor:
        value = super().result()
        self.count.assign(self.count * 1.01)
        return value


@breaks("metrics", "state_in_variables", "with the other's variables it gave something else")
class Keeps(Squared):
    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(dtype, name)
        self.total = td.Variable(0.0)

    def reset_state(self) -> None:
        super().reset_state()
        self.total.assign(0.0)


@breaks("metrics", "in_a_model", "its name is None")
class Nameless(Squared):
    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(dtype, name)
        self.name = None  # type: ignore[assignment]
