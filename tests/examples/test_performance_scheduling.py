"""The lesson on performance scheduling."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Measured = dict[str, dict[str, np.ndarray]]


@pytest.fixture
def measured(load: Callable[[str], ModuleType], tmp_path: Path) -> Measured:
    options = ["--seeds", "2", "--samples", "500", "--epochs", "12", "--out", str(tmp_path / "plateau.png")]
    return load("performance_scheduling").main(options)


def test_the_rate_is_halved_after_two_epochs_without_a_better_loss(measured: Measured) -> None:
    values = measured["ReduceLROnPlateau from 0.2"]
    falls = 0
    for losses, rates in zip(values["val_loss"], values["learning_rate"], strict=True):
        expected, best, wait = [0.2], np.inf, 0
        for loss in losses[:-1]:
            if loss < best - 1e-4:
                best, wait = loss, 0
            else:
                wait += 1
            lower = wait == 2
            wait = 0 if lower else wait
            expected.append(expected[-1] / 2 if lower else expected[-1])
            falls += lower
        np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert falls >= 2


def test_a_constant_rate_stays(measured: Measured) -> None:
    assert (measured["constant 0.2"]["learning_rate"] == 0.2).all()


def test_before_the_first_fall_nothing_differs_from_the_constant_rate(measured: Measured) -> None:
    constant, lowered = measured["constant 0.2"], measured["ReduceLROnPlateau from 0.2"]
    same = lowered["learning_rate"] == lowered["learning_rate"][:, :1]
    np.testing.assert_array_equal(lowered["val_loss"][same], constant["val_loss"][same])
    assert (lowered["val_loss"][~same] != constant["val_loss"][~same]).all()


def test_the_lowered_rate_ends_better_than_the_constant_one(measured: Measured) -> None:
    assert measured["ReduceLROnPlateau from 0.2"]["test_loss"].mean() < measured["constant 0.2"]["test_loss"].mean()
