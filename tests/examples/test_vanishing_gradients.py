"""The lesson on vanishing gradients."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td

SMALL = ["--layers", "10", "--epochs", "1", "--seeds", "1", "--samples", "500"]


@pytest.fixture
def results(load: Callable[[str], ModuleType], tmp_path: Path) -> dict:
    return load("vanishing_gradients").main([*SMALL, "--out", str(tmp_path / "gradients.png")])


def test_the_gradient_vanishes_explodes_or_lives_on(results: dict) -> None:
    hidden = {title: found.gradients[0, 1:-1] for title, found in results.items()}
    by_layer = {title: (norms[0] / norms[-1]) ** (1 / (len(norms) - 1)) for title, norms in hidden.items()}
    assert by_layer["sigmoid, Glorot"] == pytest.approx(0.25, rel=0.15)
    assert by_layer["tanh, N(0, 1)"] > 1.8
    for title in ("sigmoid, Glorot, BN", "tanh, Glorot", "ReLU, He", "SELU, LeCun"):
        assert by_layer[title] == pytest.approx(1, rel=0.15)
        assert hidden[title].min() / hidden[title].max() > 1 / 5


def test_the_signal_is_lost_where_the_gradient_is(results: dict) -> None:
    last = {title: found.signals[0, -1] for title, found in results.items()}
    assert last["sigmoid, Glorot"] < 1e-5
    assert last["SELU, LeCun"] == pytest.approx(1, rel=0.3)
    assert last["ReLU, He"] > 0.1
    assert last["tanh, Glorot"] > 0.1
    assert last["sigmoid, Glorot, BN"] == pytest.approx(0.21, abs=0.02)  # the sigmoid's of a normal number


def test_the_gradients_are_those_of_the_loss(load: Callable[[str], ModuleType]) -> None:
    script = load("vanishing_gradients")
    td.utils.set_random_seed(3)
    model = script.build("tanh, Glorot", 2)
    x = np.random.default_rng(0).normal(size=(40, 28, 28)).astype("float32")
    y = np.arange(40) % 10
    norms, signals = script.look(model, x, y)
    first = np.tanh(x.reshape(40, -1) @ model.layers[1].kernel.numpy())
    second = np.tanh(first @ model.layers[3].kernel.numpy())
    errors = (model.predict(x, verbose=0) - np.eye(10)[y]) / 40
    back = (errors @ model.layers[5].kernel.numpy().T) * (1 - second**2)
    expected = [np.linalg.norm(first.T @ back), np.linalg.norm(second.T @ errors)]
    np.testing.assert_allclose(norms[1:], expected, rtol=1e-4)
    np.testing.assert_allclose(signals, [first.std(0).mean(), second.std(0).mean()], rtol=1e-4)
