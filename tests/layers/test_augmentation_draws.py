"""What image augmentation draws, with the sampling error stated; when it acts; seeds, states and epochs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.layers.augmentation import EACH, GOLDEN, IMAGES, make

# -- what is drawn -------------------------------------------------------------------------------------------------

N = 4000


def assert_uniform(drawn: np.ndarray, low: float, high: float, margin: float = 1e-4) -> None:
    """Check N numbers by their range, mean and variance, their counts in 20 bins, and those of neighbours."""
    u = (drawn.astype(np.float64) - low) / (high - low)
    assert u.shape == (N,)
    assert -margin <= u.min() < 0.01
    assert 0.99 < u.max() <= 1 + margin
    # The variances of u and of (u - 1/2)^2 are 1/12 and 1/180.
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / N)
    assert abs(((u - 0.5) ** 2).mean() - 1 / 12) < 4 * math.sqrt(1 / 180 / N)
    counts = np.histogram(u, 20, (-margin, 1 + margin))[0]
    # Chi-squared of 19 degrees of freedom: mean 19, variance 38.
    assert ((counts - N / 20) ** 2 / (N / 20)).sum() < 19 + 4 * math.sqrt(38)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / math.sqrt(N)


def ramps(height: int, width: int) -> np.ndarray:
    """N images whose first channel is the row and whose second is the column of each pixel."""
    grid = np.stack(np.mgrid[:height, :width], axis=-1).astype(np.float32)
    return np.broadcast_to(grid, (N, height, width, 2))


def test_flips_half_of_the_time(backend: str) -> None:
    images = ramps(1, 2)
    flipped = td.layers.RandomFlip("horizontal")(images).numpy()[:, 0, 0, 1]
    assert set(flipped) == {0.0, 1.0}
    assert abs(flipped.mean() - 0.5) < 4 * math.sqrt(0.25 / N)
    assert abs(np.corrcoef(flipped[:-1], flipped[1:])[0, 1]) < 4 / math.sqrt(N)


def test_angles_are_uniform(backend: str) -> None:
    found = td.layers.RandomRotation((-0.2, 0.45))(ramps(9, 9)).numpy()
    # One step to the right in what comes out is (-sin, cos) of the angle, in rows downwards and columns, in what went
    # in; all near the middle, where no edge is seen.
    down, right = (found[:, 4, 5] - found[:, 4, 4]).T
    np.testing.assert_allclose(np.hypot(down, right), 1, atol=1e-5)
    turns = np.arctan2(down, right) / (2 * np.pi)
    assert_uniform(turns, -0.2, 0.45)


def test_shifts_are_uniform_and_independent(backend: str) -> None:
    found = td.layers.RandomTranslation((-0.1, 0.3), 0.2)(ramps(11, 21)).numpy()
    down, right = ((np.array([5, 10]) - found[:, 5, 10]) / [11, 21]).T
    assert_uniform(down, -0.1, 0.3)
    assert_uniform(right, -0.2, 0.2)
    assert abs(np.corrcoef(down, right)[0, 1]) < 4 / math.sqrt(N)


@pytest.mark.parametrize("width_factor", [None, (-0.6, -0.1)])
def test_zooms_are_uniform_and_keep_proportions_unless_told(backend: str, width_factor: Any) -> None:
    found = td.layers.RandomZoom((-0.5, 0.4), width_factor)(ramps(9, 9)).numpy()
    tall, wide = (found[:, 5, 5] - found[:, 4, 4]).T
    assert_uniform(tall, 0.5, 1.4)
    if width_factor is None:
        np.testing.assert_allclose(wide, tall, atol=1e-5)
    else:
        assert_uniform(wide, 0.4, 0.9)
        assert abs(np.corrcoef(tall, wide)[0, 1]) < 4 / math.sqrt(N)


def test_brightness_and_contrast_are_uniform(backend: str) -> None:
    images = np.broadcast_to(np.array([100.0, 110.0], np.float32).reshape(1, 1, 2, 1), (N, 1, 2, 1))
    brighter = td.layers.RandomBrightness((-0.1, 0.4), value_range=(-1000, 1000))(images).numpy()
    assert_uniform(brighter[:, 0, 0, 0] - 100, -200, 800)
    dark, light = td.layers.RandomContrast((0.5, 0.25))(images).numpy()[:, 0, :, 0].T
    np.testing.assert_allclose((dark + light) / 2, 105, rtol=1e-6)
    assert_uniform((light - dark) / 10, 0.5, 1.25)


# -- when it acts, and what is drawn again -------------------------------------------------------------------------


@EACH
def test_inference_changes_and_draws_nothing(backend: str, cls: str) -> None:
    layer, x = make(cls), td.tensor(IMAGES)
    before = layer.seed_generator.state.tolist()
    found = layer(x, training=False)
    assert (found is x) == (cls != "RandomCrop")
    assert layer.seed_generator.state.tolist() == before
    assert layer.weights == []
    layer(x, training=True)
    assert layer.seed_generator.state.tolist() != before


@EACH
def test_called_alone_a_layer_acts_and_inside_a_model_as_the_model(backend: str, cls: str) -> None:
    layer, x = make(cls), np.tile(IMAGES, (8, 1, 1, 1))
    model = td.Sequential([layer, td.layers.Flatten()])
    unchanged = np.asarray(layer(x, training=False)).reshape(24, -1)

    def acts(outputs: Any) -> bool:
        return not np.array_equal(np.asarray(outputs).reshape(24, -1), unchanged)

    assert acts(layer(x))
    assert acts(model(x, training=True))
    assert not acts(model(x, training=False))
    assert not acts(model.predict(x, verbose=0))


@EACH
def test_monte_carlo_dropout_does_not_switch_it_on(backend: str, cls: str) -> None:
    layer = make(cls)
    assert not layer.is_dropout
    model = td.Sequential([layer, td.layers.Flatten(), td.layers.Dropout(0.0), td.layers.Dense(2, "softmax")])
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(np.asarray(td.mc_dropout(model, IMAGES, 3).mean), expected, rtol=1e-6)


@EACH
def test_every_call_draws_anew_and_a_seed_says_what(backend: str, cls: str) -> None:
    x = np.broadcast_to(IMAGES[:1], (16, *IMAGES.shape[1:]))
    first, second, other, unseeded = (make(cls, seed=seed) for seed in (1, 1, 2, None))
    drawn = [first(x).numpy() for _ in range(3)]
    others = [layer(x).numpy() for layer in (other, unseeded)]
    assert len({d.tobytes() for d in [*drawn, *others]}) == 5
    np.testing.assert_array_equal([second(x).numpy() for _ in range(3)], drawn)


@EACH
def test_a_seed_draws_the_same_on_each_backend(cls: str) -> None:
    found = []
    for name in ("numpy", "strict"):
        with td.backend.use(name):
            found.append(make(cls, seed=3)(IMAGES).numpy())
    np.testing.assert_array_equal(*found)


@EACH
def test_the_stream_goes_on_from_its_state(backend: str, cls: str) -> None:
    layer, again = make(cls, seed=1), make(cls, seed=9)
    layer(IMAGES)
    again.seed_generator.state.assign(layer.seed_generator.state)
    np.testing.assert_array_equal(again(IMAGES).numpy(), layer(IMAGES).numpy())


class Seen(td.layers.Layer):
    """Remember what training showed it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[np.ndarray] = []
        self.validated: list[np.ndarray] = []

    def call(self, inputs: td.Tensor, training: bool = False) -> td.Tensor:
        (self.shown if training else self.validated).append(inputs.numpy())
        return inputs


