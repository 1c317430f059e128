"""Comparing what runs a program with its primitives: results and what Tensors hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}

INDICES: list[tuple[tuple[int, ...], Any]] = [
    ((6,), (np.array([3, -1, 0, 0]),)),
    ((6, 5), (np.array([3, -1, 0]),)),
    ((6, 5), (slice(None), np.array([[3, -1], [0, 0]]))),
    ((6, 5), (np.array([3, 1]), np.array([[0], [-1]]))),
    ((6, 5, 4), (np.array([3, 1]), slice(1, None, 2), np.array([0, -1]))),
    ((6, 5, 4), (slice(None, None, -1), np.array([3, 1]), np.array([0, -1]))),
    ((6, 5, 4), (slice(None), np.array([3, 1]), ..., np.array([0, -1]))),
    ((6, 5, 4), (2, slice(None), np.array([0, -1]))),
    ((6, 5, 4), (slice(None), -2, np.array([0, -1]))),
    ((6, 5, 4), (None, ..., np.array([0, -1, 1]), None)),
    ((6, 1, 4), (..., np.array([0, -1, 0]), slice(None))),
    ((6, 5), (np.zeros((0,), np.int64),)),
    ((6, 5), (np.array(2), slice(0, 0))),
    ((6, 5), (np.array(2),)),
]
"""Shapes, and the indices that something is read and written at in them."""


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


def assert_a_stream_advances(lower: Callable[[Program], Any]) -> None:
    """Compare draws, and where their stream is afterwards, with those made without a program."""
    stream = td.random.SeedGenerator(seed=7)
    run = lower(simplify(record(lambda _: [stream.uniform((5,)), stream.uniform((3, 3))], []).program))
    assert not run.calls
    before = stream.state.numpy()
    for _ in range(3):
        expected = stream.uniform((5,)).numpy(), stream.uniform((3, 3)).numpy()
        after = stream.state.numpy()
        stream.state.assign(before)
        for x, y in zip(run([]), expected, strict=True):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(stream.state.numpy(), after)
        before = after


WITH_NAN = np.array([[np.nan, 1.0, np.nan, 2.0], [3.0, np.inf, -np.inf, -1e4]], np.float32)


def extremes(given: list[td.Tensor]) -> Any:
    """Return extremes and comparisons, for numbers some of which are NaN."""
    (x,) = given
    y = x[:, ::-1]
    return [
        td.maximum(x, 0.0), td.maximum(0.0, x), td.minimum(x, 0.0), td.maximum(x, y), td.minimum(y, x),
        td.max(x, 1), td.max(x, 0), td.min(x), td.max(x[1]), td.sum(x), x == x, x != x, x < y,
        td.where(x > 0, x, y), td.ops.isnan(x), td.ops.isfinite(x),
    ]  # fmt: skip
