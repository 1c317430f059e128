"""Schedulers: learning rates as functions of the step, by the names and defaults of Keras's learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import backend, ops, registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.tensor import Tensor, TensorLike

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
    "PiecewiseConstantDecay", "PolynomialDecay", "get", "serialize",
]  # fmt: skip


class LearningRateSchedule:
    """Base of all schedules: a callable of the step that returns the learning rate.

    The step counts from 0; it is a number or a Tensor of integers, and the result a Tensor of its shape in the
    default floating-point type. A subclass writes ``__call__`` in Tensor operations, so that a schedule needs no
    look at the step's value on the host, and ``get_config``.

    Example:
        >>> class InverseRoot(td.schedulers.LearningRateSchedule):
        ...     def __init__(self, scale=1.0):
        ...         self.scale = scale
        ...     def __call__(self, step):
        ...         return self.scale / td.sqrt(step + 1)
        ...     def get_config(self):
        ...         return {"scale": self.scale}
        >>> InverseRoot(0.1)(3)
        Tensor(0.05, dtype=float32)
    """

    def __call__(self, step: TensorLike) -> Tensor:
        """Return the learning rate at ``step``."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(step).")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this schedule again."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_config().")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Return the schedule that ``get_config`` described."""
        return cls(**config)

    def _number(self, argument: str, value: float, least: float = -math.inf, above: float = -math.inf) -> float:
        """Return a number among the arguments, after checking that it is in its range."""
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < least or value <= above:
            needed = f"a number above {above:g}" if above > -math.inf else f"a number of at least {least:g}"
            raise ValueError(f"{type(self).__name__}: {argument} is {needed}, not {value!r}.")
        return value


def _steps(step: TensorLike) -> Tensor:
    # In float64: float32 does not tell 16,777,216 steps from one more, nor a period's end from what comes before it.
    return ops.cast(step, "float64")


def _rate(value: Tensor) -> Tensor:
    return ops.cast(value, backend.floatx())


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        decay_steps: After so many steps the rate has been multiplied by ``decay_rate``; positive.
        decay_rate: Positive.
        staircase: Whether the exponent is rounded down, so that the rate falls in steps.

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
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, least=0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0)
        self.decay_rate = self._number("decay_rate", decay_rate, above=0)
        self.staircase = staircase

    def __call__(self, step: TensorLike) -> Tensor:
        periods = _steps(step) / self.decay_steps
        if self.staircase:
            periods = ops.floor(periods)
        return _rate(self.initial_learning_rate * ops.exp(periods * math.log(self.decay_rate)))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
        }


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

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

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, least=0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0)
        self.decay_rate = self._number("decay_rate", decay_rate, least=0)
        self.staircase = staircase

    def __call__(self, step: TensorLike) -> Tensor:
        periods = _steps(step) / self.decay_steps
        if self.staircase:
            periods = ops.floor(periods)
        return _rate(self.initial_learning_rate / (periods * self.decay_rate + 1.0))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    A new value starts after its boundary; PyTorch's ``MultiStepLR`` starts it at the boundary.

    Args:
        boundaries: Steps, increasing.
        values: Rates, each at least 0, one more than there are boundaries.

    Raises:
        ValueError: The numbers do not fit, or the boundaries do not increase.

    Example:
        >>> schedule = td.schedulers.PiecewiseConstantDecay([5, 15], [0.01, 0.005, 0.001])
        >>> schedule(5), schedule(6), schedule(1000)
        (Tensor(0.01, dtype=float32), Tensor(0.005, dtype=float32), Tensor(0.001, dtype=float32))
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]) -> None:
        self.boundaries = [self._number("each boundary", boundary, least=0) for boundary in boundaries]
        self.values = [self._number("each value", value, least=0) for value in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: {len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"not {len(self.values)}."
            )
        if any(first >= second for first, second in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"PiecewiseConstantDecay: boundaries increase; these are {self.boundaries}.")

    def __call__(self, step: TensorLike) -> Tensor:
        steps = _steps(step)
        rate = ops.full_like(steps, self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = ops.where(steps > boundary, float(value), rate)
        return _rate(rate)

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values}


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

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, least=0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0)
        self.end_learning_rate = self._number("end_learning_rate", end_learning_rate, least=0)
        self.power = self._number("power", power, above=0)
        self.cycle = cycle

    def __call__(self, step: TensorLike) -> Tensor:
        gone = _steps(step) / self.decay_steps
        if self.cycle:
            gone = gone / ops.maximum(-ops.floor(-gone), 1.0)
        left = 1.0 - ops.minimum(gone, 1.0)
        change = self.initial_learning_rate - self.end_learning_rate
        return _rate(change * left**self.power + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the initial rate down to ``alpha`` times it, after a linear warm-up if one is asked for.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        decay_steps: The steps of the decay, warm-up not counted; positive.
        alpha: The part of the rate that is left at the end, at least 0.
        warmup_target: Where the warm-up leads and the decay begins, at least 0; None means no warm-up.
        warmup_steps: The steps of the warm-up, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.CosineDecay(0.1, decay_steps=10)
        >>> schedule(0), schedule(5), schedule(1000)
        (Tensor(0.1, dtype=float32), Tensor(0.05, dtype=float32), Tensor(0., dtype=float32))

    Reference:
        Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        *,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, least=0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0)
        self.alpha = self._number("alpha", alpha, least=0)
        self.warmup_target = None if warmup_target is None else self._number("warmup_target", warmup_target, least=0)
        self.warmup_steps = self._number("warmup_steps", warmup_steps, least=0)

    def __call__(self, step: TensorLike) -> Tensor:
        steps = _steps(step)
        if self.warmup_target is None:
            return _rate(self.initial_learning_rate * self._wave(steps))
        decayed = self.warmup_target * self._wave(ops.maximum(steps - self.warmup_steps, 0.0))
        slope = (self.warmup_target - self.initial_learning_rate) / max(self.warmup_steps, 1)
        return _rate(ops.where(steps < self.warmup_steps, steps * slope + self.initial_learning_rate, decayed))

    def _wave(self, steps: Tensor) -> Tensor:
        gone = ops.minimum(steps / self.decay_steps, 1.0)
        return (1 - self.alpha) * 0.5 * (ops.cos(gone * math.pi) + 1.0) + self.alpha

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine wave from the initial rate down to ``alpha`` times it, again and again.

    Args:
        initial_learning_rate: The rate at step 0, at least 0.
        first_decay_steps: The steps of the first wave, positive.
        t_mul: Each wave takes so many times as long as the one before; at least 1.
        m_mul: Each wave starts at so many times the rate of the one before; at least 0.
        alpha: The part of the rate that is left at a wave's end, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.CosineDecayRestarts(0.1, first_decay_steps=10)
        >>> schedule(0), schedule(5), schedule(10), schedule(30)
        (Tensor(0.1, dtype=float32), Tensor(0.05, dtype=float32), Tensor(0.1, dtype=float32),
         Tensor(0.1, dtype=float32))

    Reference:
        Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, least=0)
        self.first_decay_steps = self._number("first_decay_steps", first_decay_steps, above=0)
        self.t_mul = self._number("t_mul", t_mul, least=1)
        self.m_mul = self._number("m_mul", m_mul, least=0)
        self.alpha = self._number("alpha", alpha, least=0)

    def __call__(self, step: TensorLike) -> Tensor:
        gone = _steps(step) / self.first_decay_steps  # in lengths of the first wave
        # A wave's first step must not count as the last one of the wave before because a logarithm was rounded.
        if self.t_mul == 1:
            wave = ops.floor(gone + 1e-9)
            gone = gone - wave
        else:
            wave = ops.floor(ops.log(gone * (self.t_mul - 1) + 1.0) / math.log(self.t_mul) + 1e-9)
            length = ops.exp(wave * math.log(self.t_mul))
            gone = (gone - (length - 1.0) / (self.t_mul - 1)) / length
        height = 0.5 * (1 - self.alpha) * self.m_mul**wave
        return _rate(self.initial_learning_rate * (height * (ops.cos(gone * math.pi) + 1.0) + self.alpha))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
        }


def get(identifier: Any, /, **kwargs: Any) -> Any:
    """Return a schedule by name with its arguments, by configuration, or as it is; see ``Registry.get``.

    Raises:
        ValueError: Nothing has this name.
        TypeError: What is given is no schedule, or arguments are missing.

    Example:
        >>> schedule = td.schedulers.get("cosine_decay", initial_learning_rate=0.1, decay_steps=100)
        >>> schedule(100)
        Tensor(0., dtype=float32)
    """
    return registry.schedulers.get(identifier, **kwargs)


def serialize(schedule: Any) -> str | dict[str, Any] | None:
    """Return what ``get`` makes the schedule from again; see ``Registry.serialize``.

    Raises:
        ValueError: It is not registered.

    Example:
        >>> td.schedulers.serialize(td.schedulers.PiecewiseConstantDecay([10], [0.1, 0.01]))
        {'class_name': 'piecewiseconstantdecay', 'config': {'boundaries': [10], 'values': [0.1, 0.01]}}
    """
    return registry.schedulers.serialize(schedule)


@hookimpl
def register_schedulers(register: Register) -> None:
    """Register the built-in schedules, as a plugin registers its own."""
    for schedule in (
        ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay, CosineDecayRestarts,
    ):  # fmt: skip
        register(schedule)
