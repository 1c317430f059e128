"""Rates that rise and fall: one cycle as long as the training, or one after another."""

from __future__ import annotations

import math

from tinygrad_dnn import ops
from tinygrad_dnn.schedulers.base import LearningRateSchedule, as_rate, as_steps
from tinygrad_dnn.tensor import Tensor, TensorLike


class OneCycle(LearningRateSchedule):
    """One cycle: up to ``max_lr`` in the first part of the training, then down, at last far below where it began.

    The rates of PyTorch's ``OneCycleLR``: from ``max_lr / div_factor`` up to ``max_lr``, which it reaches at step
    ``pct_start * total_steps - 1``, and down to ``max_lr / div_factor / final_div_factor`` at step
    ``total_steps - 1``; there it stays, where PyTorch raises. Momentum is not cycled, since the optimizers take it
    as a number: PyTorch's ``cycle_momentum=False``.

    Args:
        max_lr: The greatest rate, positive.
        total_steps: The steps of the cycle, an integer of at least 1: epochs times batches an epoch.
        pct_start: The part of the steps that leads up, in (0, 1]; at most 0.5 with ``three_phase``.
        anneal_strategy: "cos", by half a cosine wave, or "linear".
        div_factor: The greatest rate is so many times the first; at least 1.
        final_div_factor: The first rate is so many times the last; positive.
        three_phase: Whether the rate falls to where it began in as many steps as it rose in, and in those that are
            left to its last value.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.OneCycle(0.1, total_steps=101, pct_start=0.5, anneal_strategy="linear")
        >>> schedule(0), schedule(49.5), schedule(1000)
        (Tensor(0.004, dtype=float32), Tensor(0.1, dtype=float32), Tensor(4.e-07, dtype=float32))

    Reference:
        Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2019.
    """

    _hyperparameters = (
        "max_lr", "total_steps", "pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase",
    )  # fmt: skip

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        self.max_lr = self._number("max_lr", max_lr, "(0, inf)")
        self.total_steps = self._integer("total_steps", total_steps, "[1, inf)")
        self.three_phase = self._flag("three_phase", three_phase)
        # The way down of three phases takes as long as the way up, and a step has to be left for the third.
        pct_argument = "pct_start with three_phase" if three_phase else "pct_start"
        self.pct_start = self._number(pct_argument, pct_start, "(0, 0.5]" if three_phase else "(0, 1]")
        self.anneal_strategy = self._choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = self._number("div_factor", div_factor, "[1, inf)")
        self.final_div_factor = self._number("final_div_factor", final_div_factor, "(0, inf)")

    def __call__(self, step: TensorLike) -> Tensor:
        steps = ops.minimum(as_steps(step), self.total_steps - 1.0)
        first = self.max_lr / self.div_factor
        top = self.pct_start * self.total_steps - 1
        phases = [(top, first, self.max_lr)]
        if self.three_phase:
            phases.append((2 * top, self.max_lr, first))
        phases.append((self.total_steps - 1.0, phases[-1][2], first / self.final_div_factor))
        rate = ops.full_like(steps, first if top > 0 else self.max_lr)  # at step 0
        begin = 0.0
        for end, before, after in phases:
            gone = (steps - begin) / ((end - begin) or 1.0)  # a phase without steps is computed, and not used
            rate = ops.where(steps > begin, self._between(before, after, gone), rate)
            begin = end
        return as_rate(rate)

    def _between(self, start: float, end: float, gone: Tensor) -> Tensor:
        if self.anneal_strategy == "linear":
            return (end - start) * gone + start
        return (start - end) / 2 * (ops.cos(gone * math.pi) + 1.0) + end


class Cyclic(LearningRateSchedule):
    """Straight lines up from ``base_lr`` to ``max_lr`` and down again, without an end.

    The rates of PyTorch's ``CyclicLR``. Momentum is not cycled, since the optimizers take it as a number: PyTorch's
    ``cycle_momentum=False``.

    Args:
        base_lr: The least rate, at least 0.
        max_lr: The greatest rate, above ``base_lr``.
        step_size_up: The steps of the way up, positive.
        step_size_down: The steps of the way down, positive; None means as many.
        mode: "triangular", every cycle as high as the first; "triangular2", each half as high above ``base_lr`` as
            the one before; "exp_range", what is above ``base_lr`` multiplied by ``gamma ** step``.
        gamma: In (0, 1]; for "exp_range" alone.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.Cyclic(0.01, 0.05, step_size_up=4, mode="triangular2")
        >>> schedule(0), schedule(4), schedule(8), schedule(12)
        (Tensor(0.01, dtype=float32), Tensor(0.05, dtype=float32), Tensor(0.01, dtype=float32),
         Tensor(0.03, dtype=float32))

    Reference:
        Smith, "Cyclical learning rates for training neural networks", 2017.
    """

    _hyperparameters = ("base_lr", "max_lr", "step_size_up", "step_size_down", "mode", "gamma")

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
    ) -> None:
        self.base_lr = self._number("base_lr", base_lr, "[0, inf)")
        self.max_lr = self._number("max_lr", max_lr, "(0, inf)")
        if self.max_lr <= self.base_lr:
            raise ValueError(f"Cyclic: max_lr is above base_lr, {self.base_lr:g}; it was given as {max_lr!r}.")
        self.step_size_up = self._steps("step_size_up", step_size_up)
        down = step_size_down
        self.step_size_down = None if down is None else self._steps("step_size_down", down)
        self.mode = self._choice("mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = self._number("gamma", gamma, "(0, 1]")

    def __call__(self, step: TensorLike) -> Tensor:
        steps = as_steps(step)
        up = self.step_size_up
        down = up if self.step_size_down is None else self.step_size_down
        place = ops.remainder(steps, float(up + down))
        height = (self.max_lr - self.base_lr) * ops.minimum(place / up, (up + down - place) / down)
        if self.mode == "triangular2":
            height = height * 0.5 ** ops.floor(steps / (up + down))
        elif self.mode == "exp_range":
            height = height * self.gamma**steps
        return as_rate(height + self.base_lr)
