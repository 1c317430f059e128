"""The base class of schedules, and the types that they compute with and return."""

from __future__ import annotations

import itertools
from numbers import Integral
from typing import Any, ClassVar

from tinygrad_dnn import backend, ops, registry
from tinygrad_dnn.checks import Checked
from tinygrad_dnn.tensor import Tensor, TensorLike


class LearningRateSchedule(Checked):
    """Base of all schedules: a callable of the step that returns the learning rate.

    The step counts from 0; it is a number or a Tensor of integers, and the result a Tensor of its shape in the
    default floating-point type. A subclass writes ``__call__`` in Tensor operations, so that a schedule needs no
    look at the step's value on the host, and ``get_config``. ``schedule * other`` is a schedule too: see
    ``ProductSchedule``.

    An optimizer counts its calls: where it accumulates gradients, each micro-batch is a step. The callback
    ``LearningRateScheduler`` calls a schedule with the epoch instead.

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
        >>> (2 * InverseRoot(0.1))(3)
        Tensor(0.1, dtype=float32)
    """

    _hyperparameters: ClassVar[tuple[str, ...]] = ()

    def __call__(self, step: TensorLike) -> Tensor:
        """Return the learning rate at ``step``."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(step).")

    def __mul__(self, other: Any) -> LearningRateSchedule:
        """Return the schedule of this rate times a number or another schedule's rate."""
        return self._product(self, other)

    def __rmul__(self, other: Any) -> LearningRateSchedule:
        return self._product(other, self)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this schedule again."""
        if not self._hyperparameters:
            raise NotImplementedError(f"{type(self).__name__} does not define get_config().")
        return {key: getattr(self, key) for key in self._hyperparameters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Return the schedule that ``get_config`` described."""
        return cls(**config)

    def _steps(self, argument: str, value: Any, allowed: str = "(0, inf)") -> float:
        """Return a number of steps among the arguments, after checking it; an integer stays one, as in Keras."""
        number = self._number(argument, value, allowed)
        return int(value) if isinstance(value, Integral) else number

    def _increasing(self, argument: str, values: list[float]) -> list[float]:
        """Return steps among the arguments, after checking that each is above the one before."""
        if any(first >= second for first, second in itertools.pairwise(values)):
            raise ValueError(f"{self._title}: {argument} must increase; these are {values}.")
        return values

    @staticmethod
    def _product(*schedules: Any) -> LearningRateSchedule:
        # By name: the product's class builds on this one.
        product: LearningRateSchedule = registry.schedulers.get("product_schedule", schedules=schedules)
        return product


def as_steps(step: TensorLike) -> Tensor:
    """Return the step as a schedule computes with it."""
    # In float64: float32 does not tell 16,777,216 steps from one more, nor a period's end from what comes before it.
    return ops.cast(step, "float64")


def as_rate(value: TensorLike) -> Tensor:
    """Return a learning rate in the default floating-point type."""
    return ops.cast(value, backend.floatx())
