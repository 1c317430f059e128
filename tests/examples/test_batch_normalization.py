"""The lesson on batch normalisation."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BEFORE, AFTER = "before the activation", "after the activation"


def test_normalisation_bears_larger_learning_rates_and_fuses_exactly(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    small = ["--epochs", "1", "--samples", "640", "--times", "1", "--out", str(tmp_path / "normalised.png")]
    runs, differences = load("batch_normalization").main(small)
    losses = {place: [run.losses[-1] for run in each] for place, each in runs.items()}
    plain = losses["without"]
    assert np.isnan(plain[-1])
    for place in (BEFORE, AFTER):
        assert np.isfinite(losses[place]).all()
        assert plain[0] < losses[place][0]
        assert min(losses[place]) < np.nanmin(plain)
    assert set(differences) == {BEFORE, AFTER}
    assert 0 < max(differences.values()) < 1e-5


@pytest.mark.parametrize(
    ("place", "hidden"),
    [
        ("without", ["Dense", "Activation"]),
        (BEFORE, ["Dense", "BatchNormalization", "Activation"]),
        (AFTER, ["Dense", "Activation", "BatchNormalization"]),
    ],
)
def test_the_normalisations_stand_where_the_lesson_says(
    load: Callable[[str], ModuleType], place: str, hidden: list[str]
) -> None:
    x, y = np.zeros((4, 28, 28), "float32"), np.arange(4)
    run = load("batch_normalization").train(place, 0.1, x, y, Namespace(seed=0, epochs=2))
    assert [type(layer).__name__ for layer in run.model.layers] == ["Flatten", *hidden * 6, "Dense"]
    assert len(run.losses) == len(run.seconds) == 2
    assert 0 < run.seconds[0] < run.seconds[1]
