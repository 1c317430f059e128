"""Two threads: halves of the same work, the same results whoever does them, and a helper that nothing waits for."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import TOLERANCE, assert_close, native, state_after
from tests.jit.random_programs import RandomFunction
from tests.jit.training_steps import MODELS, Step, exercise
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.native import run as run_module
from tinygrad_dnn.jit.native import schedule
from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.parallel import LATE
from tinygrad_dnn.jit.native.records import Record
from tinygrad_dnn.jit.native.stages import Stages
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify


@pytest.fixture
def everything_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let even the least record be done by two."""
    for name in ("_WORTH", "_CUT", "_MESSAGE", "_LEAST"):
        monkeypatch.setattr(schedule, name, 0.0)


def stages_of(run: Any) -> list[Stages]:
    """Return the pieces that two threads run."""
    return [x for x in run._segments if isinstance(x, Stages)]


class NeverHelped:
    """A pace at which the helper stays away."""

    helped = False

    def took(self, seconds: float, disturbed: bool, paused: bool) -> None:
        """Learn nothing."""


def told(
    runs: list[Callable[[], Any]], before: Callable[[Stages], object] = lambda stages: None
) -> list[tuple[bool, bool]]:
    """Return whether a pace is told that runs of machine code were disturbed, and that they came after a pause."""
    notes: list[tuple[bool, bool]] = []

    class Noting(NeverHelped):
        def took(self, seconds: float, disturbed: bool, paused: bool) -> None:
            notes.append((disturbed, paused))

    waiting = iter(runs)
    stages = Stages(([], []), 0, lambda *arguments: next(waiting)(), compiler().help)
    stages._pace = Noting()  # type: ignore[assignment]
    for _ in runs:
        before(stages)
        stages()
    return notes


def test_a_run_that_waited_for_the_helper_or_lost_its_core_was_disturbed() -> None:
    assert [disturbed for disturbed, _ in told([lambda: LATE, lambda: LATE + 3])] == [True, True]
    assert told([lambda: time.sleep(0.003) or 0])[0][0]
    # The machine may take the core away here too, but hardly each time.
    assert not all(disturbed for disturbed, _ in told([lambda: 3] * 50))


def test_the_first_run_comes_after_a_pause_and_so_does_one_that_nothing_came_before() -> None:
    assert told([lambda: 0])[0][1]
    assert not all(paused for _, paused in told([lambda: 0] * 50))
    assert all(paused for _, paused in told([lambda: 0] * 3, lambda stages: time.sleep(0.005)))


@pytest.mark.usefixtures("everything_is_shared")
@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    function = RandomFunction(seed, 5 + seed % 40, "float32")
    program = simplify(function.program())
    run = native.lower(program, threads=2)
    expected, expected_state = state_after(lambda: Interpreted(program)(function.arrays), function.state)
    for _ in range(20):
        found, found_state = state_after(lambda: run(function.arrays), function.state)
        for x, y in zip(found + found_state, expected + expected_state, strict=True):
            assert_close(x, y, TOLERANCE["float32"])


@pytest.mark.usefixtures("everything_is_shared")
@pytest.mark.parametrize("name", MODELS)
def test_training_repeats_bit_for_bit(name: str) -> None:
    step = Step(MODELS[name], td.optimizers.Nadam, "float32", batch=64)
    run = native.lower(step.program, threads=2)
    assert stages_of(run)
    runs = [step.after(run, 10) for _ in range(5)]
    for stages in stages_of(run):
        stages._pace = NeverHelped()
    alone = step.after(run, 10)
    for other in (*runs[1:], alone):
        for x, y in zip(other[0] + other[1], runs[0][0] + runs[0][1], strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.usefixtures("everything_is_shared")
def test_training_in_float64() -> None:
    step = Step(exercise, td.optimizers.Nadam, "float64", batch=64)
    run = native.lower(step.program, threads=2)
    expected, found = step.after(Interpreted(step.program), 200), step.after(run, 200)
    for x, y in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
        assert_close(x, y, 1e-9)


@pytest.fixture
def everybody_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let some pieces of both threads begin late, other ones in each run."""
    draw = np.random.default_rng(0)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    late = kind(lambda *_: time.sleep(float(draw.choice([0.0, 0.0, 0.0, 0.0005]))))
    record = Record(ctypes.cast(late, ctypes.c_void_p).value or 0, (), 0, 1)

    def delayed(records: Sequence[Record]) -> Any:
        made = schedule.schedule(records)
        for piece in made[0] + made[1]:
            piece.records.insert(0, record)
        return made

    delayed.late = late  # type: ignore[attr-defined]
    monkeypatch.setattr(run_module, "schedule", delayed)


class AlwaysHelped(NeverHelped):
    """A pace at which the helper is asked each time."""

    helped = True


@pytest.mark.usefixtures("everything_is_shared", "everybody_is_late")
@pytest.mark.parametrize("seed", range(30))
def test_results_are_those_of_one_thread_however_late_anybody_is(seed: int) -> None:
    function = RandomFunction(seed, 5 + seed % 40, "float32")
    program = simplify(function.program())
    expected, expected_state = state_after(
        lambda: native.lower(program, threads=1)(function.arrays), function.state
    )
    run = native.lower(program, threads=2)
    for stages in stages_of(run):
        stages._pace = AlwaysHelped()
    for _ in range(5):
        found, found_state = state_after(lambda: run(function.arrays), function.state)
        for x, y in zip(found + found_state, expected + expected_state, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.usefixtures("everything_is_shared", "everybody_is_late")
@pytest.mark.parametrize("name", MODELS)
def test_training_is_that_without_help_however_late_anybody_is(name: str) -> None:
    step = Step(MODELS[name], td.optimizers.Nadam, "float32", batch=64)
    run = native.lower(step.program, threads=2)
    assert stages_of(run)
    for stages in stages_of(run):
        stages._pace = NeverHelped()
    expected = step.after(run, 5)
    for stages in stages_of(run):
        stages._pace = AlwaysHelped()
    for _ in range(3):
        found = step.after(run, 5)
        for x, y in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.usefixtures("everything_is_shared")
def test_runs_come_and_go() -> None:
    x = np.ones((64, 8), np.float32)
    for i in range(10):
        program = record(lambda given, i=i: td.sum(td.exp(given[0] * float(i)), 0), [td.tensor(x)]).program
        run = native.lower(program, threads=2)
        for _ in range(3):
            np.testing.assert_allclose(run([x])[0], np.full(8, 64 * np.exp(float(i))), rtol=1e-5)
        del run
        gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_a_helper_of_its_own() -> None:
    script = """
import os, sys
import numpy as np
import tinygrad_dnn as td
from tinygrad_dnn.jit import native
from tinygrad_dnn.jit.native import schedule
schedule._WORTH = schedule._CUT = schedule._MESSAGE = schedule._LEAST = 0.0
x = np.ones((64, 8), np.float32)
run = native.lower(td.jit.record(lambda given: td.exp(given[0]) * 2.0, [td.tensor(x)]).program, threads=2)
expected = run([x])[0]
child = os.fork()
if child == 0:
    os._exit(0 if all((run([x])[0] == expected).all() for _ in range(50)) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
