"""Activations: Keras's values and slopes, all derivatives finite everywhere, precision in the tails."""

from __future__ import annotations

import math
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
POINTS = [0.0, 1.0, -1.0, 0.5, 1e3, -1e3, 1e4, -1e4]
# Below 0 Keras subtracts numbers as large as x to get these, and so is right to a unit in the last place of x.
CANCELLED_IN_KERAS = ("squareplus", "squareplus_options", "gelu_approximate")


def function(name: str) -> Callable[[Any], td.Tensor]:
    """Return the activation of a golden case with its arguments."""
    case = CASES[name]
    return lambda x: getattr(activations, case["function"])(x, **case["kwargs"])


def slack(name: str, x: np.ndarray) -> np.ndarray:
    """Return by how much Keras's value may be wrong for its own rounding."""
    return np.spacing(np.abs(x)) if name in CANCELLED_IN_KERAS else np.zeros_like(x)


def slope_slack(name: str, x: np.ndarray) -> np.ndarray:
    """Return by how much Keras's slope may be wrong for its own rounding."""
    if name != "gelu_approximate":
        return np.zeros_like(x)
    # It takes the square of a tanh near 1 from 1, times x and the slope of the tanh's argument, until that is 0.
    near = np.minimum(np.abs(x), 5)
    return np.spacing(near) * np.float32(np.sqrt(2 / np.pi)) * (1 + 3 * 0.044715 * near**2)


def assert_near(found: np.ndarray, expected: np.ndarray, rtol: float, atol: Any) -> None:
    """Compare as assert_allclose does, with a tolerance for each element."""
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    found, expected, atol = found[finite], expected[finite], np.broadcast_to(atol, finite.shape)[finite]
    np.testing.assert_array_less(np.abs(found - expected), rtol * np.abs(expected) + atol)


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
    assert_near(value, case["value"], 1e-6, 2e-7 + slack(name, grid))
    smooth = ~np.isin(grid, case["kinks"])
    assert_near(slope[smooth], case["gradient"][smooth], 5e-6, 1e-6 + slope_slack(name, grid[smooth]))


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("name", BY_POINT)
def test_values_and_slopes_at_extreme_arguments(backend: str, name: str) -> None:
    case = CASES[name]
    extreme = GOLDEN.inputs["extreme"]
    value, slope = pull(function(name), extreme)
    assert_near(value, case["extreme_value"], 1e-6, 2e-7 + slack(name, extreme))
    np.testing.assert_allclose(slope, case["extreme_gradient"], rtol=5e-6, atol=1e-7)


@pytest.mark.parametrize("name", BY_ROW)
def test_values_and_slopes_over_an_axis(backend: str, name: str) -> None:
    case = CASES[name]
    rows, value = GOLDEN.inputs["rows"], case["value"]
    found, gradient = pull(function(name), rows, GOLDEN.inputs["cotangent"][:, : value.shape[1]])
    right = smooth = np.full(len(rows), True)
    atol = 1e-6
    if name == "sparsemax":
        # Keras finds the threshold by summing running sums, which is right only where one element is above 0; and
        # one that is 1 below that is at a kink.
        right = np.abs(value.sum(axis=1) - 1) < 1e-6
        smooth = right & (rows != rows.max(axis=1, keepdims=True) - 1).all(axis=1)
    elif name == "glu":
        atol += 30 * 2.0**-24  # Keras multiplies 1 - sigmoid, near 0 a difference of two numbers near 1, by up to 30
    assert smooth.sum() > 10
    np.testing.assert_allclose(found[right], value[right], rtol=1e-6, atol=5e-7)
    np.testing.assert_allclose(gradient[smooth], case["gradient"][smooth], rtol=5e-6, atol=atol)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_value_and_two_derivatives_are_numbers_everywhere(backend: str, name: str, dtype: str) -> None:
    x = td.tensor(np.array([POINTS, POINTS[::-1], [0.0] * 8]), dtype, requires_grad=True)
    derivatives = [function(name)(x)]
    while len(derivatives) < 3 and derivatives[-1].requires_grad:
        # Weights that differ, since the derivatives of a softmax's plain sum are all 0.
        last = derivatives[-1]
        weights = td.tensor(np.linspace(0.5, 1.5, last.size).reshape(last.shape), dtype)
        slope = td.grad(last, x, grad_outputs=weights, create_graph=True, allow_unused=True)
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


@pytest.mark.parametrize(
    "name", ["gelu", "gelu_approximate", "log_sigmoid", "mish", "sigmoid", "silu", "softplus", "squareplus", "tanh"]
)
def test_two_derivatives_agree_with_finite_differences_at_zero(backend: str, name: str) -> None:
    td.testing.check_grads(function(name), [np.zeros(3)], order=2)


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
        ("hard_tanh", {}, 1.0, 1.0),
        ("hard_shrink", {}, 0.5, 0.0),
        ("soft_shrink", {}, -0.5, 0.0),
        ("threshold", {"threshold": 1.0, "default_value": 0.0}, 1.0, 0.0),
        ("sparse_plus", {}, -1.0, 0.0),
        ("sparse_plus", {}, 1.0, 1.0),
        ("squareplus", {}, 0.0, 0.5),
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


