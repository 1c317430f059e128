"""Arrays that Tensors hold: read where they are, and written over only where nobody else has them."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit.memory import Memory
from tinygrad_dnn.jit.native.state import Read, Written
from tinygrad_dnn.jit.native.table import Table, address
from tinygrad_dnn.jit.program import Value

VALUE = Value((3,), "float32")


def entered(table: Table) -> int:
    """Return the address in slot 1."""
    return int(table._addresses[1])


def state(kind: Any) -> tuple[td.Tensor, Table, Any]:
    """Return a Tensor, a table, and what enters the Tensor's array into the table's slot 1."""
    table = Table(Memory(slots=2))
    w = td.tensor(np.arange(3, dtype=np.float32))
    return w, table, kind(table, [(w, VALUE, 1)])


def test_what_is_read_is_where_the_tensor_holds_it() -> None:
    w, table, read = state(Read)
    for new in (None, np.ones(3, np.float32), np.zeros(3, np.float32)):
        if new is not None:
            w.data = new
        (array,) = read.arrays()
        assert array is w.data
        assert entered(table) == address(w.data)


def test_what_is_read_may_lie_anyhow() -> None:
    w, table, read = state(Read)
    w.data = np.arange(6, dtype=np.float32)[::2]
    read.arrays()
    copied = (ctypes.c_float * 3).from_address(entered(table))
    assert list(copied) == [0, 2, 4]
    w.data = np.ones(3, np.float32)
    read.arrays()
    assert entered(table) == address(w.data)


@pytest.mark.parametrize("kind", [Read, Written])
def test_nothing_is_kept_between_runs(kind: Any) -> None:
    w, _, entries = state(kind)
    w.data = np.ones(3, np.float32)
    before = sys.getrefcount(w.data)
    entries.arrays()
    after = sys.getrefcount(w.data)
    assert after == before


@pytest.mark.parametrize("kind", [Read, Written])
def test_another_shape_or_dtype_is_refused_each_time(kind: Any) -> None:
    w, table, entries = state(kind)
    entries.arrays()
    was = entered(table)
    for wrong in (np.ones(4, np.float32), np.ones(3)):
        w.data = wrong
        for _ in range(2):
            with pytest.raises(ValueError, match=rf"float32\[3\].*{wrong.dtype.name}\[{wrong.size}\]"):
                entries.arrays()
        assert w.data is wrong
        assert entered(table) == was


def test_an_array_that_the_tensor_alone_holds_is_written_over() -> None:
    w, table, written = state(Written)
    w.data = np.ones(3, np.float32)
    place = address(w.data)
    for _ in range(3):
        (array,) = written.arrays()
        assert array is w.data
        del array
        assert entered(table) == address(w.data) == place


def held_by_tensor(w: td.Tensor) -> Any:
    """Hold a Tensor's array by another Tensor."""
    return w.detach()


def held_by_view(w: td.Tensor) -> Any:
    """Hold a view of it."""
    return w.data[1:]


def held_by_buffer(w: td.Tensor) -> Any:
    """Hold its memory."""
    return memoryview(w.data)


@pytest.mark.parametrize("hold", [held_by_tensor, held_by_view, held_by_buffer])
@pytest.mark.parametrize("run_before", [False, True])
def test_an_array_that_somebody_holds_is_not(hold: Any, run_before: bool) -> None:
    w, table, written = state(Written)
    w.data = np.ones(3, np.float32)
    if run_before:
        written.arrays()
    holder = hold(w)
    place = address(w.data)
    written.arrays()
    assert entered(table) == address(w.data) != place
    assert w.tolist() == [1, 1, 1]
    del holder


def test_neither_is_memory_that_is_not_the_array_s_own() -> None:
    w, _, written = state(Written)
    owner = np.zeros(6, np.float32)
    for shown in (owner[:3], owner[::2]):
        w.data = shown
        del shown
        written.arrays()
        w.data[:] = 1
        assert owner.tolist() == [0] * 6
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    w.data = fixed
    del fixed
    written.arrays()
    assert w.data.flags.writeable


def test_two_programs_take_turns_without_copies() -> None:
    w, table, written = state(Written)
    other, reads = Table(Memory(slots=2)), Table(Memory(slots=2))
    second, read = Written(other, [(w, VALUE, 1)]), Read(reads, [(w, VALUE, 1)])
    written.arrays()
    place = address(w.data)
    for _ in range(3):
        for x in (second, read, written):
            x.arrays()
    assert {entered(x) for x in (table, other, reads)} == {address(w.data)} == {place}


def test_what_is_done_counts_as_assigned() -> None:
    w, _, written = state(Written)
    x = td.tensor([1.0, 1.0, 1.0], requires_grad=True)
    before = (x * w).sum()
    written.arrays()
    written.done()
    after = (x * w).sum()
    with pytest.raises(RuntimeError):
        before.backward()
    after.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2]
