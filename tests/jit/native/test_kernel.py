"""Loops against NumPy: places, draws, indices, running sums and windows, bit for bit where order decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.comparing import INDICES, assert_a_stream_advances
from tests.jit.native.test_lowering import compare, native
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify
from tinygrad_dnn.ops import window
from tinygrad_dnn.ops.random import UNIFORM
from tinygrad_dnn.tensor import apply

Function = Callable[[list[td.Tensor]], Any]


def equal(function: Function, *arrays: np.ndarray, calls: tuple[str, ...] = ()) -> Any:
    """Compare bit for bit, with one thread and with two; return what ran it last."""
    program = simplify(record(function, [td.tensor(x) for x in arrays]).program)
    expected = Interpreted(program)(arrays)
    for threads in (1, 2):
        run = native.lower(program, threads)
        assert tuple(run.calls) == calls
        for x, y in zip(run(arrays), expected, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            assert x.tobytes() == np.ascontiguousarray(y).tobytes()
    return run


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Return the same random numbers for a shape each time."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


# -- places of extremes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_places_of_extremes(name: str, axis: int | None, dtype: str) -> None:
    x = np.abs(np.round(normal(5, 7, 4) * 2)).astype(dtype)  # many are equal

    def function(given: list[td.Tensor]) -> Any:
        choose = getattr(td, name)
        return [choose(given[0], axis), choose(given[0][:, ::-2], axis), choose(given[0][:1], axis)]

    equal(function, x)


@pytest.mark.parametrize("axis", [0, 1])
def test_places_of_extremes_with_nan_and_infinities(axis: int) -> None:
    x = np.array([[1, 5, np.nan, 5], [-np.inf] * 4, [np.nan, 0, np.nan, -0.0], [np.inf, 0, np.inf, 0]], np.float32)
    equal(lambda given: [td.argmax(given[0], axis), td.argmin(given[0], axis)], x)


def test_a_place_among_many() -> None:
    x = np.zeros((3, 4000), np.float32)
    x[0, 3999] = x[1, 2000] = x[1, 3000] = 1
    equal(lambda given: td.argmax(given[0], -1), x)


# -- draws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (9, 1), (33, 100), (0, 3), (2, 3, 5)])
@pytest.mark.parametrize("state", [[5, 2, 3], [-1, 2**62, 2**63 - 1], [2**63 - 1, 0, 0]])
def test_uniform_numbers(state: list[int], shape: tuple[int, ...], dtype: str) -> None:
    def uniform(given: list[td.Tensor]) -> Any:
        attributes = {"shape": shape, "dtype": np.dtype(dtype)}
        drawn = apply(UNIFORM, (given[0],), attributes)
        return [drawn, drawn >= 0.5, td.sum(td.cast(drawn < 0.25, "int64"))]

    equal(uniform, np.array(state))


def test_a_stream_advances_as_it_does_without() -> None:
    assert_a_stream_advances(native.lower)


# -- indices --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize(("shape", "index"), INDICES, ids=[str(x) for x in range(len(INDICES))])
def test_gather(shape: tuple[int, ...], index: Any, dtype: str) -> None:
    x = np.round(normal(*shape)).astype(dtype)
    arrays = [part for part in index if isinstance(part, np.ndarray)]

    def function(given: list[td.Tensor]) -> Any:
        x, *indices = given
        waiting = iter(indices)
        taken = x[tuple(next(waiting) if isinstance(part, np.ndarray) else part for part in index)]
        return taken if dtype == "bool" else [taken, taken * 2, td.sum(taken, 0) if taken.ndim else taken + 1]

    if dtype.startswith("float"):
        compare(function, [x, *arrays], [], 1e-6)
    else:
        equal(function, x, *arrays, calls=("checked",) * len(arrays))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "index"), INDICES, ids=[str(x) for x in range(len(INDICES))])
def test_scatter_in_numpys_order(shape: tuple[int, ...], index: Any, dtype: str) -> None:
    x = normal(*shape, dtype=dtype)
    arrays = [part for part in index if isinstance(part, np.ndarray)]
    weights = normal(*x[index].shape, dtype=dtype)

    def function(given: list[td.Tensor]) -> Any:
        x, weights, *indices = given
        waiting = iter(indices)
        x = x.detach().requires_grad_()
        taken = x[tuple(next(waiting) if isinstance(part, np.ndarray) else part for part in index)]
        td.sum(taken * weights).backward()
        return x.grad

    equal(function, x, weights, *arrays, calls=("checked",) * len(arrays))


def test_what_is_read_at_an_index_may_be_computed() -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, labels = given
        best = td.argmax(x, 1)
        return td.take(x * 2.0, best, 1), x[best, best] + td.cast(labels, "float32"), td.take(x.T, labels)

    equal(function, normal(4, 5)[:, :4].copy(), np.array([0, 1, 3, 2], np.int32), calls=("checked",) * 3)


def test_rows_are_updated_where_they_were_taken() -> None:
    table = td.Variable(normal(50, 8), name="table")

    def step(given: list[td.Tensor]) -> Any:
        with td.no_grad():
            rows = td.take(table, given[0])
        leaf = table.detach().requires_grad_()
        loss = td.sum(td.square(td.take(leaf, given[0])))
        loss.backward()
        table.assign(table - 0.1 * leaf.grad)
        return [loss, rows]

    places = np.array([3, 3, 49, 0, 3])
    program = simplify(record(step, [td.tensor(places)]).program)
    run = native.lower(program)
    assert run.calls == ["checked"]
    before = table.numpy()
    expected_outputs = Interpreted(program)([places])
    expected = table.numpy()
    table.assign(before)
    found = run([places])
    np.testing.assert_array_equal(found[1], expected_outputs[1])
    np.testing.assert_allclose(table.numpy(), expected, rtol=1e-6)
    kept = table.numpy()
    with pytest.raises(IndexError, match="index 50 is out of bounds for axis 0 with size 50"):
        run([np.array([0, 50, 1, 1, 1])])
    np.testing.assert_array_equal(table.numpy(), kept)


# -- running sums ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
def test_running_sums(axis: int, dtype: str) -> None:
    x = np.round(normal(5, 70, 3) * 3).astype(dtype)

    def function(given: list[td.Tensor]) -> Any:
        (x,) = given
        results = [td.cumsum(x, axis), td.cumsum(x[::-1, ::2], axis), td.cumsum(x[:, :1], axis), td.cumsum(x[:0], axis)]
        return results if dtype == "bool" else [*results, td.cumsum(-x, axis) + 1]

    equal(function, x)


def test_a_running_sum_keeps_the_sign_of_zero() -> None:
    equal(lambda given: td.cumsum(given[0]), np.array([-0.0, -0.0, 1.0]))


# -- windows --------------------------------------------------------------------------------------------------------

WINDOWS: list[tuple[Any, Any, Any]] = [
    ((2, 2), (2, 2), (1, 1)), ((3, 2), (1, 1), (1, 1)), ((2, 2), (3, 1), (1, 2)), ((1, 1), (2, 2), (1, 1)),
    ((6, 7), (1, 1), (1, 1)), ((2, 3), (1, 2), (2, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("size", "strides", "dilation"), WINDOWS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_windows_and_their_gradient(size: Any, strides: Any, dilation: Any, batch: int) -> None:
    x = np.round(normal(batch, 6, 7, 3) * 4) + 0.5  # multiples of one half add up to the same in any order

    def function(given: list[td.Tensor]) -> Any:
        leaf = given[0].detach().requires_grad_()
        seen = window.windows(leaf, size, strides, dilation)
        td.sum(seen * seen).backward()
        seen = seen.detach()
        return [seen * 1, td.max(seen, (3, 4)) if batch else seen * 2, leaf.grad]

    equal(function, x)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [(2, 2), ((3, 2), (1, 2)), (3, 3), (2, 3)])
@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
def test_pooling(name: str, size: Any, strides: Any, padding: str) -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, weights = given
        leaf = x.detach().requires_grad_()
        pooled = getattr(window, name)(leaf, size, strides, padding)
        td.sum(pooled * weights[:, : pooled.shape[1], : pooled.shape[2]]).backward()
        return [pooled, leaf.grad]

    run = compare(function, [normal(4, 7, 6, 3), normal(4, 7, 6, 3)], [], 1e-6)
    assert not run.calls
