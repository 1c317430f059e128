"""Simplifying: nothing is computed twice or for nothing, and the results are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit import Interpreted, record, simplify
from tinygrad_dnn.jit.program import exact
from tinygrad_dnn.jit.simplifying import without_repeats
from tinygrad_dnn.tensor import apply


def simplified(function: Any, *arguments: td.Tensor) -> tuple[Any, list[str]]:
    program = simplify(record(function, arguments).program)
    return program, [step.primitive.name for step in program.instructions]


def test_what_is_computed_twice_is_computed_once() -> None:
    _, names = simplified(lambda x: td.exp(x[0] + 1) * td.exp(x[0] + 1), td.ones(2))
    assert names == ["add", "exp", "multiply"]


def test_numbers_that_are_equal_and_not_the_same_are_two() -> None:
    _, names = simplified(lambda x: (x[0] * 0.0, x[0] * -0.0, x[0] * 1.0, x[0] * 1, x[0] * True), td.ones(2))
    assert names == ["multiply"] * 5


def test_attributes_that_print_alike_are_not_alike() -> None:
    pick = Primitive("pick", lambda xp, x, *, places: x * 1.0)
    many = np.arange(5000), np.arange(5000)
    many[1][2500] = 0
    assert repr(many[0]) == repr(many[1])
    _program, names = simplified(lambda x: [apply(pick, (x[0],), {"places": p}) for p in many], td.ones(5000))
    assert names == ["pick", "pick"]
    assert exact(1) != exact(True)
    assert exact(slice(1, 2)) == exact(slice(1, 2))
    assert exact([1]) != exact((1,))


def test_what_nothing_needs_is_left_out() -> None:
    w = td.Variable(1.0)

    def f(x: Any) -> td.Tensor:
        td.exp(x[0])
        w.assign(w + 1)
        w.assign(w - 1)
        unused = w.detach()
        w.assign(unused)
        return x[0] * 2

    _, names = simplified(f, td.tensor(1.0))
    assert names == ["add", "subtract", "multiply"]


def test_an_assignment_of_the_same_value_is_none() -> None:
    w = td.Variable(1.0)
    program, names = simplified(lambda x: w.assign(w.detach()), td.tensor(1.0))
    assert not program.updates
    assert not names


def test_views_and_assignments_between_equal_operations_do_not_confuse() -> None:
    w = td.Variable([1.0, 2.0])

    def f(x: Any) -> Any:
        before = w * x[0]
        w.assign(w + 1)
        return before, w * x[0], w.reshape((2, 1)) * x[0], w.reshape((1, 2)) * x[0]

    program, names = simplified(f, td.tensor([3.0, 4.0]))
    assert names.count("multiply") == 4
    found = Interpreted(program)([td.tensor([3.0, 4.0]).data])
    expected = [[3.0, 8.0], [6.0, 12.0], [[6.0, 8.0], [9.0, 12.0]], [[6.0, 12.0]]]
    assert [td.Tensor._wrap(array).tolist() for array in found] == expected


def test_repeats_may_be_looked_for_among_some_instructions() -> None:
    program = record(lambda x: (x[0] + 1) * (x[0] + 1) * (x[0] + 1), [td.ones(2)]).program
    first, *others = [step for step in program.instructions if step.primitive.name == "add"]
    assert len(without_repeats(program, among=set()).instructions) == 5
    assert len(without_repeats(program, among={id(first)}).instructions) == 5
    left = without_repeats(program, among={id(step) for step in others})
    assert [step.primitive.name for step in left.instructions] == ["add", "add", "multiply", "multiply"]
    assert Interpreted(left)([np.ones(2, np.float32)])[0].tolist() == [8.0, 8.0]
