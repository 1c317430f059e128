"""The lesson on early stopping."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def measured(load: Callable[[str], ModuleType], tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    options = ["--seeds", "1", "--samples", "200", "--epochs", "30", "--patience", "3"]
    return load("early_stopping").main([*options, "--out", str(tmp_path / "stopping.png")])


def test_it_stops_after_the_patience_and_restores_the_best_epoch(measured: dict[str, list[dict[str, Any]]]) -> None:
    for name, restored in (("val_loss", False), ("val_loss, best weights restored", True)):
        for run in measured[name]:
            losses, best = run["val_loss"], run["best_epoch"]
            assert losses[best - 1] == min(losses)
            assert len(losses) == best + 3 < 30
            assert run["left_val_loss"] == pytest.approx(losses[best - 1 if restored else -1], rel=1e-5)


def test_the_training_loss_goes_on_falling_after_the_best_epoch(measured: dict[str, list[dict[str, Any]]]) -> None:
    for wrong, right, restored in zip(*measured.values(), strict=True):
        best, stop = right["best_epoch"], len(right["val_loss"])
        assert wrong["val_loss"][:stop] == right["val_loss"]
        assert len(wrong["loss"]) >= stop + 8
        assert wrong["loss"][-1] < wrong["loss"][best - 1] / 2
        assert wrong["val_loss"][-1] > wrong["val_loss"][best - 1]
        assert wrong["test"][0] > restored["test"][0]


def test_only_watching_the_training_loss_is_warned_of(measured: dict[str, list[dict[str, Any]]]) -> None:
    for name, runs in measured.items():
        assert [len(run["warnings"]) for run in runs] == ([1] if name == "loss" else [0])
