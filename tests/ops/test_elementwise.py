"""Elementwise operations: names, extremes, ties, the edges of powers and remainders."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.testing import check_grads

BINARY = """add subtract multiply divide floor_divide remainder power maximum minimum equal not_equal less less_equal
greater greater_equal logical_and logical_or""".split()
UNARY = """negative abs sign floor square exp expm1 log log1p sqrt sin cos tanh logical_not isnan isfinite""".split()


# -- against NumPy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=20)
@given(shapes=npst.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), data=st.data())
def test_two_operands_broadcast_as_in_numpy(name: str, shapes: Any, data: st.DataObject, backend: str) -> None:
    numbers = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0])
    x, y = (data.draw(npst.arrays(np.float64, shape, elements=numbers)) for shape in shapes.input_shapes)
    out, expected = getattr(td, name)(x, y), getattr(np, name)(x, y)
    assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "power", "maximum", "where"])
@settings(max_examples=20)
@given(shapes=npst.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=2))
def test_gradients_have_the_operands_shapes(name: str, shapes: Any, backend: str) -> None:
    x, y = (td.ones(shape, requires_grad=True) for shape in shapes.input_shapes)
    out = td.where(y.detach() > 0, x, y * 2) if name == "where" else getattr(td, name)(x, y * 2)
    assert out.shape == shapes.result_shape
    gx, gy = td.grad(out.sum(), [x, y])
    assert (gx.shape, gy.shape) == (x.shape, y.shape)


@pytest.mark.parametrize("name", UNARY)
def test_one_operand_takes_lists_arrays_and_tensors(name: str, backend: str) -> None:
    values = np.array([[0.5, 1.0], [2.0, 3.5]], np.float32)
    expected = getattr(np, name)(values)
    for given_as in (values, values.tolist(), td.tensor(values)):
        out = getattr(td, name)(given_as)
        assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "floor"])
@pytest.mark.parametrize("values", [[1, 2], [True, False]])
def test_integers_become_floats(name: str, values: list[int], backend: str) -> None:
    with np.errstate(divide="ignore"):
        out, expected = getattr(td, name)(values), getattr(np, name)(np.array(values, np.float32))
    assert out.dtype == td.backend.floatx()
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [*BINARY, "where", "clip"])
def test_shapes_that_do_not_fit_are_named(name: str, backend: str) -> None:
    x, y = td.zeros((2, 3)), td.zeros(4)
    operands = (x > 0, y, y) if name == "where" else (x, y)
    named = "maximum" if name == "clip" else name
    with pytest.raises(
        ValueError, match=rf"^{named}\(.*\[2, 3\] on {backend}.*\[4\] on {backend}.*\) is not possible: "
    ):
        getattr(td, name)(*operands)


def test_dtypes_that_do_not_fit_are_named(backend: str) -> None:
    with pytest.raises(TypeError, match=rf"^negative\(bool\[1\] on {backend}\) is not possible: "):
        -td.tensor([True])
    with pytest.raises(ValueError, match=r"^power\(int64\[1\].*, -1\) is not possible: "):
        td.tensor([2]) ** -1


def test_constants_beside_a_tensor_live_on_its_backend() -> None:
    x = td.tensor([1.0, -2.0]).to("strict").requires_grad_()
    for out in (td.where(x > 0, 1.0, 0.0), td.where(x > 0, x, 0.0), 2.0**x, td.maximum(x, [0.0, 0.0]), [1.0, 2.0] @ x):
        assert out.backend.name == "strict"
    assert td.grad((2.0**x + x**3).sum(), x).backend.name == "strict"


# -- extremes -----------------------------------------------------------------------------------------------------

EXTREMES = [0.0, 1.0, -1.0, 1e3, -1e3, 1e4, -1e4, 1e-30, -1e-30]


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("exp", np.exp),
        ("expm1", np.exp),
        ("tanh", lambda x: 1 - np.tanh(x) ** 2),
        ("sin", np.cos),
        ("cos", lambda x: -np.sin(x)),
        ("abs", np.sign),
        ("square", lambda x: 2 * x),
        ("negative", lambda x: -np.ones_like(x)),
        ("sign", np.zeros_like),
        ("floor", np.zeros_like),
    ],
)
def test_extremes_in_float32(name: str, slope: Callable[[np.ndarray], np.ndarray], backend: str) -> None:
    x = td.tensor(np.array(EXTREMES, np.float32), requires_grad=True)
    with np.errstate(over="ignore"):
        out = getattr(td, name)(x)
        exact = x.numpy().astype(np.float64)
        np.testing.assert_allclose(out.numpy(), getattr(np, name)(exact).astype(np.float32), rtol=1e-6)
        if out.requires_grad:
            expected = slope(exact).astype(np.float32)
            np.testing.assert_allclose(td.grad(out.sum(), x).numpy(), expected, rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("name", ["log", "log1p", "sqrt"])
def test_extremes_of_functions_of_positive_numbers(name: str, backend: str) -> None:
    slopes = {"log": lambda x: 1 / x, "log1p": lambda x: 1 / (1 + x), "sqrt": lambda x: 0.5 / np.sqrt(x)}
    x = td.tensor(np.array([0.0, 1e-30, 1.0, 1e3, 1e4, 1e30], np.float32), requires_grad=True)
    exact = x.numpy().astype(np.float64)
    with np.errstate(divide="ignore"):
        out = getattr(td, name)(x)
        np.testing.assert_allclose(out.numpy(), getattr(np, name)(exact), rtol=1e-6)
        np.testing.assert_allclose(td.grad(out.sum(), x).numpy(), slopes[name](exact), rtol=1e-6)


def test_erf_at_extremes_and_of_integers(backend: str) -> None:
    x = td.tensor(np.array(EXTREMES, np.float32), requires_grad=True)
    exact = x.numpy().astype(np.float64)
    np.testing.assert_allclose(td.erf(x).numpy(), [math.erf(v) for v in exact], rtol=1e-6)
    (slope,) = td.grad(td.erf(x).sum(), [x], create_graph=True)
    expected = 2 / np.sqrt(np.pi) * np.exp(-(exact**2))
    np.testing.assert_allclose(slope.detach().numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(td.grad(slope.sum(), x).numpy(), -2 * exact * expected, rtol=1e-6)
    for values in ([1, 2], [True, False]):
        out = td.erf(values)
        assert out.dtype == td.backend.floatx()
        np.testing.assert_allclose(out.numpy(), [math.erf(v) for v in values], rtol=1e-6)


def test_outside_the_domain_is_nan(backend: str) -> None:
    with np.errstate(invalid="ignore"):
        for out in (td.log([-1.0]), td.sqrt([-1.0]), td.log1p([-2.0]), td.power([-8.0], 1 / 3)):
            assert math.isnan(out.item())


def test_division_by_zero_is_infinite(backend: str) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        np.testing.assert_array_equal(td.divide([1.0, -1.0, 0.0], 0.0).numpy(), [np.inf, -np.inf, np.nan])


def test_guarded_argument_of_exp_has_finite_gradients(backend: str) -> None:
    x = td.tensor([-1e4, -1.0, 0.0, 1.0, 1e4], requires_grad=True)
    elu = td.where(x > 0, x, td.expm1(td.minimum(x, 0.0)))
    g = td.grad(elu.sum(), x)
    np.testing.assert_allclose(g.numpy(), [0.0, math.exp(-1), 1.0, 1.0, 1.0], rtol=1e-6)


# -- ties and kinks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [td.maximum, td.minimum])
def test_equal_values_give_the_gradient_to_the_first(function: Callable[..., td.Tensor], backend: str) -> None:
    x, y = td.tensor([1.0, 2.0], requires_grad=True), td.tensor([1.0, 2.0], requires_grad=True)
    gx, gy = td.grad(function(x, y).sum(), [x, y])
    assert (gx.tolist(), gy.tolist()) == ([1.0, 1.0], [0.0, 0.0])


@pytest.mark.parametrize("function", [td.maximum, td.minimum])
def test_equal_to_a_number(function: Callable[..., td.Tensor], backend: str) -> None:
    x = td.tensor([0.1, 0.1], "float64", requires_grad=True)
    assert td.grad(function(x, 0.1).sum(), x).tolist() == [1.0, 1.0]
    assert td.grad(function(0.1, x).sum(), x).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("function", [td.maximum, td.minimum])
def test_nan_is_passed_on(function: Callable[..., td.Tensor], backend: str) -> None:
    np.testing.assert_array_equal(function([np.nan, 1.0], [1.0, np.nan]).numpy(), [np.nan, np.nan])


def test_clip(backend: str) -> None:
    values = np.array([-2.0, -1.0, 0.5, 1.0, 2.0], np.float32)
    x = td.tensor(values, requires_grad=True)
    for low, high in [(-1.0, 1.0), (None, 1.0), (-1.0, None), (td.tensor(-1.0), td.ones(5))]:
        lower, upper = (b.numpy() if isinstance(b, td.Tensor) else b for b in (low, high))
        np.testing.assert_array_equal(td.clip(x, low, high).numpy(), np.clip(values, lower, upper))
    assert td.grad(td.clip(x, -1.0, 1.0).sum(), x).tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert td.clip(x) is x
    assert x.clip(0.0).tolist() == [0.0, 0.0, 0.5, 1.0, 2.0]


def test_abs_has_slope_zero_at_zero(backend: str) -> None:
    x = td.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    assert td.grad(abs(x).sum(), x).tolist() == [-1.0, 0.0, 1.0]


# -- powers and remainders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exponent", "slope"), [(0, 0.0), (0.0, 0.0), (1, 1.0), (1.0, 1.0), (2, 0.0), (3, 0.0), (2.5, 0.0)]
)
def test_slope_of_a_power_at_zero(exponent: float, slope: float, backend: str) -> None:
    for y in (exponent, td.tensor([exponent], "float32")):
        x = td.tensor([0.0], requires_grad=True)
        assert td.grad((x**y).sum(), x).tolist() == [slope]


def test_slope_in_the_exponent(backend: str) -> None:
    y = td.tensor([2.0, 0.5], "float64", requires_grad=True)
    assert td.grad((0.0**y).sum(), y).tolist() == [0.0, 0.0]
    assert td.grad((td.zeros(2, "float64") ** y).sum(), y).tolist() == [0.0, 0.0]
    g = td.grad((2.5**y).sum(), y)  # with the logarithm in float64
    np.testing.assert_allclose(g.numpy(), 2.5 ** y.numpy() * np.log(2.5), rtol=1e-14)


def test_powers_with_exponent_zero_have_all_second_derivatives(backend: str) -> None:
    check_grads(lambda x, y: x**y, [[2.0, 0.5], np.array([0.0, 0.0])])


def test_square_and_power_of_two_are_one(backend: str) -> None:
    x = signed((3,))
    np.testing.assert_array_equal((td.tensor(x) ** 2).numpy(), x * x)
    np.testing.assert_array_equal(td.square(x).numpy(), x * x)
    check_grads(lambda t: t**2, [x], order=3)
    check_grads(td.square, [x], order=3)


@pytest.mark.parametrize(("x", "y"), [(1.0, 0.1), (-1.0, 0.1), (7.0, -2.0), (0.6, 0.2), (1e6, 0.7)])
def test_slope_of_a_remainder_counts_the_whole_parts_taken_off(x: float, y: float, backend: str) -> None:
    divisor = td.tensor(y, "float64", requires_grad=True)
    for dividend in (x, td.tensor(x, "float64")):
        out = td.remainder(dividend, divisor)
        slope = td.grad(out, divisor).item()
        assert slope == -(x // y)
        assert math.isclose(x + slope * y, out.item(), abs_tol=1e-9)


# -- choice -------------------------------------------------------------------------------------------------------


def test_where_takes_any_condition(backend: str) -> None:
    for condition in ([1, 0], [0.5, 0.0], [True, False], td.tensor([True, False]), np.array([3, 0])):
        assert td.where(condition, [1.0, 2.0], 0.0).tolist() == [1.0, 0.0]
    assert td.where([True, False], 1, 2).dtype == "int64"
    assert td.where([True, False], 1, 2.5).dtype == td.backend.floatx()


def test_where_passes_no_gradient_to_the_branch_not_taken(backend: str) -> None:
    x = td.tensor([1.0, 2.0], requires_grad=True)
    y = td.tensor([3.0, 4.0], requires_grad=True)
    gx, gy = td.grad(td.where([True, False], x, y).sum(), [x, y])
    assert (gx.tolist(), gy.tolist()) == ([1.0, 0.0], [0.0, 1.0])
