"""Constraints: what a weight passes through after each update, by Keras's names and defaults.

A weight that already complies stays as it is, to the last bit; Keras shrinks it by an epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from tinygrad_dnn import ops, registry
from tinygrad_dnn.checks import Checked, as_axes
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.tensor import Tensor

__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "get", "max_norm", "min_max_norm", "non_neg",
    "serialize", "unit_norm",
]  # fmt: skip

Axes: TypeAlias = int | Sequence[int] | None


class Constraint(Checked):
    """Base of all constraints: a callable of a weight that returns the weight to keep instead.

    A subclass writes ``__call__`` and, where it has arguments, ``get_config``.

    Example:
        >>> class AtMostOne(td.constraints.Constraint):
        ...     def __call__(self, w):
        ...         return td.minimum(w, 1.0)
        >>> AtMostOne()(td.tensor([0.5, 2.0]))
        Tensor([0.5, 1. ], dtype=float32)
    """

    def __call__(self, w: Tensor) -> Tensor:
        """Return a weight that complies, of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(w).")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this constraint again."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """Return the constraint that ``get_config`` described."""
        return cls(**config)

    def _axes(self, axis: Any) -> Axes:
        """Return the axes among the arguments, after checking that they are integers."""
        if axis is not None:
            as_axes(axis, f"{self._title}: axis", "an integer, a sequence of integers or None")
        checked: Axes = axis
        return checked


class NonNeg(Constraint):
    """Replace negative elements by 0.

    Example:
        >>> td.constraints.NonNeg()(td.tensor([-1.0, 2.0]))
        Tensor([0., 2.], dtype=float32)
    """

    def __call__(self, w: Tensor) -> Tensor:
        return ops.maximum(w, 0.0)


class MaxNorm(Constraint):
    """Scale down what is longer than ``max_value``.

    Args:
        max_value: The greatest Euclidean norm, at least 0.
        axis: The axis or axes that the norm is taken over: 0 means the incoming weights of each unit of a dense
            layer, (0, 1, 2) those of each filter of a convolution, None the whole weight.

    Raises:
        ValueError: An argument is out of its range; on calling, ``axis`` does not fit the weight.

    Example:
        >>> td.constraints.MaxNorm(1.0)(td.tensor([[0.6, 3.0], [0.0, 4.0]]))
        Tensor([[0.6, 0.6],
                [0. , 0.8]], dtype=float32)

    Reference:
        Srebro and Shraibman, "Rank, trace-norm and max-norm", 2005.
    """

    def __init__(self, max_value: float = 2, axis: Axes = 0) -> None:
        self.max_value = self._number("max_value", max_value, "[0, inf)")
        self.axis = self._axes(axis)

    def __call__(self, w: Tensor) -> Tensor:
        norms = ops.norm(w, self.axis, keepdims=True)
        return _scaled(w, norms, ops.minimum(norms, self.max_value))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class MinMaxNorm(Constraint):
    """Move norms towards the interval from ``min_value`` to ``max_value``; zeros have no direction and stay.

    Args:
        min_value: The least Euclidean norm, at least 0.
        max_value: The greatest, at least ``min_value``.
        rate: The part of the way to go at each update, in [0, 1].
        axis: As for ``MaxNorm``.

    Raises:
        ValueError: An argument is out of its range; on calling, ``axis`` does not fit the weight.

    Example:
        >>> td.constraints.MinMaxNorm(1.0, 2.0)(td.tensor([[0.3, 3.0], [0.4, 4.0]]))
        Tensor([[0.6, 1.2],
                [0.8, 1.6]], dtype=float32)
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axes = 0) -> None:
        self.min_value = self._number("min_value", min_value, "[0, inf)")
        self.max_value = self._number("max_value", max_value, f"[{self.min_value!r}, inf)")
        self.rate = self._number("rate", rate, "[0, 1]")
        self.axis = self._axes(axis)

    def __call__(self, w: Tensor) -> Tensor:
        norms = ops.norm(w, self.axis, keepdims=True)
        # A weighted mean of both norms could differ from a norm that complies by rounding.
        missing = ops.clip(norms, self.min_value, self.max_value) - norms
        return _scaled(w, norms, norms + self.rate * missing)

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


class UnitNorm(Constraint):
    """Scale to Euclidean norm 1; zeros have no direction and stay.

    Args:
        axis: As for ``MaxNorm``.

    Raises:
        ValueError: ``axis`` is no axis; on calling, it does not fit the weight.

    Example:
        >>> td.constraints.UnitNorm()(td.tensor([[3.0, 0.0], [4.0, 0.5]]))
        Tensor([[0.6, 0. ],
                [0.8, 1. ]], dtype=float32)
    """

    def __init__(self, axis: Axes = 0) -> None:
        self.axis = self._axes(axis)

    def __call__(self, w: Tensor) -> Tensor:
        norms = ops.norm(w, self.axis, keepdims=True)
        return _scaled(w, norms, ops.ones_like(norms))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


def _scaled(w: Tensor, norms: Tensor, wanted: Tensor) -> Tensor:
    """Give ``w`` the norms that are wanted; where they are what it has, it stays as it is."""
    return ops.where(wanted == norms, w, w * (wanted / ops.where(norms == 0, 1.0, norms)))


max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

get, serialize = registry.constraints.get, registry.constraints.serialize


@hookimpl
def register_constraints(register: Register) -> None:
    """Register the built-in constraints, as a plugin registers its own."""
    for constraint in (NonNeg, MaxNorm, MinMaxNorm, UnitNorm):
        register(constraint)
