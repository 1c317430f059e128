"""Image augmentation: what it does against Keras and exactly, gradients, dtypes, shapes, bad arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

import tinygrad_dnn as td
from tests.layers.augmentation import DRAWING, EACH, GOLDEN, IMAGES, Given, make, new
from tests.layers.golden import assert_close, assert_made_again

MOVED = ("RandomRotation", "RandomTranslation", "RandomZoom")
FILLS = ("reflect", "wrap", "constant", "nearest")


# -- against Keras -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", [n for n, case in GOLDEN.cases.items() if case.get("layer") in (*MOVED, "RandomBrightness")]
)
def test_images_are_changed_as_by_keras(backend: str, name: str, dtype: str) -> None:
    case = GOLDEN.cases[name]
    layer = new(case["layer"], **case["config"], dtype=dtype)
    found = layer(GOLDEN.inputs[case["inputs"]], training=True)
    assert found.dtype == dtype
    if case["config"].get("interpolation") == "nearest":
        np.testing.assert_array_equal(found.numpy(), case["out"])
    else:
        assert_close(found, case["out"])


def test_contrast_is_changed_as_by_keras(backend: str) -> None:
    case = GOLDEN.cases["contrast"]
    layer = new("RandomContrast", **case["config"])
    layer.seed_generator = Given(case["contrasts"])
    assert_close(layer(IMAGES, training=True), case["out"])
    assert (case["out"] == 20).any()
    assert (case["out"] == 230).any()


@pytest.mark.parametrize("name", [n for n in GOLDEN.cases if n.startswith("bounds")])
@pytest.mark.parametrize("cls", [*MOVED, "RandomBrightness"])
def test_a_factor_means_what_keras_makes_of_it(cls: str, name: str) -> None:
    case = GOLDEN.cases[name]
    arguments = {"RandomTranslation": {"height_factor": case["factor"], "width_factor": 0.0},
                 "RandomZoom": {"height_factor": case["factor"]}}  # fmt: skip
    layer = new(cls, **arguments.get(cls, {"factor": case["factor"]}))
    layer.seed_generator = stream = Given()
    layer(IMAGES)
    assert stream.intervals[0] == tuple(case[cls])


@pytest.mark.parametrize(("factor", "interval"), [(0.4, (0.6, 1.4)), ((0.5, 0.2), (0.5, 1.2)), ((0, 1), (1, 2))])
def test_contrast_goes_below_and_above_1(factor: Any, interval: tuple[float, float]) -> None:
    layer = td.layers.RandomContrast(factor)
    layer.seed_generator = stream = Given()
    layer(IMAGES)
    assert stream.intervals == [interval]


# -- exactly -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "axes"), [("horizontal", (2,)), ("vertical", (1,)), ("horizontal_and_vertical", (1, 2))]
)
def test_flips_by_one_draw_an_image(backend: str, mode: str, axes: tuple[int, ...]) -> None:
    layer = td.layers.RandomFlip(mode)
    layer.seed_generator = Given(np.array([0.2, 0.7, 0.49]).reshape(3, 1, 1, 1))
    expected = np.flip(IMAGES, axes).copy()
    expected[1] = IMAGES[1]
    np.testing.assert_array_equal(layer(IMAGES).numpy(), expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("rows", range(-6, 7))
def test_shifts_by_whole_pixels(backend: str, rows: int, interpolation: str) -> None:
    columns = rows % 5 - 2
    pads = {"wrap": "wrap", "constant": "constant", "nearest": "edge", "reflect": "symmetric"}
    for fill, pad in pads.items():
        layer = make("RandomTranslation", fill_mode=fill, interpolation=interpolation)
        layer.seed_generator = Given(rows / 6, columns / 5)
        wide = np.pad(IMAGES, ((0, 0), (6, 6), (5, 5), (0, 0)), pad)
        expected = wide[:, 6 - rows : 12 - rows, 5 - columns : 10 - columns]
        found = layer(IMAGES).numpy()
        # A sixth is no float: a shift by 3 of them is off by a rounding error.
        np.testing.assert_allclose(found, expected, atol=0 if interpolation == "nearest" else 3e-4)


@pytest.mark.parametrize("quarters", range(-4, 5))
def test_quarter_turns_go_counter_clockwise(backend: str, quarters: int) -> None:
    square = IMAGES[:, :5]
    layer = td.layers.RandomRotation((quarters / 4, quarters / 4), interpolation="nearest")
    np.testing.assert_array_equal(layer(square).numpy(), np.rot90(square, quarters, axes=(1, 2)))


@EACH
def test_each_image_of_a_batch_has_its_own_draws(backend: str, cls: str) -> None:
    batch = td.tensor(np.broadcast_to(IMAGES[:1], (8, *IMAGES.shape[1:])))
    found = make(cls, seed=4)(batch).numpy()
    # There are two flips and 16 places to crop.
    assert len({image.tobytes() for image in found}) >= {"RandomFlip": 2, "RandomCrop": 4}.get(cls, 8)
    stream = td.random.SeedGenerator(4)
    layer = make(cls)
    # The numbers that one call draws for the batch give each image alone what it became beside the others.
    for i, image in enumerate(found):
        stream.state.assign(np.array([4, 0, 0], np.int64))
        layer.seed_generator = _One(stream, i)
        np.testing.assert_allclose(layer(batch[:1]).numpy()[0], image, rtol=1e-6)


class _One:
    """The draws of one image of a batch of eight."""

    def __init__(self, stream: td.random.SeedGenerator, place: int) -> None:
        self.stream, self.place = stream, place

    def uniform(self, shape: tuple[int, ...], minval: float, maxval: float, dtype: str) -> td.Tensor:
        return self.stream.uniform((8, *shape[1:]), minval, maxval, dtype)[self.place : self.place + 1]


# -- properties ----------------------------------------------------------------------------------------------------

PICTURES = st_np.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    elements=st.floats(0, 255, width=32),
)


@given(PICTURES, st.sampled_from(FILLS), st.sampled_from(["bilinear", "nearest"]))
def test_a_factor_of_0_changes_nothing(backend: str, x: np.ndarray, fill: str, interpolation: str) -> None:
    options = {"fill_mode": fill, "interpolation": interpolation, "fill_value": 9.0}
    for layer in (
        td.layers.RandomTranslation(0, 0.0, **options),
        td.layers.RandomRotation(0.0, **options),
        td.layers.RandomZoom(0.0, **options),
        td.layers.RandomZoom(0.0, (0.0, 0.0), **options),
        td.layers.RandomBrightness(0.0),
    ):
        np.testing.assert_array_equal(layer(x).numpy(), x)
    np.testing.assert_allclose(td.layers.RandomContrast(0.0)(x).numpy(), x, atol=1e-4)


@given(PICTURES, st.sampled_from(["horizontal", "vertical", "horizontal_and_vertical"]), st.integers(0, 2**63 - 1))
def test_the_same_flips_twice_change_nothing(backend: str, x: np.ndarray, mode: str, seed: int) -> None:
    once, again = (td.layers.RandomFlip(mode, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(again(once(x)).numpy(), x)


@given(
    PICTURES,
    st.floats(-1, 1),
    st.floats(-0.99, 1),
    st.sampled_from(FILLS),
    st.sampled_from(["bilinear", "nearest"]),
)
def test_what_is_shown_lies_between_what_was_there(
    backend: str, x: np.ndarray, turn: float, zoom: float, fill: str, interpolation: str
) -> None:
    low, high = x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)
    options = {"fill_mode": fill, "interpolation": interpolation}
    if fill == "constant":
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    for layer in (
        td.layers.RandomRotation((turn, turn), **options),
        td.layers.RandomZoom((zoom, zoom), **options),
        td.layers.RandomTranslation((turn, turn), (zoom, zoom), **options),
    ):
        found = layer(x).numpy()
        assert found.shape == x.shape
        assert (found >= low - 1e-4).all()
        assert (found <= high + 1e-4).all()


# -- dtypes, gradients, shapes -------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_outputs_have_the_layer_s_dtype(backend: str, cls: str, dtype: str, training: bool) -> None:
    for given_dtype in ("uint8", "int64", "float32", "float64"):
        assert make(cls, dtype=dtype)(IMAGES.astype(given_dtype), training=training).dtype == dtype


@EACH
@pytest.mark.parametrize("training", [True, False])
def test_bytes_are_the_floats_of_their_values(backend: str, cls: str, training: bool) -> None:
    bytes_ = GOLDEN.inputs["bytes"]
    found, expected = (make(cls, seed=1)(x, training=training) for x in (bytes_, bytes_.astype(np.float32)))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        *((cls, {}) for cls in DRAWING),
        *((cls, {"fill_mode": "constant", "fill_value": 3.0}) for cls in MOVED),
        *((cls, {"fill_mode": "wrap", "interpolation": "nearest"}) for cls in MOVED),
    ],
)
def test_gradients_reach_the_images(backend: str, cls: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    layer = make(cls, seed=2, dtype="float64", **options)
    x = td.tensor(IMAGES.astype(np.float64), requires_grad=True)
    outputs = layer(x)
    cotangent = rng.normal(size=outputs.shape)
    (slope,) = td.grad((outputs * cotangent).sum(), [x])
    # Each layer is a linear function of its images, plus a constant, where nothing is clipped.
    other = rng.normal(size=x.shape)
    moved = make(cls, seed=2, dtype="float64", **options)(x.detach() + other).numpy()
    change = ((moved - outputs.detach().numpy()) * cotangent).sum()
    np.testing.assert_allclose((slope.numpy() * other).sum(), change, rtol=1e-9)


@EACH
def test_shapes_of_batches(backend: str, cls: str) -> None:
    layer = make(cls)
    height, width = (3, 2) if cls == "RandomCrop" else (6, 5)
    assert layer.compute_output_shape((None, 6, 5, 2)) == (None, height, width, 2)
    assert layer(IMAGES[:0]).shape == (0, height, width, 2)
    assert layer(IMAGES[:1, :, :, :1]).shape == (1, height, width, 1)
    assert layer(IMAGES[:, :4, :3]).shape == (3, 3, 2, 2) if cls == "RandomCrop" else (3, 4, 3, 2)
    assert make(cls).compute_output_shape((None, None, 5, 2))[1] == (3 if cls == "RandomCrop" else None)


@EACH
@pytest.mark.parametrize("training", [True, False])
def test_inputs_that_are_no_batch_of_images(cls: str, training: bool) -> None:
    start = rf"^{cls} 'n' takes images of shape \(batch, height, width, channels\), not \((None|3), 6, 5"
    with pytest.raises(ValueError, match=start + r".*; x\[None\] makes .* x\[\.\.\., None\] gives grey images"):
        make(cls, name="n")(IMAGES[..., 0], training=training)
    layer = make(cls, name="n")
    layer(IMAGES)
    with pytest.raises(ValueError, match=start):
        layer(IMAGES[..., 0], training=training)


# -- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        *((cls, {**config, "seed": 7}) for cls, config in DRAWING.items() if "factor" not in config),
        ("RandomRotation", {"factor": [-0.1, 0.3], "fill_mode": "wrap", "interpolation": "nearest", "seed": 7,
                            "fill_value": 2.0, "data_format": "channels_last"}),
        ("RandomContrast", {"factor": [0.1, 0.3], "value_range": [0.0, 1.0], "seed": 7}),
        ("RandomBrightness", {"factor": [-0.1, 0.3], "value_range": [0.0, 1.0], "seed": 7}),
        ("RandomZoom", {"height_factor": 1.0, "width_factor": None, "fill_mode": "constant", "fill_value": 1.0}),
    ],
)  # fmt: skip
def test_configuration_goes_through_json(backend: str, cls: str, config: dict[str, Any]) -> None:
    layer = new(cls, **config)
    again = assert_made_again(layer, config)
    if "seed" in config:
        np.testing.assert_array_equal(again(IMAGES).numpy(), layer(IMAGES).numpy())


@pytest.mark.parametrize(
    ("cls", "given_factor", "allowed"),
    [
        ("RandomRotation", 1.5, r"a number in \[-1, 1\], or a pair of them, not 1\.5"),
        ("RandomRotation", -1.5, r"a number in \[-1, 1\], or a pair of them, not -1\.5"),
        ("RandomRotation", (-3, 0.5), r"a number in \[-1, 1\], or a pair of them, not -3"),
        ("RandomRotation", (0.5, math.nan), r"a number in \[-1, 1\], or a pair of them, not nan"),
        ("RandomRotation", (0.1, 0.2, 0.3), r"a number in \[-1, 1\], or a pair of them, not \(0\.1, 0\.2, 0\.3\)"),
        ("RandomRotation", "0.1", r"a number in \[-1, 1\], or a pair of them, not '0\.1'"),
        ("RandomRotation", None, r"a number in \[-1, 1\], or a pair of them, not None"),
        ("RandomRotation", True, r"a number in \[-1, 1\], or a pair of them, not True"),
        ("RandomBrightness", 1.01, r"a number in \[-1, 1\], or a pair of them, not 1\.01"),
        ("RandomContrast", -0.1, r"a number in \[0, 1\], or a pair of them, not -0\.1"),
        ("RandomContrast", (0.5, 1.1), r"a number in \[0, 1\], or a pair of them, not 1\.1"),
    ],
)  # fmt: skip
def test_factors_out_of_range(cls: str, given_factor: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=rf"^{cls} 'n': factor must be {allowed}\.$"):
        getattr(td.layers, cls)(given_factor, name="n")


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        ("RandomFlip", {"mode": "diagonal"},
         "mode must be 'horizontal', 'vertical' or 'horizontal_and_vertical', not 'diagonal'"),
        ("RandomFlip", {"seed": -1}, r"seed must be None or an integer from 0 to 2\*\*63 - 1, not -1"),
        ("RandomFlip", {"data_format": "channels_first"}, "data_format must be 'channels_last'"),
        ("RandomTranslation", {"height_factor": 1.2}, r"height_factor must be a number in \[-1, 1\]"),
        ("RandomTranslation", {"width_factor": (0.1, 2)}, r"width_factor must be a number in \[-1, 1\]"),
        ("RandomZoom", {"height_factor": -1.0}, r"height_factor must be a number in \(-1, 1\]"),
        ("RandomZoom", {"width_factor": (0.5, 1.5)}, r"width_factor must be a number in \(-1, 1\]"),
        ("RandomRotation", {"fill_mode": "mirror"},
         "fill_mode must be 'reflect', 'wrap', 'constant' or 'nearest', not 'mirror'"),
        ("RandomRotation", {"interpolation": "bicubic"},
         "interpolation must be 'nearest' or 'bilinear', not 'bicubic'"),
        ("RandomRotation", {"fill_value": math.nan}, "fill_value must be a finite number, not nan"),
        ("RandomContrast", {"value_range": (255, 0)}, r"value_range must be a pair of finite numbers.*not \(255, 0\)"),
        ("RandomContrast", {"value_range": 255}, "value_range must be a pair of finite numbers.*not 255"),
        ("RandomBrightness", {"value_range": (0, math.inf)}, "value_range must be a pair of finite numbers.*not inf"),
        ("RandomCrop", {"height": 0}, "height must be an integer of at least 1, not 0"),
        ("RandomCrop", {"width": 2.0}, r"width must be an integer of at least 1, not 2\.0"),
    ],
)  # fmt: skip
def test_arguments_out_of_range(cls: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{cls} 'n': {message}"):
        make(cls, **config, name="n")
