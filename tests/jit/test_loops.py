"""Loops: what can be computed element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit.loops import can_loop, fits, operand_dtype
from tinygrad_dnn.jit.recording import record


def instructions(function: Any, dtype: str) -> list[Any]:
    return record(function, [td.tensor(np.ones((2, 3), dtype))]).program.instructions


@pytest.mark.parametrize(
    ("function", "dtype", "expected"),
    [
        (lambda x: td.exp(x[0]), "float32", True),
        (lambda x: td.sum(x[0]), "int32", True),
        (lambda x: x[0] @ x[0].T, "float32", False),
        (lambda x: td.ops.isfinite(x[0]), "float64", True),
    ],
)
def test_what_can_loop(function: Any, dtype: str, expected: bool) -> None:
    assert can_loop(instructions(function, dtype)[0], lambda dtype: True) is expected


def test_a_dtype_that_is_not_known_cannot() -> None:
    (instruction,) = instructions(lambda x: td.exp(x[0]), "float32")
    assert not can_loop(instruction, lambda dtype: dtype != np.float32)


def test_numbers_that_fit() -> None:
    int8, float32, boolean = np.dtype("int8"), np.dtype("float32"), np.dtype("bool")
    assert [fits(x, int8) for x in (127, -128, 128, 0.5, float("nan"), float("inf"))] == [True, True] + [False] * 4
    assert [fits(x, float32) for x in (0.1, float("inf"), 10**400)] == [True, True, False]
    assert fits(True, boolean)


def test_a_number_takes_part_in_the_dtype_beside_it() -> None:
    (instruction,) = instructions(lambda x: x[0] * 2.0, "float64")
    assert operand_dtype(instruction, 1) == np.float64
