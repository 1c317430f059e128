"""What every initializer shares, and those that fill a weight with fixed values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.checks import Checked, as_seed
from tinygrad_dnn.ops import random
from tinygrad_dnn.tensor import DTypeLike, as_dtype


class Initializer(Checked):
    """Base of all initializers: a callable ``(shape, dtype=None) -> np.ndarray``.

    A subclass writes ``__call__`` and draws from ``self.rng()``; where it has further arguments it writes
    ``get_config`` too.

    Args:
        seed: An integer in [0, 2**63) makes every call return the same values; None draws afresh at each call,
            from this thread's seed (``td.utils.set_random_seed``).

    Raises:
        ValueError: ``seed`` is no such integer.

    Example:
        >>> class Signs(td.initializers.Initializer):
        ...     def __call__(self, shape, dtype=None):
        ...         return self.rng().choice([-1.0, 1.0], shape).astype(dtype or td.backend.floatx())
        >>> signs = Signs(seed=1)
        >>> bool((signs((3, 3)) == signs((3, 3))).all())
        True
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = as_seed(seed, f"{self._title}: seed")

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        """Return the values of a weight.

        Args:
            shape: The weight's shape.
            dtype: Its element type; by default ``td.backend.floatx()``.
        """
        raise NotImplementedError(f"{self._title} does not define __call__(shape, dtype=None).")

    def rng(self) -> np.random.Generator:
        """Return the generator to draw from: the same for a seeded initializer, else a new one at each call."""
        return random.generator(self.seed)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this initializer again."""
        return {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Return the initializer that ``get_config`` described."""
        return cls(**config)

    def _sizes(self, shape: Sequence[int], least: int = 0) -> tuple[int, ...]:
        """Return ``shape`` as a tuple, after checking it."""
        try:
            sizes = tuple(n.__index__() for n in shape)
        except (AttributeError, TypeError):
            sizes = (-1,)
        if min(sizes, default=0) < 0 or len(sizes) < least:
            axes = f" with at least {least} axes" if least else ""
            raise ValueError(f"{self._title}: a shape is a tuple of integers of at least 0{axes}, not {shape!r}.")
        return sizes

    def _drawn(self, values: Any, dtype: DTypeLike | None) -> np.ndarray:
        """Return ``values`` in the element type asked for, which must have fractions."""
        result = element_type(dtype)
        if result.kind not in FLOATING:
            raise TypeError(f"{self._title} draws floating-point numbers, not {result.name}.")
        return np.asarray(values, result)


def element_type(dtype: DTypeLike | None) -> np.dtype[Any]:
    """Return what None means as an initializer's dtype, or what is meant instead."""
    return as_dtype(backend.floatx() if dtype is None else dtype)


class Constant(Initializer):
    """Every element has the same value.

    Args:
        value: That value, a finite number.

    Raises:
        ValueError: ``value`` is not finite.

    Example:
        >>> td.initializers.Constant(2.0)((2,))
        array([2., 2.], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = self._number("value", value)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return np.full(self._sizes(shape), self.value, element_type(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class Zeros(Constant):
    """Every element is 0: right for biases, fatal for weights, whose units would all stay equal.

    Example:
        >>> td.initializers.Zeros()((2,))
        array([0., 0.], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__(0)

    def get_config(self) -> dict[str, Any]:
        return {}


class Ones(Constant):
    """Every element is 1.

    Example:
        >>> td.initializers.Ones()((2,))
        array([1., 1.], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__(1)

    def get_config(self) -> dict[str, Any]:
        return {}


class Identity(Initializer):
    """A matrix with ``gain`` on its diagonal and 0 elsewhere.

    Args:
        gain: The diagonal's value, a finite number.

    Raises:
        ValueError: ``gain`` is not finite.

    Example:
        >>> td.initializers.Identity()((2, 3))
        array([[1., 0., 0.],
               [0., 1., 0.]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = self._number("gain", gain)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        sizes = self._sizes(shape)
        if len(sizes) != 2:
            raise ValueError(f"Identity makes matrices: it needs a shape of 2 axes, not {sizes}.")
        return (np.eye(*sizes) * self.gain).astype(element_type(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}
