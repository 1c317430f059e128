"""Conv2D and ZeroPadding2D: Keras's values and gradients, weights, shapes, errors, and a network that learns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn.testing import check_grads

GOLDEN = storage.load("convolution")
CASES = {name: case for name, case in GOLDEN.cases.items() if case["class"] in ("Conv2D", "ZeroPadding2D")}
TOLERANCE = 2e-5


def normal(*shape: int) -> np.ndarray:
    return td.random.generator().normal(size=shape)


def close(found: td.Tensor, expected: np.ndarray) -> bool:
    same = (found.shape, found.dtype) == (expected.shape, expected.dtype)
    return same and bool(np.linalg.norm(found.numpy() - expected) <= TOLERANCE * np.linalg.norm(expected))


# -- against Keras -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_keras_s(backend: str, name: str) -> None:
    case = CASES[name]
    layer = getattr(td.layers, case["class"])(**case["config"])
    layer.build((None, *GOLDEN.inputs["x"].shape[1:]))
    assert {w.name for w in layer.weights} == {key for key in case if key in ("kernel", "bias")}
    layer.set_weights([case[w.name] for w in layer.weights])
    x = td.tensor(GOLDEN.inputs["x"], requires_grad=True)
    out = layer(x)
    assert close(out, case["out"])
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *case["out"].shape[1:])
    for wanted, found in zip(
        ["x", *(w.name for w in layer.weights)],
        td.grad((out * case["cotangent"]).sum(), [x, *layer.trainable_weights]),
        strict=True,
    ):
        assert close(found, case[f"grad_{wanted}"])


# -- Conv2D --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [None, "tanh"])
def test_gradients_are_those_of_finite_differences(backend: str, activation: Any) -> None:
    layer = td.layers.Conv2D(2, (2, 1), strides=(1, 2), padding="same", activation=activation, dtype="float64")
    layer.build((None, 3, 3, 2))

    def call(x: td.Tensor, kernel: td.Tensor, bias: td.Tensor) -> td.Tensor:
        layer.__dict__.update(kernel=kernel, bias=bias)  # setting them is refused: they are weights
        return layer.call(x)

    check_grads(call, [normal(1, 3, 3, 2), normal(2, 1, 2, 2), normal(2)])


def test_strides_and_dilation_may_go_together(backend: str) -> None:
    x = normal(2, 9, 9, 1).astype(np.float32)
    both = td.layers.Conv2D(3, 3, strides=2, dilation_rate=2)
    alone = td.layers.Conv2D(3, 3, dilation_rate=2)
    both.build((None, 9, 9, 1))
    alone.build((None, 9, 9, 1))
    alone.set_weights(both.get_weights())
    np.testing.assert_allclose(both(x).numpy(), alone(x).numpy()[:, ::2, ::2], rtol=1e-6, atol=1e-6)


def test_a_kernel_of_one_element_is_a_dense_layer_at_each_place(backend: str) -> None:
    x = normal(2, 3, 4, 5).astype(np.float32)
    conv, dense = td.layers.Conv2D(6, 1), td.layers.Dense(6)
    conv.build((None, 3, 4, 5))
    dense.build((None, 5))
    kernel, bias = dense.get_weights()
    conv.set_weights([kernel[None, None], bias])
    np.testing.assert_allclose(conv(x).numpy(), dense(x).numpy(), rtol=1e-5, atol=1e-6)


def test_defaults_are_glorot_uniform_over_the_receptive_field_and_zeros(backend: str) -> None:
    layer = td.layers.Conv2D(64, (5, 3))
    layer.build((None, 28, 28, 32))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (5, 3, 32, 64)
    assert not bias.any()
    limit = np.sqrt(6 / (15 * (32 + 64)))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    # The variance limit^2 / 3 of 30,720 uniform numbers has a standard error of 0.51 %.
    assert kernel.var() == pytest.approx(limit**2 / 3, rel=4 * 0.0051)


def test_he_normal_keeps_the_variance_through_relu_layers(backend: str) -> None:
    x = td.tensor(normal(4, 24, 24, 8).astype(np.float32))
    for seed in range(3):
        initializer = td.initializers.HeNormal(seed=seed)
        x = td.layers.Conv2D(64, 3, activation="relu", kernel_initializer=initializer)(x)
    # He's promise: the mean square after ReLU stays that of the first input, 1; over few layers, within a third.
    assert 0.67 < float((x * x).mean()) < 1.5


def test_penalties_constraints_and_trainable(backend: str) -> None:
    layer = td.layers.Conv2D(
        2, 2, kernel_regularizer="l2", bias_regularizer="l1", kernel_constraint="non_neg", bias_constraint="max_norm",
        activity_regularizer="l2",
    )  # fmt: skip
    out = layer(normal(3, 4, 4, 1).astype(np.float32))
    kernel, bias = layer.weights
    activity, of_kernel, of_bias = layer.losses
    assert activity.item() == pytest.approx(0.01 * float((out * out).sum()) / 3, rel=1e-5)
    assert of_kernel.item() == pytest.approx(0.01 * float((kernel * kernel).sum()), rel=1e-5)
    assert of_bias.item() == 0.0
    assert (kernel.constraint(kernel).numpy() >= 0).all()
    assert type(bias.constraint) is td.constraints.MaxNorm
    layer.trainable = False
    assert not layer.trainable_weights


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        ("ZeroPadding2D", {"padding": [[1, 0], [2, 3]]}),
        ("Conv2D", {"filters": 2, "kernel_size": [2, 2], "name": "mine", "input_shape": [5, 5, 1]}),
        (
            "Conv2D",
            {
                "filters": 3, "kernel_size": [3, 2], "strides": [2, 1], "padding": "same", "dilation_rate": [1, 2],
                "groups": 1, "data_format": "channels_last", "activation": "elu", "use_bias": True,
                "kernel_initializer": {"class_name": "henormal", "config": {"seed": 3}},
                "bias_initializer": {"class_name": "constant", "config": {"value": 2.0}},
                "kernel_regularizer": {"class_name": "l2", "config": {"l2": 0.5}},
                "bias_regularizer": {"class_name": "l1", "config": {"l1": 0.5}},
                "kernel_constraint": {"class_name": "maxnorm", "config": {"max_value": 3.0, "axis": [0, 1, 2]}},
                "bias_constraint": "nonneg", "activity_regularizer": {"class_name": "l1", "config": {"l1": 0.5}},
            },
        ),
    ],
)  # fmt: skip
def test_configuration_goes_through_json(backend: str, cls: str, arguments: dict[str, Any]) -> None:
    layer = getattr(td.layers, cls)(**arguments)
    config = json.loads(json.dumps(layer.get_config()))
    assert config == layer.get_config()
    for key, given in arguments.items():
        # A name comes back as a name, or as a configuration with the defaults spelt out.
        assert config[key] == given or (isinstance(given, str) and config[key]["class_name"] == given)
    again = getattr(td.layers, cls).from_config(config)
    assert again.get_config() == config
    x = normal(2, 5, 5, 1).astype(np.float32)
    for each in (layer, again):
        each.ensure_built((None, 5, 5, 1))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())
    assert [loss.item() for loss in again.losses] == [loss.item() for loss in layer.losses]


def test_unknown_lengths_stay_unknown() -> None:
    layer = td.layers.Conv2D(4, 3, strides=2, padding="same")
    assert layer.compute_output_shape((None, None, 9, 3)) == (None, None, 5, 4)
    assert td.layers.ZeroPadding2D(1).compute_output_shape((None, None, 9, 3)) == (None, None, 11, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters must be an integer of at least 1, not 0"),
        ({"filters": 2.5}, r"filters must be an integer of at least 1, not 2\.5"),
        ({"kernel_size": 0}, "kernel_size must be a positive integer, or a pair of them for rows and columns, not 0"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size must be .*, not \(3, 3, 3\)"),
        ({"strides": "2"}, "strides must be .*, not '2'"),
        ({"dilation_rate": (1, -1)}, r"dilation_rate must be .*, not \(1, -1\)"),
        ({"padding": "causal"}, "padding must be 'valid' or 'same', not 'causal'"),
        ({"groups": 2}, "groups must be 1, not 2; for several, split the channels"),
        ({"data_format": "channels_first"}, "data_format must be 'channels_last', .*, not 'channels_first'"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^Conv2D 'conv':? {message}"):
        td.layers.Conv2D(**{"filters": 2, "kernel_size": 3, "name": "conv", **arguments})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 28, 28), r"takes images of shape \(batch, height, width, channels\), not \(2, 28, 28\); add an axis"),
        ((2, 28), r"takes images of shape .*, not \(2, 28\)\.$"),
        ((2, 28, 28, 3), r"was built for images of 1 channels and got inputs of shape \(2, 28, 28, 3\)"),
        ((2, 2, 28, 1), "a window that spans 3 does not fit an axis of length 2"),
    ],
)
def test_inputs_that_do_not_fit(backend: str, shape: tuple[int, ...], message: str) -> None:
    layer = td.layers.Conv2D(2, 3, name="conv")
    layer.build((None, 28, 28, 1))
    with pytest.raises(ValueError, match=f"^Conv2D 'conv':? {message}"):
        layer(np.zeros(shape))


def test_the_number_of_channels_must_be_known() -> None:
    with pytest.raises(ValueError, match=r"^Conv2D 'conv' must know the number of channels"):
        td.layers.Conv2D(2, 3, name="conv").build((None, 28, 28, None))


@pytest.mark.parametrize("padding", [-1, 1.5, (1, 2, 3), ((1, 2), 3, 4), "same", True, ((1, -1), (0, 0))])
def test_zero_padding_out_of_range(padding: Any) -> None:
    with pytest.raises(ValueError, match=r"^ZeroPadding2D 'pad': padding must be an integer of at least 0, \(rows, co"):
        td.layers.ZeroPadding2D(padding, name="pad")


def test_zero_padding_keeps_what_it_surrounds(backend: str) -> None:
    x = normal(2, 3, 4, 2)
    found = td.layers.ZeroPadding2D(((1, 0), (2, 3)), dtype="float64")(x).numpy()
    np.testing.assert_array_equal(found[:, 1:, 2:-3], x)
    assert np.count_nonzero(found) == x.size


# -- a network -----------------------------------------------------------------------------------------------------


def test_a_small_network_learns_clothes_from_600_images() -> None:
    (x, y), (x_test, y_test) = td.datasets.sample.load_data()
    x, x_test = x[:600, ..., None] / np.float32(255), x_test[..., None] / np.float32(255)
    layers = td.layers
    model = td.models.Sequential(
        [
            layers.InputLayer(shape=(28, 28, 1)),
            layers.Conv2D(8, 5, strides=2, padding="same", activation="relu", kernel_initializer="he_normal"),
            layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer="he_normal"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer=td.optimizers.Nadam(3e-3), metrics=["accuracy"])
    model.fit(x, y[:600], epochs=8, batch_size=32, verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    assert accuracy > 0.77  # five seeds give 0.789 to 0.805
