"""Initializers whose width follows from the weight's shape: VarianceScaling, Glorot, He, LeCun."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tinygrad_dnn.initializers.base import Initializer
from tinygrad_dnn.initializers.random import standard_truncated
from tinygrad_dnn.tensor import DTypeLike

# What is left of the standard deviation of a normal distribution cut off at two of them.
TRUNCATED_STDDEV = 0.87962566103423978
MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    r"""Return how many inputs and outputs a weight of ``shape`` connects: (fan_in, fan_out).

    A dense weight is (in, out). A kernel has (\*window, in, out), and each position of its window counts.

    Example:
        >>> td.initializers.compute_fans((300, 100))
        (300, 100)
        >>> td.initializers.compute_fans((3, 3, 16, 32))
        (144, 288)
    """
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class VarianceScaling(Initializer):
    """Random numbers of mean 0 and variance ``scale / n``, n being what ``mode`` says of the weight's shape.

    Args:
        scale: A positive number.
        mode: What n is: "fan_in" (the number of inputs), "fan_out" (of outputs) or "fan_avg" (the mean of both).
        distribution: "truncated_normal" (or "normal") cuts a normal distribution at two standard deviations and
            widens it to the variance meant; "untruncated_normal", which is PyTorch's, does not; or "uniform".
        seed: As for ``Initializer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> he = td.initializers.VarianceScaling(2.0, "fan_avg", "uniform")
        >>> he((300, 100)).shape
        (300, 100)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = self._number("scale", scale, "(0, inf)")
        self.mode = self._choice("mode", mode, MODES)
        meant = "truncated_normal" if isinstance(distribution, str) and distribution == "normal" else distribution
        self.distribution = self._choice("distribution", meant, DISTRIBUTIONS)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        sizes = self._sizes(shape)
        fan_in, fan_out = compute_fans(sizes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(n, 1))
        rng = self.rng()
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            values = rng.uniform(-limit, limit, sizes)
        elif self.distribution == "truncated_normal":
            values = stddev / TRUNCATED_STDDEV * standard_truncated(rng, sizes)
        else:
            values = stddev * rng.standard_normal(sizes)
        return self._drawn(values, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, "seed": self.seed}


class _Scaled(VarianceScaling):
    """A VarianceScaling whose only argument is the seed; a subclass fixes the others."""

    _fixed: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._fixed, seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """Uniform with variance 2 / (fan_in + fan_out), for linear, tanh and sigmoid units; ``Dense``'s default.

    Example:
        >>> bool(np.abs(td.initializers.GlorotUniform()((30, 20))).max() <= (6 / 50) ** 0.5)
        True

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """

    _fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal with variance 2 / (fan_in + fan_out), for linear, tanh and sigmoid units.

    Example:
        >>> td.initializers.GlorotNormal()((30, 20)).shape
        (30, 20)

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """

    _fixed = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform with variance 2 / fan_in, for ReLU and its kin.

    Example:
        >>> bool(np.abs(td.initializers.HeUniform()((24, 20))).max() <= (6 / 24) ** 0.5)
        True

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """

    _fixed = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal with variance 2 / fan_in, for ReLU and its kin.

    Example:
        >>> td.initializers.HeNormal()((24, 20)).shape
        (24, 20)

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """

    _fixed = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform with variance 1 / fan_in.

    Example:
        >>> bool(np.abs(td.initializers.LecunUniform()((12, 20))).max() <= 0.5)
        True

    Reference:
        LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.
    """

    _fixed = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal with variance 1 / fan_in, for SELU.

    Example:
        >>> td.initializers.LecunNormal()((12, 20)).shape
        (12, 20)

    Reference:
        LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998; Klambauer et al., "Self-normalizing neural
        networks", 2017.
    """

    _fixed = (1.0, "fan_in", "truncated_normal")
