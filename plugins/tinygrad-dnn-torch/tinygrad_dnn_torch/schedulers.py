"""The schedules of ``torch.optim.lr_scheduler``, as functions of the step.

PyTorch's scheduler is stepped by hand, once an epoch as a rule; here the step is the optimizer's. To count epochs, give
the schedule to the callback ``LearningRateScheduler``. ``OneCycleLR`` and ``CyclicLR`` are built in: ``one_cycle`` and
``cyclic`` have PyTorch's formulas.
"""

import math
from typing import ClassVar

import tinygrad_dnn as td
from tinygrad_dnn.checks import as_integer, as_list, as_number


class _Schedule(td.schedulers.LearningRateSchedule):
    """What begins with a learning rate and multiplies it by a factor of the step, or moves it otherwise."""

    def __call__(self, step):
        """Return the learning rate at ``step``."""
        # In float64: float32 does not tell 16,777,216 steps from one more.
        return td.cast(self._rate(td.cast(step, "float64")), td.backend.floatx())

    def _check(self, **arguments):
        """Set each argument as an attribute after checking it: a number with its range, an integer where it says so."""
        for name, (value, allowed, check) in arguments.items():
            setattr(self, name, check(value, f"torch: {type(self).__name__}: {name}", allowed))
        self._names = tuple(arguments)

    def get_config(self):
        """Return the arguments that make this schedule again."""
        return {name: getattr(self, name) for name in self._names}


RATE = ("[0, inf)", as_number)
COUNT = ("[1, inf)", as_integer)


def _as_steps(value, owner, expected):
    return [as_integer(each, owner, "[0, inf)", expected) for each in as_list(value, owner)]


class Step(_Schedule):
    """``learning_rate * gamma ** floor(step / step_size)``, as ``StepLR``.

    Args:
        learning_rate: The rate at step 0, at least 0.
        step_size: After how many steps it falls, at least 1.
        gamma: What it is multiplied by, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.step", learning_rate=1.0, step_size=30)
        >>> schedule(29), schedule(30)
        (Tensor(1., dtype=float32), Tensor(0.1, dtype=float32))
    """

    conformance: ClassVar = {
        "arguments": {"learning_rate": 0.1, "step_size": 4},
        "claims": {"monotone": "decreasing"},
    }

    def __init__(self, learning_rate, step_size, gamma=0.1):
        self._check(learning_rate=(learning_rate, *RATE), step_size=(step_size, *COUNT), gamma=(gamma, *RATE))

    def _rate(self, steps):
        return self.learning_rate * self.gamma ** td.floor(steps / self.step_size)


class MultiStep(_Schedule):
    """``learning_rate * gamma ** (milestones that were reached)``, as ``MultiStepLR``.

    A new rate starts at its milestone; in Keras's PiecewiseConstantDecay one step after its boundary.

    Args:
        learning_rate: The rate at step 0, at least 0.
        milestones: Steps, integers of at least 0; one that stands there twice counts twice.
        gamma: What it is multiplied by, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.multi_step", learning_rate=1.0, milestones=[30, 80])
        >>> schedule(29), schedule(30), schedule(80)
        (Tensor(1., dtype=float32), Tensor(0.1, dtype=float32), Tensor(0.01, dtype=float32))
    """

    conformance: ClassVar = {
        "arguments": {"learning_rate": 0.1, "milestones": [2, 9]},
        "claims": {"monotone": "decreasing"},
    }

    def __init__(self, learning_rate, milestones, gamma=0.1):
        self._check(
            learning_rate=(learning_rate, *RATE),
            milestones=(milestones, "a list of integers of at least 0", _as_steps),
            gamma=(gamma, *RATE),
        )

    def _rate(self, steps):
        reached = sum((td.where(steps >= each, 1.0, 0.0) for each in self.milestones), td.zeros_like(steps))
        return self.learning_rate * self.gamma**reached


class Exponential(_Schedule):
    """``learning_rate * gamma ** step``, as ``ExponentialLR``.

    Args:
        learning_rate: The rate at step 0, at least 0.
        gamma: What it is multiplied by at each step, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> td.schedulers.get("torch.exponential", learning_rate=1.0, gamma=0.5)(3)
        Tensor(0.125, dtype=float32)
    """

    conformance: ClassVar = {
        "arguments": {"learning_rate": 0.1, "gamma": 0.9},
        "claims": {"monotone": "decreasing"},
    }

    def __init__(self, learning_rate, gamma):
        self._check(learning_rate=(learning_rate, *RATE), gamma=(gamma, *RATE))

    def _rate(self, steps):
        return self.learning_rate * self.gamma**steps


class CosineAnnealing(_Schedule):
    """Half a cosine wave down to ``eta_min`` in ``T_max`` steps, and up again in as many, as ``CosineAnnealingLR``.

    Keras's CosineDecay stays at its end, which is a part of the first rate and no rate of its own.

    Args:
        learning_rate: The rate at step 0, at least 0.
        T_max: The steps of half a wave, at least 1.
        eta_min: The least rate, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.cosine_annealing", learning_rate=1.0, T_max=10)
        >>> schedule(5), schedule(10), schedule(20)
        (Tensor(0.5, dtype=float32), Tensor(0., dtype=float32), Tensor(1., dtype=float32))
    """

    conformance: ClassVar = {"arguments": {"learning_rate": 0.1, "T_max": 9}}

    def __init__(self, learning_rate, T_max, eta_min=0.0):
        self._check(learning_rate=(learning_rate, *RATE), T_max=(T_max, *COUNT), eta_min=(eta_min, *RATE))

    def _rate(self, steps):
        return self.eta_min + (self.learning_rate - self.eta_min) * (1 + td.cos(steps * (math.pi / self.T_max))) / 2


