"""Operands: the order of the loops, and what operations read from memory and from each other."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.operands import Operand, Operands, arrange
from tinygrad_dnn.jit.operations import operations
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.views import View, whole


def found(function: Any, *arrays: np.ndarray) -> Operands:
    """Return the operands of all that a function does, of which only what is given lies in memory."""
    program = record(function, [td.tensor(x) for x in arrays]).program
    places = {id(x): Place(number + 1) for number, x in enumerate(program.inputs)}
    made = operations(program, lambda instruction: True).operations
    return Operands(made, lambda value: places.get(id(value)), lambda number, dtype: f"{dtype} {number}")


def test_what_is_made_before_is_no_operand() -> None:
    operands = found(lambda x: td.exp(x[0]) * 2.0 + x[0], np.ones((4, 6), np.float32))
    assert operands.sources == [[0], [-1, "float32 2.0"], [-2, 0]]
    assert [x.number for x in operands.loaded] == [0]
    assert [operands.target(i) for i in range(3)] == [None] * 3
    assert operands.lengths == [24]


def test_views_of_one_array_are_operands_of_their_own() -> None:
    operands = found(lambda x: x[0] + x[0][::-1], np.ones((4, 6), np.float32))
    assert [x.strides for x in operands.all] == [[6, 1], [-6, 1]]
    assert operands.all[1].stepped == [0]


def test_axes_that_run_on_into_each_other_are_one() -> None:
    view = whole(td.jit.Value((2, 3, 4), "float32"))
    assert arrange([2, 3, 4], [Operand(view, 0, [12, 4, 1])], False) == [24]
    x = Operand(view, 0, [1, 2, 6])
    assert arrange([2, 3, 4], [x], False) == [24]  # turned around
    assert x.strides == [1]
    x = Operand(View(view.root, 0, (2, 3, 4), (24, 4, 1)), 0, [24, 4, 1])
    assert arrange([2, 3, 4], [x], False) == [2, 12]
    assert arrange([2, 3, 4], [Operand(view, 0, [12, 4, 1])], True) == [2, 12]
