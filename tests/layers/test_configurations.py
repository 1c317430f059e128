"""What a layer of a dense network is made from again: its configuration through JSON, its name, the registry."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

CONFIGURED: list[tuple[str, dict[str, Any]]] = [
    ("InputLayer", {"shape": [2, None], "batch_size": 4}),
    ("Flatten", {"input_shape": [2, 3]}),
    ("Activation", {"activation": "selu", "trainable": False}),
    ("Dense", {"units": 3, "dtype": "float64", "name": "other"}),
    (
        "Dense",
        {
            "units": 3, "activation": "elu", "use_bias": False, "input_shape": [4], "activity_regularizer": "l1",
            "kernel_initializer": {"class_name": "henormal", "config": {"seed": 3}},
            "bias_initializer": {"class_name": "constant", "config": {"value": 2.0}},
            "kernel_regularizer": {"class_name": "l2", "config": {"l2": 0.5}},
            "kernel_constraint": {"class_name": "maxnorm", "config": {"max_value": 3.0, "axis": [0]}},
        },
    ),
    (
        "BatchNormalization",
        {
            "axis": 1, "momentum": 0.5, "epsilon": 0.25, "center": False, "scale": True, "gamma_regularizer": "l2",
            "gamma_initializer": {"class_name": "constant", "config": {"value": 0.5}}, "gamma_constraint": "nonneg",
        },
    ),
    (
        "BatchNormalization",
        {
            "epsilon": 0.0, "moving_mean_initializer": {"class_name": "constant", "config": {"value": 2.0}},
            "moving_variance_initializer": {"class_name": "constant", "config": {"value": 3.0}},
            "beta_initializer": {"class_name": "constant", "config": {"value": 4.0}}, "beta_constraint": "nonneg",
            "beta_regularizer": "l1",
        },
    ),
    ("Dropout", {"rate": 0.25, "noise_shape": [None, 1], "seed": 7}),
    ("AlphaDropout", {"rate": 0.25, "seed": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "arguments"), CONFIGURED, ids=lambda x: x if isinstance(x, str) else None)
def test_configuration_goes_through_json(backend: str, cls: str, arguments: dict[str, Any]) -> None:
    layer = getattr(td.layers, cls)(**arguments)
    config = layer.get_config()
    assert json.loads(json.dumps(config)) == config
    for key, given in arguments.items():
        found = config[key]
        # A name comes back as a name, or as a configuration with the defaults spelt out.
        assert found == given or (isinstance(given, str) and found["class_name"] == given)
    again = getattr(td.layers, cls).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert again.name == layer.name
    named = td.layers.get(json.loads(json.dumps(td.registry.layers.serialize(layer))))
    assert type(named) is type(layer)
    assert named.get_config() == config
    x = td.random.generator(1).normal(size=(5, 4)).astype(np.float32)
    if cls == "Dense":
        # Not seeded, the kernels differ; all else is the same.
        for each in (layer, again):
            each.build((None, 4))
        again.set_weights(layer.get_weights())
    for training in (True, False):
        np.testing.assert_array_equal(again(x, training=training).numpy(), layer(x, training=training).numpy())
    assert [loss.item() for loss in again.losses] == [loss.item() for loss in layer.losses]


def test_a_subclass_extends_the_configuration() -> None:
    class Power(td.layers.Layer):
        def __init__(self, exponent, **kwargs):
            super().__init__(**kwargs)
            self.exponent = exponent

        def call(self, inputs):
            return inputs**self.exponent

        def get_config(self):
            return {**super().get_config(), "exponent": self.exponent}

    layer = Power.from_config(json.loads(json.dumps(Power(2, name="square").get_config())))
    assert (layer.name, layer.exponent) == ("square", 2)
    assert layer([[3.0]]).tolist() == [[9.0]]


def test_names_are_unique_and_layers_are_known_by_name() -> None:
    first, second = td.layers.Dense(1), td.layers.Dense(1)
    assert first.name != second.name
    assert td.layers.Dense(1, name="mine").name == "mine"
    assert repr(first) == f"<Dense name={first.name}, built=False>"
    assert type(td.layers.get("batch_normalization")) is td.layers.BatchNormalization
    assert td.layers.get(first) is first
    with pytest.raises(ValueError, match=r"^'dens' is not a known layer\. Did you mean 'dense'"):
        td.layers.get("dens")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtype": "floaty"}, TypeError, "layer 'own': dtype must be a numeric type, not 'floaty'"),
        ({"input_shape": 784}, ValueError, "layer 'own': input_shape is a tuple of lengths"),
        ({"activity_regularizer": "l3"}, ValueError, "layer 'own': activity_regularizer: 'l3' is not a known"),
    ],
)
def test_arguments_of_every_layer(arguments: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        td.layers.Flatten(name="own", **arguments)
