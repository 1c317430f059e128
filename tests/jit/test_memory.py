"""Memory: values that live at the same time lie apart, and state is written in place only when that is safe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.random_programs import RandomFunction
from tinygrad_dnn.jit.grouping import group
from tinygrad_dnn.jit.memory import ARENA, Memory, plan
from tinygrad_dnn.jit.operations import operations
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import record

ROWS = np.ones((2, 3), np.float32)


def planned(program: Program) -> tuple[Memory, list[Any]]:
    """Return the memory of a program all of whose operations are loops or products, and its groups."""
    lowered = operations(program, lambda _: True)
    found = group(lowered.operations)
    return plan(program, lowered, found), found


def of(function: Any, *arrays: np.ndarray) -> Memory:
    """Return the memory of a function."""
    return planned(record(function, [td.tensor(x) for x in arrays]).program)[0]


def test_values_inside_a_loop_are_not_stored() -> None:
    memory = of(lambda given: td.exp(given[0] * 2.0) + 1.0, ROWS)
    assert (len(memory.places), memory.arena_bytes) == (2, 0)  # the input and the output


def test_memory_is_used_again() -> None:
    def chain(given: list[td.Tensor]) -> Any:
        x = given[0]
        for _ in range(20):
            x = td.exp(x) @ x
        return td.sum(x)

    assert of(chain, np.ones((16, 16), np.float32)).arena_bytes <= 4 * 1024


@pytest.mark.parametrize("seed", range(40))
def test_values_that_live_together_lie_apart(seed: int) -> None:
    memory, found = planned(RandomFunction(seed, 40, "float32").program())
    lives: dict[int, list[int]] = {}
    sizes = {}
    for number, one in enumerate(found):
        for operation in one.operations:
            for view in (operation.target, *operation.read):
                place = memory.place(view.root)
                if place is not None and place.slot == ARENA:
                    lives.setdefault(id(view.root), []).append(number)
                    sizes[id(view.root)] = (place.offset, place.offset + view.root.size * view.root.dtype.itemsize)
    for value in memory.outputs:
        if id(value[0].root) in lives:
            lives[id(value[0].root)].append(len(found))
    items = list(lives)
    for i, a in enumerate(items):
        for b in items[:i]:
            if min(lives[a]) <= max(lives[b]) and min(lives[b]) <= max(lives[a]):
                assert sizes[a][1] <= sizes[b][0] or sizes[b][1] <= sizes[a][0]
    assert all(end <= memory.arena_bytes for _, end in sizes.values())


def test_state_is_written_where_it_was_read() -> None:
    w = td.Variable(ROWS)
    memory = of(lambda given: w.assign(w * 0.5 + given[0]) * 1.0, ROWS)
    assert [tensor for tensor, _ in memory.states] == [w]


def test_state_is_written_after_it_was_read() -> None:
    w, stream = td.Variable(np.ones((3, 3))), td.random.SeedGenerator(seed=1)

    def function(given: list[td.Tensor]) -> Any:
        old = w.detach()
        w.assign(w * 0.5)
        first, second = stream.uniform((2, 3)), stream.uniform((2, 3))
        return td.sum(td.exp(given[0] @ old) @ old) + first + second

    memory = of(function, ROWS)
    assert {id(tensor) for tensor, _ in memory.states} == {id(w), id(stream.state)}
    assert memory.bound == []


def test_state_that_is_still_read_is_not_overwritten() -> None:
    w = td.Variable(np.ones((3, 3)))

    def late(given: list[td.Tensor]) -> Any:
        old = w.detach()
        w.assign(w * 0.5)
        return td.sum(td.exp(given[0] @ w) @ old)

    def turned(given: list[td.Tensor]) -> Any:
        return w.assign(w + td.transpose(w)) * 1.0 + given[0][0, 0]

    def returned(given: list[td.Tensor]) -> Any:
        old = w.detach()
        w.assign(w * 0.5)
        return old, given[0] * 1.0

    for function in (late, turned, returned):
        memory = of(function, ROWS)
        assert memory.states == []
        assert [tensor for tensor, _ in memory.bound] == [w]


def test_a_product_is_not_written_over_its_operand() -> None:
    w = td.Variable(np.ones((3, 3)))
    assert of(lambda given: w.assign(w @ w) * given[0][0, 0], ROWS).states == []
