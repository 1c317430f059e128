"""Two threads: halves of the same work, the same results whoever does them, and a helper that nothing waits for."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import TOLERANCE, assert_close, native, state_after
from tests.jit.native.test_training import MODELS, Step, exercise
from tests.jit.random_programs import RandomFunction
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.native import parallel
from tinygrad_dnn.jit.native.parallel import Pace, Record, Stages, shared
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify


@pytest.fixture
def everything_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let even the least stage be done by two."""
    monkeypatch.setattr(parallel, "_WORTH", 0.0)


def stages_of(run: Any) -> list[Stages]:
    """Return the pieces that two threads run."""
    return [x for x in run._segments if isinstance(x, Stages)]


def test_large_records_are_halved_and_small_ones_given_out() -> None:
    large = Record(1, (), 0, 100, cost=9000.0, splits=True)
    small = [Record(2, (), 0, 10, cost=1000.0), Record(3, (), 0, 10, cost=900.0)]
    first, second = shared([large, *small])
    assert [(x.address, x.low, x.high) for x in first] == [(1, 0, 64), (2, 0, 10)]
    assert [(x.address, x.low, x.high) for x in second] == [(1, 64, 100), (3, 0, 10)]


def test_what_is_not_worth_it_is_done_by_one() -> None:
    assert shared([Record(1, (), 0, 100, cost=10.0, splits=True)])[1] == []


def test_what_cannot_be_split_is_not() -> None:
    first, second = shared([Record(1, (), 0, 100, cost=1e6), Record(2, (), 0, 100, cost=10.0, splits=True)])
    assert [(x.address, x.low, x.high) for x in first + second] == [(1, 0, 100), (2, 0, 100)]


def paced(pace: Pace, with_help: float, alone: float, runs: int) -> int:
    """Return how many of some runs were helped."""
    helped = 0
    for _ in range(runs):
        helped += pace.helped
        pace.took(with_help if pace.helped else alone)
    return helped


def test_help_is_kept_where_it_pays() -> None:
    assert paced(Pace(), 1.0, 2.0, 10_000) > 9_500
    assert paced(Pace(), 2.0, 1.0, 10_000) < 100


def test_help_is_tried_again_and_ends_at_once_when_it_is_late() -> None:
    pace = Pace()
    assert paced(pace, 2.0, 1.0, 30_000) < 200
    assert paced(pace, 1.0, 2.0, 30_000) > 15_000
    pace = Pace()
    paced(pace, 1.0, 2.0, 100)
    assert pace.helped
    pace.took(5.0, late=True)
    assert not pace.helped


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
        stages._pace = Pace()
        stages._pace.helped = False  # the helper stays away
        stages._pace._left = 1000
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


@pytest.mark.usefixtures("everything_is_shared")
def test_runs_come_and_go() -> None:
    x = np.ones((64, 8), np.float32)
    for i in range(30):
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
from tinygrad_dnn.jit.native import parallel
parallel._WORTH = 0.0
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
