"""Cosine decays: half a wave down, once or again and again."""

from __future__ import annotations

import math

from tinygrad_dnn import ops
from tinygrad_dnn.schedulers.base import LearningRateSchedule, as_rate, as_steps
from tinygrad_dnn.tensor import Tensor, TensorLike


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

    _hyperparameters = ("initial_learning_rate", "decay_steps", "alpha", "warmup_target", "warmup_steps")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        *,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, "[0, inf)")
        self.decay_steps = self._steps("decay_steps", decay_steps)
        self.alpha = self._number("alpha", alpha, "[0, inf)")
        self.warmup_target = self._optional("warmup_target", warmup_target, "[0, inf)")
        self.warmup_steps = self._steps("warmup_steps", warmup_steps, "[0, inf)")

    def __call__(self, step: TensorLike) -> Tensor:
        steps = as_steps(step)
        if self.warmup_target is None:
            return as_rate(self.initial_learning_rate * self._wave(steps))
        decayed = self.warmup_target * self._wave(ops.maximum(steps - self.warmup_steps, 0.0))
        slope = (self.warmup_target - self.initial_learning_rate) / max(self.warmup_steps, 1)
        return as_rate(ops.where(steps < self.warmup_steps, steps * slope + self.initial_learning_rate, decayed))

    def _wave(self, steps: Tensor) -> Tensor:
        gone = ops.minimum(steps / self.decay_steps, 1.0)
        return (1 - self.alpha) * 0.5 * (ops.cos(gone * math.pi) + 1.0) + self.alpha


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

    _hyperparameters = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha")

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, "[0, inf)")
        self.first_decay_steps = self._steps("first_decay_steps", first_decay_steps)
        self.t_mul = self._number("t_mul", t_mul, "[1, inf)")
        self.m_mul = self._number("m_mul", m_mul, "[0, inf)")
        self.alpha = self._number("alpha", alpha, "[0, inf)")

    def __call__(self, step: TensorLike) -> Tensor:
        gone = as_steps(step) / self.first_decay_steps  # in lengths of the first wave
        # A wave's first step must not count as the last one of the wave before because a logarithm was rounded.
        if self.t_mul == 1:
            wave = ops.floor(gone + 1e-9)
            gone = gone - wave
        else:
            wave = ops.floor(ops.log(gone * (self.t_mul - 1) + 1.0) / math.log(self.t_mul) + 1e-9)
            length = ops.exp(wave * math.log(self.t_mul))
            gone = (gone - (length - 1.0) / (self.t_mul - 1)) / length
        height = 0.5 * (1 - self.alpha) * self.m_mul**wave
        return as_rate(self.initial_learning_rate * (height * (ops.cos(gone * math.pi) + 1.0) + self.alpha))