def test_fit_shows_each_epoch_other_pictures_and_validation_the_given_ones(backend: str) -> None:
    def shown() -> Seen:
        td.utils.set_random_seed(1)
        seen = Seen()
        model = td.Sequential(
            [td.layers.InputLayer((6, 5, 2)), td.layers.RandomFlip(), td.layers.RandomRotation(0.1),
             td.layers.RandomContrast(0.5), seen, td.layers.Flatten(), td.layers.Dense(2, "softmax")]
        )  # fmt: skip
        model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
        bytes_, labels = GOLDEN.inputs["bytes"], np.array([0, 1, 0])
        model.fit(bytes_, labels, batch_size=2, epochs=3, verbose=0, shuffle=False, validation_data=(bytes_, labels))
        return seen

    first, again = shown(), shown()
    assert [len(x) for x in first.shown] == [2, 1] * 3
    epochs = [np.concatenate(first.shown[i : i + 2]) for i in (0, 2, 4)]
    for image in range(3):
        assert len({epoch[image].tobytes() for epoch in epochs}) == 3
    for before, after in zip(first.shown, again.shown, strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(np.concatenate(first.validated[-2:]), GOLDEN.inputs["bytes"])


@EACH
def test_a_model_gives_each_layer_a_stream_of_its_own(backend: str, cls: str) -> None:
    x = np.broadcast_to(IMAGES[:1], (16, *IMAGES.shape[1:]))

    def drawn() -> list[np.ndarray]:
        td.utils.set_random_seed(3)
        model = td.Sequential([td.layers.InputLayer(IMAGES.shape[1:]), make(cls), make(cls, name="second")])
        return [layer(x, training=True).numpy() for layer in model.layers]

    first = drawn()
    assert not np.array_equal(*first)
    np.testing.assert_array_equal(drawn(), first)
