"""Views against what NumPy makes of arrays whose elements are their own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit import views
from tinygrad_dnn.jit.program import Instruction, Value
from tinygrad_dnn.ops.elementwise import EXP
from tinygrad_dnn.ops.shape import BROADCAST_TO, RESHAPE, SLICE, TRANSPOSE


def step(primitive: Primitive, **attributes: Any) -> Instruction:
    """Return an instruction of which only primitive and attributes matter."""
    return Instruction(primitive, (), attributes, Value((), "float32"))


STEPS = [
    [step(TRANSPOSE, axes=(1, 0, 2))],
    [step(SLICE, index=(slice(1, 3), slice(None, None, -1), 2))],
    [step(SLICE, index=(2, slice(None), slice(None, None, 2)))],
    [step(SLICE, index=(..., None, 1)), step(RESHAPE, shape=(12, 1))],
    [step(SLICE, index=(1, 2, 3))],
    [step(SLICE, index=(slice(2, 2),))],
    [step(RESHAPE, shape=(12, 5)), step(TRANSPOSE, axes=(1, 0)), step(SLICE, index=(slice(1, 5, 3),))],
    [step(TRANSPOSE, axes=(0, 2, 1)), step(RESHAPE, shape=(2, 2, 5, 3))],
    [step(SLICE, index=(slice(0, 1), slice(0, 1))), step(BROADCAST_TO, shape=(2, 4, 3, 5))],
    [step(RESHAPE, shape=(1, 4, 1, 3, 5)), step(SLICE, index=(0, slice(None), 0))],
]


@pytest.mark.parametrize("steps", STEPS, ids=lambda x: ",".join(step.primitive.name for step in x))
def test_views_are_numpys(steps: list[Instruction]) -> None:
    root = Value((4, 3, 5), "float32")
    numbers = np.arange(60).reshape(4, 3, 5)
    expected, view = numbers, views.whole(root)
    for instruction in steps:
        expected = instruction.primitive.forward(np, expected, **instruction.attributes)
        found = views.apply(instruction, view)
        assert found is not None
        view = found
    expected = np.asarray(expected)
    assert view.shape == expected.shape
    np.testing.assert_array_equal(view.of(numbers), expected)
    assert view.is_whole == (view.size == 60 and np.array_equal(expected.ravel(), np.arange(60)))


def test_a_reshape_that_must_copy_is_no_view() -> None:
    turned = views.apply(step(TRANSPOSE, axes=(1, 0)), views.whole(Value((4, 3), "float32")))
    assert turned is not None
    assert views.apply(step(RESHAPE, shape=(12,)), turned) is None


def test_what_computes_is_no_view() -> None:
    assert views.apply(step(EXP), views.whole(Value((4, 3), "float32"))) is None


def test_a_part_is_what_an_index_takes() -> None:
    view = views.part(views.whole(Value((4, 3), "float32")), (slice(1, None), 2))
    assert (view.offset, view.shape, view.strides) == (5, (3,), (3,))


def test_squeezing_and_broadcasting() -> None:
    root = Value((1, 3), "float32")
    assert views.whole(root).squeezed().shape == (3,)
    spread = views.whole(root).broadcast_to((2, 4, 3))
    assert (spread.shape, spread.strides) == ((2, 4, 3), (0, 0, 1))
    np.testing.assert_array_equal(spread.of(np.arange(3).reshape(1, 3)), np.broadcast_to(np.arange(3), (2, 4, 3)))
