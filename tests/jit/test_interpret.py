"""Interpreting: a program gives what the function gives, on any backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import Interpreted, record, simplify
from tinygrad_dnn.jit.program import Program


def program_of(function: Any, *arguments: td.Tensor) -> Program:
    return simplify(record(lambda x: function(*x), arguments).program)


def test_it_gives_what_the_function_gives(backend: str) -> None:
    def f(x: td.Tensor, y: td.Tensor) -> Any:
        return td.exp(x) @ y, x.sum(0), td.where(x > 0, x, 0.0), x.T.reshape((2, 3)), x[1:], td.max(x)

    x, y = td.tensor(np.linspace(-1, 1, 6).reshape(2, 3)), td.tensor(np.ones((3, 2)))
    found = Interpreted(program_of(f, x, y))([x.data, y.data])
    for array, tensor in zip(found, f(x, y), strict=True):
        assert td.Tensor._wrap(array).numpy().tobytes() == tensor.numpy().tobytes()


def test_state_is_read_at_each_run_and_written_at_the_end(backend: str) -> None:
    a, b = td.Variable(1.0), td.Variable(2.0)

    def swap(x: td.Tensor) -> td.Tensor:
        before = a.detach()
        a.assign(b + x)
        b.assign(before)
        return before

    x = td.tensor(10.0)
    run = Interpreted(program_of(swap, x))
    for expected in ((1.0, 12.0, 1.0), (12.0, 11.0, 12.0)):
        (out,) = run([x.data])
        assert (td.Tensor._wrap(out).item(), a.item(), b.item()) == expected
    a.assign(100.0)
    run([x.data])
    assert (a.item(), b.item()) == (22.0, 100.0)


def test_an_assignment_between_forward_and_backward_is_still_found() -> None:
    w = td.Variable([1.0, 2.0], trainable=True)
    run = Interpreted(program_of(lambda: w.assign(w * 2)))
    loss = (w * w).sum()
    run([])
    with pytest.raises(RuntimeError, match="assigned to since"):
        loss.backward()


def test_a_run_that_fails_changes_nothing(backend: str) -> None:
    w = td.Variable([1.0, 2.0])

    def f(places: td.Tensor) -> td.Tensor:
        w.assign(w * 2)
        return td.take(w, places)

    run = Interpreted(program_of(f, td.tensor([0])))
    if backend == "numpy":
        with pytest.raises(IndexError):
            run([np.array([7])])
        assert w.tolist() == [1.0, 2.0]
    run([td.tensor([1]).data])
    assert w.tolist() == [2.0, 4.0]


def test_temporary_values_are_given_back() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        for _ in range(50):
            x = x + 1.0
        return x

    x = td.zeros(2**16)
    run = Interpreted(program_of(f, x))
    import tracemalloc

    tracemalloc.start()
    run([x.data])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.data.nbytes
