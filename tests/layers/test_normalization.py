"""BatchNormalization and LayerNormalization: Keras's values and gradients, moving averages, axes, dtypes, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tests.layers.golden import assert_as_recorded, assert_made_again, cases
from tinygrad_dnn.testing import check_grads

CASES = storage.load("normalization").cases
TOLERANCE = 2e-5


def normal(*shape: int) -> np.ndarray:
    return td.random.generator().normal(1.5, 2.0, size=shape)


def close(found: td.Tensor, expected: np.ndarray) -> bool:
    return bool(np.linalg.norm(found.numpy() - expected) <= TOLERANCE * np.linalg.norm(expected))


def made(case: dict[str, Any]) -> td.layers.BatchNormalization:
    """Return the layer of a golden case with its first weights."""
    layer = td.layers.BatchNormalization(**case["config"])
    layer.build((None, *case["shape"][1:]))
    layer.moving_mean.assign(case["initial_moving_mean"])
    layer.moving_variance.assign(case["initial_moving_variance"])
    for name in ("gamma", "beta"):
        assert (getattr(layer, name) is not None) == (name in case)
        if name in case:
            getattr(layer, name).assign(case[name])
    layer.trainable = case.get("trainable", True)
    return layer


def slopes(layer: td.layers.Layer, x: Any, cotangent: Any, training: bool) -> tuple[td.Tensor, dict[str, td.Tensor]]:
    """Return the outputs, and the gradients of their weighted sum by the names of what they are for."""
    x = td.tensor(x, requires_grad=True)
    outputs = layer(x, training=training)
    weights = layer.trainable_weights
    grads = td.grad((outputs * cotangent).sum(), [x, *weights])
    return outputs, dict(zip(["x", *(w.name for w in weights)], grads, strict=True))


# -- against Keras -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_training_is_keras_s(backend: str, name: str) -> None:
    case = CASES[name]
    layer = made(case)
    for k, x in enumerate(case["x"]):
        outputs, grads = slopes(layer, x, case["cotangent"], training=True)
        assert close(outputs, case["training_out"][k])
        assert close(layer.moving_mean, case["moving_mean"][k])
        assert close(layer.moving_variance, case["moving_variance"][k])
        assert {f"training_grad_{key}" for key in grads} == {key for key in case if key.startswith("training_grad_")}
        for key, value in grads.items():
            assert close(value, case[f"training_grad_{key}"][k])


@pytest.mark.parametrize("name", CASES)
def test_inference_is_keras_s(backend: str, name: str) -> None:
    case = CASES[name]
    layer = made(case)
    layer.moving_mean.assign(case["moving_mean"][-1])
    layer.moving_variance.assign(case["moving_variance"][-1])
    outputs, grads = slopes(layer, case["x_inference"], case["cotangent"], training=False)
    assert close(outputs, case["inference_out"])
    for key, value in grads.items():
        assert close(value, case[f"inference_grad_{key}"])
    np.testing.assert_array_equal(layer.moving_mean.numpy(), case["moving_mean"][-1])
    np.testing.assert_array_equal(layer.moving_variance.numpy(), case["moving_variance"][-1])


# -- derivatives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("shape", "axis"), [((6, 3), -1), ((4, 2, 3), 1)])
def test_gradients_are_those_of_finite_differences(
    backend: str, training: bool, shape: tuple[int, ...], axis: int
) -> None:
    layer, features = td.layers.BatchNormalization(axis, dtype="float64"), shape[axis]
    layer.build((None, *shape[1:]))
    layer.moving_variance.assign(np.full(features, 2.0))

    def call(x: td.Tensor, gamma: td.Tensor, beta: td.Tensor) -> td.Tensor:
        layer.__dict__.update(gamma=gamma, beta=beta)  # setting them is refused: they are weights
        return layer.call(x, training=training)

    check_grads(call, [normal(*shape), normal(features), normal(features)])


def test_nothing_flows_into_the_moving_averages(backend: str) -> None:
    layer, x = td.layers.BatchNormalization(), td.tensor(np.float32(normal(8, 3)), requires_grad=True)
    layer(x, training=True)
    for moving in (layer.moving_mean, layer.moving_variance):
        assert moving.is_leaf
        assert not moving.requires_grad


# -- what it is for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "axis"), [((50, 3), -1), ((9, 4, 3), -1), ((9, 3, 4, 2), 1), ((9, 3, 4), -2)])
def test_training_gives_each_feature_mean_0_and_variance_1(backend: str, shape: tuple[int, ...], axis: int) -> None:
    layer = td.layers.BatchNormalization(axis, epsilon=1e-6)
    outputs = layer(100 * normal(*shape), training=True).numpy().astype(np.float64)
    others = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    np.testing.assert_allclose(outputs.mean(axis=others), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(outputs.var(axis=others), np.ones(3), rtol=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_moving_averages_follow_the_batches_biased_variance(backend: str, momentum: float) -> None:
    layer, batches = td.layers.BatchNormalization(momentum=momentum), normal(4, 8, 3)
    mean, variance = np.zeros(3), np.ones(3)
    for batch in batches:
        layer(batch, training=True)
        mean = momentum * mean + (1 - momentum) * batch.mean(axis=0)
        variance = momentum * variance + (1 - momentum) * batch.var(axis=0)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)


def test_before_training_inference_leaves_inputs_nearly_as_they_are(backend: str) -> None:
    x = normal(4, 3)
    np.testing.assert_allclose(td.layers.BatchNormalization()(x).numpy(), x / np.sqrt(1.001), rtol=1e-6)


def test_a_large_mean_costs_no_digits_of_the_variance(backend: str) -> None:
    x = 1e4 + np.array([[0.0], [1.0], [2.0], [3.0]])
    layer = td.layers.BatchNormalization(momentum=0.0)
    layer(x, training=True)
    assert layer.moving_variance.item() == pytest.approx(1.25, rel=1e-3)


def test_a_frozen_layer_is_at_inference_until_it_is_thawed(backend: str) -> None:
    layer, x = td.layers.BatchNormalization(), normal(8, 3)
    layer(x, training=True)
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_array_equal(layer(x, training=True).numpy(), layer(x).numpy())
    for ours, theirs in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert layer.trainable_weights == []
    layer.trainable = True
    assert abs(layer(x, training=True).numpy().mean()) < 1e-6
    assert not np.array_equal(before[2], layer.moving_mean.numpy())


def test_weights_come_with_the_trainable_ones_first(backend: str) -> None:
    layer = td.layers.BatchNormalization(name="bn")
    layer.build((None, 3))
    assert [w.path for w in layer.weights] == ["bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"]
    assert [w.name for w in layer.trainable_weights] == ["gamma", "beta"]
    assert [w.tolist()[0] for w in layer.weights] == [1.0, 0.0, 0.0, 1.0]
    bare = td.layers.BatchNormalization(center=False, scale=False)
    bare.build((None, 3))
    assert [w.name for w in bare.weights] == ["moving_mean", "moving_variance"]


def test_initializers_regularizers_and_constraints_reach_the_weights(backend: str) -> None:
    layer = td.layers.BatchNormalization(
        beta_initializer=td.initializers.Constant(0.5), gamma_initializer="zeros", moving_mean_initializer="ones",
        moving_variance_initializer=td.initializers.Constant(4.0), beta_regularizer=td.regularizers.L1(0.1),
        gamma_regularizer="l2", beta_constraint="non_neg", gamma_constraint="max_norm",
    )  # fmt: skip
    layer.build((None, 2))
    assert [w.tolist() for w in layer.weights] == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [4.0, 4.0]]
    assert [loss.item() for loss in layer.losses] == pytest.approx([0.0, 0.1])
    assert isinstance(layer.beta.constraint, td.constraints.NonNeg)
    assert isinstance(layer.gamma.constraint, td.constraints.MaxNorm)


# -- dtypes and errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"center": False, "scale": False}], ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_have_the_layer_s_dtype(backend: str, dtype: str, training: bool, options: dict[str, Any]) -> None:
    layer = td.layers.BatchNormalization(dtype=dtype, **options)
    pixels = td.random.generator().integers(0, 256, (8, 3), np.uint8)
    for x in (normal(8, 3), pixels):
        assert layer(x, training=training).dtype == dtype
    assert {w.dtype for w in layer.weights} == {np.dtype(dtype)}
    exact = (pixels - pixels.mean(axis=0)) / np.sqrt(pixels.var(axis=0) + 1e-3)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(layer(pixels, training=True).numpy(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("built", "axis", "given"),
    [((None, 4), -1, (2, 3)), ((None, 4, 3), 1, (2, 3, 4)), ((None, 2, 2, 5), 3, (5, 5)), ((None, 4), -1, (4,)),
     ((None, 4), 1, (4,))],
)  # fmt: skip
def test_other_features_than_those_it_was_built_for(
    backend: str, built: tuple[Any, ...], axis: int, given: tuple[int, ...]
) -> None:
    layer = td.layers.BatchNormalization(axis, name="bn")
    layer.build(built)
    with pytest.raises(
        ValueError, match=rf"^BatchNormalization 'bn' was built for \d features on axis {axis} and got inp"
    ):
        layer(np.zeros(given), training=True)
    np.testing.assert_array_equal(layer.moving_variance.numpy(), np.ones(layer.moving_variance.shape))


@pytest.mark.parametrize(
    ("axis", "shape"), [(2, (None, 4)), (-3, (None, 4)), (0, (None, 4)), (-1, (None,)), (1, (None, None))]
)
def test_an_axis_that_there_is_not(axis: int, shape: tuple[Any, ...]) -> None:
    with pytest.raises(
        ValueError, match=rf"^BatchNormalization 'bn': axis {axis} must be an axis of known length; the inp"
    ):
        td.layers.BatchNormalization(axis, name="bn").build(shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.5}, r"momentum must be a number in \[0, 1\], not 1\.5"),
        ({"momentum": "0.9"}, r"momentum must be a number in \[0, 1\], not '0\.9'"),
        ({"epsilon": -1e-3}, r"epsilon must be a number of at least 0, not -0\.001"),
        ({"epsilon": float("inf")}, "epsilon must be a number of at least 0, not inf"),
        ({"axis": "last"}, "axis must be an integer, not 'last'"),
        ({"axis": [1]}, r"axis must be an integer, not \[1\]"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^BatchNormalization 'bn': {message}"):
        td.layers.BatchNormalization(name="bn", **arguments)


# -- LayerNormalization --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases("LayerNormalization"))
def test_layer_normalization_is_keras_s(backend: str, name: str) -> None:
    assert_as_recorded(name)


@pytest.mark.parametrize(("shape", "axis"), [((3, 4), -1), ((2, 3, 4), 1), ((2, 3, 2), (-1, 1))])
def test_layer_normalization_s_gradients_are_those_of_finite_differences(
    backend: str, shape: tuple[int, ...], axis: Any
) -> None:
    layer = td.layers.LayerNormalization(axis, dtype="float64")
    layer.build((None, *shape[1:]))

    def call(x: td.Tensor, gamma: td.Tensor, beta: td.Tensor) -> td.Tensor:
        layer.__dict__.update(gamma=gamma, beta=beta)  # setting them is refused: they are weights
        return layer.call(x)

    check_grads(call, [normal(*shape), normal(*layer.gamma.shape), normal(*layer.beta.shape)])


@pytest.mark.parametrize(("axis", "others"), [(-1, 2), (1, 1), ((1, 2), (1, 2)), ([2, 1], (1, 2))])
@pytest.mark.parametrize("training", [True, False])
def test_each_sample_has_mean_0_and_variance_1(backend: str, axis: Any, others: Any, training: bool) -> None:
    layer = td.layers.LayerNormalization(axis, epsilon=1e-6)
    outputs = layer(100 * normal(5, 6, 7), training=training).numpy().astype(np.float64)
    np.testing.assert_allclose(outputs.mean(axis=others), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var(axis=others), 1, rtol=1e-4)


def test_a_sample_s_normalisation_does_not_depend_on_the_others(backend: str) -> None:
    layer, x = td.layers.LayerNormalization(), normal(5, 6)
    np.testing.assert_allclose(layer(x).numpy()[2:3], layer(x[2:3]).numpy(), rtol=1e-6)


def test_layer_normalization_s_weights(backend: str) -> None:
    layer = td.layers.LayerNormalization(
        axis=[1, -1], gamma_initializer=td.initializers.Constant(0.5), beta_initializer="ones", gamma_regularizer="l2",
        beta_constraint="non_neg", name="ln",
    )  # fmt: skip
    layer.build((None, 2, 5, 3))
    assert [(w.path, w.shape) for w in layer.trainable_weights] == [("ln/gamma", (2, 3)), ("ln/beta", (2, 3))]
    assert (layer.gamma.numpy() == 0.5).all()
    assert (layer.beta.numpy() == 1).all()
    assert len(layer.losses) == 1
    assert isinstance(layer.beta.constraint, td.constraints.NonNeg)
    bare = td.layers.LayerNormalization(center=False, scale=False)
    bare.build((None, 3))
    assert bare.weights == []


def test_layer_normalization_s_configuration_goes_through_json(backend: str) -> None:
    constant = {"class_name": "constant", "config": {"value": 0.5}}
    none_below_0 = {"class_name": "nonneg", "config": {}}
    config = {
        "axis": [1, -1], "epsilon": 0.25, "center": True, "scale": True, "gamma_initializer": constant,
        "beta_initializer": constant, "gamma_regularizer": {"class_name": "l2", "config": {"l2": 0.5}},
        "beta_regularizer": {"class_name": "l1", "config": {"l1": 0.5}}, "gamma_constraint": none_below_0,
        "beta_constraint": none_below_0,
    }  # fmt: skip
    assert_made_again(td.layers.LayerNormalization(**config), config)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_normalization_takes_bytes(backend: str, dtype: str) -> None:
    pixels = td.random.generator().integers(0, 256, (8, 30), np.uint8)
    outputs = td.layers.LayerNormalization(dtype=dtype)(pixels)
    assert outputs.dtype == dtype
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    exact = centred / np.sqrt(pixels.var(axis=1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(outputs.numpy(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("axis", "shape", "message"),
    [
        (2, (None, 4), r"axis \(2,\) must be axes after the batch's, each once; the inputs have shape \(None, 4\)"),
        (0, (None, 4), r"axis \(0,\) must be axes after the batch's"),
        (-2, (None, 4), r"axis \(-2,\) must be axes after the batch's"),
        ([1, -1], (None, 4), r"axis \(1, -1\) must be axes after the batch's"),
        ([], (None, 4), r"axis \(\) must be axes after the batch's"),
        (1, (None, None, 4), r"axis \(1,\) must have a known length; the inputs have shape \(None, None, 4\)"),
    ],
)
def test_axes_that_a_layer_normalization_has_not(axis: Any, shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^LayerNormalization 'ln': {message}"):
        td.layers.LayerNormalization(axis, name="ln").build(shape)


def test_layer_normalization_of_other_lengths(backend: str) -> None:
    layer = td.layers.LayerNormalization(center=False, scale=False, name="ln")
    layer.build((None, 4))
    with pytest.raises(ValueError, match=r"^LayerNormalization 'ln' was built for lengths \(4,\) of axis \(-1,\) and "):
        layer(np.ones((2, 5)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": -1e-3}, r"epsilon must be a number of at least 0, not -0\.001"),
        ({"axis": "last"}, "axis must be an integer or a sequence of integers, not 'last'"),
        ({"axis": None}, "axis must be an integer or a sequence of integers, not None"),
    ],
)
def test_arguments_of_layer_normalization_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^LayerNormalization 'ln': {message}"):
        td.layers.LayerNormalization(name="ln", **arguments)


def test_the_unbiased_moving_variance_is_pytorchs() -> None:
    # torch.nn.BatchNorm1d(2, momentum=0.1, eps=1e-5) on x, then on 2 x + 1, in float64.
    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]])
    layer = td.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, unbiased=True, dtype="float64")
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), [1.075, 1.5333333333333334], rtol=1e-12)
    layer(2 * x + 1, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [0.535, 0.5833333333333334], rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy(), [1.6675, 3.913333333333334], rtol=1e-12)
    alone = td.layers.BatchNormalization(unbiased=True)
    assert np.isfinite(alone(np.ones((1, 2)), training=True).numpy()).all()
    assert np.isfinite(alone.moving_variance.numpy()).all()
