"""Noise layers: the statistics of what they draw, when they draw nothing, seeds, arguments out of range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.layers.golden import assert_made_again

N = 40_000
GAUSSIAN = pytest.mark.parametrize("cls", ["GaussianNoise", "GaussianDropout"])
ALL = pytest.mark.parametrize(
    ("cls", "shape"),
    [("GaussianNoise", (8, 5)), ("GaussianDropout", (8, 5)), ("SpatialDropout1D", (8, 5, 4)),
     ("SpatialDropout2D", (8, 5, 3, 4))],
)  # fmt: skip


def make(cls: str, *args: Any, **options: Any) -> td.layers.Layer:
    layer = getattr(td.layers, cls)(*args, **options)
    assert isinstance(layer, td.layers.Layer)
    return layer


def assert_normal(drawn: np.ndarray) -> None:
    """Check the moments of N standard normal numbers, whose variances are 1, 2, 6 and 24, and those of neighbours."""
    assert drawn.size == N
    assert abs(drawn.mean()) < 4 / math.sqrt(N)
    assert abs((drawn**2).mean() - 1) < 4 * math.sqrt(2 / N)
    assert abs((drawn**3).mean()) < 4 * math.sqrt(15 / N)
    assert abs((drawn**4).mean() - 3) < 4 * math.sqrt(96 / N)
    for axis in (0, 1):
        first, second = np.delete(drawn, -1, axis).ravel(), np.delete(drawn, 0, axis).ravel()
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(N)


# -- what is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stddev", [0.1, 2.0])
def test_noise_is_normal(backend: str, stddev: float) -> None:
    x = np.linspace(-3, 3, N, dtype=np.float32).reshape(200, N // 200)
    found = td.layers.GaussianNoise(stddev)(x, training=True).numpy().astype(np.float64)
    assert_normal((found - x) / stddev)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_gaussian_dropout_has_the_mean_and_variance_of_dropout(backend: str, rate: float) -> None:
    x = np.full((200, N // 200), 3.0, np.float32)
    found = td.layers.GaussianDropout(rate)(x, training=True).numpy().astype(np.float64)
    assert_normal((found / 3 - 1) / math.sqrt(rate / (1 - rate)))


@pytest.mark.parametrize(
    ("layer", "shape", "channels"),
    [
        (("SpatialDropout1D", {}), (100, 7, 50), (0, 2)),
        (("SpatialDropout2D", {}), (100, 3, 4, 50), (0, 3)),
        (("SpatialDropout2D", {"data_format": "channels_last"}), (100, 3, 4, 50), (0, 3)),
        (("SpatialDropout2D", {"data_format": "channels_first"}), (100, 50, 3, 4), (0, 1)),
    ],
)
def test_whole_channels_are_dropped_at_the_rate(
    backend: str, layer: tuple[str, dict[str, Any]], shape: tuple[int, ...], channels: tuple[int, int]
) -> None:
    rate, (cls, options) = 0.3, layer
    found = make(cls, rate, **options)(np.ones(shape), training=True).numpy()
    space = tuple(i for i in range(len(shape)) if i not in channels)
    kept = found.max(axis=space)
    np.testing.assert_array_equal(found.min(axis=space), kept)
    np.testing.assert_allclose(np.unique(kept), [0, 1 / (1 - rate)], rtol=1e-6)
    # Each of the 5,000 channels is drawn by itself.
    assert abs((kept == 0).mean() - rate) < 4 * math.sqrt(rate * (1 - rate) / kept.size)
    for axis in (0, 1):
        first, second = np.delete(kept, -1, axis).ravel(), np.delete(kept, 0, axis).ravel()
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(kept.size)


@GAUSSIAN
def test_gradient_flows_through_the_noise(backend: str, cls: str) -> None:
    x = td.tensor(np.linspace(1, 2, 12).reshape(3, 4), requires_grad=True)
    outputs = make(cls, 0.5, dtype="float64")(x, training=True)
    (slope,) = td.grad(outputs.sum(), [x])
    expected = np.ones((3, 4)) if cls == "GaussianNoise" else outputs.detach().numpy() / x.detach().numpy()
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-12)


# -- when nothing is drawn, and what is drawn again ----------------------------------------------------------------


@ALL
@pytest.mark.parametrize(("amount", "training"), [(0.5, False), (0.5, None), (0.0, True), (0, True)])
def test_inference_and_amount_0_change_and_draw_nothing(
    backend: str, cls: str, shape: tuple[int, ...], amount: float, training: Any
) -> None:
    layer, x = make(cls, amount), td.random.normal(shape)
    before = layer.seed_generator.state.tolist()
    np.testing.assert_array_equal(layer(x, training=training).numpy(), x.numpy())
    assert layer.seed_generator.state.tolist() == before
    assert layer.weights == []
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *shape[1:])


@ALL
def test_every_call_draws_anew_and_a_seed_says_what(backend: str, cls: str, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    first, second, other, unseeded = (make(cls, 0.5, seed=seed) for seed in (1, 1, 2, None))
    drawn = [first(x, training=True).numpy() for _ in range(3)]
    others = [layer(x, training=True).numpy() for layer in (other, unseeded)]
    assert len({d.tobytes() for d in [*drawn, *others]}) == 5
    np.testing.assert_array_equal([second(x, training=True).numpy() for _ in range(3)], drawn)


@GAUSSIAN
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_have_the_layer_s_dtype(backend: str, cls: str, dtype: str) -> None:
    for x in (np.ones((4, 5), dtype), np.ones((4, 5), np.uint8)):
        assert make(cls, 0.5, dtype=dtype)(x, training=True).dtype == dtype


@ALL
def test_a_model_gives_each_layer_a_stream_of_its_own(backend: str, cls: str, shape: tuple[int, ...]) -> None:
    def drawn() -> list[np.ndarray]:
        td.utils.set_random_seed(3)
        model = td.Sequential([td.layers.InputLayer(shape[1:]), make(cls, 0.5), make(cls, 0.5)])
        return [layer(np.ones(shape), training=True).numpy() for layer in model.layers]

    first = drawn()
    assert not np.array_equal(*first)
    np.testing.assert_array_equal(drawn(), first)


@pytest.mark.parametrize(
    ("cls", "shape", "config"),
    [
        ("GaussianNoise", (8, 5), {"stddev": 0.25, "seed": 7}),
        ("GaussianDropout", (8, 5), {"rate": 0.25, "seed": 7}),
        ("SpatialDropout1D", (8, 5, 4), {"rate": 0.25, "seed": 7}),
        ("SpatialDropout2D", (8, 5, 3, 4), {"rate": 0.25, "seed": 7, "data_format": "channels_first"}),
    ],
)
def test_configuration_goes_through_json(
    backend: str, cls: str, shape: tuple[int, ...], config: dict[str, Any]
) -> None:
    layer = make(cls, **config)
    again, x = assert_made_again(layer, config), np.ones(shape)
    np.testing.assert_array_equal(again(x, training=True).numpy(), layer(x, training=True).numpy())


# -- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        ("GaussianNoise", {"stddev": -0.1}, "stddev must be a number of at least 0, not -0.1"),
        ("GaussianNoise", {"stddev": math.inf}, "stddev must be a number of at least 0, not inf"),
        ("GaussianNoise", {"stddev": 0.1, "seed": -1}, r"seed must be None or an integer from 0 to 2\*\*63 - 1"),
        ("GaussianDropout", {"rate": 1.0}, r"rate must be a number in \[0, 1\), not 1.0"),
        ("SpatialDropout1D", {"rate": -1}, r"rate must be a number in \[0, 1\), not -1"),
        ("SpatialDropout2D", {"rate": 1}, r"rate must be a number in \[0, 1\), not 1"),
        ("SpatialDropout2D", {"rate": 0.5, "data_format": "nchw"},
         "data_format must be 'channels_last' or 'channels_first', not 'nchw'"),
    ],
)  # fmt: skip
def test_arguments_out_of_range(cls: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{cls} 'n': {message}"):
        make(cls, name="n", **config)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("cls", "shape", "expected"),
    [
        ("SpatialDropout1D", (2, 3), "batch, steps, channels"),
        ("SpatialDropout2D", (2, 3, 4), "batch, height, width, channels"),
    ],
)
def test_inputs_with_another_number_of_axes(
    backend: str, cls: str, shape: tuple[int, ...], expected: str, training: bool
) -> None:
    with pytest.raises(ValueError, match=rf"^{cls} 's' takes inputs of shape \({expected}\), not \(None, 3"):
        make(cls, 0.5, name="s")(np.ones(shape), training=training)


def test_what_counts_as_dropout_for_monte_carlo() -> None:
    drop = {cls: getattr(td.layers, cls).is_dropout for cls in ("GaussianNoise", "GaussianDropout", "SpatialDropout2D")}
    assert drop == {"GaussianNoise": False, "GaussianDropout": True, "SpatialDropout2D": True}
