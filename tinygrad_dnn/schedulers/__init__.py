"""Schedulers: learning rates as functions of the step, by the names and defaults of Keras's learning-rate schedules.

Beyond Keras's there are ``PowerDecay``, ``LinearWarmup``, PyTorch's one-cycle and cyclic rates, and two ways to
compose: ``SequentialSchedule`` and ``ProductSchedule``, or ``*``. Every schedule is defined at step 0 and past its
end.

Where a new rate starts: in ``PiecewiseConstantDecay``, as in Keras, one step after the boundary; everywhere else at
the boundary: at each multiple of ``decay_steps`` in a staircase, at a milestone of ``SequentialSchedule``, at the
first step of a cycle.
"""

from __future__ import annotations

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.schedulers.base import LearningRateSchedule
from tinygrad_dnn.schedulers.composition import ProductSchedule, SequentialSchedule
from tinygrad_dnn.schedulers.cosine import CosineDecay, CosineDecayRestarts
from tinygrad_dnn.schedulers.cyclic import Cyclic, OneCycle
from tinygrad_dnn.schedulers.decay import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    PowerDecay,
)
from tinygrad_dnn.schedulers.warmup import LinearWarmup

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "Cyclic", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
    "LinearWarmup", "OneCycle", "PiecewiseConstantDecay", "PolynomialDecay", "PowerDecay", "ProductSchedule",
    "SequentialSchedule", "get", "serialize",
]  # fmt: skip


def __dir__() -> list[str]:
    # What a user may want; and the hook, which the plugin host looks for here.
    return sorted([*__all__, "register_schedulers"])

get, serialize = registry.schedulers.get, registry.schedulers.serialize


@hookimpl
def register_schedulers(register: Register) -> None:
    """Register the built-in schedules, as a plugin registers its own."""
    for schedule in (
        ExponentialDecay, InverseTimeDecay, PowerDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay,
        CosineDecayRestarts, LinearWarmup, OneCycle, Cyclic, SequentialSchedule, ProductSchedule,
    ):  # fmt: skip
        register(schedule)
