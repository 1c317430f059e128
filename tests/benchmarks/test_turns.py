"""Taking turns: rounds and ratios, what becomes of a contestant that fails, and in which environment they run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


def measuring(turns: ModuleType, *names: str, rounds: int = 3) -> object:
    return turns.Turns(dict.fromkeys(names, sys.executable), threads=1, rounds=rounds)


def test_medians_and_ratios_are_of_rounds(turns: ModuleType) -> None:
    row = turns.Row("", "ms", {"ours": [1.0, 2.0, None, 8.0], "torch": [2.0, 1.0, 5.0, 16.0], "jax": [None]})
    assert row.median("ours") == 2.0
    assert row.median("torch") == 3.5
    assert row.median("jax") is None
    assert row.median("thinc") is None
    assert row.ratios("torch") == [0.5, 2.0, 0.5]
    assert row.ratios("jax") == row.ratios("thinc") == []


def test_contestants_run_round_after_round(turns: ModuleType, load: Load) -> None:
    taking = measuring(turns, "ours", "torch")
    (row,) = taking.measure(load("work").CASES["elu, batch 32"])
    assert row.values == {"ours": [2.0, 4.0, 6.0], "torch": [4.0, 8.0, 12.0]}
    assert row.ratios("torch") == [0.5, 0.5, 0.5]
    assert taking.about["ours"]["versions"] == {"numpy": "2"}
    # What is ours to mend is told; what a peer warns of is not.
    assert taking.notes == ["ours, fit, native, elu, batch 32: it runs operation by operation"]


def test_nobody_always_runs_after_the_same_one(turns: ModuleType, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = turns.Worker.ask
    monkeypatch.setattr(turns.Worker, "ask", lambda worker: asked.append(worker._process.args[2]) or ask(worker))
    measuring(turns, "ours", "torch", "ours_step", rounds=2).measure(load("work").CASES["elu, batch 32"])
    assert asked == ["ours", "torch", "ours_step", "torch", "ours_step", "ours"]


def test_who_fails_or_does_not_do_this_work_leaves_the_others_measured(turns: ModuleType, load: Load) -> None:
    taking = measuring(turns, "jax", "keras_jax", "thinc", "ours_step")
    (row,) = taking.measure(load("work").CASES["elu, batch 32"])
    assert row.values == {"jax": [8.0, None], "ours_step": [1.0, 2.0, 3.0]}
    assert taking.notes == [
        "Keras on JAX, fit, elu, batch 32: not measured (ImportError: no backend)",
        "jax.jit step, elu, batch 32: not measured (MemoryError: too much)",
    ]


def test_who_never_answers_is_given_up(turns: ModuleType, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    turns.WORKER.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(turns, "LIMIT", 0.1)
    taking = measuring(turns, "ours")
    (row,) = taking.measure(load("work").CASES["elu, batch 32"])
    assert row.values == {}
    assert taking.notes == ["ours, fit, native, elu, batch 32: not measured (no answer for 0 s)"]


def test_without_native_code_ours_is_not_measured_twice(turns: ModuleType, load: Load) -> None:
    for key in ("elu, batch 32", "start"):
        rows = measuring(turns, "ours", "ours_numpy", rounds=1).measure(load("work").CASES[key])
        assert [set(row.values) for row in rows] == [{"ours"}] * len(rows)


def test_starts_are_first_cold_and_then_warm(turns: ModuleType, load: Load) -> None:
    taking = measuring(turns, "ours", "keras_jax", rounds=2)
    first, again, memory = taking.measure(load("work").CASES["start"])
    assert (len(first.values["ours"]), len(again.values["ours"])) == (1, 2)
    assert memory.values == {"ours": [100.0] * 3}
    assert "keras_jax" not in first.values
    assert len(taking.notes) == 2


def test_imports_are_timed_once_a_library(turns: ModuleType, load: Load) -> None:
    taking = measuring(turns, "ours", "ours_step", "roofline", rounds=1)
    (row,) = taking.measure(load("work").CASES["import"])
    assert set(row.values) == {"ours", "roofline"}
    assert all(len(found) == 1 and found[0] > 0 for found in row.values.values())


def test_only_the_roofline_measures_the_machine_and_it_alone_does_not_start(turns: ModuleType, load: Load) -> None:
    taking = measuring(turns, "ours", "roofline", rounds=1)
    (row,) = taking.measure(load("work").SECTIONS["machine"][1][0])
    assert set(row.values) == {"roofline"}
    assert [set(row.values) for row in taking.measure(load("work").CASES["start"])] == [{"ours"}] * 3


def test_what_chooses_kernels_is_taken_out(turns: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("KEPT", "yes")
    variables = turns.environment(3, MORE="too")
    assert "OPENBLAS_CORETYPE" not in variables
    assert (variables["KEPT"], variables["MORE"]) == ("yes", "too")
    assert {variables[name] for name in turns.COUNTS_THREADS} == {"3"}


def test_a_library_that_no_interpreter_has_is_missing(turns: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = turns.CONTESTANTS["torch"]._replace(library="no_such_library")
    monkeypatch.setitem(turns.CONTESTANTS, "torch", absent)
    assert turns.installed([sys.executable], ["ours", "torch", "roofline"]) == {
        "ours": sys.executable,
        "roofline": sys.executable,
    }