@pytest.mark.parametrize("b", [0.5, 4.0])
def test_squareplus_keeps_its_relative_precision_below_zero(backend: str, b: float) -> None:
    x = np.linspace(-1e3, 1e3, 4001, dtype=np.float32)
    value, _ = pull(lambda x: activations.squareplus(x, b), x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(value, (exact + np.sqrt(exact**2 + b)) / 2, rtol=1e-6)


def test_approximate_gelu_keeps_its_relative_precision_below_zero(backend: str) -> None:
    x = np.linspace(-7, 30, 4001, dtype=np.float32)
    value, _ = pull(lambda x: activations.gelu(x, approximate=True), x)
    exact = x.astype(np.float64)
    argument = np.sqrt(8 / np.pi) * (exact + 0.044715 * exact**3)
    # Each of four roundings of the argument of exp, here at most 36, changes its result by up to 36 * 2^-24 of it.
    np.testing.assert_allclose(value, exact / (1 + np.exp(-argument)), rtol=4 * 36 * 2.0**-24)


def test_gelu_is_x_times_the_normal_distribution(backend: str) -> None:
    x = np.linspace(-6, 6, 1001)
    value, slope = pull(activations.gelu, x)
    below = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    np.testing.assert_allclose(value, x * below, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slope, below + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), rtol=1e-12, atol=1e-15)


def test_sparse_plus_has_sparse_sigmoid_as_its_slope(backend: str) -> None:
    x = np.linspace(-2, 2, 401)
    _, slope = pull(activations.sparse_plus, x)
    np.testing.assert_allclose(slope, activations.sparse_sigmoid(x).numpy(), rtol=1e-14)


def projected(line: np.ndarray) -> np.ndarray:
    """Return sparsemax of one line by sorting it, algorithm 1 of Martins and Astudillo (2016)."""
    ordered = np.sort(line)[::-1]
    sums = np.cumsum(ordered)
    k = 1 + np.max(np.nonzero(1 + np.arange(1, len(line) + 1) * ordered > sums))
    return np.maximum(line - (sums[k - 1] - 1) / k, 0)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_sparsemax_is_the_nearest_point_of_the_simplex(backend: str, axis: int) -> None:
    x = td.random.generator(3).normal(size=(5, 6, 7)) * np.array([0.1, 0.3, 1, 3, 100, 0.2])[:, None]
    value, _ = pull(lambda x: activations.sparsemax(x, axis), x)
    np.testing.assert_allclose(value, np.apply_along_axis(projected, axis, x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(value.sum(axis=axis), 1, rtol=1e-12)
    above = (value > 0).sum(axis=axis)
    assert above.min() == 1
    assert above.max() > 3


def test_sparsemax_of_equal_and_of_masked_elements(backend: str) -> None:
    equal, masked = np.full((1, 4), 3.0), np.array([[1.0, -1e30, 0.5, -1e30]])
    np.testing.assert_array_equal(activations.sparsemax(equal).numpy(), np.full((1, 4), 0.25))
    np.testing.assert_array_equal(activations.sparsemax(masked).numpy(), [[0.75, 0, 0.25, 0]])


def test_glu_needs_an_even_length(backend: str) -> None:
    x = td.ones((2, 3))
    assert activations.glu(x, axis=0).shape == (1, 3)
    with pytest.raises(ValueError, match=r"^glu: axis -1 is cut in two halves and must have an even length; x has sh"):
        activations.glu(x)
    with pytest.raises(ValueError, match="axis 2"):
        activations.glu(x, axis=2)


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


@pytest.mark.filterwarnings("ignore:overflow encountered in (exp|multiply)")
@pytest.mark.parametrize("name", sorted({case["function"] for case in CASES.values()}))
def test_element_types(backend: str, name: str) -> None:
    f = function(next(case for case in CASES if CASES[case]["function"] == name))
    for dtype in ("float16", "float32", "float64"):
        wide = np.array([[-1e4, -2.0, 0.0, 1.0, 2.0, 1e4]], dtype)
        value = f(td.tensor(wide))
        assert value.dtype == dtype
        assert np.isfinite(value.numpy()[:, :5]).all()
        assert np.isfinite(value.numpy()[:, 5:]).all() or name == "exponential"
    if name not in ("linear", "relu", "relu6"):
        assert f(td.tensor([[1, 2]])).dtype == td.backend.floatx()
    np.testing.assert_array_equal(f(np.ones((1, 2), np.float32)).numpy(), f(td.ones((1, 2))).numpy())


def test_names() -> None:
    assert activations.get("swish") is activations.get("SiLU") is activations.silu is activations.swish
    assert activations.get("hard_swish") is activations.get("hard_silu") is activations.hard_swish
    assert activations.get(activations.elu) is activations.elu
    assert activations.get(None) is None
    relu = activations.get("relu", max_value=2.0)
    again = activations.get(activations.serialize(relu))
    np.testing.assert_array_equal(again([-1.0, 1.0, 3.0]).numpy(), [0, 1, 2])
    with pytest.raises(ValueError, match="Did you mean 'softplus'"):
        activations.get("softplos")
    with pytest.raises(TypeError, match="an activation must be"):
        activations.get(3)