class CosineAnnealingWarmRestarts(_Schedule):
    """Half a cosine wave down to ``eta_min``, again and again, each ``T_mult`` times as long as the one before.

    Args:
        learning_rate: The rate that each wave begins with, at least 0.
        T_0: The steps of the first wave, at least 1.
        T_mult: An integer of at least 1; 2 in Keras's CosineDecayRestarts.
        eta_min: The least rate, at least 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.cosine_annealing_warm_restarts", learning_rate=1.0, T_0=10)
        >>> schedule(5), schedule(10)
        (Tensor(0.5, dtype=float32), Tensor(1., dtype=float32))
    """

    conformance: ClassVar = {"arguments": {"learning_rate": 0.1, "T_0": 3, "T_mult": 2}}

    def __init__(self, learning_rate, T_0, T_mult=1, eta_min=0.0):
        self._check(
            learning_rate=(learning_rate, *RATE), T_0=(T_0, *COUNT), T_mult=(T_mult, *COUNT), eta_min=(eta_min, *RATE)
        )

    def _rate(self, steps):
        gone = steps / self.T_0  # in lengths of the first wave
        if self.T_mult == 1:
            gone = gone - td.floor(gone + 1e-9)
        else:
            # A wave's first step must not count as the last of the wave before because a logarithm was rounded.
            wave = td.floor(td.log(gone * (self.T_mult - 1) + 1) / math.log(self.T_mult) + 1e-9)
            length = self.T_mult**wave
            gone = (gone - (length - 1) / (self.T_mult - 1)) / length
        return self.eta_min + (self.learning_rate - self.eta_min) * (1 + td.cos(gone * math.pi)) / 2


class Linear(_Schedule):
    """From ``start_factor`` to ``end_factor`` of the rate in a line, as ``LinearLR``.

    Args:
        learning_rate: The rate, at least 0.
        start_factor: The part of it at step 0, in (0, 1].
        end_factor: The part of it from ``total_iters`` on, in [0, 1].
        total_iters: The steps that it takes, at least 1.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.linear", learning_rate=1.0, start_factor=0.5, total_iters=4)
        >>> schedule(0), schedule(2), schedule(100)
        (Tensor(0.5, dtype=float32), Tensor(0.75, dtype=float32), Tensor(1., dtype=float32))
    """

    conformance: ClassVar = {
        "arguments": {"learning_rate": 0.1},
        "claims": {"monotone": "increasing"},
    }

    def __init__(self, learning_rate, start_factor=1 / 3, end_factor=1.0, total_iters=5):
        self._check(
            learning_rate=(learning_rate, *RATE),
            start_factor=(start_factor, "(0, 1]", as_number),
            end_factor=(end_factor, "[0, 1]", as_number),
            total_iters=(total_iters, *COUNT),
        )

    def _rate(self, steps):
        gone = td.minimum(steps / self.total_iters, 1.0)
        return self.learning_rate * (self.start_factor + (self.end_factor - self.start_factor) * gone)


class Constant(_Schedule):
    """``factor`` of the rate for ``total_iters`` steps, then all of it, as ``ConstantLR``.

    Args:
        learning_rate: The rate, at least 0.
        factor: The part of it at first, in [0, 1].
        total_iters: The steps until it is whole, at least 1.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.constant", learning_rate=1.0, factor=0.5)
        >>> schedule(4), schedule(5)
        (Tensor(0.5, dtype=float32), Tensor(1., dtype=float32))
    """

    conformance: ClassVar = {
        "arguments": {"learning_rate": 0.1},
        "claims": {"monotone": "increasing"},
    }

    def __init__(self, learning_rate, factor=1 / 3, total_iters=5):
        self._check(
            learning_rate=(learning_rate, *RATE),
            factor=(factor, "[0, 1]", as_number),
            total_iters=(total_iters, *COUNT),
        )

    def _rate(self, steps):
        return self.learning_rate * td.where(steps < self.total_iters, self.factor, 1.0)


class Polynomial(_Schedule):
    """``learning_rate * (1 - step / total_iters) ** power``, then 0, as ``PolynomialLR``.

    Keras's PolynomialDecay ends at 0.0001 by default.

    Args:
        learning_rate: The rate at step 0, at least 0.
        total_iters: The steps until it is 0, at least 1.
        power: Positive; 1 is a straight line.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = td.schedulers.get("torch.polynomial", learning_rate=1.0, total_iters=4, power=2.0)
        >>> schedule(2), schedule(100)
        (Tensor(0.25, dtype=float32), Tensor(0., dtype=float32))
    """

    conformance: ClassVar = {
        "arguments": {"learning_rate": 0.1, "total_iters": 9},
        "claims": {"monotone": "decreasing"},
    }

    def __init__(self, learning_rate, total_iters=5, power=1.0):
        self._check(
            learning_rate=(learning_rate, *RATE),
            total_iters=(total_iters, *COUNT),
            power=(power, "(0, inf)", as_number),
        )

    def _rate(self, steps):
        return self.learning_rate * td.maximum(1 - steps / self.total_iters, 0.0) ** self.power
