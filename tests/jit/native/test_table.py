"""The table tells machine code where arrays are, and Python the same."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tinygrad_dnn.jit.memory import ALIGNMENT, ARENA, Memory, Place
from tinygrad_dnn.jit.native.table import Table, address, is_plain
from tinygrad_dnn.jit.program import Value
from tinygrad_dnn.jit.views import View, whole

TEMPORARY, GIVEN = Value((2, 3), "float32"), Value((4,), "int64")


@pytest.fixture
def table() -> Table:
    """A table of a temporary value, 64 bytes into the arena, and of one that is given."""
    return Table(Memory(places={id(TEMPORARY): Place(ARENA, 64), id(GIVEN): Place(1)}, slots=2, arena_bytes=128))


def test_addresses_are_entered_by_slot(table: Table) -> None:
    x = np.arange(4)
    table.enter(1, x)
    entered = np.frombuffer((ctypes.c_int64 * 2).from_address(table.address), np.int64)
    assert entered[1] == x.ctypes.data
    assert entered[ARENA] % ALIGNMENT == 0


def test_temporary_values_are_the_same_arrays_in_all_runs(table: Table) -> None:
    first, second = table.fixed(whole(TEMPORARY)), table.fixed(whole(TEMPORARY))
    assert first is not None
    assert second is not None
    assert (first.shape, first.dtype) == ((2, 3), np.float32)
    assert address(first) == address(second)
    entered = np.frombuffer((ctypes.c_int64 * 2).from_address(table.address), np.int64)
    assert address(first) == entered[ARENA] + 64
    first[:] = np.arange(6).reshape(2, 3)
    column = table.fixed(View(TEMPORARY, 1, (2,), (3,)))
    assert column is not None
    assert column.tolist() == [1, 4]


def test_what_is_given_is_another_in_each_run(table: Table) -> None:
    assert table.fixed(whole(GIVEN)) is None
    for x in (np.arange(4), np.arange(4) * 2):
        table.arrays[1] = x
        assert table.array(View(GIVEN, 3, (4,), (-1,))).tolist() == x[::-1].tolist()


def test_a_slot_may_be_fixed(table: Table) -> None:
    own = table.fix(1, (4,), np.dtype(np.int64))
    own[:] = [4, 3, 2, 1]
    assert table.array(whole(GIVEN)).tolist() == [4, 3, 2, 1]
    entered = np.frombuffer((ctypes.c_int64 * 2).from_address(table.address), np.int64)
    assert entered[1] == address(own)


def test_plain_arrays_lie_as_machine_code_reads_them() -> None:
    x = np.zeros((4, 4))
    unaligned = np.zeros(33, np.uint8)[1:].view(np.float64)
    assert is_plain(x)
    assert is_plain(x[1:])
    assert not is_plain(x.T)
    assert not is_plain(x[:, 1:])
    assert not is_plain(unaligned)
