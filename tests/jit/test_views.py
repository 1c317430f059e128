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
from tinygrad_dnn.ops.window import WINDOWS


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


@pytest.mark.parametrize(("size", "strides", "dilation"), [((2, 3), (1, 1), (1, 1)), ((2, 1), (2, 3), (3, 1))])
def test_windows_are_views(size: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]) -> None:
    numbers = np.arange(2 * 5 * 6 * 3).reshape(2, 5, 6, 3)
    attributes = {"size": size, "strides": strides, "dilation": dilation}
    expected = WINDOWS.forward(np, numbers, **attributes)
    view = views.apply(step(WINDOWS, **attributes), views.whole(Value(numbers.shape, "float32")))
    assert view is not None
    assert view.shape == expected.shape
    np.testing.assert_array_equal(view.of(numbers), expected)


SLOT = object()
INDEXED: list[tuple[Any, ...]] = [
    (SLOT,), (slice(None), SLOT), (SLOT, SLOT), (slice(1, None), SLOT, SLOT), (SLOT, slice(None), SLOT),
    (slice(None), SLOT, ..., SLOT), (0, slice(None), SLOT), (slice(None), 1, SLOT), (None, SLOT, None, 2),
    (slice(None, None, -2), ..., SLOT),
]  # fmt: skip


@pytest.mark.parametrize("template", INDEXED, ids=[str(i) for i in range(len(INDEXED))])
def test_indexed_elements_are_numpys(template: tuple[Any, ...]) -> None:
    numbers = np.arange(60).reshape(4, 3, 5)
    arrays = [np.array([[0, 2], [1, 1]]), np.array([2, 0])][: sum(part is SLOT for part in template)]
    waiting = iter(arrays)
    expected = numbers[tuple(next(waiting) if part is SLOT else part for part in template)]
    given = [views.whole(Value(x.shape, "int64")) for x in arrays]
    seen, spread, steps = views.indexed(views.whole(Value(numbers.shape, "float32")), template, given)
    assert seen.shape == expected.shape
    places = [view.of(x) for view, x in zip(spread, arrays, strict=True)]
    offsets = seen.of(numbers) + sum(x * step for x, step in zip(places, steps, strict=True))
    np.testing.assert_array_equal(offsets, expected)  # each number is its own place


def test_numbers_move_along_their_axis_alone() -> None:
    assert views.numbers((2, 1, 3), 2).strides == (0, 0, 1)
    assert views.numbers((2, 1, 3), 1).strides == (0, 0, 0)
