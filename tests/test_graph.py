"""What is recorded: the grad mode in blocks, decorators and threads, and what a primitive knows of itself."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.tensor import apply

# -- recording ----------------------------------------------------------------------------------------------------


def test_only_what_leads_to_a_gradient_is_recorded(backend: str) -> None:
    w, x = td.tensor([1.0], requires_grad=True), td.tensor([1.0])
    assert (w * x).requires_grad
    assert not (w * x).is_leaf
    for out in (
        x * x,
        w > 0,
        td.argmax(w),
        td.sign(w),
        td.floor(w),
        w.detach(),
        w.to("numpy").detach(),
        td.cast(w, int),
    ):
        assert not out.requires_grad
        assert out.is_leaf


def test_no_grad_and_enable_grad_as_context_and_decorator(backend: str) -> None:
    w = td.tensor([1.0], requires_grad=True)

    @td.no_grad()
    def silent(x: td.Tensor) -> td.Tensor:
        """Double."""
        return x * 2

    @td.enable_grad()
    def recorded(x: td.Tensor) -> td.Tensor:
        return x * 2

    assert not silent(w).requires_grad
    assert (silent.__name__, silent.__doc__) == ("silent", "Double.")
    assert td.is_grad_enabled()
    with td.no_grad():
        assert not td.is_grad_enabled()
        assert not (w * 2).requires_grad
        assert recorded(w).requires_grad
        with td.enable_grad():
            assert (w * 2).requires_grad
            with td.no_grad():
                assert not (w * 2).requires_grad
            assert td.is_grad_enabled()
        assert not td.is_grad_enabled()
    assert td.is_grad_enabled()


def test_grad_mode_comes_back_after_an_error_and_when_entered_twice(backend: str) -> None:
    @td.no_grad()
    def fails() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert td.is_grad_enabled()
    mode = td.no_grad()
    with mode:
        with mode:
            assert not td.is_grad_enabled()
        assert not td.is_grad_enabled()
    assert td.is_grad_enabled()


def switch_grad_mode(threads: int, times: int) -> None:
    """Let threads switch their modes at random at the same time; each must see its own alone."""
    wrong: list[str] = []
    start = threading.Barrier(threads)
    w = td.tensor(1.0, requires_grad=True)

    def work(number: int) -> None:
        random = np.random.default_rng(number)
        start.wait()
        for enabled in random.random(times) < 0.5:
            with td.enable_grad() if enabled else td.no_grad():
                if (w * 2.0).requires_grad != enabled or td.is_grad_enabled() != enabled:
                    wrong.append(f"thread {number} recorded though {enabled=}")
            if not td.is_grad_enabled():
                wrong.append(f"thread {number} was left without recording")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    with td.no_grad():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not td.is_grad_enabled()
    assert not wrong


def test_grad_mode_is_the_threads() -> None:
    switch_grad_mode(threads=8, times=500)


@pytest.mark.heavy
def test_grad_mode_is_the_threads_in_10000_switches() -> None:
    switch_grad_mode(threads=8, times=10_000)


# -- primitives ---------------------------------------------------------------------------------------------------


def test_primitive_reads_its_inputs_from_forward() -> None:
    one = Primitive("one", lambda xp, x, y, *, axis: x, x=lambda g, y_shape, axis: g)
    assert (one.input_names, one.variadic, one.broadcasts) == (("x", "y"), "", False)
    assert one.vjps["x"][1] == ("g", "y_shape", "axis")
    many = Primitive("many", lambda xp, first, *rest, axis: first, rest=lambda g, i: g)
    assert (many.input_names, many.variadic) == (("first",), "rest")
    assert repr(many) == "Primitive('many')"


def test_a_primitive_that_fails_names_itself_its_inputs_and_attributes(backend: str) -> None:
    def forward(xp: Any, x: Any, y: Any, *, axis: int) -> Any:
        raise {0: ValueError, 1: TypeError, 2: IndexError}[axis]("the reason")

    failing = Primitive("failing", forward)
    for axis, kind in enumerate([ValueError, TypeError, IndexError]):
        message = rf"^failing\(float32\[2, 1\] on {backend}, 0.5, axis={axis}\) is not possible: the reason\.$"
        with pytest.raises(kind, match=message) as caught:
            apply(failing, (td.zeros((2, 1)), 0.5), {"axis": axis})
        assert type(caught.value.__cause__) is kind
