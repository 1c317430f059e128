"""Comparing what runs a program with its primitives: results and what Tensors hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dnn as td

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def state_after(function: Callable[[], Any], state: list[td.Tensor]) -> tuple[Any, list[np.ndarray]]:
    """Return what a function returns and what it leaves in some Tensors, which then hold again what they held."""
    before = [x.data for x in state]
    for x in state:
        x.data = x.data.copy()
    try:
        return function(), [x.numpy() for x in state]
    finally:
        for x, data in zip(state, before, strict=True):
            x.data = data


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """Compare arrays of one shape and dtype by the norm of what is expected."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if found.dtype.kind == "f":
        same = np.isnan(found) == np.isnan(expected)
        assert same.all()
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        size = np.linalg.norm(expected[finite]) + 1e-3
        assert np.linalg.norm((found - expected)[finite]) <= tolerance * size
    else:
        np.testing.assert_array_equal(found, expected)
