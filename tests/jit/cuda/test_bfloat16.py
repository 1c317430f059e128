"""bfloat16 in kernels: stored in the upper half of a float32, computed with as one, and rounded as ml_dtypes does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.running import Emulated
from tinygrad_dnn.backend.element_types import bfloat16
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")
pytestmark = pytest.mark.usefixtures("emulated")


def run(function: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """Return what the emulator makes of a function, all of which has to be kernels and products."""
    emulated = Emulated(simplify(record(function, [td.tensor(x) for x in arrays]).program))
    assert not emulated.calls
    return emulated(arrays)


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype == bfloat16()
    np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_every_number_is_read_and_written_as_it_is() -> None:
    numbers = np.arange(2**16, dtype=np.uint16).view(bfloat16())
    wide, same = run(lambda x: [td.cast(x[0], "float32"), td.where(td.ones(2**16) > 0, x[0], x[0])], numbers)
    np.testing.assert_array_equal(wide, numbers.astype(np.float32))
    isnan = np.isnan(wide)
    np.testing.assert_array_equal(np.isnan(same), isnan)
    assert_same_bits(same[~isnan], numbers[~isnan])


def test_rounding_is_to_the_nearest_and_of_two_to_the_even_one() -> None:
    upper = np.arange(2**16, dtype=np.uint32) << 16
    # Half-way to the next number, just before and just after, and as near as can be.
    bits = np.concatenate([upper + low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
    numbers = bits.astype(np.uint32).view(np.float32)
    (found,) = run(lambda x: [td.cast(x[0], "bfloat16")], numbers)
    with np.errstate(invalid="ignore"):
        assert_same_bits(found, numbers.astype(bfloat16()))
    assert np.isnan(found).sum() == np.isnan(numbers).sum() > 500  # those with digits in the lower half alone too


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "float64"])
def test_casts(dtype: str) -> None:
    largest = {"bool": 1, "uint8": 255, "float16": 65504}.get(dtype, 2**24 + 1)
    numbers = np.array([0, 1, 2, 3, 100, 127, 255, 257, 259, 65504, 2**24 + 1])
    numbers = numbers[numbers <= largest].astype(dtype)
    there, back, rounded = run(
        lambda x: [y := td.cast(x[0], "bfloat16"), td.cast(y, dtype), td.cast(y, "float32")], numbers
    )
    expected = numbers.astype(bfloat16())
    assert_same_bits(there, expected)
    np.testing.assert_array_equal(rounded, expected.astype(np.float32))
    fits = slice(None) if dtype != "uint8" else expected.astype(np.float32) < 256
    np.testing.assert_array_equal(back[fits], expected[fits].astype(dtype))


def test_an_integer_that_is_rounded_stays_so_within_a_kernel() -> None:
    numbers = np.array([2047, 2048, 2049, 2051, -4099], np.int32)
    (found,) = run(lambda x: [td.cast(td.cast(x[0], "float16"), "float32") + 1], numbers)
    np.testing.assert_array_equal(found, numbers.astype(np.float16).astype(np.float32) + 1)


def test_elements_reductions_and_choices() -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(37, 50)).astype(bfloat16()) for _ in range(2)]

    def function(given: Any) -> Any:
        x, y = given
        return [
            x + y, x * y, x - 0.5, x / (td.abs(y) + 1), td.tanh(x), td.exp(-x), td.where(x > y, x, y), td.maximum(x, y),
            td.sign(x), td.sum(x), td.sum(x, 0), td.mean(x, 1), td.max(x, 1), td.argmax(x, 0), x < y, td.ops.isnan(x),
            td.matmul(x, td.transpose(y)),
        ]  # fmt: skip

    expected = [x.numpy() for x in function([td.tensor(x) for x in arrays])]
    for found, wanted in zip(run(function, *arrays), expected, strict=True):
        assert found.dtype == wanted.dtype
        if found.dtype == bfloat16():
            # What is computed in float32 is rounded once, and each of the primitives rounds.
            found, wanted = found.astype(np.float32), wanted.astype(np.float32)
            np.testing.assert_allclose(found, wanted, rtol=2.0**-6, atol=2.0**-6)
        else:
            np.testing.assert_array_equal(found, wanted)
