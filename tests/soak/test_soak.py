"""The soak suite itself: it knows every layer, draws the same case again, and tells a failure by how to repeat it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.soak import __main__ as soak
from tests.soak import cases, networks


def test_every_layer_and_schedule_may_be_drawn() -> None:
    known = {*networks.LAYERS, *networks.MERGING, *networks.WITHOUT_ARGUMENTS}
    assert known == set(td.registry.layers.names())
    assert set(networks.SCHEDULES) == set(td.registry.schedulers.names())


def test_many_layers_and_losses_are_drawn() -> None:
    seen: set[str] = set()
    losses: set[str] = set()
    for seed in range(400):
        network = networks.Network(np.random.default_rng(seed))
        model = network.build()
        seen |= {type(layer).__name__.lower() for layer, _ in model._flatten()}
        losses |= {str(loss) for loss in td.nested.leaves(model._objectives._given["loss"])}
    assert set(td.registry.layers.names()) - seen == set()
    assert len(losses) > 12


def test_a_network_is_the_same_each_time_it_is_built() -> None:
    for seed in range(20):
        first, second = (networks.Network(np.random.default_rng(seed)) for _ in range(2))
        models = [first.build(), first.build(), second.build()]
        for model in models[1:]:
            assert [type(layer) for layer in model.layers] == [type(layer) for layer in models[0].layers]
            for a, b in zip(model.get_weights(), models[0].get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", cases.KINDS)
def test_some_of_each_kind(kind: str, tmp_path: Path) -> None:
    passed = 0
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            cases.run(kind, 1, number, folder)
            passed += 1
        except cases.PassedOver:
            continue
    assert passed or kind in ("native", "exported"), "all were passed over"


def wrong(draw: Any, folder: Path) -> None:
    if draw.integers(2):
        raise ZeroDivisionError("found")


def test_a_failure_is_told_by_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cases.KINDS, "saved", wrong)
    ended = [soak.one("saved", 7, number) for number in range(8)]
    assert set(ended) == {"passed", "failed"}
    assert [soak.one("saved", 7, number) for number in range(8)] == ended
    told = re.findall(r'failed: make soak ARGS="--seed 7 --only saved --case (\d+)"', capsys.readouterr().out)
    assert [int(number) for number in told[: len(told) // 2]] == [n for n, how in enumerate(ended) if how == "failed"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments], cwd=soak.ROOT, env={**os.environ, **environment}, text=True,
        capture_output=True,
    )  # fmt: skip


def test_it_says_its_seed_and_what_it_tried() -> None:
    done = run("--seed", "3", "--only", "optimizers", "--case", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 3\n")
    assert re.search(r"optimizers +1 +0 +0\n1 cases in \d+ s, 0 failed\n$", done.stdout)


def test_a_process_that_dies_is_a_failure_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[int] = []

    def let_work(arguments: Any, first: int, seconds: float) -> tuple[int, list[list[str]]]:
        begun.append(first)
        if len(begun) == 1:
            return -9, [["saved", "0", "passed"], ["saved", "1"]]
        return 0, [["saved", "2", "passed over"]]

    monkeypatch.setattr(soak, "_let_work", let_work)
    assert soak.main(["--seed", "3", "--only", "saved"]) == 1
    assert begun == [0, 2]
    out = capsys.readouterr().out
    assert 'failed, the process died: make soak ARGS="--seed 3 --only saved --case 1"' in out
    assert re.search(r"saved +1 +1 +1\n3 cases in 0 s, 1 failed\n$", out)


def test_one_case_needs_its_kind() -> None:
    assert "--case needs one --only KIND" in run("--case", "3").stderr
