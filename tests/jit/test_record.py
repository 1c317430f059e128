"""Recording: every application is noted once, by the values that Tensors hold, and leaves no trace."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import CannotRecordError, record


def text(function: Any, *arguments: td.Tensor) -> list[str]:
    return str(record(function, arguments).program).splitlines()


def test_a_function_is_a_list_of_what_it_applies(backend: str) -> None:
    assert text(lambda x: td.exp(x[0] + x[1]) * 2, td.ones(3), td.ones((2, 3))) == [
        "inputs   a: float32[3], b: float32[2, 3]",
        "c: float32[2, 3] = add(a, b)",
        "d: float32[2, 3] = exp(c)",
        "e: float32[2, 3] = multiply(d, 2)",
        "returns  e",
    ]


def test_gradients_are_recorded_as_they_are_computed() -> None:
    found = record(lambda x: td.grad(lambda x: td.sum(x * x))(x[0]), [td.ones(2)]).program
    names = [step.primitive.name for step in found.instructions]
    assert names[:2] == ["multiply", "sum"]
    assert names.count("multiply") == 3
    assert names[-1] == "add"


def test_state_is_what_a_tensor_held_at_the_start_whatever_it_holds_later() -> None:
    w = td.Variable(1.0, name="w")

    def f(x: Any) -> td.Tensor:
        before = w.detach()
        w.assign(w + x[0])
        middle = w * 10
        w.assign(w + x[0])
        return before + middle + w

    recording = record(f, [td.tensor(1.0)])
    assert str(recording.program).splitlines() == [
        "inputs   a: float32[]",
        "holds    %w: float32[]",
        "b: float32[] = add(%w, a)",
        "c: float32[] = multiply(b, 10)",
        "d: float32[] = add(b, a)",
        "e: float32[] = add(%w, c)",
        "f: float32[] = add(e, d)",
        "assigns  %w = d",
        "returns  f",
    ]
    assert w.item() == 1.0
    assert w._assigned == 0


def test_two_tensors_of_one_array_are_two_values() -> None:
    first = td.Variable(1.0, name="first")
    second = td.Tensor._wrap(first.data)
    program = record(lambda x: first + second, []).program
    assert [value.tensor for value in program.held] == [first, second]


def test_one_argument_given_twice_is_two_inputs_and_none_is_state() -> None:
    w = td.Variable(1.0)
    program = record(lambda x: x[0] + x[1] * w, [w, w]).program
    assert len(program.inputs) == 2
    assert [value.tensor for value in program.held] == [w]


def test_constants_are_held_by_tensors_made_while_recording() -> None:
    program = record(lambda x: x[0] + td.tensor([1.0, 2.0]), [td.ones(2)]).program
    (constant,) = program.held
    assert constant.tensor is not None
    assert constant.tensor.tolist() == [1.0, 2.0]


def test_values_that_are_shared_are_the_same_value() -> None:
    recording = record(lambda x: (y := x[0] * 2, y.detach(), y.detach() + 1), [td.ones(2)])
    assert recording.program.outputs[0] is recording.program.outputs[1]


def test_assigned_arguments_come_back_as_outputs() -> None:
    def f(x: Any) -> td.Tensor:
        x[0].assign(x[0] + x[1])
        return x[0]

    recording = record(f, [td.tensor(1.0), td.tensor(2.0)])
    assert recording.assigned == ((0, 0),)
    assert recording.result == td.jit.Given(0)
    assert not recording.program.updates


def test_what_looks_at_values_is_refused_and_leaves_no_trace() -> None:
    w = td.Variable(1.0)
    w.grad = td.tensor(3.0)

    def f(x: Any) -> float:
        w.assign(w + 1)
        w.grad = None
        return w.item()  # type: ignore[no-any-return]

    for _ in range(2):
        with pytest.raises(CannotRecordError, match=r"looked at \(.*test_record\.py, line \d+: return w\.item"):
            record(f, [])
        assert w.item() == 1.0
        assert w.grad is not None
        assert w.grad.item() == 3.0


def test_an_exception_leaves_no_trace() -> None:
    w = td.Variable(1.0)
    streams = td.ops.random.get_state()

    def f(x: Any) -> None:
        w.assign(w + 1)
        td.random.uniform((2,))
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        record(f, [])
    assert w.item() == 1.0
    assert td.ops.random.get_state() == streams
    assert td.graph.state.recorder is None


def test_a_settled_run_may_be_undone_and_done_again() -> None:
    w = td.Variable(1.0)
    run = td.jit.Settled(lambda: w.assign(w + 2.0))
    assert w.item() == 3.0
    run.undo()
    assert w.item() == 1.0
    run.redo()
    assert w.item() == 3.0
    run.undo([])
    assert w.item() == 3.0


# -- memory -----------------------------------------------------------------------------------------------------------


def test_large_values_go_when_nothing_needs_them_any_more() -> None:
    def chain(x: list[td.Tensor]) -> td.Tensor:
        y = x[0]
        for _ in range(50):
            y = td.sqrt(y + 1.0)
        return y

    with td.backend.use("numpy"), td.no_grad():
        given = td.ones(100_000)
        tracemalloc.start()
        try:
            program = record(chain, [given]).program
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 5 * 400_000
    # Each reads what the one before it has made, though their Tensors and arrays took turns in the same memory.
    before = program.inputs
    for step in program.instructions:
        assert step.sources == before
        before = [step.output]
    assert len(program.instructions) == 100
    assert program.outputs == before


def record_in_threads(times: int) -> None:
    """Let eight threads record functions of their own again and again; each must find what it applies itself alone."""
    operations = (td.exp, td.tanh, td.abs, td.sin, td.cos, td.sign, td.floor, td.erf)
    wrong: list[list[str]] = []
    start = threading.Barrier(len(operations))

    def work(operation: Any) -> None:
        x = td.ones(2)
        start.wait()
        for _ in range(times):
            program = record(lambda given: operation(given[0]), [x]).program
            names = [step.primitive.name for step in program.instructions]
            operation(x)  # which nobody records
            if names != [operation.__name__]:
                wrong.append(names)

    threads = [threading.Thread(target=work, args=(operation,)) for operation in operations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_are_recorded_apart() -> None:
    record_in_threads(200)


@pytest.mark.heavy
def test_threads_are_recorded_apart_10000_times() -> None:
    record_in_threads(10_000)
