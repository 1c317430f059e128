"""The lesson on activations."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td

Load = Callable[[str], ModuleType]


@pytest.fixture
def cube() -> Iterator[None]:
    td.registry.activations.register(lambda x: x * x * x, name="cube")
    yield
    td.plugins.reset()


@pytest.fixture
def images(load: Load) -> tuple:
    loaded = load("lesson").images(400)
    return (loaded.x_train - loaded.x_train.mean()) / loaded.x_train.std(), loaded.y_train


def test_every_registered_activation_is_drawn_with_its_derivative(load: Load, tmp_path: Path, cube: None) -> None:
    script = load("activations")
    small = ["--epochs", "1", "--samples", "100", "--layers", "2"]
    curves = script.main([*small, "--out", str(tmp_path / "activations.png")]).curves
    x = script.X.astype(float)
    assert list(curves) == td.registry.activations.names()
    np.testing.assert_allclose(curves["cube"], (x**3, 3 * x**2), rtol=1e-5, atol=1e-6)
    for name, (values, slope) in curves.items():
        errors = np.abs(np.gradient(values.astype(float), x) - slope)
        assert np.median(errors) < 1e-3, name  # at the few kinks and jumps differences tell nothing
    softmax = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(curves["softmax"], (softmax, softmax * (1 - softmax)), rtol=1e-5, atol=1e-6)


def test_dead_relus_learn_nothing_and_leaky_ones_do(load: Load, images: tuple) -> None:
    td.utils.set_random_seed(0)
    losses = {name: load("activations").recover(name, *images, epochs=3) for name in ("relu", "leaky_relu", "elu")}
    assert losses["relu"] == pytest.approx([np.log(10)] * 3, abs=0.01)
    assert losses["leaky_relu"][-1] < 2.2
    assert min(losses["elu"]) > 2.29


@pytest.mark.parametrize("start", [0.5, 1.0, 2.0])
def test_selu_normalises_itself(load: Load, images: tuple, start: float) -> None:
    script = load("activations")
    x = start * images[0]
    for seed in range(3):
        td.utils.set_random_seed(seed)
        selu, elu, relu = (script.pass_through(name, x, 50) for name in ("selu", "elu", "relu"))
        assert selu[0] == pytest.approx((0, start), abs=1e-4)
        assert selu[-1] == pytest.approx((0, 1), abs=0.15)
        assert elu[-1, 1] < 0.1
        assert relu[-1, 1] < 1e-6
