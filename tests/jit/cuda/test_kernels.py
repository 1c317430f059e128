"""Kernels against NumPy: places, draws, indices, running sums, windows and long sums, bit for bit where that is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.comparing import INDICES, assert_a_stream_advances
from tests.jit.cuda.emulator import ORDERS
from tests.jit.cuda.running import Emulated
from tests.jit.cuda.test_lowering import compare
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify
from tinygrad_dnn.ops import window
from tinygrad_dnn.ops.random import UNIFORM
from tinygrad_dnn.tensor import apply

pytestmark = pytest.mark.usefixtures("emulated")
Function = Callable[[list[td.Tensor]], Any]


def equal(function: Function, *arrays: np.ndarray) -> Emulated:
    """Compare bit for bit, whatever the order of threads; return what ran it."""
    program = simplify(record(function, [td.tensor(x) for x in arrays]).program)
    expected = Interpreted(program)(arrays)
    run = Emulated(program)
    assert not run.calls
    for order in ORDERS:
        run.order = order
        for x, y in zip(run(arrays), expected, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            assert x.tobytes() == np.ascontiguousarray(y).tobytes()
    return run


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Return the same random numbers for a shape each time."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


# -- places of extremes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_places_of_extremes(name: str, dtype: str) -> None:
    x = np.abs(np.round(normal(5, 7, 4) * 2)).astype(dtype)  # many are equal

    def function(given: list[td.Tensor]) -> Any:
        choose = getattr(td, name)
        (x,) = given
        return [found for axis in (0, 1, 2, None) for found in (
            choose(x, axis), choose(x[:, ::-2], axis), choose(x[:1], axis))]  # fmt: skip

    equal(function, x)


def test_places_of_extremes_with_nan_and_infinities() -> None:
    x = np.array([[1, 5, np.nan, 5], [-np.inf] * 4, [np.nan, 0, np.nan, -0.0], [np.inf, 0, np.inf, 0]], np.float32)
    equal(lambda given: [f(given[0], axis) for f in (td.argmax, td.argmin) for axis in (0, 1)], x)


# -- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("state", [[5, 2, 3], [-1, 2**62, 2**63 - 1], [2**63 - 1, 0, 0]])
def test_uniform_numbers(state: list[int], dtype: str) -> None:
    def uniform(given: list[td.Tensor]) -> Any:
        shapes: list[tuple[int, ...]] = [(), (1,), (7,), (8,), (9, 1), (33, 100), (0, 3), (2, 3, 5)]
        drawn = [apply(UNIFORM, (given[0],), {"shape": shape, "dtype": np.dtype(dtype)}) for shape in shapes]
        return [*drawn, *(x >= 0.5 for x in drawn), *(td.sum(td.cast(x < 0.25, "int64")) for x in drawn)]

    equal(uniform, np.array(state))


def test_a_stream_advances_as_it_does_without() -> None:
    assert_a_stream_advances(Emulated)


# -- indices ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "index"), INDICES, ids=[str(x) for x in range(len(INDICES))])
def test_gather_and_scatter_in_numpys_order(shape: tuple[int, ...], index: Any, dtype: str) -> None:
    x = normal(*shape, dtype=dtype)
    arrays = [part for part in index if isinstance(part, np.ndarray)]
    weights = normal(*x[index].shape, dtype=dtype)

    def function(given: list[td.Tensor]) -> Any:
        x, weights, *indices = given
        waiting = iter(indices)
        x = x.detach().requires_grad_()
        taken = x[tuple(next(waiting) if isinstance(part, np.ndarray) else part for part in index)]
        td.sum(taken * weights).backward()
        return x.grad, taken.detach() * 2.0

    equal(function, x, weights, *arrays)


def test_an_index_out_of_range_wraps() -> None:
    x = normal(5, 3)
    program = record(lambda given: td.take(given[0], given[1]), [td.tensor(x), td.tensor(np.array([0, 1]))]).program
    (found,) = Emulated(simplify(program))([x, np.array([6, -7])])
    np.testing.assert_array_equal(found, x[[1, 3]])


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

    compare(step, [np.array([3, 3, 49, 0, 3])], [table], 1e-6)


# -- running sums -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_running_sums(dtype: str) -> None:
    x = np.round(normal(5, 70, 3) * 3).astype(dtype)

    def function(given: list[td.Tensor]) -> Any:
        (x,) = given
        return [found for axis in range(3) for found in (
            td.cumsum(x, axis), td.cumsum(x[::-1, ::2], axis), td.cumsum(x[:, :1], axis), td.cumsum(x[:0], axis),
            td.cumsum(-x, axis) + 1)]  # fmt: skip

    equal(function, x)


def test_a_running_sum_keeps_the_sign_of_zero() -> None:
    equal(lambda given: td.cumsum(given[0]), np.array([-0.0, -0.0, 1.0]))


# -- windows ----------------------------------------------------------------------------------------------------------

WINDOWS: list[tuple[Any, Any, Any]] = [
    ((2, 2), (2, 2), (1, 1)), ((3, 2), (1, 1), (1, 1)), ((2, 2), (3, 1), (1, 2)), ((1, 1), (2, 2), (1, 1)),
    ((6, 7), (1, 1), (1, 1)), ((2, 3), (1, 2), (2, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("size", "strides", "dilation"), WINDOWS)
@pytest.mark.parametrize("batch", [1, 3])
def test_windows_and_their_gradient(size: Any, strides: Any, dilation: Any, batch: int) -> None:
    x = np.round(normal(batch, 6, 7, 3) * 4) + 0.5  # multiples of one half add up to the same in any order

    def function(given: list[td.Tensor]) -> Any:
        leaf = given[0].detach().requires_grad_()
        seen = window.windows(leaf, size, strides, dilation)
        td.sum(seen * seen).backward()
        seen = seen.detach()
        return [seen * 1, td.max(seen, (3, 4)), leaf.grad]

    equal(function, x)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [(2, 2), ((3, 2), (1, 2)), (2, 3)])
def test_pooling(size: Any, strides: Any, padding: str) -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, weights = given
        results = []
        for pool in (window.max_pool, window.average_pool):
            leaf = x.detach().requires_grad_()
            pooled = pool(leaf, size, strides, padding)
            td.sum(pooled * weights[:, : pooled.shape[1], : pooled.shape[2]]).backward()
            results += [pooled, leaf.grad]
        return results

    assert not compare(function, [normal(4, 7, 6, 3), normal(4, 7, 6, 3)], [], 1e-6).calls


# -- long sums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 70_000), (70_000, 5), (3, 9000, 2), (300, 300)])
def test_long_sums_are_as_exact_as_in_float64(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape).astype(np.float32)

    def function(given: list[td.Tensor]) -> Any:
        (x,) = given
        y = x * 2.0
        axes = range(x.ndim)
        return [td.sum(y), *(td.sum(y, axis) for axis in axes), *(td.max(x, axis) for axis in axes), y]

    program = simplify(record(function, [td.tensor(x)]).program)
    run = Emulated(program)
    assert any(launch.scratch_bytes for launch in run.launches)  # some are parted
    wide = x.astype(np.float64) * 2
    sums = [wide.sum(), *(wide.sum(axis) for axis in range(x.ndim))]
    before: list[bytes] = []
    for order in ORDERS:
        run.order = order
        found = run([x])
        for one, expected in zip(found, sums, strict=False):
            np.testing.assert_allclose(one, expected, rtol=3e-7)
        for axis in range(x.ndim):
            np.testing.assert_array_equal(found[1 + x.ndim + axis], x.max(axis))
        np.testing.assert_array_equal(found[-1], x * 2)
        bits = [one.tobytes() for one in found]
        assert not before or bits == before
        before = bits
