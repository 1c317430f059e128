"""Small products that share a launch, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.test_lowering import compare
from tinygrad_dnn.jit.cuda.launches import Launch, Product

pytestmark = pytest.mark.usefixtures("emulated")


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (5, 3, 4), (32, 32, 32), (33, 65, 31), (100, 7, 64)])
def test_products_beside_each_other(rows: int, inner: int, columns: int, dtype: str) -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, y = given
        turned = td.transpose(y) @ td.transpose(x)
        parts = x[:, : (inner + 1) // 2] @ y[: (inner + 1) // 2]
        return x @ y, turned, td.transpose(x) @ x, y @ td.transpose(y), parts, x[rows // 2 :] @ y[:, columns // 2 :]

    arrays = [normal(rows, inner, dtype=dtype), normal(inner, columns, dtype=dtype)]
    run = compare(function, arrays, [], 1e-6 if dtype == "float32" else 1e-14)
    assert [type(x) for x in run.steps] == [Launch]


def test_what_is_not_a_number_passes_no_further_than_it_should() -> None:
    x = np.array([[np.inf, 1.0], [np.nan, 2.0], [3.0, 4.0]])
    with np.errstate(invalid="ignore"):
        compare(lambda given: [given[0] @ given[1], given[1] @ given[1], given[1] @ given[0].T], [x, np.eye(2)], [], 0)


def test_two_are_left_to_a_library() -> None:
    run = compare(lambda given: [given[0] @ given[1], given[1] @ given[0]], [normal(4, 4), normal(4, 4)], [], 1e-6)
    assert [type(x) for x in run.steps] == [Product, Product]


def test_gradients_of_weights_wait_for_each_other() -> None:
    layers = [td.Variable(normal(6, 6) * 0.3) for _ in range(5)]

    def step(given: list[td.Tensor]) -> Any:
        (x,) = given
        for w in layers:
            x = td.tanh(x @ w)
        td.sum(x * x).backward()
        with td.no_grad():
            for w in layers:
                w.assign(w - w.grad * 0.1)  # type: ignore[operator]
                w.grad = None

    for w in layers:
        w.requires_grad = True
    run = compare(step, [normal(3, 6)], layers, 1e-5)
    *_, gradients, updates = run.steps
    assert isinstance(gradients, Launch)
    assert isinstance(updates, Launch)
    assert len(gradients.rows) == len(updates.rows) == 5
