"""Operands: groups of one form have kernels of one text, and what a text tells of is in the form."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.random_programs import RandomFunction
from tinygrad_dnn.jit.grouping import Group, group
from tinygrad_dnn.jit.memory import plan
from tinygrad_dnn.jit.native.elements import can_loop
from tinygrad_dnn.jit.native.kernel import _Writer, kernel
from tinygrad_dnn.jit.native.operands import Operands
from tinygrad_dnn.jit.operations import operations
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify


def loops(program: Program) -> list[tuple[Group, Operands]]:
    """Return the groups of a program that are loops, with their operands."""
    lowered = operations(program, can_loop)
    groups = group(lowered.operations)
    place = plan(program, lowered, groups).place
    found = [x for x in groups if x.kind == "loop" and 0 not in x.space]
    for one in found:
        assert kernel(one, place).text == _Writer(Operands(one, place)).written()[0]
    return [(one, Operands(one, place)) for one in found]


def forms(function: object, *arrays: np.ndarray) -> list[object]:
    recorded = record(function, [td.tensor(x) for x in arrays])  # type: ignore[arg-type]
    return [operands.form for _, operands in loops(simplify(recorded.program))]


def test_equal_forms_are_equal_texts() -> None:
    texts = defaultdict(set)
    sizes = 0
    for seed in range(150):
        function = RandomFunction(seed, 20, ("float32", "float64")[seed % 2])
        recorded = record(function, [td.tensor(x) for x in function.arrays])
        for _, operands in loops(simplify(recorded.program)):
            texts[operands.form].add(_Writer(operands).written())
            sizes += 1
    assert all(len(found) == 1 for found in texts.values())
    assert len(texts) < sizes  # some are equal
    assert len({text for found in texts.values() for text in found}) > 0.9 * len(texts)  # and few for nothing apart


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_differs_in_lengths_strides_and_places_alone_is_one_form(dtype: str) -> None:
    def function(x: list[td.Tensor]) -> td.Tensor:
        return td.exp(x[0][:, ::2]) * x[1]

    first = forms(function, np.ones((4, 6), dtype), np.ones((4, 1), dtype))
    assert first == forms(function, np.ones((9, 50), dtype), np.ones((9, 1), dtype))
    assert first != forms(lambda x: td.exp(x[0]) * x[1], np.ones((4, 3), dtype), np.ones((4, 1), dtype))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x[0] * 2, lambda x: x[0] * 3),
        (lambda x: x[0] * 0.0, lambda x: x[0] * -0.0),
        (lambda x: x[0] * x[0], lambda x: x[0] * x[1]),
        (lambda x: x[0] * x[1], lambda x: x[0] + x[1]),
        (lambda x: x[0] * x[1], lambda x: x[0] * x[1][:1]),
        (lambda x: td.sum(x[0], 0), lambda x: td.sum(x[0], 1)),
        (lambda x: td.max(x[0], 0), lambda x: td.sum(x[0], 0)),
        (lambda x: td.cast(x[0], "float64"), lambda x: td.cast(x[0], "int32")),
        (lambda x: x[0] * 2, lambda x: [y := x[0] * 2, td.exp(y)]),
        (lambda x: td.cumsum(x[0], 0), lambda x: td.cumsum(x[0], 1)),
    ],
)
def test_what_a_text_tells_of_is_in_the_form(one: object, other: object) -> None:
    arrays = np.ones((4, 6), np.float32), np.ones((4, 6), np.float32)
    assert forms(one, *arrays) != forms(other, *arrays)


def test_long_sums_are_another_form() -> None:
    short, long = (forms(lambda x: td.sum(x[0], 1), np.ones((2, n), np.float32)) for n in (100, 5000))
    assert short != long
    assert long == forms(lambda x: td.sum(x[0], 1), np.ones((3, 7000), np.float32))
