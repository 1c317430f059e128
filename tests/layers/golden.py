"""The golden values of small layers, and the comparison of a layer with them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.golden import storage

CASES = storage.load("layers").cases
# Of the norm; what is exact is compared exactly.
TOLERANCE = 2e-6


def cases(*layers: str) -> list[str]:
    """Return the names of these layers' cases."""
    found = [name for name, case in CASES.items() if case["layer"] in layers]
    assert {CASES[name]["layer"] for name in found} == set(layers)
    return found


def made(name: str) -> td.layers.Layer:
    """Return the layer of a case with its weights."""
    case = CASES[name]
    layer = getattr(td.layers, case["layer"])(**case["config"])
    if "data" in case:
        layer.adapt(case["data"])
    shapes = [(None, *shape[1:]) for shape in case.get("shapes") or [case["shape"]]]
    layer.ensure_built(shapes if "shapes" in case else shapes[0])
    for weight in layer.trainable_weights:
        assert weight.shape == case[weight.name].shape
        weight.assign(case[weight.name])
    return layer


def assert_close(found: Any, expected: np.ndarray) -> None:
    """Compare within TOLERANCE of the norm."""
    assert found.shape == expected.shape
    assert np.linalg.norm(np.asarray(found) - expected) <= TOLERANCE * np.linalg.norm(expected)


def assert_as_recorded(name: str) -> None:
    """Compare a layer's outputs, their shape, and its gradients with those of a case."""
    case, layer = CASES[name], made(name)
    assert_made_again(layer, case["config"])
    inputs = [td.tensor(case[key], requires_grad=True) for key in case if key[0] == "x"]
    outputs = layer(inputs if "shapes" in case else inputs[0])
    assert_close(outputs, case["out"])
    unknown = [(None, *x.shape[1:]) for x in inputs]
    assert layer.compute_output_shape(unknown if "shapes" in case else unknown[0]) == (None, *outputs.shape[1:])
    weights = layer.trainable_weights
    names = [f"grad_x{i}" for i in range(len(inputs))] + [f"grad_{weight.name}" for weight in weights]
    assert set(names) == {key for key in case if key.startswith("grad_")}
    for key, gradient in zip(names, td.grad((outputs * case["cotangent"]).sum(), [*inputs, *weights]), strict=True):
        assert_close(gradient, case[key])


def assert_made_again(layer: td.layers.Layer, given: dict[str, Any]) -> td.layers.Layer:
    """Check that a layer's configuration holds what was given, and through JSON makes the same; return that."""
    config = layer.get_config()
    for key, value in given.items():
        assert config[key] in (value, [value])
    again = type(layer).from_config(json.loads(json.dumps(config)))
    named = td.layers.get(json.loads(json.dumps(td.registry.layers.serialize(layer))))
    assert type(named) is type(layer)
    assert again.get_config() == named.get_config() == config
    return again
