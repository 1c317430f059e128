"""MaxPooling2D, AveragePooling2D and GlobalAveragePooling2D: Keras's values and gradients, shapes, errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn.testing import check_grads

GOLDEN = storage.load("convolution")
CASES = {name: case for name, case in GOLDEN.cases.items() if "Pooling" in case["class"]}
TOLERANCE = 2e-5
POOLING = [td.layers.MaxPooling2D, td.layers.AveragePooling2D]


def close(found: td.Tensor, expected: np.ndarray) -> bool:
    same = (found.shape, found.dtype) == (expected.shape, expected.dtype)
    return same and bool(np.linalg.norm(found.numpy() - expected) <= TOLERANCE * np.linalg.norm(expected))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_keras_s(backend: str, name: str) -> None:
    case = CASES[name]
    layer = getattr(td.layers, case["class"])(**case["config"])
    x = td.tensor(GOLDEN.inputs["x"], requires_grad=True)
    out = layer(x)
    assert close(out, case["out"])
    assert close(td.grad((out * case["cotangent"]).sum(), x), case["grad_x"])
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *case["out"].shape[1:])
    assert not layer.weights


@pytest.mark.parametrize("layer", [*(cls(2, 1, dtype="float64") for cls in POOLING), *(
    td.layers.GlobalAveragePooling2D(keepdims=keepdims, dtype="float64") for keepdims in (False, True)
)], ids=repr)  # fmt: skip
def test_gradients_are_those_of_finite_differences(backend: str, layer: td.layers.Layer) -> None:
    x = np.linspace(-1, 1, 24).reshape(2, 3, 2, 2) ** 3
    check_grads(lambda x: layer.call(x) ** 2, [x])


@pytest.mark.parametrize("cls", POOLING)
def test_strides_are_the_windows_by_default(cls: Any) -> None:
    layer = cls()
    assert (layer.pool_size, layer.strides, layer.padding) == ((2, 2), (2, 2), "valid")
    assert cls((3, 2)).strides == (3, 2)
    assert cls(3, strides=1).strides == (1, 1)
    assert layer.compute_output_shape((None, None, 7, 3)) == (None, None, 3, 3)
    assert cls(padding="SAME").compute_output_shape((None, None, 7, 3)) == (None, None, 4, 3)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (POOLING[0], {"pool_size": [3, 2], "strides": [1, 2], "padding": "same", "data_format": "channels_last"}),
        (POOLING[1], {"pool_size": [2, 2], "name": "mine"}),
        (td.layers.GlobalAveragePooling2D, {"keepdims": True, "dtype": "float64"}),
    ],
)
def test_configuration_goes_through_json(cls: Any, arguments: dict[str, Any]) -> None:
    layer = cls(**arguments)
    config = json.loads(json.dumps(layer.get_config()))
    assert config == layer.get_config()
    assert {key: config[key] for key in arguments} == arguments
    assert cls.from_config(config).get_config() == config
    assert type(td.layers.get(json.loads(json.dumps(td.registry.layers.serialize(layer))))) is cls


def test_elements_that_tie_share_the_gradient(backend: str) -> None:
    x = td.tensor(np.array([[1.0, 1.0], [0.0, 1.0]]).reshape(1, 2, 2, 1), requires_grad=True)
    found = td.grad(td.layers.MaxPooling2D(dtype="float64")(x).sum(), x)
    np.testing.assert_allclose(found.numpy()[0, :, :, 0], [[1 / 3, 1 / 3], [0, 1 / 3]])


def test_bytes_become_the_layers_dtype(backend: str) -> None:
    x = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    for cls in (*POOLING, td.layers.GlobalAveragePooling2D):
        assert cls()(x).dtype == np.float32
    assert td.layers.GlobalAveragePooling2D()(x).tolist() == [[7.5]]


def test_keras_s_other_names() -> None:
    assert td.layers.MaxPool2D is td.layers.MaxPooling2D
    assert td.layers.AvgPool2D is td.layers.AveragePooling2D
    assert td.layers.GlobalAvgPool2D is td.layers.GlobalAveragePooling2D
    assert type(td.layers.get("max_pooling2d")) is td.layers.MaxPooling2D


@pytest.mark.parametrize("cls", POOLING)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_size": 0}, "pool_size must be a positive integer, or a pair of them for rows and columns, not 0"),
        ({"strides": (1, 2, 3)}, r"strides must be .*, not \(1, 2, 3\)"),
        ({"padding": "full"}, "padding must be 'valid' or 'same', not 'full'"),
        ({"data_format": "channels_first"}, "data_format must be 'channels_last', .*, not 'channels_first'"),
    ],
)
def test_arguments_out_of_range(cls: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{cls.__name__} 'pool': {message}"):
        cls(name="pool", **arguments)


@pytest.mark.parametrize("cls", POOLING)
def test_inputs_that_do_not_fit(backend: str, cls: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{cls.__name__} 'pool' takes images of shape .*, not \(2, 8\)\.$"):
        cls(name="pool")(np.zeros((2, 8)))
    with pytest.raises(ValueError, match=rf"^{cls.__name__} 'pool': a window that spans 9 does not fit an axis of len"):
        cls(9, name="pool")(np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"^GlobalAveragePooling2D 'pool' takes images of shape"):
        td.layers.GlobalAveragePooling2D(name="pool")(np.zeros((2, 8, 8)))
