"""Taking turns: threads that wait for each other get an error that says so, and others wait as at any lock."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import turns

WAITS = r"td\.jit: .*calls_itself is called by a thread while another one, which records it, has been waiting for"


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.06)
    monkeypatch.setattr(turns, "_LOOK", 0.02)


def by_join(function: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own and wait for it."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(function())
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def by_future(function: Callable[[], Any]) -> Any:
    """Call a function in the thread of a pool that was there before, and wait for it."""
    return POOL.submit(function).result()


def by_queue(function: Callable[[], Any]) -> Any:
    """Let another thread put what a function returns into a queue, and wait for it there."""
    answers: queue.Queue[Any] = queue.Queue()
    POOL.submit(lambda: answers.put(POOL_2.submit(function).exception()))
    if (error := answers.get()) is not None:
        raise error


POOL, POOL_2 = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
POOL.submit(int).result()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("way", [by_join, by_future, by_queue])
def test_a_function_that_waits_for_a_thread_that_calls_it_is_an_error(way: Callable[..., Any]) -> None:
    @td.jit
    def calls_itself(x: td.Tensor, inside: bool = False) -> td.Tensor:
        return x * 2 if inside else way(lambda: calls_itself(x.detach(), True)) + x

    with pytest.raises(RuntimeError, match=WAITS):
        calls_itself(td.ones(2))
    np.testing.assert_array_equal(calls_itself(td.ones(2), True).numpy(), [2.0, 2.0])  # and it is of use still


def test_the_same_thread_is_told_at_once() -> None:
    turn = turns.Turn("step")
    with turn:
        with pytest.raises(RuntimeError, match=r"^td\.jit: step is called while it is being recorded or run, by the"):
            turn.__enter__()
    with turn:
        pass


@pytest.mark.usefixtures("_impatient")
def test_who_computes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, begun, took = turns.Turn("step"), threading.Event(), []

    def compute() -> None:
        with turn:
            begun.set()
            for _ in range(12):
                threading.Event().wait(0.02)  # each time another wait, none of them long
            took.append(1)

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait()
    with turn:
        assert took == [1]
    thread.join()


def test_threads_share_a_program() -> None:
    w = td.Variable(0.0)

    @td.jit
    def step(x: td.Tensor) -> td.Tensor:
        return w.assign(w + x) * 1.0

    with ThreadPoolExecutor(4) as pool:
        assert sorted(float(y) for y in pool.map(step, [td.tensor(1.0)] * 40)) == [float(n) for n in range(1, 41)]
