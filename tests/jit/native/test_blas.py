"""Matrix products: views that the BLAS takes as they lie, and those that it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import compare

pytest.importorskip("llvmlite")

from tinygrad_dnn.jit.native.blas import gemm

CASES: dict[str, Any] = {
    "plain": lambda x, y: x @ y,
    "transposed": lambda x, y: td.transpose(y) @ td.transpose(x),
    "left transposed": lambda x, y: td.transpose(x) @ (x @ y),
    "right transposed": lambda x, y: x @ td.transpose(x),
    "rows apart": lambda x, y: x[::2] @ y,
    "a part": lambda x, y: x[1:3, 1:4] @ y[1:4, :2],
    "one row": lambda x, y: x[1] @ y,
    "one column": lambda x, y: x @ y[:, 1],
    "one inner": lambda x, y: x[:, :1] @ y[2:3],
    "a stack": lambda x, y: td.reshape(td.concatenate([x, x + 1.0]), (2, 4, 5)) @ y,
    "a stack each": lambda x, y: td.stack([x, x + 1.0]) @ td.stack([y, y * 2.0]),
    "one against a stack": lambda x, y: x @ td.stack([y, y * 2.0]),
}


@pytest.mark.skipif(gemm("float") is None, reason="NumPy's BLAS has other names here")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_products_are_left_to_blas(case: str, dtype: str) -> None:
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(4, 5)).astype(dtype), draw.normal(size=(5, 6)).astype(dtype)]
    assert not compare(lambda given: CASES[case](*given), arrays, [], 1e-6 if dtype == "float32" else 1e-14).calls


COPIED: dict[str, Any] = {
    "columns apart": lambda x, y: x[:, ::-1] @ y,
    "both apart": lambda x, y: x[::2, ::2] @ y[::2, ::-1],
    "turned stacks": lambda x, y: td.transpose(stacked(x, 2, 2), (1, 0, 2, 3)) @ y,
    "two turned stacks": lambda x, y: td.transpose(stacked(x, 2, 3), (1, 0, 2, 3)) @ stacked(y, 3, 2),
    "stacks across": lambda x, y: stacked(x, 2, 1) @ stacked(y, 1, 3),
    "a stack repeated": lambda x, y: stacked(x, 3, 2) @ stacked(y, 2),
    "turned in the stack": lambda x, y: stacked(x, 2, 3) @ td.transpose(stacked(x, 3, 2), (1, 0, 3, 2)),
}


def stacked(x: td.Tensor, *lengths: int) -> td.Tensor:
    """Return a stack of different matrices."""
    count = int(np.prod(lengths))
    return td.reshape(td.stack([x * (1.0 + i) for i in range(count)]), (*lengths, *x.shape))


@pytest.mark.skipif(gemm("float") is None, reason="NumPy's BLAS has other names here")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", COPIED)
def test_what_lies_apart_is_copied(case: str, dtype: str) -> None:
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(4, 5)).astype(dtype), draw.normal(size=(5, 6)).astype(dtype)]
    assert not compare(lambda given: COPIED[case](*given), arrays, [], 1e-6 if dtype == "float32" else 1e-14).calls


def test_a_product_of_nothing_is_called() -> None:
    run = compare(lambda given: given[0][:, :0] @ given[1][:0], [np.ones((4, 5)), np.ones((5, 6))], [], 0)
    assert run.calls == ["matmul"]


def test_infinities_and_nan_pass() -> None:
    x = np.array([[np.inf, 1.0], [np.nan, 2.0]])
    compare(lambda given: given[0] @ given[1], [x, np.eye(2)], [], 1e-14)
