"""Activations: Keras's values and slopes, all derivatives finite everywhere, precision in the tails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import activations

GOLDEN = storage.load("activations")
CASES = {name: case for name, case in GOLDEN.cases.items() if case["function"] in activations.__all__}
BY_POINT = [name for name, case in CASES.items() if case["input"] == "grid"]
BY_ROW = [name for name, case in CASES.items() if case["input"] == "rows"]
POINTS = [0.0, 1.0, -1.0, 1e3, -1e3, 1e4, -1e4]


def function(name: str) -> Callable[[Any], td.Tensor]:
    """Return the activation of a golden case with its arguments."""
    case = CASES[name]
    return lambda x: getattr(activations, case["function"])(x, **case["kwargs"])


def pull(f: Callable[[Any], td.Tensor], x: Any, gradient: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of f at x and the product of ``gradient`` (ones) with its derivative."""
    x = td.tensor(x, requires_grad=True)
    y = f(x)
    g = td.ones_like(y) if gradient is None else td.tensor(gradient)
    return y.numpy(), td.grad(y, x, grad_outputs=g).numpy()


def test_each_activation_has_golden_values() -> None:
    assert {case["function"] for case in CASES.values()} == set(td.registry.activations.names()) & set(
        activations.__all__
    )


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("name", BY_POINT)
def test_values_and_slopes_are_keras_s(backend: str, name: str) -> None:
    case, grid = CASES[name], GOLDEN.inputs["grid"]
    value, slope = pull(function(name), grid)
    assert value.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(value, case["value"], rtol=1e-6, atol=2e-7)
    smooth = ~np.isin(grid, case["kinks"])
    np.testing.assert_allclose(slope[smooth], case["gradient"][smooth], rtol=5e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("name", BY_POINT)
def test_values_and_slopes_at_extreme_arguments(backend: str, name: str) -> None:
    case = CASES[name]
    value, slope = pull(function(name), GOLDEN.inputs["extreme"])
    np.testing.assert_allclose(value, case["extreme_value"], rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(slope, case["extreme_gradient"], rtol=5e-6, atol=1e-7)


@pytest.mark.parametrize("name", BY_ROW)
def test_values_and_slopes_over_an_axis(backend: str, name: str) -> None:
    case = CASES[name]
    value, gradient = pull(function(name), GOLDEN.inputs["rows"], GOLDEN.inputs["cotangent"])
    np.testing.assert_allclose(value, case["value"], rtol=1e-6, atol=5e-7)
    np.testing.assert_allclose(gradient, case["gradient"], rtol=5e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_value_and_two_derivatives_are_numbers_everywhere(backend: str, name: str, dtype: str) -> None:
    x = td.tensor(np.array([POINTS, POINTS[::-1], [0.0] * 7]), dtype, requires_grad=True)
    # Weights that differ, since the derivatives of a softmax's plain sum are all 0.
    weights = td.tensor(np.linspace(0.5, 1.5, x.size).reshape(x.shape), dtype)
    derivatives = [function(name)(x)]
    while len(derivatives) < 3 and derivatives[-1].requires_grad:
        slope = td.grad(derivatives[-1], x, grad_outputs=weights, create_graph=True, allow_unused=True)
        derivatives.append(td.zeros(x.shape) if slope is None else slope)
    assert len(derivatives) > 1
    for derivative in derivatives:
        found = derivative.numpy()
        assert not np.isnan(found).any()
        if name != "exponential":
            assert np.isfinite(found).all()


@pytest.mark.parametrize("name", sorted(CASES))
def test_two_derivatives_agree_with_finite_differences(backend: str, name: str) -> None:
    away_from_kinks = np.array([[-7.3, -2.1, -0.4, 0.3], [0.9, 1.4, 2.3, 7.7]])
    td.testing.check_grads(function(name), [away_from_kinks], order=2)


@pytest.mark.parametrize("name", ["log_sigmoid", "mish", "sigmoid", "silu", "softplus", "tanh"])
def test_two_derivatives_agree_with_finite_differences_at_zero(backend: str, name: str) -> None:
    td.testing.check_grads(getattr(activations, name), [np.zeros(3)], order=2)


@pytest.mark.parametrize(
    ("name", "kwargs", "at", "slope"),
    [
        ("relu", {}, 0.0, 0.0),
        ("relu", {"threshold": 1.0, "negative_slope": 0.5}, 1.0, 0.5),
        ("relu6", {}, 6.0, 0.0),
        ("leaky_relu", {}, 0.0, 0.2),
        ("elu", {}, 0.0, 1.0),
        ("elu", {"alpha": 0.5}, 0.0, 0.5),
        ("celu", {"alpha": 0.5}, 0.0, 1.0),
        ("selu", {}, 0.0, activations.SELU_ALPHA * activations.SELU_SCALE),
        ("softsign", {}, 0.0, 1.0),
    ],
)
def test_slope_at_a_kink(backend: str, name: str, kwargs: dict[str, Any], at: float, slope: float) -> None:
    _, found = pull(lambda x: getattr(activations, name)(x, **kwargs), [at])
    np.testing.assert_allclose(found, [slope], rtol=1e-6)


def test_sigmoid_keeps_its_relative_precision_in_both_tails(backend: str) -> None:
    x = np.linspace(-30, 30, 4001, dtype=np.float32)
    value, slope = pull(activations.sigmoid, x)
    e = np.exp(-np.abs(x.astype(np.float64)))
    np.testing.assert_allclose(value, np.where(x < 0, e, 1) / (1 + e), rtol=1e-6)
    np.testing.assert_allclose(slope, e / (1 + e) ** 2, rtol=1e-6)


def test_softplus_keeps_its_relative_precision_below_zero(backend: str) -> None:
    x = np.linspace(-80, 30, 4001, dtype=np.float32)
    value, slope = pull(activations.softplus, x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(value, np.logaddexp(0, exact), rtol=1e-6)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-exact)), rtol=1e-6)
    np.testing.assert_array_equal(activations.log_sigmoid(-x).numpy(), -value)


def test_selu_keeps_mean_zero_and_variance_one(backend: str) -> None:
    n = 200_000
    y = activations.selu(td.tensor(np.random.default_rng(0).standard_normal(n))).numpy()
    # The standard errors: y has variance 1, and (y - 1)^2 a standard deviation of about 1.6.
    assert abs(y.mean()) < 4 / np.sqrt(n)
    assert abs(y.var() - 1) < 4 * 1.6 / np.sqrt(n)


def test_softmax_ignores_a_common_shift_and_what_is_masked(backend: str) -> None:
    x = np.array([[1.0, 2.0, -np.inf], [3.0, 3.0, 3.0]], np.float32)
    value, gradient = pull(activations.softmax, x, np.eye(2, 3, dtype=np.float32))
    np.testing.assert_allclose(value.sum(axis=-1), 1, rtol=1e-6)
    assert value[0, 2] == 0
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(activations.softmax(x + 1024).numpy(), value)


def test_softmax_needs_an_axis_that_is_there(backend: str) -> None:
    with pytest.raises(ValueError, match="axis 2"):
        activations.softmax(td.zeros((2, 3)), axis=2)


def test_probabilities_remember_their_logits(backend: str) -> None:
    x = td.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert activations.softmax(x)._logits == ("softmax", x)
    assert activations.softmax(x, axis=1)._logits == ("softmax", x)
    assert activations.softmax(x, axis=0)._logits is None
    assert activations.sigmoid(x)._logits == ("sigmoid", x)
    assert activations.linear(activations.sigmoid(x))._logits == ("sigmoid", x)
    assert (activations.sigmoid(x) * 1.0)._logits is None


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("name", sorted({case["function"] for case in CASES.values()}))
def test_element_types(backend: str, name: str) -> None:
    f = getattr(activations, name)
    for dtype in ("float16", "float32", "float64"):
        wide = np.array([[-1e4, -2.0, 0.0, 2.0, 1e4]], dtype)
        value = f(td.tensor(wide))
        assert value.dtype == dtype
        assert np.isfinite(value.numpy()[:, :4]).all()
        assert np.isfinite(value.numpy()[:, 4]).all() or name == "exponential"
    if name not in ("linear", "relu", "relu6"):
        assert f(td.tensor([[1, 2]])).dtype == td.backend.floatx()
    np.testing.assert_array_equal(f(np.ones((1, 2), np.float32)).numpy(), f(td.ones((1, 2))).numpy())


def test_names() -> None:
    assert activations.get("swish") is activations.get("SiLU") is activations.silu is activations.swish
    assert activations.get(activations.elu) is activations.elu
    assert activations.get(None) is None
    relu = activations.get("relu", max_value=2.0)
    again = activations.get(activations.serialize(relu))
    np.testing.assert_array_equal(again([-1.0, 1.0, 3.0]).numpy(), [0, 1, 2])
    with pytest.raises(ValueError, match="Did you mean 'softplus'"):
        activations.get("softplos")
    with pytest.raises(TypeError, match="an activation must be"):
        activations.get(3)
