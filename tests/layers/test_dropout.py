"""Dropout and AlphaDropout: what they draw, when they draw nothing, and that the draws can be repeated anywhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

N = 40_000
FLOOR = -1.7580993408473766
BOTH = pytest.mark.parametrize("cls", ["Dropout", "AlphaDropout"])


def make(cls: str, *args: Any, **options: Any) -> td.layers.Dropout:
    return getattr(td.layers, cls)(*args, **options)


def mask(layer: td.layers.Layer, n: int = 64) -> np.ndarray:
    """Return which of n units the layer keeps in its next call."""
    return layer(np.full((1, n), 7.0, np.float32), training=True).numpy()[0] > 5


# -- what is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(backend: str, rate: float) -> None:
    found = td.layers.Dropout(rate)(np.ones((200, N // 200)), training=True).numpy()
    np.testing.assert_allclose(np.unique(found), [0, 1 / (1 - rate)], rtol=1e-6)
    # The part that is dropped has a standard error of sqrt(rate (1 - rate) / N), below 0.25 %.
    assert abs((found == 0).mean() - rate) < 4 * math.sqrt(rate * (1 - rate) / N)
    assert abs(found.mean() - 1) < 4 * math.sqrt(rate / (1 - rate) / N)
    # Neighbours along both axes are independent: correlations of N pairs have a standard error of 1 / sqrt(N).
    for axis in (0, 1):
        first, second = np.delete(found, -1, axis).ravel(), np.delete(found, 0, axis).ravel()
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(N)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_0_and_variance_1(backend: str, rate: float) -> None:
    x = td.random.generator().normal(size=(200, N // 200))
    found = td.layers.AlphaDropout(rate)(x, training=True).numpy().astype(np.float64)
    # The mean of N values of variance 1 has a standard error of 1 / sqrt(N), their variance one of sqrt((k - 1) / N)
    # with k the fourth moment.
    assert abs(found.mean()) < 4 / math.sqrt(N)
    assert abs(found.var() - 1) < 4 * math.sqrt(((found**4).mean() - 1) / N)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_is_the_formula_s(backend: str, rate: float) -> None:
    x = td.random.generator().normal(size=(8, 100))
    found = td.layers.AlphaDropout(rate, seed=1)(x, training=True).numpy()
    kept = td.layers.Dropout(rate, seed=1)(np.ones((8, 100)), training=True).numpy() > 0
    a = ((1 - rate) * (1 + rate * FLOOR**2)) ** -0.5
    expected = a * np.where(kept, x, FLOOR) - a * FLOOR * rate
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # SELU's floor, -lambda alpha.
    assert pytest.approx(-1.0507009873554805 * 1.6732632423543772, rel=1e-15) == FLOOR


@BOTH
def test_gradient_flows_through_the_kept_units_alone(backend: str, cls: str) -> None:
    rate, x = 0.5, td.tensor(np.full((1, 64), 7.0, np.float32), requires_grad=True)
    outputs = make(cls, rate)(x, training=True)
    (slope,) = td.grad(outputs.sum(), [x])
    scale = 1 / (1 - rate) if cls == "Dropout" else ((1 - rate) * (1 + rate * FLOOR**2)) ** -0.5
    np.testing.assert_allclose(slope.numpy(), np.where(outputs.numpy() > 5, scale, 0), rtol=1e-6)
    assert 0 < (slope.numpy() == 0).sum() < 64


@BOTH
@pytest.mark.parametrize(
    ("noise_shape", "shape"), [((None, 1, None), (6, 1, 5)), ((1, None, 1), (1, 4, 1)), ([6, 1, 1], (6, 1, 1))]
)
def test_noise_shape_is_the_mask_s(backend: str, cls: str, noise_shape: Any, shape: tuple[int, ...]) -> None:
    found = make(cls, 0.5, noise_shape=noise_shape)(np.full((6, 4, 5), 7.0), training=True).numpy() > 5
    corner = found[tuple(slice(n) for n in shape)]
    np.testing.assert_array_equal(found, np.broadcast_to(corner, found.shape))
    assert 0 < corner.sum() < corner.size


@BOTH
@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_noise_shape_keeps_the_rate(backend: str, cls: str, rate: float) -> None:
    found = make(cls, rate, noise_shape=(None, 1, None))(np.full((100, 2, 100), 70.0), training=True).numpy()[:, 0]
    kept = found > 10
    # 10,000 masks are drawn, so that the part kept has a standard error below 0.5 %.
    assert abs(kept.mean() - (1 - rate)) < 4 * math.sqrt(rate * (1 - rate) / kept.size)
    if cls == "Dropout":
        assert abs(found.mean() / 70 - 1) < 4 * math.sqrt(rate / (1 - rate) / kept.size)


def test_noise_shape_with_another_number_of_axes(backend: str) -> None:
    layer = td.layers.Dropout(0.5, noise_shape=(None, 1), name="d")
    with pytest.raises(
        ValueError, match=r"^Dropout 'd': noise_shape \(None, 1\) must have as many axes as the inputs, of"
    ):
        layer(np.ones((2, 3, 4)), training=True)
    np.testing.assert_array_equal(layer(np.ones((2, 3, 4))).numpy(), np.ones((2, 3, 4)))


# -- when nothing is drawn -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.5, None), (0.0, True), (0, False)])
def test_inference_and_rate_0_change_and_draw_nothing(backend: str, cls: str, rate: float, training: Any) -> None:
    layer, x = make(cls, rate), td.random.normal((4, 5))
    before = layer.seed_generator.state.tolist()
    np.testing.assert_array_equal(layer(x, training=training).numpy(), x.numpy())
    assert layer.seed_generator.state.tolist() == before
    assert layer.weights == []
    assert layer.compute_output_shape((None, 5)) == (None, 5)


# -- repeating what was drawn --------------------------------------------------------------------------------------


def test_every_call_draws_anew_and_a_seed_says_what(backend: str) -> None:
    first, second, other, unseeded = (td.layers.Dropout(0.5, seed=seed) for seed in (1, 1, 2, None))
    drawn = [mask(first) for _ in range(3)]
    assert len({m.tobytes() for m in [*drawn, mask(other), mask(unseeded)]}) == 5
    np.testing.assert_array_equal([mask(second) for _ in range(3)], drawn)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_are_equal_on_every_backend(cls: str, dtype: str) -> None:
    drawn = []
    for name in ("numpy", "strict"):
        with td.backend.use(name):
            td.utils.set_random_seed(5)
            layers = [make(cls, 0.3, dtype=dtype), make(cls, 0.3, seed=9, dtype=dtype, noise_shape=(None, None))]
            drawn.append([layer(np.ones((30, 7), dtype), training=True).numpy() for layer in layers * 2])
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_drawing_resumes_from_the_state(backend: str) -> None:
    layer = td.layers.Dropout(0.5)
    mask(layer)
    saved = layer.seed_generator.state.numpy()
    following = [mask(layer) for _ in range(3)]
    again = td.layers.Dropout(0.5)
    again.seed_generator.state.assign(saved)
    np.testing.assert_array_equal([mask(again) for _ in range(3)], following)
    assert saved.shape == (3,)
    assert saved.dtype == np.int64


def test_set_random_seed_repeats_the_masks(backend: str) -> None:
    def drawn() -> list[np.ndarray]:
        td.utils.set_random_seed(11)
        layers = [td.layers.Dropout(0.5), td.layers.Dropout(0.5)]
        return [mask(layer) for layer in layers for _ in range(2)]

    first = drawn()
    np.testing.assert_array_equal(first, drawn())
    assert len({m.tobytes() for m in first}) == 4


# -- streams go by place -------------------------------------------------------------------------------------------


def masks_in(model: td.Model) -> list[np.ndarray]:
    found = [layer for layer, _ in model._flatten() if isinstance(layer, td.layers.Dropout)]
    return [mask(layer) for layer in found]


def test_in_a_model_the_place_decides_and_not_the_order_of_creation(backend: str) -> None:
    def drawn(reverse: bool, others: int) -> list[np.ndarray]:
        td.utils.set_random_seed(3)
        for _ in range(others):
            td.layers.Dropout(0.5)
            td.initializers.get("he_normal")((2, 2))
        layers = [td.layers.Dropout(0.5, name=name) for name in ("ab" if not reverse else "ba")]
        layers = sorted(layers, key=lambda layer: layer.name)
        return masks_in(td.Sequential([td.layers.InputLayer((64,)), *layers]))

    expected = drawn(False, 0)
    assert not np.array_equal(*expected)
    for reverse, others in ((True, 0), (False, 5), (True, 3)):
        np.testing.assert_array_equal(drawn(reverse, others), expected)


def test_no_two_places_share_a_stream(backend: str) -> None:
    class Branches(td.Model):
        """Two models that are built only when they are called, and a layer in a dict."""

        def __init__(self):
            super().__init__()
            self.left, self.right = (td.Sequential([td.layers.Dropout(0.5)]) for _ in range(2))
            self.more = {"other": [td.layers.Dropout(0.5)]}

        def call(self, inputs):
            return self.left(inputs) + self.right(inputs) + self.more["other"][0](inputs)

    def drawn() -> list[np.ndarray]:
        td.utils.set_random_seed(3)
        model = Branches()
        model(np.ones((1, 64)))
        assert model.left.built
        return masks_in(model)

    first = drawn()
    assert len({m.tobytes() for m in first}) == 3
    np.testing.assert_array_equal(drawn(), first)


def test_a_seed_of_its_own_goes_with_the_layer(backend: str) -> None:
    alone = mask(td.layers.Dropout(0.5, seed=4))
    model = td.Sequential([td.layers.InputLayer((64,)), td.layers.Dropout(0.5), td.layers.Dropout(0.5, seed=4)])
    np.testing.assert_array_equal(masks_in(model)[1], alone)


# -- Monte Carlo ---------------------------------------------------------------------------------------------------


class Forced(td.layers.Dropout):
    """Dropout that always acts as in training."""

    def call(self, inputs, training=False):
        return super().call(inputs, training=True)


class ByDefault(td.layers.AlphaDropout):
    """AlphaDropout that acts as in training unless something says otherwise."""

    def call(self, inputs, training=True):
        return super().call(inputs, training=training)


@pytest.mark.parametrize(("cls", "at_inference"), [(Forced, True), (ByDefault, False)])
def test_a_subclass_decides_when_it_drops(backend: str, cls: type, at_inference: bool) -> None:
    model = td.Sequential([td.layers.BatchNormalization(), cls(0.5)])
    x = td.random.normal((16, 8))
    model(x, training=True)
    statistics = model.get_weights()
    samples = [model(x).numpy() for _ in range(3)]
    assert len({s.tobytes() for s in samples}) == 3
    told = [model(x, training=False).numpy() for _ in range(3)]
    assert len({s.tobytes() for s in told}) == (3 if at_inference else 1)
    for ours, theirs in zip(statistics, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert cls(0.25).get_config()["rate"] == 0.25


# -- arguments -----------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5, float("nan"), "0.5", None, True])
def test_rate_out_of_range(cls: str, rate: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{cls} 'd': rate must be a number in \[0, 1\), not "):
        make(cls, rate, name="d")


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "x"])
def test_seed_out_of_range(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^Dropout 'd': seed must be None or an integer from 0 to 2\*\*63 - 1, not "):
        td.layers.Dropout(0.5, seed=seed, name="d")


@pytest.mark.parametrize("noise_shape", [3, (2.5,), (-1, 1)])
def test_noise_shape_that_is_none(noise_shape: Any) -> None:
    with pytest.raises(ValueError, match=r"^Dropout 'd': noise_shape is a tuple of lengths"):
        td.layers.Dropout(0.5, noise_shape=noise_shape, name="d")
