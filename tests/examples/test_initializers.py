"""The lesson on initializers."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def results(load: Callable[[str], ModuleType], tmp_path: Path) -> dict:
    small = ["--epochs", "1", "--seeds", "1", "--samples", "300"]
    return load("initializers").main([*small, "--out", str(tmp_path / "initializers.png")])


def test_what_starts_alike_stays_alike_and_nothing_else_does(results: dict) -> None:
    for by_name in results.values():
        assert by_name["zeros"].apart == 0
        assert 0 <= by_name["all 0.01"].apart < 1e-6
        for title in ("N(0, 0.01²)", "Glorot normal", "LeCun normal", "orthogonal", "He normal"):
            assert by_name[title].apart > 0.05


def test_the_size_of_the_weights_decides_what_a_layer_does_to_the_signal(results: dict) -> None:
    signals = {title: measured.signal[0] for title, measured in results["relu"].items()}
    by_layer = {title: (s[-1] / s[0]) ** (1 / 9) for title, s in signals.items() if s.all()}
    # ReLU keeps half of a centred signal's second moment; 100 weights of standard deviation s multiply by 100 s².
    expected = {
        "N(0, 0.01²)": np.sqrt(100 * 0.01**2 / 2), "N(0, 0.5²)": np.sqrt(100 * 0.5**2 / 2),
        "Glorot normal": np.sqrt(1 / 2), "LeCun normal": np.sqrt(1 / 2), "orthogonal": np.sqrt(1 / 2), "He normal": 1.0,
    }  # fmt: skip
    for title, factor in expected.items():
        assert by_layer[title] == pytest.approx(factor, rel=0.15)
    assert not signals["zeros"].any()
    tanh = {title: measured.signal[0] for title, measured in results["tanh"].items()}
    assert tanh["N(0, 0.01²)"][-1] < 1e-8
    assert tanh["N(0, 0.5²)"][-1] > 0.9
    for title in ("Glorot normal", "LeCun normal", "orthogonal", "He normal"):
        assert tanh[title].min() > 0.15


def test_too_large_weights_diverge_and_too_small_ones_learn_nothing(results: dict) -> None:
    assert np.isnan(results["relu"]["N(0, 0.5²)"].loss).all()
    for by_name in results.values():
        for title in ("zeros", "N(0, 0.01²)"):
            assert by_name[title].loss[0] == pytest.approx(np.log(10), abs=0.01)
    assert results["relu"]["He normal"].loss[0] < results["relu"]["LeCun normal"].loss[0] - 0.04
