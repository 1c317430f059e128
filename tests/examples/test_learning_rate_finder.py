"""The lesson on the learning-rate finder."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np


def test_a_sweep_finds_a_rate_that_trains_well_and_leaves_no_trace(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    options = ["--seeds", "1", "--samples", "600", "--epochs", "2", "--out", str(tmp_path / "finder.png")]
    measured = load("learning_rate_finder").main(options)
    for found in measured.values():
        curve, losses = found["curve"], found["losses"][0]
        assert found["undone"]
        nearest = np.abs(np.log(found["rates"] / curve.suggestion)).argmin()
        assert losses[nearest] < losses.min() + 0.35
        assert losses[[0, -1]].min() > losses.min() + 0.35
        assert curve.suggestion < curve.learning_rates[curve.smoothed.argmin()]
    assert measured["SGD"]["curve"].suggestion > 5 * measured["Adam"]["curve"].suggestion
    assert measured["SGD"]["curve"].diverged
