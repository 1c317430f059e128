"""Fusing and composing: what is one launch, what is none, and that which stays right however it is divided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.running import Emulated
from tests.jit.cuda.test_lowering import compare
from tinygrad_dnn.jit.cuda.launches import ARGUMENT_BYTES, Launch
from tinygrad_dnn.jit.cuda.tiles import THREADS, tile
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

pytestmark = pytest.mark.usefixtures("emulated")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def layer_norm(given: list[td.Tensor]) -> Any:
    x, gamma, beta = given
    mean = td.mean(x, -1, keepdims=True)
    variance = td.mean(td.square(x - mean), -1, keepdims=True)
    return (x - mean) / td.sqrt(variance + 1e-3) * gamma + beta


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 7), (3, 300), (300, 3), (2, 5000), (700, 33)])
def test_rows_are_one_launch(rows: int, columns: int) -> None:
    x = normal(rows, columns)
    for function in (lambda x: td.activations.softmax(x[0]), lambda x: td.activations.log_softmax(x[0]), layer_norm):
        run = compare(function, [x, normal(columns), normal(columns)], [], 1e-5)
        assert len(run.steps) == 1


@pytest.mark.parametrize("batch", [2, 32, 600])
def test_a_batch_normalisation_is_one_launch_with_its_running_statistics(batch: int) -> None:
    mean, variance = td.Variable(np.zeros(20, np.float32)), td.Variable(np.ones(20, np.float32))

    def function(given: list[td.Tensor]) -> Any:
        x, gamma = given
        now = td.mean(x, 0)
        spread = td.mean(td.square(x - now), 0)
        mean.assign(mean * 0.9 + now * 0.1)
        variance.assign(variance * 0.9 + spread * 0.1)
        return (x - now) / td.sqrt(spread + 1e-3) * gamma

    run = compare(function, [normal(batch, 20), normal(20)], [mean, variance], 1e-5)
    assert len(run.steps) == 1


def test_what_all_rows_make_is_another_launch() -> None:
    def function(given: list[td.Tensor]) -> Any:
        logits, labels = given
        losses = -td.sum(td.activations.log_softmax(logits) * labels, 1)
        return td.mean(losses), losses

    run = compare(function, [normal(40, 10), normal(40, 10)], [], 1e-5)
    assert len(run.steps) == 2


def test_a_product_between_keeps_apart() -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, w = given
        rows = td.max(x, 1, keepdims=True)
        return (x - rows) * td.sum((x - rows) @ w, 1, keepdims=True)

    run = compare(function, [normal(6, 8), normal(8, 6)], [], 1e-5)
    assert [type(x).__name__ for x in run.steps] == ["Launch", "Product", "Launch", "Launch"]


def test_what_leads_through_another_group_stays_apart() -> None:
    """The columns' sums need the rows' differences, and the last result both: no cycle may come of it."""

    def function(given: list[td.Tensor]) -> Any:
        (x,) = given
        y = x - td.max(x, 1, keepdims=True)
        z = td.exp(y) * td.sum(td.exp(y), 0)
        return z / td.sum(z, 1, keepdims=True), y

    compare(function, [normal(6, 6)], [], 1e-5)


def test_one_length_for_all_axes_does_not_confuse() -> None:
    def function(given: list[td.Tensor]) -> Any:
        (x,) = given
        rows, columns = td.sum(x, 1), td.sum(x, 0)
        return x * rows, x * rows[:, None], x * columns, x * columns[:, None], rows * columns

    compare(function, [normal(8, 8)], [], 1e-5)


def test_a_result_written_over_what_it_is_made_of() -> None:
    state = td.Variable(normal(30, 9))

    def function(_: Any) -> Any:
        total = td.sum(state, 1, keepdims=True)
        state.assign(state / (td.abs(total) + 1.0) + td.max(state, 1, keepdims=True))
        return total

    run = compare(function, [], [state], 1e-5)
    assert len(run.steps) == 2  # the two reductions read the state, and the second is done with what follows them


def test_many_updates_are_few_launches() -> None:
    draw = np.random.default_rng(0)
    shapes = [tuple(draw.integers(1, 40, 1 + number % 2)) for number in range(300)]
    weights = [td.Variable(draw.normal(size=shape).astype(np.float32)) for shape in shapes]

    def function(given: list[td.Tensor]) -> Any:
        for x in weights:
            x.assign(x - given[0] * (x * 0.1 + 0.2))

    run = compare(function, [np.array(0.5, np.float32)], weights, 1e-6)
    assert all(isinstance(step, Launch) for step in run.steps)
    assert len(run.steps) == -(-300 * 5 * 8 // ARGUMENT_BYTES)
    assert all(len(step.arguments) * 8 <= ARGUMENT_BYTES for step in run.launches)
    assert sum(len(step.rows) for step in run.launches) == 300


def test_lengths_are_no_part_of_a_kernel() -> None:
    names = []
    for rows, columns in ((300, 40), (500, 33)):
        program = record(lambda x: td.exp(x[0]) * x[1], [td.ones((rows, columns)), td.ones(columns)]).program
        names.append([x.kernel.name for x in Emulated(simplify(program)).launches])
    assert names[0] == names[1]


@pytest.mark.parametrize("together", [False, True])
def test_tiles_cover_all_results(together: bool) -> None:
    for results in (1, 2, 31, 32, 33, 1000, 100_000):
        for length in (2, 31, 33, 500, 5000, 10**6):
            found = tile(results, length, together, True)
            assert found.lanes * found.results == THREADS
            assert found.blocks * found.results >= results > (found.blocks - 1) * found.results
            assert found.segments == 1 or length / (found.segments * found.lanes) > 8
