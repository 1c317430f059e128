"""The lesson on learning-rate schedules."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td

Load = Callable[[str], ModuleType]


def test_every_schedule_that_comes_with_the_package_is_drawn(load: Load) -> None:
    names = td.registry.schedulers.names()
    builtin = {name for name in names if td.registry.schedulers.origin(name).distribution == "tinygrad-dnn"}
    assert {type(schedule).__name__.lower() for _, schedule in load("learning_rate_schedules").DRAWN} == builtin


def test_a_piecewise_value_starts_one_step_after_its_boundary(load: Load) -> None:
    drawn = dict(load("learning_rate_schedules").DRAWN)
    rates = drawn["boundaries=[30, 60, 90]"](np.array([30, 31])).numpy()
    np.testing.assert_allclose(rates, [0.1, 0.05], rtol=1e-6)


def test_the_four_have_one_greatest_rate_and_three_end_low(load: Load) -> None:
    for name, rate in load("learning_rate_schedules").trained_with(400, 0.2).items():
        rates = rate(np.arange(400)).numpy() if callable(rate) else np.full(400, rate)
        assert rates.max() == pytest.approx(0.2, rel=1e-3)
        assert (rates[-1] < 0.003) == (name != "constant")


def test_the_loss_comes_to_rest_where_the_rate_ends_low(load: Load, tmp_path: Path) -> None:
    options = ["--seeds", "2", "--samples", "400", "--epochs", "8", "--out", str(tmp_path / "schedules.png")]
    measured = load("learning_rate_schedules").main(options)
    change = {name: np.abs(np.diff(values["val_loss"][:, -3:])).mean() for name, values in measured.items()}
    assert change.pop("constant") > 3 * max(change.values())
