"""The lesson on residual connections."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np


def test_shortcuts_need_small_weights_and_then_help(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    options = ["--layers", "40", "--samples", "600", "--epochs", "4", "--seeds", "1"]
    measured = load("residual_connections").main([*options, "--out", str(tmp_path / "residual.png")])
    plain, exploding, residual = measured.values()
    for values in measured.values():
        assert values["signal"].shape == values["gradient"].shape == (1, 40)
    # Each layer at least doubles the variance, which in the other networks stays about what it is.
    growth = exploding["signal"][0, -1] / exploding["signal"][0, 0]
    assert growth > 2 ** (39 / 2)
    for values in (plain, residual):
        assert 0.01 < values["signal"][0, -1] / values["signal"][0, 0] < 20
    assert exploding["gradient"][0].min() > 100 * residual["gradient"][0].max()
    assert residual["loss"][0, -1] < 0.8 * plain["loss"][0, -1]
    assert residual["accuracy"][0] > plain["accuracy"][0] + 10


def test_the_network_and_the_one_that_looks_inside_share_their_layers(load: Callable[[str], ModuleType]) -> None:
    model, inside = load("residual_connections").build("shortcuts, He", 3)
    x = np.ones((2, 28, 28), "float32")
    first, _, last = inside(x)
    dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
    np.testing.assert_allclose(dense[-1](last).numpy(), model(x).numpy(), rtol=1e-5)
    before = dense[0](x.reshape(2, -1))
    np.testing.assert_allclose(first.numpy(), (before + dense[1](before)).numpy(), rtol=1e-5)
