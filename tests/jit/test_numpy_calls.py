"""NumPy calls: each writes the bits that the primitive itself gives, for numbers of all kinds and unusual values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import record
from tinygrad_dnn.jit.numpy_calls import Calls
from tinygrad_dnn.jit.program import Value

pytestmark = pytest.mark.skipif(td.backend.current().name != "numpy", reason="it runs on the host alone")

SIZES = [1, 5, 64, 3200, 8192, 20_001]
UNUSUAL = [0.0, -0.0, 1.0, -1.0, np.nan, -np.nan, np.inf, -np.inf, 1e-40, -1e-40]


def unusual(size: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Return normal numbers, zeros of both signs, infinities, subnormal numbers, and NaN."""
    rng = np.random.default_rng(seed)
    some = np.array(UNUSUAL)[rng.integers(0, len(UNUSUAL), size)]
    return np.where(rng.random(size) < 0.5, some, rng.normal(size=size)).astype(dtype)


def same_bits(function: Any, *given: np.ndarray) -> int:
    """Run a function as it is and as calls, compare all bits, and return how many calls its last instruction takes."""
    arguments = [td.Tensor._wrap(x) for x in given]
    with np.errstate(all="ignore"):
        expected = function(*arguments).numpy()
        program = record(lambda x: function(*x), arguments).program
        arrays = {id(value): array for value, array in zip(program.inputs, given, strict=True)}
        for step in program.instructions:
            out = arrays[id(step.output)] = np.full(step.output.shape, 7, step.output.dtype)
            calls = Calls().into(out, step, [arrays[id(x)] if isinstance(x, Value) else x for x in step.inputs])
            for call, *rest in calls:
                call(*rest)
    assert out.dtype == expected.dtype
    assert out.tobytes() == expected.tobytes()
    return len(calls)


@pytest.mark.parametrize("number", [0.0, -0.0, 0.1, 1e-45, 1e39, float("inf"), float("nan"), 3, -2, 2**24, 2**24 + 1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_are_converted_as_numpy_does(dtype: str, number: float) -> None:
    x = unusual(500, dtype)
    for f in (td.add, td.multiply, td.divide, td.maximum, td.minimum, td.less, td.equal, td.power):
        same_bits(lambda x, f=f: f(x, number), x)
        same_bits(lambda x, f=f: f(number, x), x)


@pytest.mark.parametrize("number", [0, -3, 255, True])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool"])
def test_integers_meet_numbers_as_in_numpy(dtype: str, number: int) -> None:
    x = np.arange(-20, 20).astype(dtype)
    for f in (td.add, td.maximum, td.equal, td.greater):
        try:
            f(td.Tensor._wrap(x), number)
        except (TypeError, ValueError, OverflowError):
            continue
        same_bits(lambda x, f=f: f(x, number), x)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [0.0, -0.0, 0.5, float("nan")])
def test_limits_are_the_same_on_slices(number: float, dtype: str, size: int) -> None:
    x = unusual(size, dtype)
    for f in (td.maximum, td.minimum):
        assert same_bits(lambda x, f=f: f(x, number), x) == -(-size // 8192)
        assert same_bits(lambda x, f=f: f(number, x), x) == -(-size // 8192)
        assert same_bits(lambda x, f=f: f(x, number), x[::2]) == 1
        same_bits(f, x, unusual(size, dtype, 1))


@pytest.mark.parametrize("size", SIZES[:-1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8", "bool"])
def test_a_choice_takes_the_bits_of_what_is_chosen(dtype: str, size: int) -> None:
    with np.errstate(invalid="ignore"):
        x, y = (unusual(size, dtype, seed) for seed in (0, 1))
    rng = np.random.default_rng(2)
    mixed = rng.random(size) < 0.5
    for condition in (mixed, np.zeros(size, bool), np.ones(size, bool), np.array(True), mixed[:1]):
        assert same_bits(td.where, condition, x, y) == 3
        same_bits(td.where, condition, x[::-1], y)
        same_bits(td.where, condition, x, y[:1])
        same_bits(td.where, condition, x[:1].reshape(()), y)
    if dtype.startswith("float"):
        assert same_bits(lambda c, x: td.where(c, x, 0.0), mixed, x) == 1
        assert same_bits(lambda c, x: td.where(c, x, -0.0), mixed, x) == 3
        assert same_bits(lambda c, x: td.where(c, 0.0, x), mixed, x) == 3
        assert same_bits(lambda c, x: td.where(c, x, 1.5), mixed, x) == 3


def test_a_choice_among_rows_and_columns_broadcasts() -> None:
    rng = np.random.default_rng(0)
    condition, x, y = rng.random((4, 1)) < 0.5, rng.normal(size=(1, 5)), rng.normal(size=(4, 5))
    same_bits(td.where, condition, x, y)
    same_bits(td.where, condition, y.T[:, :, None], x[:, :1])
    same_bits(lambda c, x: td.where(c, x, 0.0), condition, x)
