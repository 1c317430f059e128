"""Products: how views of matrices are told to a BLAS, and which have to be copied first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit.operations import Operation, operations
from tinygrad_dnn.jit.products import PLAIN, TRANSPOSED, Product, matched
from tinygrad_dnn.jit.recording import record


def products(function: Any, *shapes: tuple[int, ...]) -> tuple[list[Operation], list[Product]]:
    """Return the operations of a function of arrays, and its products."""
    program = record(function, [td.tensor(np.ones(shape)) for shape in shapes]).program
    made, found = matched(operations(program, lambda instruction: True).operations, lambda dtype: dtype == np.float64)
    return made, [*found.values()]


def test_a_plain_product() -> None:
    made, found = products(lambda given: given[0] @ given[1], (4, 5), (5, 6))
    assert len(made) == 1
    assert found == [Product((PLAIN, PLAIN), (4, 6, 5), (5, 6, 6), 1, (0, 0, 0), (0, 0, 0))]


def test_transposed_and_parted_matrices_are_told_as_they_lie() -> None:
    _, found = products(lambda given: td.transpose(given[0])[1:] @ given[1][:, 2:], (4, 5), (4, 6))
    assert found == [Product((TRANSPOSED, PLAIN), (4, 4, 4), (5, 6, 4), 1, (0, 0, 0), (1, 2, 0))]


def test_a_stack_times_one_matrix_is_one_taller_product() -> None:
    _, found = products(lambda given: given[0] @ given[1], (3, 4, 5), (5, 6))
    assert (found[0].lengths, found[0].count) == ((12, 6, 5), 1)


def test_stacks_are_counted() -> None:
    _, found = products(lambda given: given[0] @ given[1], (3, 4, 5), (3, 5, 6))
    assert (found[0].count, found[0].distances) == (3, (20, 30, 24))


@pytest.mark.parametrize(
    "function", [lambda given: given[0][:, ::2] @ given[1][:3], lambda given: given[0][:, ::-1] @ given[1]]
)
def test_what_lies_apart_is_copied(function: Any) -> None:
    made, found = products(function, (4, 5), (5, 6))
    assert [x.name for x in made] == ["copy", "matmul"]
    assert len(found) == 1


def test_without_a_blas_it_is_a_call() -> None:
    program = record(lambda given: given[0] @ given[0], [td.ones((3, 3))]).program
    (operation,), found = matched(operations(program, lambda instruction: True).operations, lambda dtype: False)
    assert (operation.kind, found) == ("call", {})


def test_a_product_of_nothing_is_a_call() -> None:
    made, found = products(lambda given: given[0][:, :0] @ given[1][:0], (4, 5), (5, 6))
    assert [x.kind for x in made] == ["call"]
    assert not found
