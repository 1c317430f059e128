"""Lists, tuples and dicts of values: their leaves in order, replaced, named, and the first of them."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_dnn import nested
from tinygrad_dnn.layers.arguments import is_shape

DEEP = {"b": [1, (2, 3)], "a": {"x": 4}, "empty": []}


@pytest.mark.parametrize(
    ("structure", "expected"),
    [(5, [5]), (None, [None]), ("ab", ["ab"]), ([], []), ([1, [2]], [1, 2]), (DEEP, [1, 2, 3, 4])],
)
def test_leaves_come_in_order(structure: Any, expected: list[Any]) -> None:
    assert list(nested.leaves(structure)) == expected


def test_what_is_a_leaf_may_be_said() -> None:
    shapes = [(None, 3), {"a": (2,), "b": [(), (None, 1)]}]
    assert list(nested.leaves(shapes, is_shape)) == [(None, 3), (2,), (), (None, 1)]
    assert nested.map_leaves(len, shapes, leaf=is_shape) == [2, {"a": 1, "b": [0, 2]}]


@pytest.mark.parametrize("structure", [7, [1, 2], (1, [2, 3]), DEEP])
def test_each_leaf_is_replaced_and_the_form_kept(structure: Any) -> None:
    doubled = nested.map_leaves(lambda x: 2 * x, structure)
    assert type(doubled) is type(structure)
    assert list(nested.leaves(doubled)) == [2 * x for x in nested.leaves(structure)]
    assert nested.map_leaves(lambda x: x // 2, doubled) == structure


def test_what_stands_in_the_same_place_comes_along() -> None:
    others = {"empty": (), "a": {"x": [4]}, "b": ("one", ["two", "three"])}
    assert nested.map_leaves(lambda a, b: (a, b), DEEP, others) == {
        "b": [(1, "one"), ((2, "two"), (3, "three"))],
        "a": {"x": (4, [4])},
        "empty": [],
    }


def test_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        nested.map_leaves(lambda a, b: a, [1, 2], [1])
    with pytest.raises(KeyError, match="b"):
        nested.map_leaves(lambda a, b: a, {"b": 1}, {"a": 1})


def test_leaves_are_named_by_their_places() -> None:
    names = [name for name, _ in nested.named_leaves(DEEP, "x")]
    assert names == ["x['b'][0]", "x['b'][1][0]", "x['b'][1][1]", "x['a']['x']"]
    assert list(nested.named_leaves(3, "y")) == [("y", 3)]


def test_the_first_leaf() -> None:
    assert nested.first(DEEP) == 1
    assert nested.first(9) == 9
    with pytest.raises(ValueError, match="an empty list, tuple or dict holds no value"):
        nested.first([(), {}])
