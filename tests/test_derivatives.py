"""Derivatives of everything registered: two orders against finite differences, and finite at extreme numbers.

What is registered, now or later, is found by its registry and tested on inputs that most take.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.testing import check_grads

EXTREMES = np.array([0.0, 1.0, -1.0, 1e3, -1e3, 1e4, -1e4, 0.0], np.float32)
# Arguments that have no default, by their names.
ARGUMENTS: dict[str, Any] = {
    "activation": "elu", "default_value": -2.0, "dims": (1,), "factor": 0.25, "filters": 2, "function": td.tanh,
    "height": 3, "height_factor": 0.25, "kernel_size": 2, "n": 2, "operation": "tanh", "rate": 0.25, "scale": 2.0,
    "shape": (4,), "stddev": 0.25, "target_shape": (-1,), "threshold": 1.0, "units": 3, "width": 3,
    "width_factor": 0.25,
}  # fmt: skip
# The first of these inputs that a layer takes is its: features, a sequence, images, several inputs.
SHAPES: list[Any] = [(3, 4), (2, 3, 4), (2, 3, 4, 2), [(3, 4), (3, 4)]]
# exp(1e3) is no number of float32.
UNBOUNDED = {"exponential"}
# The logarithm of a prediction below 0 is none, in Keras either.
NOT_BELOW_ZERO = {"poisson", "poisson_loss"}


def registered(kind: str) -> dict[str, Any]:
    """Return the classes and functions that are registered, by name."""
    registry = getattr(td.registry, kind)
    return {name: registry._entry(name).obj for name in registry.names()}


ACTIVATIONS, REGULARIZERS = registered("activations"), registered("regularizers")
LOSSES, LAYERS = registered("losses"), registered("layers")


def made(thing: Any, own: int = 0, **options: Any) -> Any:
    """Return an object of a class, or a function of its first ``own`` arguments, the others having values."""
    parameters = list(inspect.signature(thing).parameters.items())[0 if isinstance(thing, type) else own :]
    missing = [key for key, p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    assert set(missing) <= set(ARGUMENTS), f"ARGUMENTS needs values for {missing}, arguments of {thing.__name__}"
    options |= {key: ARGUMENTS[key] for key in missing} | ({"shape": (4,)} if thing is td.layers.InputLayer else {})
    return thing(**options) if isinstance(thing, type) else functools.partial(thing, **options)


def assert_finite(outputs: td.Tensor, sources: list[td.Tensor]) -> None:
    """Check that values and two derivatives, each weighed by numbers that differ, are finite."""
    found: list[td.Tensor | None] = [outputs]
    for order in range(3):
        values = [value for value in found if value is not None]
        assert all(np.isfinite(value.numpy()).all() for value in values), f"derivative {order}"
        values = [value for value in values if value.requires_grad]
        if order == 2 or not values:
            break
        weights = [td.tensor(np.linspace(0.5, 1.5, v.size).reshape(v.shape), v.dtype) for v in values]
        found = td.grad(values, sources, grad_outputs=weights, create_graph=True, allow_unused=True)


# -- activations, regularizers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_by_finite_differences(backend: str, name: str) -> None:
    check_grads(made(ACTIVATIONS[name], own=1), [np.array([[-7.3, -2.1, -0.4, 0.3], [0.9, 1.4, 2.3, 7.7]])])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_at_extreme_numbers(backend: str, name: str) -> None:
    points = EXTREMES if name not in UNBOUNDED else EXTREMES[EXTREMES < 80]
    for rows in (points[None], points[:, None].repeat(2, axis=1)):
        x = td.tensor(rows, requires_grad=True)
        assert_finite(made(ACTIVATIONS[name], own=1)(x), [x])


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizer_by_finite_differences(backend: str, name: str) -> None:
    check_grads(made(REGULARIZERS[name]), [np.random.default_rng(0).normal(size=(4, 3))])


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizer_at_extreme_numbers(backend: str, name: str) -> None:
    penalty = made(REGULARIZERS[name])
    for values in (EXTREMES.reshape(4, 2), np.zeros((3, 2)), *(np.full((3, 2), v) for v in EXTREMES)):
        weight = td.tensor(values, "float32", requires_grad=True)
        assert_finite(penalty(weight), [weight])


# -- losses ------------------------------------------------------------------------------------------------------------


def targets(name: str, rows: int) -> np.ndarray:
    """Return the targets of a loss: nine tenths a class for each row, or its number where the loss is a sparse one."""
    labels = np.arange(rows) % 3
    return labels if "sparse" in name else 0.85 * np.eye(3)[labels] + 0.05


@pytest.mark.parametrize("name", LOSSES)
def test_loss_by_finite_differences(backend: str, name: str) -> None:
    drawn = np.random.default_rng(1).uniform(0.05, 0.9, size=(5, 3))
    predictions = drawn / drawn.sum(axis=1, keepdims=True)
    check_grads(functools.partial(made(LOSSES[name], own=2), targets(name, 5)), [predictions])
    if "from_logits" in inspect.signature(LOSSES[name]).parameters:
        logits = np.random.default_rng(2).normal(size=(5, 3))
        check_grads(functools.partial(made(LOSSES[name], own=2, from_logits=True), targets(name, 5)), [logits])


@pytest.mark.parametrize("name", LOSSES)
def test_loss_at_extreme_numbers(backend: str, name: str) -> None:
    options = {"from_logits": True} if "from_logits" in inspect.signature(LOSSES[name]).parameters else {}
    # Every number beside every other, for each class.
    points = np.abs(EXTREMES) if name in NOT_BELOW_ZERO else EXTREMES
    rows = np.array([[a, b, a] for a in points for b in points for _ in range(3)], np.float32)
    x = td.tensor(rows, requires_grad=True)
    assert_finite(made(LOSSES[name], own=2, **options)(targets(name, len(rows)), x), [x])


# -- layers ------------------------------------------------------------------------------------------------------------


def drawn(shape: Any) -> list[np.ndarray]:
    """Return inputs of a shape, or of each of several."""
    random = np.random.default_rng(3)
    return [random.normal(0.3, 1.5, size=each) for each in (shape if isinstance(shape, list) else [shape])]


def built(name: str, dtype: str) -> tuple[td.layers.Layer, list[np.ndarray]]:
    """Return a registered layer with random weights, and inputs that it takes."""
    refusals = []
    for shape in SHAPES:
        layer, inputs = made(LAYERS[name], dtype=dtype), drawn(shape)
        try:
            layer(inputs if len(inputs) > 1 else inputs[0])
        except ValueError as error:
            refusals.append(str(error))
            continue
        random = np.random.default_rng(4)
        for weight in layer.trainable_weights:
            weight.assign(random.normal(0.5, 0.5, size=weight.shape))
        return layer, inputs
    raise AssertionError(f"SHAPES has no inputs for the layer {name}: {refusals}")


class Function:
    """A layer as a function of its inputs and its trainable weights, which draws the same at each call."""

    def __init__(self, layer: td.layers.Layer, inputs: int, training: bool) -> None:
        self.layer, self.inputs, self.training = layer, inputs, training
        self.names = [weight.name for weight in layer.trainable_weights]
        generators = layer._parts().generators.values()
        self.states = [(generator.state, generator.state.numpy()) for generator in generators]

    def __call__(self, *tensors: td.Tensor) -> td.Tensor:
        for state, first in self.states:
            state.assign(first)
        # Setting them is refused: they are weights.
        self.layer.__dict__.update(zip(self.names, tensors[self.inputs :], strict=True))
        given = tensors[: self.inputs]
        return self.layer(list(given) if self.inputs > 1 else given[0], training=self.training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_by_finite_differences(backend: str, name: str, training: bool) -> None:
    layer, inputs = built(name, "float64")
    function = Function(layer, len(inputs), training)
    check_grads(function, [*inputs, *(weight.numpy() for weight in layer.trainable_weights)])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_at_extreme_numbers(backend: str, name: str, training: bool) -> None:
    layer, inputs = built(name, "float32")
    constant = [[np.full(x.shape, value) for x in inputs] for value in EXTREMES]
    for values in ([np.resize(EXTREMES, x.shape) for x in inputs], *constant):
        tensors = [td.tensor(value, "float32", requires_grad=True) for value in values]
        outputs = layer(tensors if len(tensors) > 1 else tensors[0], training=training)
        assert outputs.dtype == np.float32
        assert_finite(outputs, [*tensors, *layer.trainable_weights])
