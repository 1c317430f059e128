"""Composition: schedules one after another, or multiplied with one another, are a schedule again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any, TypeAlias

from tinygrad_dnn import ops, registry
from tinygrad_dnn.schedulers.base import LearningRateSchedule, as_rate, as_steps
from tinygrad_dnn.tensor import Tensor, TensorLike

Part: TypeAlias = float | str | dict[str, Any] | Callable[[Tensor], Any]


class _Composition(LearningRateSchedule):
    """What is made of schedules, and of numbers where a rate or factor stays the same."""

    def __init__(self, schedules: Iterable[Part]) -> None:
        self.schedules = [self._part(schedule) for schedule in self._list("schedules", schedules)]
        if not self.schedules:
            raise ValueError(f"{type(self).__name__}: schedules has at least one schedule; it is empty.")

    def _part(self, given: Part | None) -> Any:
        if isinstance(given, Real):
            return self._number("a number among schedules", given, "[0, inf)")
        if given is None:
            raise TypeError(f"{type(self).__name__}: each of schedules must be a schedule or a number, not None.")
        return registry.schedulers.given(given, f"{type(self).__name__}: each of schedules")

    def get_config(self) -> dict[str, Any]:
        parts = [part if isinstance(part, Real) else registry.schedulers.serialize(part) for part in self.schedules]
        return {"schedules": parts}


class SequentialSchedule(_Composition):
    """One schedule after another: each is in charge from its milestone on and counts from 0 there.

    A schedule starts **at** its milestone, as in PyTorch's ``SequentialLR``; a value of ``PiecewiseConstantDecay``,
    as in Keras, starts after its boundary.

    Args:
        schedules: Each a schedule, its name or configuration, a function of the step, or a number of at least 0, a
            rate that stays. They are given the step in float64.
        milestones: The steps at which the second and those after it start: positive, increasing, one less than there
            are schedules.

    Raises:
        ValueError: An argument is out of its range, a name is unknown, or the numbers of schedules and milestones do
            not fit.
        TypeError: One of ``schedules`` is no schedule.

    Example:
        >>> warmup = td.schedulers.LinearWarmup(0.1, warmup_steps=10)
        >>> decay = td.schedulers.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> schedule = td.schedulers.SequentialSchedule([warmup, 0.1, decay], milestones=[10, 50])
        >>> schedule(5), schedule(49), schedule(60)
        (Tensor(0.05, dtype=float32), Tensor(0.1, dtype=float32), Tensor(0.05, dtype=float32))
    """

    def __init__(self, schedules: Iterable[Part], milestones: Sequence[float]) -> None:
        super().__init__(schedules)
        steps = [self._steps("each milestone", step) for step in self._list("milestones", milestones)]
        if len(steps) != len(self.schedules) - 1:
            raise ValueError(
                f"SequentialSchedule: {len(self.schedules)} schedules need {len(self.schedules) - 1} milestones, "
                f"not {len(steps)}."
            )
        self.milestones = self._increasing("milestones", steps)

    def __call__(self, step: TensorLike) -> Tensor:
        steps = as_steps(step)
        rate = ops.zeros_like(steps)
        begins, ends = [0.0, *self.milestones], [*self.milestones, math.inf]
        for part, begin, end in zip(self.schedules, begins, ends, strict=True):
            # All are computed at every step: one that is not in charge must not be asked for what it cannot answer.
            own = _value(part, ops.clip(steps - begin, 0.0, end - begin))
            rate = ops.where(steps >= begin, own, rate)
        return as_rate(rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "milestones": [*self.milestones]}


class ProductSchedule(_Composition):
    """The product of several schedules, all at the same step: what ``first * second`` makes.

    PyTorch's ``ChainedScheduler``, where the schedulers multiply. All but one are factors rather than rates: a
    warm-up to 1, say, or 0.5 for half the rate.

    Args:
        schedules: Each a schedule, its name or configuration, a function of the step, or a number of at least 0. They
            are given the step in float64.

    Raises:
        ValueError: An argument is out of its range, or a name is unknown.
        TypeError: One of ``schedules`` is no schedule.

    Example:
        >>> warmup = td.schedulers.LinearWarmup(1.0, warmup_steps=10)
        >>> decay = td.schedulers.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> td.schedulers.ProductSchedule([warmup, decay])(20)
        Tensor(0.025, dtype=float32)
        >>> (warmup * decay * 2)(20)
        Tensor(0.05, dtype=float32)
    """

    def __call__(self, step: TensorLike) -> Tensor:
        steps = as_steps(step)
        product = ops.ones_like(steps)
        for part in self.schedules:
            product = product * _value(part, steps)
        return as_rate(product)


def _value(part: Any, steps: Tensor) -> Tensor:
    return ops.cast(part(steps) if callable(part) else part, "float64")
