"""InputLayer, Flatten, Activation and Dense: values, gradients, weights, dtypes, shapes and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.testing import check_grads


def normal(*shape: int) -> np.ndarray:
    return td.random.generator().normal(size=shape)


def dense(units: int, features: int, **options: Any) -> td.layers.Dense:
    """Return a layer that is built, with random weights."""
    layer = td.layers.Dense(units, **options)
    layer.build((None, features))
    layer.set_weights([normal(*w.shape) for w in layer.weights])
    return layer


# -- Dense ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 4), (1, 4), (0, 4), (2, 3, 4), (2, 1, 3, 4)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_is_a_product_with_the_last_axis(backend: str, shape: tuple[int, ...], use_bias: bool) -> None:
    layer, x = dense(3, 4, use_bias=use_bias), normal(*shape)
    kernel, bias = [*layer.get_weights(), np.zeros(3)][:2]
    found = layer(x)
    assert (found.shape, found.dtype, found.backend.name) == ((*shape[:-1], 3), np.float32, backend)
    np.testing.assert_allclose(found.numpy(), x @ kernel + bias, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *shape[1:-1], 3)
    assert len(layer.weights) == 1 + use_bias


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4)])
@pytest.mark.parametrize("activation", [None, "tanh", "softmax"])
def test_gradients_of_dense_are_those_of_finite_differences(
    backend: str, shape: tuple[int, ...], activation: Any
) -> None:
    layer = dense(3, 4, activation=activation, dtype="float64")

    def call(x: td.Tensor, kernel: td.Tensor, bias: td.Tensor) -> td.Tensor:
        layer.__dict__.update(kernel=kernel, bias=bias)  # setting them is refused: they are weights
        return layer.call(x)

    check_grads(call, [normal(*shape), normal(4, 3), normal(3)])


def test_gradients_reach_weights_and_inputs(backend: str) -> None:
    layer, x = dense(3, 4), td.tensor(normal(5, 4).astype(np.float32), requires_grad=True)
    cotangent = normal(5, 3)
    grads = td.grad((layer(x) * cotangent).sum(), [*layer.trainable_weights, x])
    kernel, _ = layer.get_weights()
    expected = [x.numpy().T @ cotangent, cotangent.sum(axis=0), cotangent @ kernel.T]
    for found, value in zip(grads, expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.numpy(), value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "ReLU", td.activations.relu, lambda x: td.maximum(x, 0.0)])
def test_activation_is_a_name_or_a_function(backend: str, activation: Any) -> None:
    layer, x = dense(3, 4, activation=activation), normal(5, 4)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(layer(x).numpy(), np.maximum(x @ kernel + bias, 0), rtol=1e-5, atol=1e-6)


def test_defaults_are_glorot_uniform_and_zeros(backend: str) -> None:
    layer = td.layers.Dense(200)
    layer.build((None, 300))
    kernel, bias = layer.get_weights()
    limit = np.sqrt(6 / 500)
    assert np.abs(kernel).max() <= limit
    # The variance limit^2 / 3 of 60,000 uniform numbers has a standard error of 0.37 %.
    assert kernel.var() == pytest.approx(limit**2 / 3, rel=4 * 0.0037)
    np.testing.assert_array_equal(bias, np.zeros(200))


def test_initializers_are_given_shape_dtype_and_layer(backend: str) -> None:
    seen = {}

    def sevens(shape, dtype=None, layer=None):
        seen.update(shape=shape, dtype=dtype, layer=layer)
        return np.full(shape, 7, dtype)

    layer = td.layers.Dense(2, kernel_initializer=sevens, bias_initializer="ones", dtype="float64")
    layer.build((None, 3))
    assert seen == {"shape": (3, 2), "dtype": "float64", "layer": layer}
    np.testing.assert_array_equal(layer.kernel.numpy(), np.full((3, 2), 7.0))
    np.testing.assert_array_equal(layer.bias.numpy(), [1.0, 1.0])


def test_regularizers_reach_the_losses(backend: str) -> None:
    layer = dense(
        3, 4, kernel_regularizer=td.regularizers.L2(0.5), bias_regularizer="l1",
        activity_regularizer=td.regularizers.L1(0.25),
    )  # fmt: skip
    kernel, bias = layer.get_weights()
    weights = [0.5 * (kernel**2).sum(), 0.01 * np.abs(bias).sum()]
    assert [loss.item() for loss in layer.losses] == pytest.approx(weights, rel=1e-5)
    x = normal(5, 4)
    outputs = layer(x).numpy()
    # The penalty of the outputs is one of a sample, as in Keras.
    expected = [0.25 * np.abs(outputs).sum() / 5, *weights]
    assert [loss.item() for loss in layer.losses] == pytest.approx(expected, rel=1e-5)
    assert all(loss.shape == () for loss in layer.losses)
    (slope,) = td.grad(layer.losses[1], [layer.kernel])
    np.testing.assert_allclose(slope.numpy(), kernel, rtol=1e-6)
    layer.trainable = False
    layer(x)
    assert len(layer.losses) == 1


def test_constraints_are_applied_after_an_update(backend: str) -> None:
    layer = dense(3, 4, kernel_constraint="non_neg", bias_constraint=td.constraints.MaxNorm(0.5))
    before = layer.get_weights()
    zeros = [td.zeros_like(w) for w in layer.trainable_weights]
    td.optimizers.SGD(0.1).apply(zeros, layer.trainable_weights)
    np.testing.assert_array_equal(layer.kernel.numpy(), np.maximum(before[0], 0))
    np.testing.assert_allclose(np.linalg.norm(layer.bias.numpy()), 0.5, rtol=1e-6)


def test_dense_in_float64(backend: str) -> None:
    layer = dense(3, 4, dtype="float64")
    assert {w.dtype for w in layer.weights} == {np.dtype(np.float64)}
    kernel, bias = layer.get_weights()
    for x in (normal(5, 4), normal(5, 4).astype(np.float32), td.random.generator().integers(0, 9, (5, 4), np.uint8)):
        found = layer(x)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.numpy(), x @ kernel + bias, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("wrong", [(5, 3), (5, 5), (5, 4, 3), (4,), (0, 3)])
def test_dense_refuses_another_number_of_features(backend: str, wrong: tuple[int, ...]) -> None:
    layer = td.layers.Dense(2, name="hidden")
    layer(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"^Dense 'hidden' was built for 4 features and got inputs of shape \("):
        layer(np.zeros(wrong))


def test_dense_refuses_inputs_without_features(backend: str) -> None:
    layer = td.layers.Dense(2, name="hidden")
    for shape in ((4,), (3, None)):
        with pytest.raises(
            ValueError, match=r"^Dense 'hidden' takes inputs of shape \(batch, features\); it was built f"
        ):
            layer(np.zeros(shape)) if None not in shape else layer.build(shape)
    with pytest.raises(ValueError, match=r"^layer 'hidden': an input has at least the batch's axis; this one is 0-d"):
        layer(np.float32(1.0))
    assert not layer.built
    assert layer(np.zeros((3, 4))).shape == (3, 2)


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", None, True])
def test_units_are_a_positive_integer(units: Any) -> None:
    with pytest.raises(ValueError, match=r"^Dense 'd': units must be an integer of at least 1, not "):
        td.layers.Dense(units, name="d")


def test_units_may_be_numpy_s_integer(backend: str) -> None:
    layer = td.layers.Dense(np.int64(3))
    assert layer(np.zeros((2, 4))).shape == (2, 3)
    assert type(layer.get_config()["units"]) is int


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        ("activation", "activation"),
        ("kernel_initializer", "initializer"),
        ("bias_regularizer", "regularizer"),
        ("kernel_constraint", "constraint"),
    ],
)
def test_unknown_names(argument: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"^Dense '.*': {argument}: 'unheard_of' is not a known {kind}"):
        td.layers.Dense(3, **{argument: "unheard_of"})


# -- Flatten -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2,), (0, 3, 4), (2, 0)])
def test_flatten_keeps_the_batch_and_the_order(backend: str, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    layer, expected = td.layers.Flatten(), x.reshape(len(x), int(np.prod(shape[1:])))
    np.testing.assert_array_equal(layer(x).numpy(), expected)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, expected.shape[1])
    assert layer.weights == []


def test_flatten_of_a_transposed_input_and_its_gradient(backend: str) -> None:
    x = td.tensor(normal(4, 3, 2).astype(np.float32), requires_grad=True)
    found = td.layers.Flatten()(x.T)
    np.testing.assert_array_equal(found.numpy(), x.numpy().T.reshape(2, 12))
    cotangent = np.arange(24, dtype=np.float32).reshape(2, 12)
    (slope,) = td.grad((found * cotangent).sum(), [x])
    np.testing.assert_array_equal(slope.numpy(), cotangent.reshape(2, 3, 4).T)


def test_flatten_of_an_unknown_length_and_of_integers(backend: str) -> None:
    layer = td.layers.Flatten()
    assert layer.compute_output_shape((None, None, 4)) == (None, None)
    assert layer(np.zeros((2, 3, 3), np.uint8)).dtype == np.uint8


# -- Activation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["elu", td.activations.elu, lambda x: td.where(x > 0, x, td.expm1(x))])
def test_activation_layer_applies_the_function(backend: str, activation: Any) -> None:
    x = normal(3, 4)
    layer = td.layers.Activation(activation)
    np.testing.assert_allclose(layer(x).numpy(), np.where(x > 0, x, np.expm1(x)), rtol=1e-5)
    assert layer.compute_output_shape((None, 4)) == (None, 4)


def test_activation_of_none_is_linear(backend: str) -> None:
    layer = td.layers.Activation(None)
    x = np.float32(normal(3, 4))
    np.testing.assert_array_equal(layer(x).numpy(), x)
    assert layer.get_config()["activation"] == "linear"


# -- InputLayer ----------------------------------------------------------------------------------------------------


def test_input_layer_says_a_shape_and_passes_its_inputs_on(backend: str) -> None:
    layer, x = td.layers.InputLayer((2, None), batch_size=8), np.float32(normal(3, 2, 5))
    assert (layer.shape, layer.batch_shape) == ((2, None), (8, 2, None))
    assert td.layers.InputLayer(shape=[28, 28]).batch_shape == (None, 28, 28)
    assert td.layers.InputLayer(input_shape=[28]).batch_shape == (None, 28)
    np.testing.assert_array_equal(layer(x).numpy(), x)
    assert layer.compute_output_shape((None, 2, 5)) == (None, 2, 5)


@pytest.mark.parametrize("arguments", [{}, {"shape": 784}, {"shape": (28, -1)}, {"input_shape": "28"}])
def test_input_layer_without_a_shape(arguments: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"^InputLayer 'i': shape is a tuple of lengths, each an integer of at least 0"
    ):
        td.layers.InputLayer(name="i", **arguments)


def test_an_activation_that_changes_the_shape_says_so(backend: str) -> None:
    layer = td.layers.Activation("glu")
    assert layer.compute_output_shape((None, 6)) == (None, 3)
    assert td.layers.Activation("relu").compute_output_shape((None, None, 6)) == (None, None, 6)
    model = td.Sequential([td.layers.InputLayer(shape=(6,)), layer, td.layers.Dense(2)])
    assert model.layers[1].kernel.shape == (3, 2)
    assert model(np.ones((4, 6))).shape == (4, 2)
