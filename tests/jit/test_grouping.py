"""Groups: which operations share a loop, and that their order can be run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.random_programs import RandomFunction
from tinygrad_dnn.jit.grouping import Group, group
from tinygrad_dnn.jit.operations import operations
from tinygrad_dnn.jit.recording import record

ROWS = np.ones((2, 3), np.float32)


def groups(function: Any, *arrays: np.ndarray) -> list[list[str]]:
    """Return the names of the operations of each group."""
    program = record(function, [td.tensor(x) for x in arrays]).program
    return [[x.name for x in found.operations] for found in group(operations(program, lambda _: True).operations)]


def test_what_reads_at_the_same_place_shares_a_loop() -> None:
    assert groups(lambda given: td.exp(given[0] * 2.0) + given[0], ROWS) == [["multiply", "exp", "add"]]


def test_reductions_share_the_loop_of_what_feeds_them_but_not_of_what_follows() -> None:
    def softmax(given: list[td.Tensor]) -> Any:
        y = td.exp(given[0])
        return y / td.sum(y, 1, keepdims=True)

    assert groups(softmax, ROWS) == [["exp", "sum"], ["divide"]]


def test_another_order_of_elements_needs_a_loop_of_its_own() -> None:
    assert groups(lambda given: td.exp(td.transpose(td.exp(given[0]))), ROWS) == [["exp"], ["exp"]]
    both = groups(lambda given: (lambda y: y + td.transpose(y))(td.exp(given[0])), np.ones((3, 3), np.float32))
    assert both == [["exp"], ["add"]]


def test_products_stand_alone() -> None:
    found = groups(lambda given: td.exp(td.exp(given[0]) @ td.transpose(given[0])), ROWS)
    assert found == [["exp"], ["matmul"], ["exp"]]


def test_what_is_needed_late_is_computed_late() -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, w = given
        kept = td.exp(x)
        factor = kept + 1.0
        return td.exp(kept @ w) * factor

    assert groups(function, ROWS, np.ones((3, 3), np.float32)) == [["exp"], ["matmul"], ["add", "exp", "multiply"]]


def test_calls_come_before_what_they_do_not_need() -> None:
    def function(given: list[td.Tensor]) -> Any:
        x = td.exp(given[0])
        return td.exp(td.transpose(td.exp(x.T))) + 1.0, td.take(td.transpose(x) @ x, np.array([0, 1]))

    program = record(function, [td.tensor(ROWS)]).program
    found = group(operations(program, lambda x: x.primitive.name != "gather").operations)
    names = [[x.name for x in one.operations] for one in found]
    assert names[:3] == [["exp"], ["matmul"], ["gather"]]
    assert len(names) > 3


def _check(found: list[Group], given: list[Any]) -> None:
    """Each operation is in one group, behind all that it reads."""
    order = {id(x): number for number, one in enumerate(found) for x in one.operations}
    assert sorted(order) == sorted(id(x) for x in given)
    written: dict[int, list[int]] = {}
    for x in given:
        for view in x.read:
            assert all(number <= order[id(x)] for number in written.get(id(view.root), []))
        written.setdefault(id(x.target.root), []).append(order[id(x)])
    for one in found:
        assert len({x.space for x in one.operations}) == 1
        for reader in one.operations:
            for writer in one.operations:
                for view in reader.read:
                    if view.root is writer.target.root:
                        assert writer.kind == "map"
                        assert view == writer.target


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_in_groups_can_be_run(seed: int) -> None:
    given = operations(RandomFunction(seed, 40, "float32").program(), lambda _: True).operations
    _check(group(given), given)
