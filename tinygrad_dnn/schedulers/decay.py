"""Decays: the rate falls from the first step on, by a formula of the time that has gone, or at given steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from tinygrad_dnn import ops
from tinygrad_dnn.schedulers.base import LearningRateSchedule, as_rate, as_steps
from tinygrad_dnn.tensor import Tensor, TensorLike


class _PeriodicDecay(LearningRateSchedule):
    """What decays by its own formula in periods of ``decay_steps``, smoothly or at their ends alone."""

    _hyperparameters: ClassVar[tuple[str, ...]] = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase")

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, "[0, inf)")
        self.decay_steps = self._steps("decay_steps", decay_steps)
        self.decay_rate = self._number("decay_rate", decay_rate, "[0, inf)")
        self.staircase = self._flag("staircase", staircase)

    def _periods(self, step: TensorLike) -> Tensor:
        periods = as_steps(step) / self.decay_steps
        return ops.floor(periods) if self.staircase else periods


class ExponentialDecay(_PeriodicDecay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    e^(-s t) is ``decay_steps=1, decay_rate=math.exp(-s)``.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        decay_steps: After so many steps the rate has been multiplied by ``decay_rate``; positive.
        decay_rate: Positive.
        staircase: Whether the exponent is rounded down, so that the rate falls in steps, at each multiple of
            ``decay_steps``; with 0.1 as the ``decay_rate``, 10^(-floor(t / decay_steps)).

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> schedule(0), schedule(20)
        (Tensor(0.1, dtype=float32), Tensor(0.025, dtype=float32))
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None:
        self._number("decay_rate", decay_rate, "(0, inf)")  # not 0 either: its logarithm is needed
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase)

    def __call__(self, step: TensorLike) -> Tensor:
        return as_rate(self.initial_learning_rate * ops.exp(self._periods(step) * math.log(self.decay_rate)))


class InverseTimeDecay(_PeriodicDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``: ``PowerDecay`` with the power 1.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        decay_steps: The unit that steps are counted in, positive.
        decay_rate: At least 0.
        staircase: Whether ``step / decay_steps`` is rounded down, so that the rate falls in steps.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> schedule(0), schedule(20)
        (Tensor(0.1, dtype=float32), Tensor(0.05, dtype=float32))
    """

    def __call__(self, step: TensorLike) -> Tensor:
        return as_rate(self.initial_learning_rate / (self._periods(step) * self.decay_rate + 1.0))


class PowerDecay(_PeriodicDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps) ** power``: fast at first, then ever slower.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        decay_steps: The unit that steps are counted in, positive.
        decay_rate: At least 0.
        power: Positive; 1 is ``InverseTimeDecay``.
        staircase: Whether ``step / decay_steps`` is rounded down, so that the rate falls in steps.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.PowerDecay(0.1, decay_steps=10, decay_rate=0.5, power=2.0)
        >>> schedule(0), schedule(20)
        (Tensor(0.1, dtype=float32), Tensor(0.025, dtype=float32))
    """

    _hyperparameters = ("initial_learning_rate", "decay_steps", "decay_rate", "power", "staircase")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        power: float = 1.0,
        staircase: bool = False,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase)
        self.power = self._number("power", power, "(0, inf)")

    def __call__(self, step: TensorLike) -> Tensor:
        # A negative power goes to 0 where a quotient's denominator would overflow.
        return as_rate(self.initial_learning_rate * (self._periods(step) * self.decay_rate + 1.0) ** -self.power)


class PolynomialDecay(LearningRateSchedule):
    """From ``initial_learning_rate`` to ``end_learning_rate`` as a power of what is left of ``decay_steps``.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        decay_steps: The steps that it takes, positive.
        end_learning_rate: The rate from then on, at least 0.
        power: Positive; 1 is a straight line.
        cycle: Whether to begin again from above after the end: the decay then ends at the next multiple of
            ``decay_steps``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)
        >>> schedule(0), schedule(5), schedule(1000)
        (Tensor(0.1, dtype=float32), Tensor(0.05, dtype=float32), Tensor(0., dtype=float32))
    """

    _hyperparameters = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, "[0, inf)")
        self.decay_steps = self._steps("decay_steps", decay_steps)
        self.end_learning_rate = self._number("end_learning_rate", end_learning_rate, "[0, inf)")
        self.power = self._number("power", power, "(0, inf)")
        self.cycle = self._flag("cycle", cycle)

    def __call__(self, step: TensorLike) -> Tensor:
        gone = as_steps(step) / self.decay_steps
        if self.cycle:
            gone = gone / ops.maximum(-ops.floor(-gone), 1.0)
        left = 1.0 - ops.minimum(gone, 1.0)
        change = self.initial_learning_rate - self.end_learning_rate
        return as_rate(change * left**self.power + self.end_learning_rate)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    A new value starts one step **after** its boundary, as in Keras. PyTorch's ``MultiStepLR``, and code that says
    ``rate[steps >= boundary] = value``, start it **at** the boundary: for the same rates here, take 1 from each
    boundary. ``SequentialSchedule`` counts as they do.

    Args:
        boundaries: Steps, increasing, each at least 0.
        values: Rates, each at least 0, one more than there are boundaries.

    Raises:
        ValueError: An argument is out of its range, the numbers of boundaries and values do not fit, or the
            boundaries do not increase.

    Example:
        >>> schedule = td.schedulers.PiecewiseConstantDecay([5, 15], [0.01, 0.005, 0.001])
        >>> schedule(5), schedule(6), schedule(1000)
        (Tensor(0.01, dtype=float32), Tensor(0.005, dtype=float32), Tensor(0.001, dtype=float32))
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]) -> None:
        self.boundaries = [self._steps("each boundary", b, "[0, inf)") for b in self._list("boundaries", boundaries)]
        self.values = [self._number("each value", value, "[0, inf)") for value in self._list("values", values)]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: {len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"not {len(self.values)}."
            )
        self._increasing("boundaries", self.boundaries)

    def __call__(self, step: TensorLike) -> Tensor:
        steps = as_steps(step)
        rate = ops.full_like(steps, self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = ops.where(steps > boundary, float(value), rate)
        return as_rate(rate)

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": [*self.boundaries], "values": [*self.values]}
