"""Native programs against the same programs run primitive by primitive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.comparing import TOLERANCE, WITH_NAN, assert_close, extremes, state_after
from tests.jit.random_programs import RandomFunction
from tests.ops.samples import SAMPLES, Sample
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

native = pytest.importorskip("tinygrad_dnn.jit.native", reason="llvmlite is not installed")
pytest.importorskip("llvmlite")

def compare(function: Any, arrays: list[np.ndarray], state: list[td.Tensor], tolerance: float) -> Any:
    """Run a function's program natively, twice, and compare with its primitives; return what ran it."""
    program = simplify(record(function, [td.tensor(x) for x in arrays]).program)
    run = native.lower(program)
    for _ in range(2):
        expected, expected_state = state_after(lambda: Interpreted(program)(arrays), state)
        found, found_state = state_after(lambda: run(arrays), state)
        for x, y in zip(found + found_state, expected + expected_state, strict=True):
            assert_close(x, y, tolerance)
    return run


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int, dtype: str) -> None:
    function = RandomFunction(seed, 5 + seed % 40, dtype)
    compare(function, function.arrays, function.state, TOLERANCE[dtype])


@pytest.mark.parametrize("sample", [x for x in SAMPLES if x.arrays], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_primitive(sample: Sample, dtype: str) -> None:
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.arrays]
    compare(lambda given: sample(*given) * 1, arrays, [], TOLERANCE[dtype])


def _numbers(dtype: str) -> np.ndarray:
    if dtype == "bool":
        return np.array([[True, False, True], [False, False, True]])
    numbers = np.array([[3, 0, 100], [1, 7, 5]], dtype)
    return numbers if dtype.startswith("u") else numbers * np.array([1, -1, -1], dtype)


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float16", "float32", "float64"]


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_casts(dtype: str, to: str) -> None:
    numbers = _numbers(dtype)
    if to.startswith("u") and dtype != "bool":
        numbers = np.abs(numbers)  # what becomes of negative ones is not defined
    compare(lambda given: td.cast(given[0], to), [numbers], [], 0)


@pytest.mark.parametrize("dtype", [x for x in DTYPES if x != "float16"])
def test_other_dtypes(dtype: str) -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, y = given
        results = [x == y, x < y, x >= y, td.where(x > y, x, y), td.sum(x), td.sum(x, 0), x + y, x * y, td.any(x)]
        if dtype != "bool":
            results += [td.maximum(x, y), td.max(x, 1), td.min(y, 0), x - y, x // 2, x % 3, td.abs(x), td.sign(x), -x]
        else:
            results += [x & y, x | y, ~x]
        return results

    numbers = _numbers(dtype)
    compare(function, [numbers, numbers[::-1, ::-1].copy()], [], 1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "tanh", "erf", "sqrt", "abs", "sign", "floor", "sin"])
def test_extreme_inputs(name: str, dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e4, -1e4, 88.8, -104, 1e-40, -1e-40, 1e-30, 0.5, -1], dtype)
    x = x[np.isfinite(x)] if name == "sin" else x
    with np.errstate(all="ignore"):
        run = compare(lambda given: getattr(td.ops, name)(given[0]), [x], [], 1e-6)
    assert not run.calls


def test_extremes_and_comparisons_of_nan() -> None:
    compare(extremes, [WITH_NAN], [], 0)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64"])
def test_remainders_of_integers(dtype: str) -> None:
    limits = np.iinfo(dtype)
    numbers = np.array([0, 1, 2, 3, 7, 100, limits.max, limits.min, limits.min + 1], dtype)
    divisors = np.array([1, 2, 3, 7, 100, limits.max, limits.min, limits.max - 1, 0], dtype)
    signed = [np.array([-1, -2, -3], dtype)] if dtype.startswith("i") else []
    divisors = np.concatenate([divisors, *signed])
    with np.errstate(all="ignore"):
        run = compare(
            lambda given: [given[0] % given[1], given[0] % 3, given[0] // given[1], given[0] // 3],
            [numbers[:, None], divisors], [], 0,
        )  # fmt: skip
    assert not run.calls


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_quotients_of_floats(dtype: str) -> None:
    special = [np.nan, np.inf, 0.0, 1.0, 0.1, 0.3, 0.7, 2.5, 1e-40, 1e15, 7.0]
    x = np.array([*special, *(-x for x in special)], dtype)
    with np.errstate(all="ignore"):
        run = compare(lambda given: [given[0] // given[1], given[0] % given[1]], [x[:, None], x], [], 0)
        program = record(lambda given: given[0] // given[1], [td.tensor(x), td.tensor(x)]).program
        (found,) = native.lower(program)([x, x])
    assert not run.calls
    np.testing.assert_array_equal(np.signbit(found), np.signbit(np.floor_divide(x, x)))
