"""Cropping and resizing of images: against Keras, random places, inference, integers, images that are too small."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dnn as td
from tests.golden import storage
from tests.layers.golden import assert_close, assert_made_again

GOLDEN = storage.load("augmentation")
IMAGES, BYTES = GOLDEN.inputs["images"], GOLDEN.inputs["bytes"]
SIZED = {n: case for n, case in GOLDEN.cases.items() if case.get("layer") in ("CenterCrop", "Resizing")}


def layer_of(name: str, **options: Any) -> td.layers.Layer:
    case = SIZED[name]
    layer = getattr(td.layers, case["layer"])(**case["config"], **options)
    assert isinstance(layer, td.layers.Layer)
    return layer


def places(height: int, width: int) -> np.ndarray:
    """Return an image whose pixels are numbered."""
    return np.arange(height * width, dtype=np.float32).reshape(1, height, width, 1)


# -- against Keras -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [n for n in SIZED if not n.endswith("_bytes")])
def test_images_get_their_size_as_by_keras(backend: str, name: str, dtype: str) -> None:
    case, layer = SIZED[name], layer_of(name, dtype=dtype)
    found = layer(IMAGES)
    assert found.dtype == dtype
    if case["layer"] == "CenterCrop" or case["config"].get("interpolation") == "nearest":
        np.testing.assert_array_equal(found.numpy(), case["out"].astype(dtype))
    else:
        assert_close(found, case["out"])
    assert layer.compute_output_shape((None, 6, 5, 2)) == (None, *found.shape[1:])
    assert_made_again(layer, case["config"])


@pytest.mark.parametrize("name", [n for n in SIZED if n.endswith("_bytes")])
def test_images_of_bytes_get_their_size_as_by_keras(backend: str, name: str) -> None:
    case = SIZED[name]
    found = layer_of(name)(BYTES)
    assert found.dtype == case["out"].dtype == ("float32" if case["layer"] == "CenterCrop" else "uint8")
    # Where the exact value lies half-way between two bytes, a rounding error decides.
    exact = layer_of(name, dtype="float64")(BYTES.astype(np.float64)).numpy()
    tied = np.abs(exact - np.floor(exact) - 0.5) < 1e-4
    assert tied.mean() < 0.2
    np.testing.assert_array_equal(found.numpy()[~tied], case["out"][~tied])
    assert (np.abs(found.numpy() - exact)[tied] < 0.501).all()


@pytest.mark.parametrize("name", [n for n in SIZED if not n.endswith("_bytes")])
def test_gradients_reach_the_images(backend: str, name: str) -> None:
    rng = np.random.default_rng(1)
    layer, x = layer_of(name, dtype="float64"), td.tensor(IMAGES.astype(np.float64), requires_grad=True)
    outputs = layer(x)
    cotangent, other = rng.normal(size=outputs.shape), rng.normal(size=x.shape)
    (slope,) = td.grad((outputs * cotangent).sum(), [x])
    change = ((layer(x.detach() + other).numpy() - outputs.detach().numpy()) * cotangent).sum()
    np.testing.assert_allclose((slope.numpy() * other).sum(), change, rtol=1e-9)


# -- exactly -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
def test_sizes(backend: str, height: int, width: int, new_height: int, new_width: int) -> None:
    x = places(height, width)
    for options in ({}, {"interpolation": "nearest"}, {"antialias": True}, {"crop_to_aspect_ratio": True},
                    {"pad_to_aspect_ratio": True, "fill_value": 3.0}):  # fmt: skip
        found = td.layers.Resizing(new_height, new_width, **options)(x).numpy()
        assert found.shape == (1, new_height, new_width, 1)
        padded = "pad_to_aspect_ratio" in options
        assert found.min() >= (min(x.min(), 3.0) if padded else x.min()) - 1e-4
        assert found.max() <= (max(x.max(), 3.0) if padded else x.max()) + 1e-4
        if (height, width) == (new_height, new_width):
            np.testing.assert_array_equal(found, x)
    if height >= new_height and width >= new_width:
        top, left = (height - new_height) // 2, (width - new_width) // 2
        found = td.layers.CenterCrop(new_height, new_width)(x).numpy()
        np.testing.assert_array_equal(found, x[:, top : top + new_height, left : left + new_width])


def test_halves_are_rounded_to_the_even_byte(backend: str) -> None:
    pairs = np.array([[0, 1], [1, 2], [2, 3], [254, 255], [7, 7], [1, 4]], np.uint8).reshape(6, 1, 2, 1)
    found = td.layers.Resizing(1, 1)(pairs)
    assert found.dtype == np.uint8
    assert found.numpy().ravel().tolist() == [0, 2, 2, 254, 7, 2]


def test_nearest_keeps_integers_that_no_float_holds(backend: str) -> None:
    labels = np.array([2**24 + 1, 2**53 + 1]).reshape(1, 1, 2, 1)
    found = td.layers.Resizing(1, 4, interpolation="nearest")(labels)
    assert found.numpy().ravel().tolist() == [2**24 + 1] * 2 + [2**53 + 1] * 2


# -- random places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(2, 3), (4, 3), (2, 5), (4, 5), (1, 1)])
def test_crops_are_parts_at_places_of_equal_chance(backend: str, height: int, width: int) -> None:
    n, whole = 4000, places(4, 5)
    found = td.layers.RandomCrop(height, width)(np.broadcast_to(whole, (n, 4, 5, 1))).numpy()
    first = found[:, 0, 0, 0].astype(int)
    tops, lefts = first // 5, first % 5
    for part, top, left in zip(found, tops, lefts, strict=True):
        np.testing.assert_array_equal(part, whole[0, top : top + height, left : left + width])
    # Chi-squared with one degree of freedom less than there are places: that many in the mean, twice that variance.
    shape = (5 - height, 6 - width)
    counts = np.bincount(np.ravel_multi_index((tops, lefts), shape), minlength=math.prod(shape))
    expected, freedom = n / math.prod(shape), math.prod(shape) - 1
    assert ((counts - expected) ** 2 / expected).sum() <= freedom + 4 * math.sqrt(2 * freedom)
    assert len(counts) == math.prod(shape)


def test_the_largest_draw_stays_inside(backend: str) -> None:
    class Largest:
        def uniform(self, shape: tuple[int, ...], minval: float, maxval: float, dtype: str) -> td.Tensor:
            return td.full(shape, maxval, dtype=dtype)

    layer = td.layers.RandomCrop(2, 2)
    layer.seed_generator = Largest()
    np.testing.assert_array_equal(layer(places(4, 5)).numpy(), places(4, 5)[:, 2:, 3:])


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (6, 1)])
def test_at_inference_a_crop_shows_the_middle_scaled(backend: str, size: tuple[int, int]) -> None:
    found = td.layers.RandomCrop(*size)(BYTES, training=False)
    assert found.dtype == np.float32
    expected = td.layers.Resizing(*size, crop_to_aspect_ratio=True)(BYTES.astype(np.float32))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ["RandomCrop", "CenterCrop"])
@pytest.mark.parametrize("training", [True, False])
def test_images_smaller_than_the_part(cls: str, training: bool) -> None:
    layer = getattr(td.layers, cls)(6, 7, name="n")
    message = (
        rf"^{cls} 'n' needs images of a width of at least 7, not 5 \(images of shape \(None, 6, 5, 2\)\); "
        r"Resizing\(6, 7, crop_to_aspect_ratio=True\) also enlarges images\.$"
    )
    with pytest.raises(ValueError, match=message):
        layer(IMAGES, training=training)
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape((None, 6, 5, 2))
    assert layer.compute_output_shape((None, None, None, 2)) == (None, 6, 7, 2)
    layer = getattr(td.layers, cls)(2, 2, name="n")
    layer(IMAGES)
    with pytest.raises(ValueError, match=rf"^{cls} 'n' needs images of a height of at least 2, not 1"):
        layer(IMAGES[:, :1], training=training)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        ("Resizing", {"height": 0, "width": 1}, "height must be an integer of at least 1, not 0"),
        ("Resizing", {"height": 1, "width": -2}, "width must be an integer of at least 1, not -2"),
        ("CenterCrop", {"height": True, "width": 1}, "height must be an integer of at least 1, not True"),
        ("Resizing", {"height": 1, "width": 1, "interpolation": "lanczos3"},
         "interpolation must be 'nearest' or 'bilinear', not 'lanczos3'"),
        ("Resizing", {"height": 1, "width": 1, "crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True},
         "crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other"),
        ("Resizing", {"height": 1, "width": 1, "fill_mode": "reflect"},
         "fill_mode must be 'constant', not 'reflect'"),
        ("Resizing", {"height": 1, "width": 1, "fill_value": math.inf}, "fill_value must be a finite number, not inf"),
        ("CenterCrop", {"height": 1, "width": 1, "data_format": "channels_first"},
         "data_format must be 'channels_last'"),
    ],
)  # fmt: skip
def test_arguments_out_of_range(cls: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{cls} 'n': {message}"):
        getattr(td.layers, cls)(**config, name="n")


def test_inputs_that_are_no_images() -> None:
    for layer in (td.layers.CenterCrop(2, 2, name="n"), td.layers.Resizing(2, 2, name="n")):
        with pytest.raises(ValueError, match=r"'n' takes images of shape \(batch, height, width, channels\), not \(No"):
            layer(IMAGES[0])
    with pytest.raises(ValueError, match=r"^Resizing 'n' needs images of a height of at least 1, not 0 \(.*\)\.$"):
        td.layers.Resizing(2, 2, name="n")(IMAGES[:, :0])
