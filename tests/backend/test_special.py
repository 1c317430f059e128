"""Special functions on the host, against the C library's; and on the backends, against the host's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.backend.special import erf

# All magnitudes, and closely around the place where one approximation follows the other.
GRID = np.concatenate([np.linspace(-8, 8, 4001), np.logspace(-300, 2, 500), np.linspace(0.4687, 0.4688, 501)])


# Each rational approximation and the C library's erf round to a few units in the last place.
@pytest.mark.parametrize(("dtype", "units"), [(np.float64, 5), (np.float32, 5), (np.float16, 1)])
def test_erf_is_the_c_library_s(dtype: type, units: int) -> None:
    x = GRID.astype(dtype)
    found, exact = erf(x), np.array([math.erf(value) for value in x.tolist()])
    assert found.dtype == dtype
    unit = np.spacing(np.abs(exact).astype(dtype)).astype(np.float64)
    assert (np.abs(found.astype(np.float64) - exact) <= units * unit).all()
    np.testing.assert_array_equal(erf(-x), -found)


@pytest.mark.filterwarnings("error")
def test_erf_of_special_values() -> None:
    found = erf(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 6.0, 1e308, -1e308]))
    np.testing.assert_array_equal(found, [0.0, -0.0, 1.0, -1.0, np.nan, 1.0, 1.0, -1.0])
    assert np.signbit(found[1])


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_erf_keeps_the_shape_and_the_array(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 0.5)
    found = erf(x)
    assert isinstance(found, np.ndarray)
    assert found.shape == shape
    np.testing.assert_array_equal(x, np.full(shape, 0.5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_of_a_device_array(device: Any, dtype: str) -> None:
    x = np.linspace(-7, 7, 301, dtype=dtype).reshape(7, 43)
    out = device.erf(device.from_host(x))
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    np.testing.assert_allclose(device.to_host(out), erf(x), rtol=1e-6 if dtype == "float32" else 2e-15)
