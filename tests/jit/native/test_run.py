"""What a native run reads and writes: what Tensors hold now, and nobody else's arrays."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import native
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify


def lowered(function: Any, *arrays: np.ndarray) -> Any:
    """Return the native run of a function."""
    return native.lower(simplify(record(function, [td.tensor(x) for x in arrays]).program))


def counter() -> tuple[td.Tensor, Any]:
    """Return a state and a program that adds its input to it."""
    w = td.Variable(np.zeros(3), dtype="float32")
    return w, lowered(lambda given: w.assign(w + given[0]) * 2.0, np.ones(3, np.float32))


ONES = np.ones(3, np.float32)


def test_state_is_kept_from_run_to_run() -> None:
    w, run = counter()
    assert [run([ONES])[0][0] for _ in range(3)] == [2, 4, 6]
    assert w.tolist() == [3, 3, 3]


def test_state_is_written_in_place_if_nobody_else_has_it() -> None:
    w, run = counter()
    run([ONES])
    place = w.data.ctypes.data
    run([ONES])
    assert w.data.ctypes.data == place


def test_an_array_that_somebody_holds_does_not_change() -> None:
    w, run = counter()
    run([ONES])
    held = w.detach()
    view = w.data[1:]
    run([ONES])
    assert held.tolist() == [1, 1, 1]
    assert view.tolist() == [1, 1]
    assert w.tolist() == [2, 2, 2]
    run([ONES])
    assert (held.tolist(), w.tolist()) == ([1, 1, 1], [3, 3, 3])


def test_the_first_run_leaves_what_was_assigned_alone() -> None:
    w, run = counter()
    mine = np.full(3, 5, np.float32)
    w.data = mine
    run([ONES])
    assert mine.tolist() == [5, 5, 5]
    assert w.tolist() == [6, 6, 6]


def test_state_assigned_between_runs_is_honoured() -> None:
    w, run = counter()
    run([ONES])
    w.assign(np.array([10, 20, 30]))
    run([ONES])
    assert w.tolist() == [11, 21, 31]
    w.data = np.arange(6, dtype=np.float32)[::2]  # elements apart
    run([ONES])
    assert w.tolist() == [1, 3, 5]


def test_what_is_only_read_is_looked_up_in_each_run() -> None:
    scale = td.Variable(2.0)
    plain = td.tensor([1.0, 2.0])
    run = lowered(lambda given: given[0] * scale + plain, np.ones(2, np.float32))
    assert run([np.ones(2, np.float32)])[0].tolist() == [3, 4]
    scale.assign(10.0)
    plain.assign([0.5, 0.5])
    assert run([np.ones(2, np.float32)])[0].tolist() == [10.5, 10.5]


def test_inputs_may_lie_anyhow_and_outputs_are_new() -> None:
    run = lowered(lambda given: [given[0] + 0.0, given[0][:], td.transpose(given[0])], np.ones((2, 3), np.float32))
    wide = np.arange(12, dtype=np.float32).reshape(2, 6)
    first = run([wide[:, ::2]])
    second = run([np.zeros((2, 3), np.float32)])
    assert first[0].tolist() == first[1].tolist() == [[0, 2, 4], [6, 8, 10]]
    assert first[2].tolist() == [[0, 6], [2, 8], [4, 10]]
    for array in (*first, *second):
        array += 1  # each is its own
    assert wide[0, 0] == 0


def test_an_input_that_is_the_state_itself() -> None:
    w, run = counter()
    run([ONES])
    assert run([w.data])[0].tolist() == [4, 4, 4]
    assert w.tolist() == [2, 2, 2]


def test_two_tensors_of_one_array_part() -> None:
    a, b = td.Variable([1.0, 2.0]), td.Variable([0.0, 0.0])
    b.data = a.data

    def both(given: list[td.Tensor]) -> Any:
        a.assign(a + given[0])
        return b.assign(b * 3.0) + 0.0

    run = lowered(both, np.ones(2, np.float32))
    run([np.ones(2, np.float32)])
    assert (a.tolist(), b.tolist()) == ([2, 3], [3, 6])


def test_tensors_exchange_what_they_hold() -> None:
    a, b = td.Variable([1.0]), td.Variable([2.0])

    def swap(given: list[td.Tensor]) -> Any:
        old = a.detach()
        a.assign(b)
        b.assign(old)
        return given[0] * 1.0

    run = lowered(swap, np.ones(1, np.float32))
    for expected in ((2, 1), (1, 2), (2, 1)):
        run([np.ones(1, np.float32)])
        assert (a.item(), b.item()) == expected


def test_two_tensors_assigned_one_value_have_arrays_of_their_own() -> None:
    a, b = td.Variable([1.0]), td.Variable([2.0])

    def same(given: list[td.Tensor]) -> Any:
        return b.assign(a.assign(a + given[0]))

    run = lowered(same, np.ones(1, np.float32))
    run([np.ones(1, np.float32)])
    run([np.ones(1, np.float32)])
    assert (a.item(), b.item()) == (3, 3)


def test_a_backward_pass_knows_that_a_value_was_replaced() -> None:
    w = td.Variable([2.0], trainable=True)
    run = lowered(lambda given: w.assign(w.detach() * given[0]).detach() * 1.0, np.ones(1, np.float32))
    loss = (w * w).sum()
    run([np.ones(1, np.float32)])
    with pytest.raises(RuntimeError):
        loss.backward()


def test_inputs_of_another_shape_or_dtype_are_refused() -> None:
    _, run = counter()
    with pytest.raises(ValueError, match=r"float32\[3\].*float32\[4\]"):
        run([np.ones(4, np.float32)])
    with pytest.raises(ValueError, match=r"float32\[3\].*float64\[3\]"):
        run([np.ones(3)])


def test_counters_are_exact() -> None:
    step = td.Variable(np.array(2**53), dtype="int64")
    run = lowered(lambda given: step.assign(step + 1) * 1, np.ones(1, np.float32))
    run([np.ones(1, np.float32)])
    assert step.item() == 2**53 + 1


def test_long_sums_are_exact_enough() -> None:
    x = np.full(3_000_000, 0.1, np.float32)
    (total,) = lowered(lambda given: td.sum(given[0]), x)([x])
    assert abs(total - x.astype(np.float64).sum()) < 2e-7 * 3e5


def test_a_call_that_raises_leaves_all_as_it_was() -> None:
    count = td.Variable(np.array(0), dtype="int64")
    w = td.Variable(np.zeros(3))
    places = np.array([0, 2])

    def function(given: list[td.Tensor]) -> Any:
        count.assign(count + 1)
        w.assign(w + 1.0)
        return td.sum(td.take(w * 1.0, given[0] + count - 1))

    run = lowered(function, places)
    assert run([places])[0] == 2
    with pytest.raises(IndexError):
        run([np.array([0, 9])])
    assert (count.item(), w.tolist()) == (1, [1, 1, 1])
    assert run([places - 1])[0] == 4


def test_what_is_copied_at_the_end_leaves_arrays_of_others_alone_too() -> None:
    w = td.Variable(np.zeros(3))
    places = np.array([0, 2])

    def function(given: list[td.Tensor]) -> Any:
        w.assign(w + 1.0)  # not written in place: the call that follows may fail
        return td.take(w * 1.0, given[0])

    run = lowered(function, places)
    run([places])
    place = w.data.ctypes.data
    run([places])
    assert w.data.ctypes.data == place
    held = w.detach()
    run([places])
    assert (held.tolist(), w.tolist()) == ([2, 2, 2], [3, 3, 3])


def test_state_of_another_shape_is_refused() -> None:
    w, run = counter()
    w.data = np.zeros(2, np.float32)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"float32\[3\].*float32\[2\]"):
            run([ONES])


def test_long_arrays_go_in_and_out_as_short_ones_do() -> None:
    def function(given: list[td.Tensor]) -> Any:
        return [given[0] * 2.0, td.sum(given[0])]

    for count in (10, 100_000):
        x = np.ones(count, np.float32)
        run = lowered(function, x)
        first, second = run([x]), run([x * 2])
        assert [first[0][-1], first[1], second[0][-1], second[1]] == [2, count, 4, 2 * count]
        first[0][0] = 5
        assert (x[0], second[0][0]) == (1, 4)


def test_memory_does_not_grow() -> None:
    _, run = counter()
    called = lowered(lambda given: td.take(given[0] + 1.0, np.array([0, 2])) * 2.0, ONES)
    assert called.calls == ["checked"]
    for _ in range(10):
        run([ONES])
        called([ONES])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            run([ONES])
            called([ONES])
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


def test_threads_take_turns() -> None:
    w, run = counter()
    threads = [threading.Thread(target=lambda: [run([ONES]) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert w.tolist() == [800, 800, 800]
