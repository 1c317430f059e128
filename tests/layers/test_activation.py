"""Activations as layers: Keras's values and gradients, learned and random slopes, arguments out of range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.layers.golden import assert_as_recorded, assert_made_again, cases
from tinygrad_dnn.testing import check_grads

X = np.array([[-1e4, -1.5, 0.0], [0.5, 3.0, 1e4]], np.float32)


@pytest.mark.parametrize("name", cases("ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"))
def test_values_and_gradients_are_keras_s(backend: str, name: str) -> None:
    assert_as_recorded(name)


def test_rrelu_at_inference_is_pytorch_s(backend: str) -> None:
    (name,) = cases("RReLU")
    assert_as_recorded(name)


@pytest.mark.parametrize(
    ("cls", "config", "function", "kwargs"),
    [
        ("ReLU", {}, "relu", {}),
        ("ReLU", {"max_value": 1.0, "negative_slope": 0.5, "threshold": 0.25}, "relu",
         {"max_value": 1.0, "negative_slope": 0.5, "threshold": 0.25}),
        ("LeakyReLU", {}, "leaky_relu", {"negative_slope": 0.3}),
        ("ELU", {"alpha": 2.0}, "elu", {"alpha": 2.0}),
        ("Softmax", {"axis": 1}, "softmax", {"axis": 1}),
    ],
)  # fmt: skip
def test_a_layer_is_the_function_of_its_arguments(
    backend: str, cls: str, config: dict[str, Any], function: str, kwargs: dict[str, Any]
) -> None:
    layer = getattr(td.layers, cls)(**config)
    for training in (True, False):
        expected = td.activations.get(function)(X, **kwargs)
        np.testing.assert_array_equal(layer(X, training=training).numpy(), expected.numpy())
    assert layer.weights == []


def test_softmax_remembers_its_logits(backend: str) -> None:
    x = td.tensor(X)
    assert td.layers.Softmax()(x)._logits == ("softmax", x)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        ("ReLU", {"max_value": -1.0}, "max_value must be a number of at least 0, not -1.0"),
        ("ReLU", {"negative_slope": -0.1}, "negative_slope must be a number of at least 0, not -0.1"),
        ("ReLU", {"threshold": float("nan")}, "threshold must be a number of at least 0, not nan"),
        ("LeakyReLU", {"negative_slope": None}, "negative_slope must be a number of at least 0, not None"),
        ("ELU", {"alpha": -1}, "alpha must be a number of at least 0, not -1"),
        ("Softmax", {"axis": "last"}, "axis must be an integer, not 'last'"),
        ("PReLU", {"shared_axes": [1.5]}, r"shared_axes must be an integer or a sequence of integers, not \[1.5\]"),
        ("RReLU", {"lower": -0.1}, "lower must be a number of at least 0, not -0.1"),
        ("RReLU", {"lower": 0.5}, "upper must be a number of at least lower, 0.5, not 0.333"),
        ("RReLU", {"seed": -1}, r"seed must be None or an integer from 0 to 2\*\*63 - 1, not -1"),
    ],
)
def test_arguments_out_of_range(cls: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{cls} 'own': {message}"):
        getattr(td.layers, cls)(name="own", **config)


def test_softmax_needs_an_axis_that_is_there(backend: str) -> None:
    with pytest.raises(ValueError, match=r"^Softmax 's': axis 2 is out of range for inputs of shape \(None, 3\)"):
        td.layers.Softmax(axis=2, name="s")(X)


# -- PReLU ---------------------------------------------------------------------------------------------------------


def test_alpha_is_learned(backend: str) -> None:
    layer = td.layers.PReLU(alpha_regularizer="l2", alpha_constraint="non_neg", name="p")
    layer.build((None, 3))
    assert [w.path for w in layer.trainable_weights] == ["p/alpha"]
    assert layer.alpha.tolist() == [0.0, 0.0, 0.0]
    assert isinstance(layer.alpha.constraint, td.constraints.NonNeg)
    assert len(layer.losses) == 1
    (slope,) = td.grad(layer(X).sum(), [layer.alpha])
    np.testing.assert_allclose(slope.numpy(), np.minimum(X, 0).sum(axis=0), rtol=1e-6)


def test_gradients_of_prelu_are_those_of_finite_differences(backend: str) -> None:
    layer = td.layers.PReLU(shared_axes=1, dtype="float64")
    layer.build((None, 2, 3))

    def call(x: td.Tensor, alpha: td.Tensor) -> td.Tensor:
        layer.__dict__["alpha"] = alpha  # setting it is refused: it is a weight
        return layer.call(x)

    x = np.linspace(-2, 2, 12).reshape(2, 2, 3)
    check_grads(call, [x, np.array([[0.1, 0.3, 0.5]])])


def test_configuration_goes_through_json(backend: str) -> None:
    slopes = {"lower": 0.25, "upper": 0.5, "seed": 7}
    layer = td.layers.RReLU(**slopes)
    again = assert_made_again(layer, slopes)
    np.testing.assert_array_equal(again(X, training=True).numpy(), layer(X, training=True).numpy())
    learned = {
        "shared_axes": [1], "alpha_initializer": {"class_name": "constant", "config": {"value": 0.25}},
        "alpha_regularizer": {"class_name": "l2", "config": {"l2": 0.5}},
        "alpha_constraint": {"class_name": "nonneg", "config": {}},
    }  # fmt: skip
    assert assert_made_again(td.layers.PReLU(**learned), learned)(X).numpy()[0, 1] == -0.375


@pytest.mark.parametrize(
    ("shared", "shape", "alpha"),
    [(None, (None, 4, 3), (4, 3)), ([1], (None, None, 3), (1, 3)), ((1, 2), (None, 8, 8, 3), (1, 1, 3))],
)
def test_shared_axes_have_length_1(backend: str, shared: Any, shape: Any, alpha: tuple[int, ...]) -> None:
    layer = td.layers.PReLU(shared_axes=shared)
    layer.build(shape)
    assert layer.alpha.shape == alpha
    outputs = layer(np.ones([n or 5 for n in shape]))
    assert outputs.shape == tuple(n or 5 for n in shape)


@pytest.mark.parametrize(
    ("shared", "shape", "message"),
    [
        ([0], (None, 3), r"shared_axes \[0\] must be axes from 1 to 1 of inputs of shape \(None, 3\)"),
        ([3], (None, 4, 3), r"shared_axes \[3\] must be axes from 1 to 2"),
        (
            None,
            (None, None, 3),
            r"axis 1 of the inputs, of shape \(None, None, 3\), must have a known length or be one",
        ),
    ],
)
def test_prelu_is_not_built_for_any_inputs(shared: Any, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^PReLU 'p': {message}"):
        td.layers.PReLU(shared_axes=shared, name="p").build(shape)


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 1, 3), (2, 3), (2, 4, 4, 3)])
def test_prelu_takes_the_inputs_it_was_built_for(backend: str, shape: tuple[int, ...]) -> None:
    layer = td.layers.PReLU(name="p")
    layer.build((None, 4, 3))
    with pytest.raises(ValueError, match=r"^PReLU 'p' has an alpha of shape \(4, 3\), with shared_axes \[\], and got "):
        layer(np.zeros(shape))


# -- RReLU ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lower", "upper"), [(1 / 8, 1 / 3), (0.0, 1.0)])
def test_slopes_in_training_are_uniform(backend: str, lower: float, upper: float) -> None:
    n = 40_000
    x = np.full((200, n // 200), -1.0)
    x[0] = 2.0
    found = td.layers.RReLU(lower, upper)(x, training=True).numpy()
    np.testing.assert_array_equal(found[0], x[0])
    drawn = (-found[1:].ravel().astype(np.float64) - lower) / (upper - lower)
    assert drawn.min() > -1e-6
    assert drawn.max() < 1 + 1e-6
    # Uniform numbers have the variance 1/12, and their squared distance from the mean one of 1/180.
    assert abs(drawn.mean() - 1 / 2) < 4 * math.sqrt(1 / 12 / drawn.size)
    assert abs(((drawn - 1 / 2) ** 2).mean() - 1 / 12) < 4 * math.sqrt(1 / 180 / drawn.size)


def test_the_gradient_is_the_slope_drawn(backend: str) -> None:
    x = td.tensor(X, requires_grad=True)
    outputs = td.layers.RReLU(seed=1)(x, training=True)
    (slope,) = td.grad(outputs.sum(), [x])
    assert (slope.numpy()[1] == 1).all()
    np.testing.assert_allclose(slope.numpy() * X, outputs.detach().numpy(), rtol=1e-6)
    assert 1 / 8 <= slope.numpy()[0, 2] < 1 / 3  # at 0, as PyTorch


def test_rrelu_draws_in_training_alone_and_a_seed_says_what(backend: str) -> None:
    first, second, other = (td.layers.RReLU(seed=seed) for seed in (1, 1, 2))
    x = -np.ones((4, 5), np.float32)
    drawn = [first(x, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal(first(x).numpy(), np.float32(-(1 / 8 + 1 / 3) / 2) * -x)
    np.testing.assert_array_equal([second(x, training=True).numpy() for _ in range(2)], drawn)
    assert len({d.tobytes() for d in [*drawn, other(x, training=True).numpy()]}) == 3
    fixed = td.layers.RReLU(0.5, 0.5)
    np.testing.assert_array_equal(fixed(x, training=True).numpy(), 0.5 * x)
