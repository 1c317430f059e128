"""Reshape, Permute, RepeatVector, Rescaling and Normalization: Keras's values, what adapt finds, wrong shapes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.layers.golden import CASES, assert_as_recorded, assert_close, cases, made
from tinygrad_dnn.testing import check_grads


@pytest.mark.parametrize("name", cases("Reshape", "Permute", "RepeatVector", "Rescaling", "Normalization"))
def test_values_and_gradients_are_keras_s(backend: str, name: str) -> None:
    assert_as_recorded(name)


@pytest.mark.parametrize("name", ["reshape_rest", "permute", "repeat_vector", "rescaling_channels"])
def test_gradients_are_those_of_finite_differences(backend: str, name: str) -> None:
    layer = getattr(td.layers, CASES[name]["layer"])(**CASES[name]["config"], dtype="float64")
    check_grads(lambda x: layer(x) ** 2, [CASES[name]["x0"].astype(np.float64)])


# -- Reshape, Permute, RepeatVector ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "shape", "expected"),
    [
        ((6,), (None, 2, 3), (None, 6)),
        ((3, -1), (None, 6), (None, 3, 2)),
        ((-1, 4), (None, None, 8), (None, None, 4)),
        ((-1,), (None, 2, 0), (None, 0)),
        ((), (None, 1), (None,)),
        (6, (None, 6), (None, 6)),
    ],
)
def test_shape_after_reshape(backend: str, target: Any, shape: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    layer = td.layers.Reshape(target)
    assert layer.compute_output_shape(shape) == expected
    known = [4 if n is None else n for n in shape[1:]]
    for batch in (5, 0):
        outputs = layer(np.ones((batch, *known)))
        assert outputs.shape[0] == batch
        assert all(n in (m, None) or m is None for n, m in zip(outputs.shape[1:], expected[1:], strict=True))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ((-1, -1), r"target_shape must hold lengths of at least 0, and -1 at most once, not \(-1, -1\)"),
        ((2, -2), "target_shape must hold lengths of at least 0"),
        ((2.5,), "target_shape must be an integer or a sequence of integers"),
        (None, "target_shape must be an integer or a sequence of integers"),
    ],
)
def test_target_shape_that_is_none(target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^Reshape 'r': {message}"):
        td.layers.Reshape(target, name="r")


@pytest.mark.parametrize("target", [(4,), (4, -1), (0, -1), (7,)])
def test_inputs_of_another_size(backend: str, target: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"^Reshape 'r' cannot give samples of shape \(6,\), of 6 elements, the shape \("
    ):
        td.layers.Reshape(target, name="r")(np.ones((2, 6)))


@pytest.mark.parametrize("dims", [(0, 1), (1, 1), (2, 3), (1, 3)])
def test_dims_name_each_axis_once(dims: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^Permute 'p': dims must name each axis from 1 to their number once, not \("):
        td.layers.Permute(dims, name="p")


def test_permute_moves_the_lengths_and_needs_all_axes(backend: str) -> None:
    layer = td.layers.Permute((3, 1, 2), name="p")
    assert layer.compute_output_shape((None, 2, None, 4)) == (None, 4, 2, None)
    x = td.random.normal((5, 2, 3, 4)).numpy()
    np.testing.assert_array_equal(layer(x).numpy(), x.transpose(0, 3, 1, 2))
    with pytest.raises(
        ValueError, match=r"^Permute 'p': dims \(3, 1, 2\) must name each axis after the batch; the inp"
    ):
        layer(np.ones((5, 2, 3)))


def test_repeat_vector(backend: str) -> None:
    layer = td.layers.RepeatVector(3, name="r")
    assert layer.compute_output_shape((None, 4)) == (None, 3, 4)
    with pytest.raises(
        ValueError, match=r"^RepeatVector 'r' takes inputs of shape \(batch, features\), not \(None, 2, "
    ):
        layer(np.ones((5, 2, 3)))
    for n in (0, 1.5, True, None):
        with pytest.raises(ValueError, match=r"^RepeatVector 'r': n must be an integer of at least 1, not "):
            td.layers.RepeatVector(n, name="r")


# -- Rescaling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_become_floats(backend: str, dtype: str) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 64)
    outputs = td.layers.Rescaling(1 / 255, dtype=dtype)(pixels)
    assert outputs.dtype == dtype
    np.testing.assert_allclose(outputs.numpy(), pixels / 255, rtol=1e-6)


def test_scales_of_arrays_go_through_json(backend: str) -> None:
    layer = td.layers.Rescaling(np.float32([0.5, 2.0]), offset=np.array([[1, -1]]))
    config = json.loads(json.dumps(layer.get_config()))
    assert (config["scale"], config["offset"]) == ([0.5, 2.0], [[1.0, -1.0]])
    for each in (layer, td.layers.Rescaling.from_config(config)):
        np.testing.assert_array_equal(each(np.ones((3, 2))).numpy(), [[1.5, 1.0]] * 3)


@pytest.mark.parametrize("value", ["x", None, float("nan"), [1.0, float("inf")], True])
def test_scales_are_finite_numbers(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^Rescaling 'r': scale must be a finite number or an array of them, not "):
        td.layers.Rescaling(value, name="r")
    with pytest.raises(ValueError, match=r"^Rescaling 'r': offset must be a finite number or an array of them, not "):
        td.layers.Rescaling(1.0, value, name="r")


# -- Normalization ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in cases("Normalization") if "data" in CASES[name]])
def test_adapt_finds_what_keras_finds(backend: str, name: str) -> None:
    layer, case = made(name), CASES[name]
    assert_close(layer.mean, case["mean"])
    assert_close(layer.variance, case["variance"])
    assert [w.name for w in layer.non_trainable_weights] == ["mean", "variance"]
    assert layer.trainable_weights == []


@pytest.mark.parametrize("axis", [-1, None, (1, 2)])
def test_adapt_goes_through_large_data_in_parts(backend: str, axis: Any) -> None:
    # More samples than are looked at together, with a drift, and a mean far greater than the deviation.
    data = 1000 + td.random.generator(1).normal(size=(2500, 2, 3)) + np.linspace(0, 5, 2500)[:, None, None]
    layer = td.layers.Normalization(axis, dtype="float64")
    layer.adapt(data)
    others = {-1: (0, 1), None: (0, 1, 2), (1, 2): 0}[axis]
    np.testing.assert_allclose(layer.mean.numpy(), data.mean(axis=others), rtol=1e-13)
    np.testing.assert_allclose(layer.variance.numpy(), data.var(axis=others), rtol=1e-10)
    found = layer(data).numpy()
    np.testing.assert_allclose(found.mean(axis=others), 0, atol=1e-9)
    np.testing.assert_allclose(found.var(axis=others), 1, rtol=1e-9)


def test_adapt_takes_bytes_and_begins_afresh(backend: str) -> None:
    layer = td.layers.Normalization()
    pixels = td.random.generator(1).integers(0, 256, (50, 4), np.uint8)
    layer.adapt(np.zeros((7, 4)))
    layer.adapt(pixels)
    np.testing.assert_allclose(layer.mean.numpy(), pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.variance.numpy(), pixels.var(axis=0), rtol=1e-6)
    assert layer(pixels).dtype == "float32"


def test_before_adapt_nothing_changes_and_training_changes_nothing(backend: str) -> None:
    layer, x = td.layers.Normalization(), td.random.normal((5, 3))
    np.testing.assert_array_equal(layer(x, training=True).numpy(), x.numpy())
    np.testing.assert_array_equal(layer.mean.numpy(), np.zeros(3))


def test_invert_is_the_opposite(backend: str) -> None:
    data = td.random.generator(1).normal(5, 3, size=(40, 3))
    forth, back = td.layers.Normalization(dtype="float64"), td.layers.Normalization(invert=True, dtype="float64")
    for layer in (forth, back):
        layer.adapt(data)
    np.testing.assert_allclose(back(forth(data)).numpy(), data, rtol=1e-12)


def test_a_constant_feature_stays_finite(backend: str) -> None:
    layer = td.layers.Normalization()
    layer.adapt(np.full((5, 2), 3.0))
    np.testing.assert_array_equal(layer(np.full((5, 2), 3.0)).numpy(), np.zeros((5, 2)))


def test_numbers_given_hold_for_every_position(backend: str) -> None:
    layer = td.layers.Normalization(mean=2, variance=4.0)
    np.testing.assert_array_equal(layer(np.float32([[2, 4, 6]])).numpy(), [[0, 1, 2]])
    assert layer.mean.shape == (3,)


def test_statistics_are_saved_as_weights(backend: str) -> None:
    layer, again = td.layers.Normalization(), td.layers.Normalization()
    layer.adapt(td.random.generator(1).normal(5, 3, size=(40, 3)))
    again.build((None, 3))
    again.set_weights(layer.get_weights())
    x = td.random.normal((5, 3))
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mean": 1.0}, "mean and variance must both be given, or neither"),
        ({"variance": 1.0}, "mean and variance must both be given, or neither"),
        ({"mean": [1.0, 2.0], "variance": [1.0, -2.0]}, r"a variance must be at least 0, not \[1.0, -2.0\]"),
        ({"mean": "x", "variance": 1.0}, "mean must be a finite number or an array of them, not 'x'"),
        ({"axis": "last"}, "axis must be an integer or a sequence of integers, not 'last'"),
    ],
)
def test_arguments_out_of_range(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^Normalization 'n': {message}"):
        td.layers.Normalization(name="n", **config)


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        ({"axis": 2}, (None, 3), r"axis \(2,\) is out of range for inputs of shape \(None, 3\)"),
        ({"axis": 0}, (None, 3), r"axis \(0,\) must have a known length; the inputs have shape \(None, 3\)"),
        ({"axis": 1}, (None, None, 3), r"axis \(1,\) must have a known length"),
        ({"mean": [1.0, 2.0], "variance": [1.0, 2.0]}, (None, 3), r"the mean given has shape \(2,\); axis \(-1,\) of"),
        ({"mean": 1.0, "variance": [1.0, 2.0]}, (None, 3), r"the variance given has shape \(2,\); axis \(-1,\) of"),
    ],
)
def test_it_is_not_built_for_any_inputs(config: dict[str, Any], shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^Normalization 'n': {message}"):
        td.layers.Normalization(name="n", **config).build(shape)


def test_other_shapes_than_it_was_built_for(backend: str) -> None:
    layer = td.layers.Normalization(name="n")
    layer.build((None, 3))
    with pytest.raises(
        ValueError, match=r"^Normalization 'n' has means of shape \(3,\) along axis \(-1,\) and got inp"
    ):
        layer(np.ones((2, 4)))
    for data in (np.ones((2, 4)), np.ones((0, 3))):
        with pytest.raises(
            ValueError, match=r"^Normalization 'n': adapt needs samples with a mean of shape \(3,\) alo"
        ):
            layer.adapt(data)
    given = td.layers.Normalization(mean=0.0, variance=1.0, name="n")
    with pytest.raises(ValueError, match=r"^Normalization 'n' was given its mean and variance at construction: adapt "):
        given.adapt(np.ones((2, 3)))
