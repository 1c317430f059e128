"""Broken initializers."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.testing.specimens.breaking import breaks
from tinygrad_dnn.initializers import compute_fans


class Draws(td.initializers.Initializer):
    """Draws standard normal numbers."""

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return np.asarray(self.rng().standard_normal(shape), dtype or td.backend.floatx())


@breaks("initializers", "shape_and_dtype", "shape () and dtype None gave")
class Wide(Draws):
    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return super().__call__(shape, "float64")


@breaks("initializers", "finite", "a weight of shape (5,) has ")
class Divides(Draws):
    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        values = super().__call__(shape, dtype)
        return values / np.asarray(compute_fans(shape)[0] - 5.0, values.dtype)


@breaks("initializers", "seeded", "with seed=3 two calls differ")
class Deaf(Draws):
    def rng(self) -> np.random.Generator:
        return td.random.generator()


@breaks("initializers", "mean", "the mean of a weight of shape (200, 300) is 0.0")
class Shifted(Draws):
    conformance = {"claims": {"mean": 0.0}}  # noqa: RUF012

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        values = super().__call__(shape, dtype)
        return values + np.asarray(0.05, values.dtype)


@breaks("initializers", "variance", "the variance of a weight of shape (200, 300) is 0.00496")
class HalfAsWide(Draws):
    conformance = {"claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 2 / fan_in}}  # noqa: RUF012

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        values = super().__call__(shape, dtype)
        return values * np.asarray(1 / np.sqrt(max(compute_fans(shape)[0], 1)), values.dtype)


@breaks("initializers", "in_a_layer", "a weight of a kernel of shape (4, 4) is inf")
def by_the_difference(shape: Any, dtype: Any = None) -> np.ndarray:
    fan_in, fan_out = compute_fans(shape)
    values = np.full(shape, fan_in - fan_out if len(shape) > 1 else 1.0, dtype or td.backend.floatx())
    return 1 / values
