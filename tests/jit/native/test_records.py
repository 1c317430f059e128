"""What parts of records read and write: nothing but the bytes that they say, found out by changing all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import native
from tests.jit.random_programs import RandomFunction
from tests.jit.training_steps import MODELS, Step
from tinygrad_dnn.jit.memory import ARENA
from tinygrad_dnn.jit.native import run as run_module
from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.records import Record, Region
from tinygrad_dnn.jit.simplifying import simplify


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """The records of what is lowered from now on."""
    found: list[Record] = []

    def noted(given: Any) -> Any:
        found.extend(given)
        return schedule(given)

    schedule = run_module.schedule
    monkeypatch.setattr(run_module, "schedule", noted)
    return found


def check(run: Any, record: Record, low: int, high: int, draw: np.random.Generator) -> int:
    """Run a part twice, between which all bytes change that it does not read; return how many it has written."""
    arena = run._table._arena
    read, written = np.zeros(arena.size, bool), np.zeros(arena.size, bool)
    for region in record.regions:
        if region.slot == ARENA:
            begin, end = region.bytes(low, high)
            assert 0 <= begin < end <= arena.size
            (written if region.writes else read)[begin:end] = True
    known = read | written
    results = []
    before = draw.normal(size=arena.size // 4 + 1).astype(np.float32).view(np.uint8)[: arena.size]
    for _ in range(2):
        arena[:] = np.where(known, before, draw.integers(0, 255, arena.size, np.uint8))
        old = arena.copy()
        row, _ = run._list([Record(record.address, record.arguments, low, high)])
        compiler().run_list(run._table.address, row, 1)
        np.testing.assert_array_equal(arena[~written], old[~written])
        results.append(arena[written].copy())
    if not any(x.writes and x.slot != ARENA for x in record.regions):  # else the second time it reads what it wrote
        np.testing.assert_array_equal(results[0], results[1])
    return int(np.count_nonzero(results[1] != before[written]))


def check_all(run: Any, records: list[Record]) -> int:
    """Check each record whole and in two parts; return how many bytes were written."""
    assert len(run._segments) == 1
    draw = np.random.default_rng(0)
    changed = 0
    with np.errstate(all="ignore"):
        for record in records:
            middle = (record.low + record.high) // 2
            ranges = [(record.low, record.high)]
            if record.splits and record.low < middle:
                ranges += [(record.low, middle), (middle, record.high)]
            for low, high in ranges:
                changed += check(run, record, low, high, draw)
    return changed


@pytest.mark.parametrize("name", ["elu", "normalized"])
def test_of_training(name: str, records: list[Record]) -> None:
    step = Step(MODELS[name], td.optimizers.Nadam, "float32", batch=64)
    run = native.lower(step.program, threads=2)
    run(step.batch)
    assert check_all(run, records) > 10_000


def test_of_random_programs(records: list[Record]) -> None:
    changed = checked = 0
    for seed in range(40):
        records.clear()
        function = RandomFunction(seed, 40, "float32")
        run = native.lower(simplify(function.program()), threads=2)
        names = {x.name for group in run.groups for x in group.operations}
        if run.calls or names & {"gather", "scatter_add"}:
            continue  # reads where bytes tell, which must not be just any
        run(function.arrays)
        changed += check_all(run, records)
        checked += 1
    assert checked > 15
    assert changed > 1000


def test_bytes_of_parts() -> None:
    forwards, backwards = Region(1, 100, 110, 20), Region(1, 100, 110, -20)
    assert forwards.bytes(0, 1) == backwards.bytes(0, 1) == (100, 110)
    assert forwards.bytes(2, 5) == (140, 190)
    assert backwards.bytes(2, 5) == (20, 70)
    assert not forwards.hangs_together
    assert Region(1, 0, 20, -20).hangs_together
