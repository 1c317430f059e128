"""Initializers that draw from a distribution of a given width, and orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.checks import as_number
from tinygrad_dnn.initializers.base import Initializer
from tinygrad_dnn.tensor import DTypeLike


class RandomNormal(Initializer):
    """Normal numbers.

    Args:
        mean: Their mean.
        stddev: Their standard deviation, at least 0.
        seed: As for ``Initializer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> td.initializers.RandomNormal(stddev=0.1)((2, 3)).shape
        (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = self._number("mean", mean)
        self.stddev = self._number("stddev", stddev, "[0, inf)")

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return self._drawn(self.rng().normal(self.mean, self.stddev, self._sizes(shape)), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """Normal numbers, those more than two standard deviations from the mean drawn again.

    Args:
        mean: Their mean.
        stddev: The standard deviation before the cut, at least 0; 0.88 of it is left.
        seed: As for ``Initializer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> bool(np.abs(td.initializers.TruncatedNormal()((100,))).max() <= 0.1)
        True
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        values = standard_truncated(self.rng(), self._sizes(shape))
        return self._drawn(self.mean + self.stddev * values, dtype)


class RandomUniform(Initializer):
    """Uniform numbers.

    Args:
        minval: Their least value.
        maxval: Their greatest, not below ``minval``.
        seed: As for ``Initializer``.

    Raises:
        ValueError: ``maxval`` is below ``minval``, or a bound is not finite.

    Example:
        >>> bool(np.abs(td.initializers.RandomUniform(-0.1, 0.1)((100,))).max() <= 0.1)
        True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = self._number("minval", minval)
        needed = f"a number of at least minval ({minval!r})"
        self.maxval = as_number(maxval, f"{self._title}: maxval", f"[{self.minval!r}, inf)", needed)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return self._drawn(self.rng().uniform(self.minval, self.maxval, self._sizes(shape)), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


def standard_truncated(rng: np.random.Generator, sizes: tuple[int, ...]) -> np.ndarray:
    """Draw from the standard normal distribution cut off at -2 and 2."""
    values = rng.standard_normal(sizes)
    while (count := np.count_nonzero(outside := np.abs(values) > 2)) > 0:
        values[outside] = rng.standard_normal(count)
    return values


class Orthogonal(Initializer):
    """A random matrix whose columns (or rows, if they are fewer) are orthogonal and of length ``gain``.

    All orthogonal matrices are equally likely. A shape of more axes is one matrix with the last axis as columns.

    Args:
        gain: A finite number.
        seed: As for ``Initializer``.

    Raises:
        ValueError: ``gain`` is not finite.

    Example:
        >>> w = td.initializers.Orthogonal()((3, 2))
        >>> bool(np.allclose(w.T @ w, np.eye(2), atol=1e-6))
        True

    Reference:
        Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks", 2014; Mezzadri, "How to generate random matrices from the classical compact groups", 2007.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = self._number("gain", gain)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        sizes = self._sizes(shape, least=2)
        rows, columns = math.prod(sizes[:-1]), sizes[-1]
        drawn = self.rng().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(drawn)
        # The signs are the algorithm's choice; without this not all orthogonal matrices would be equally likely.
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        matrix = q if rows >= columns else q.T
        return self._drawn(self.gain * matrix.reshape(sizes), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": self.seed}
