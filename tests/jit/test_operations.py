"""Programs as operations: what becomes a loop, a product, a call, and what becomes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.jit.operations import Operations, operations
from tinygrad_dnn.jit.recording import record


def made(function: Any, *arrays: np.ndarray, loops: bool = True) -> Operations:
    """Return a function's operations, with all that loops may do in loops, or nothing."""
    return operations(record(function, [td.tensor(x) for x in arrays]).program, lambda instruction: loops)


def kinds(lowered: Operations) -> list[tuple[str, str]]:
    """Return the kind and name of each."""
    return [(x.kind, x.name) for x in lowered.operations]


ROWS = np.ones((2, 3), np.float32)


def test_views_are_no_operations() -> None:
    lowered = made(lambda given: td.exp(td.transpose(td.reshape(given[0], (3, 2)))[:, 1:]), ROWS)
    assert kinds(lowered) == [("map", "exp")]
    (view,) = lowered.operations[0].read
    assert (view.offset, view.shape, view.strides) == (2, (2, 2), (1, 2))


def test_sources_are_broadcast_and_axes_of_one_are_left_out() -> None:
    (operation,) = made(lambda given: given[0][:1] + td.sum(given[0], 0, keepdims=True)[:, :1], ROWS).operations[-1:]
    assert operation.space == (3,)
    assert [view.strides for view in operation.read] == [(1,), (0,)]


def test_a_reduction_stays_in_place_along_its_axes() -> None:
    (operation,) = made(lambda given: td.sum(given[0], 0), ROWS).operations
    assert (operation.kind, operation.name, operation.target.strides) == ("reduce", "sum", (0, 1))


def test_a_reduction_over_one_element_is_a_copy_and_over_none_a_fill() -> None:
    assert kinds(made(lambda given: td.max(given[0][:1], 0), ROWS)) == [("map", "copy")]
    assert kinds(made(lambda given: td.sum(given[0][:0], 0), ROWS)) == [("map", "fill")]


def test_a_reshape_that_is_no_view_is_a_copy() -> None:
    assert kinds(made(lambda given: td.reshape(td.transpose(given[0]), (6,)), ROWS)) == [("map", "copy")]


def test_parts_are_copied_to_their_places() -> None:
    lowered = made(lambda given: td.concatenate([given[0], given[0][:, :1]], 1), ROWS)
    assert kinds(lowered) == [("map", "copy")] * 2
    assert [x.target.offset for x in lowered.operations] == [0, 3]


def test_padding_fills_before_it_copies() -> None:
    first, second = made(lambda given: td.pad(given[0], [(1, 0), (0, 0)]), ROWS).operations
    assert (first.name, second.name) == ("fill", "copy")
    assert second.after == (first,)
    assert second.target.offset == 3


def test_each_reader_of_a_comparison_has_its_own() -> None:
    def function(given: list[td.Tensor]) -> Any:
        positive = given[0] > 0
        return td.where(positive, given[0], 1.0), td.where(positive, 2.0, given[0])

    assert [x.name for x in made(function, ROWS).operations] == ["greater", "where", "greater", "where"]


def test_what_loops_cannot_do_is_called() -> None:
    lowered = made(lambda given: td.exp(given[0]) + td.argmax(given[0], 1).sum(), ROWS, loops=False)
    assert {kind for kind, _ in kinds(lowered)} == {"call"}


def test_products_of_floats_are_products() -> None:
    assert kinds(made(lambda given: given[0] @ td.transpose(given[0]), ROWS)) == [("product", "matmul")]
    assert kinds(made(lambda given: given[0] @ td.transpose(given[0]), ROWS.astype(int))) == [("call", "matmul")]


def test_indices_lead_further_by_the_strides_they_stand_for() -> None:
    gather = made(lambda given: given[0][:, np.array([0, 2, 1, 1])], ROWS).operations[-1]
    assert (gather.kind, gather.name, gather.space, gather.steps) == ("map", "gather", (2, 4), (1,))
    assert [view.strides for view in gather.read] == [(3, 0), (0, 1)]


def test_windows_that_overlap_are_added_and_others_are_copied() -> None:
    def gradient(given: list[td.Tensor], stride: int) -> Any:
        x = given[0].detach().requires_grad_()
        td.sum(td.square(td.ops.window.windows(x, 2, stride))).backward()
        return x.grad

    images = np.ones((2, 4, 4, 3), np.float32)
    apart, over = (made(lambda given, s=s: gradient(given, s), images).operations[-1] for s in (2, 1))
    assert (apart.kind, apart.name) == ("map", "copy")
    assert (over.kind, over.apart, over.space) == ("scatter", True, (2, 2, 2, 3, 3, 3))


def test_draws_come_in_blocks() -> None:
    stream = td.random.SeedGenerator(seed=1)
    lowered = made(lambda given: given[0] * stream.uniform((2, 3)), ROWS)
    assert kinds(lowered)[0] == ("draw", "philox")
    assert lowered.operations[0].target.root.shape == (8,)
