"""Instructions made of others: the same results, whichever primitives do them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.ops.samples import SAMPLES, Sample
from tinygrad_dnn.backend.base import philox_uniform
from tinygrad_dnn.jit.expanding import CHECKED, NUMBERS, PHILOX, expand, indexed_axes
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.tensor import apply


@pytest.fixture(autouse=True)
def on_numpy() -> Any:
    """Make every Tensor of a test a NumPy one."""
    with td.backend.use("numpy"):
        yield


def expanded(function: Callable[[list[td.Tensor]], Any], *arrays: np.ndarray) -> tuple[Program, Program]:
    """Return a function's program and what it expands to."""
    program = record(function, [td.tensor(x) for x in arrays]).program
    return program, expand(program, lambda instruction: True)


@pytest.mark.parametrize("sample", [x for x in SAMPLES if x.arrays], ids=str)
def test_every_primitive_gives_the_same(sample: Sample) -> None:
    program, other = expanded(lambda given: sample(*given) * 1, *sample.arrays)
    given = [td.tensor(x).data for x in sample.arrays]
    for found, expected in zip(Interpreted(other)(given), Interpreted(program)(given), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_the_first_of_equals_and_the_first_nan_win(name: str, axis: int | None) -> None:
    x = np.array([[1, 5, np.nan, 5], [3, 3, -3, -3], [np.nan, 0, np.nan, -0.0], [np.inf, 0, np.inf, 0]], np.float32)
    _, other = expanded(lambda given: getattr(td, name)(given[0], axis), x)
    np.testing.assert_array_equal(Interpreted(other)([x])[0], getattr(np, name)(x, axis))


@pytest.mark.parametrize(("floating", "dtype"), [(np.float32, np.int32), (np.float64, np.int64)])
def test_words_are_whole_blocks_of_the_stream(floating: Any, dtype: Any) -> None:
    words = apply(PHILOX, (td.tensor(np.array([3, 1, 4])),), {"words": 16, "dtype": np.dtype(dtype)}).numpy()
    uniform = philox_uniform(np.array([3, 1, 4]), (16,), np.dtype(floating))
    assert words.dtype == dtype
    np.testing.assert_array_equal(words * 2.0 ** -(24 if dtype is np.int32 else 53), uniform)


def test_numbers_are_the_places_along_an_axis() -> None:
    numbers = apply(NUMBERS, (td.zeros((2, 3)),), {"axis": 1}).numpy()
    np.testing.assert_array_equal(numbers, [[0, 1, 2]] * 2)


def test_checked_indices_count_from_the_front() -> None:
    checked = apply(CHECKED, (td.tensor(np.array([-1, 0, 2], np.int8)),), {"shape": (2, 300), "axis": 1})
    np.testing.assert_array_equal(checked.numpy(), [299, 0, 2])


@pytest.mark.parametrize("index", [[0, 3], [-4, 1]])
def test_an_index_out_of_range_raises_what_numpy_raises(index: list[int]) -> None:
    x, places = np.zeros((2, 3)), np.array(index)
    _, other = expanded(lambda given: td.take(given[0], given[1], 1), x, np.array([0, 1]))
    with pytest.raises(IndexError) as expected:
        np.take(x, places, 1)
    with pytest.raises(IndexError) as found:
        Interpreted(other)([x, places])
    assert str(found.value) == str(expected.value)


def test_what_no_loop_can_do_stays() -> None:
    program = record(lambda given: td.argmax(given[0], 0), [td.tensor(np.zeros(3))]).program
    kept = expand(program, lambda instruction: False)
    assert [x.primitive.name for x in kept.instructions] == ["argmax"]


def test_indexed_axes() -> None:
    slot = object()
    assert indexed_axes((slot, None, slice(None), slot), 4) == [0, 2]
    assert indexed_axes((1, ..., slot), 4) == [3]
