"""Warm-up: the rate rises from little to its full height, for a training that would diverge if it began there."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.schedulers.base import LearningRateSchedule, as_rate, as_steps
from tinygrad_dnn.tensor import Tensor, TensorLike


class LinearWarmup(LearningRateSchedule):
    """A straight line up to ``warmup_target``, which is the rate from step ``warmup_steps`` on.

    Put before another schedule with ``SequentialSchedule``, or on top of one with ``*`` and the target 1. PyTorch's
    ``LinearLR`` of an optimizer with the rate ``warmup_target``.

    Args:
        warmup_target: Where it leads, at least 0.
        warmup_steps: The steps that it takes, positive.
        start_factor: The part of the target that is the rate at step 0, in [0, 1]; with 0 the first step changes
            nothing.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.LinearWarmup(0.1, warmup_steps=10)
        >>> schedule(0), schedule(5), schedule(1000)
        (Tensor(0., dtype=float32), Tensor(0.05, dtype=float32), Tensor(0.1, dtype=float32))
        >>> (td.schedulers.LinearWarmup(1.0, warmup_steps=40) * td.schedulers.ExponentialDecay(0.1, 10, 0.5))(20)
        Tensor(0.0125, dtype=float32)

    Reference:
        Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.
    """

    _hyperparameters = ("warmup_target", "warmup_steps", "start_factor")

    def __init__(self, warmup_target: float, warmup_steps: float, start_factor: float = 0.0) -> None:
        self.warmup_target = self._number("warmup_target", warmup_target, "[0, inf)")
        self.warmup_steps = self._steps("warmup_steps", warmup_steps)
        self.start_factor = self._number("start_factor", start_factor, "[0, 1]")

    def __call__(self, step: TensorLike) -> Tensor:
        gone = ops.minimum(as_steps(step) / self.warmup_steps, 1.0)
        return as_rate(self.warmup_target * (self.start_factor + (1.0 - self.start_factor) * gone))
