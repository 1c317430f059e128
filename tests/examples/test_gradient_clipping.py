"""The lesson on gradient clipping."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td


@pytest.fixture
def script(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("gradient_clipping")


def test_which_clippings_turn_what(script: ModuleType, tmp_path: Path) -> None:
    descents, clipped = script.main(["--steps", "100", "--out", str(tmp_path / "clipping.png")])
    raw = clipped["none"].norms
    assert (np.diff(np.log(raw[:-1])) < 0).all()
    assert raw[0] / raw[-2] > 1e6
    assert clipped["clipvalue"].turned > 30
    assert clipped["clipvalue"].weights_turned > 30
    assert clipped["clipnorm"].turned > 30
    assert clipped["clipnorm"].weights_turned < 0.01
    np.testing.assert_allclose(clipped["clipnorm"].norms, np.minimum(raw, 1), rtol=1e-4)
    for name in ("global_clipnorm", "normalize_gradients"):
        assert clipped[name].turned < 0.01
        np.testing.assert_allclose(clipped[name].norms, raw / np.linalg.norm(raw), rtol=1e-4)

    longest = {name: np.linalg.norm(np.diff(path, axis=0), axis=1).max() for name, (path, _) in descents.items()}
    assert longest["none"] > 5
    assert longest["clipvalue"] <= 0.03 * np.sqrt(2) * (1 + 1e-6)
    assert longest["clipnorm"] <= 0.03 * (1 + 1e-6)
    assert descents["none"].values[-1] > descents["none"].values[0]
    assert min(descents["clipnorm"].values) < 0.02


def test_the_arrows(script: ModuleType) -> None:
    for name, expected in {"none": (0.9, 100), "clipvalue": (0.9, 1), "clipnorm": (0.009, 0.9999595)}.items():
        (arrow,) = script.clip([td.tensor([0.9, 100.0])], script.CLIPPINGS[name])
        np.testing.assert_allclose(arrow, expected, rtol=1e-4)
    assert script.angle(np.array([0.9, 100]), np.array([0.9, 1.0])) == pytest.approx(41.472, abs=1e-3)


def test_the_cliff_is_that_of_a_recurrent_unit(script: ModuleType) -> None:
    state = 0.5
    for _ in range(50):
        state = 4.2 / (1 + np.exp(-state)) - 2.1
    expected = (1 / (1 + np.exp(-state)) - 0.7) ** 2
    assert script.recurrent(td.tensor([4.2, -2.1])).item() == pytest.approx(expected, rel=1e-4)
