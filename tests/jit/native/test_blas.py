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


@pytest.mark.parametrize("case", ["columns apart", "two stacks", "nothing between"])
def test_the_others_are_called(case: str) -> None:
    function = {
        "columns apart": lambda x, y: x[:, ::-1] @ y,
        "two stacks": lambda x, y: td.transpose(td.reshape(td.concatenate([x] * 4), (2, 2, 4, 5)), (1, 0, 2, 3)) @ y,
        "nothing between": lambda x, y: x[:, :0] @ y[:0],
    }[case]
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(4, 5)), draw.normal(size=(5, 6))]
    assert compare(lambda given: function(*given), arrays, [], 1e-14).calls == ["matmul"]


def test_infinities_and_nan_pass() -> None:
    x = np.array([[np.inf, 1.0], [np.nan, 2.0]])
    compare(lambda given: given[0] @ given[1], [x, np.eye(2)], [], 1e-14)
