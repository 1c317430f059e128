"""Reductions: against NumPy over all axes, extremes of logsumexp, ties, empty input."""

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
from tests.ops.samples import distinct, signed
from tinygrad_dnn.testing import check_grads


def logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def norm(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


REFERENCES: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("sum", "mean", "var", "std", "max", "min", "any", "all")},
    "logsumexp": logsumexp,
    "norm": norm,
    "count_nonzero": np.count_nonzero,
}
SMOOTH = ["sum", "mean", "var", "std", "max", "min", "logsumexp", "norm"]
AXES: list[Any] = [None, 0, 1, -1, (0, 2), (-1, 0), [1], ()]


@pytest.mark.parametrize("name", [name for name in REFERENCES if name != "count_nonzero"])
@settings(max_examples=20)
@given(data=st.data(), keepdims=st.booleans())
def test_value_is_numpys_for_any_axes(name: str, data: st.DataObject, keepdims: bool, backend: str) -> None:
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=3, max_side=3))
    x = data.draw(npst.arrays(np.float64, shape, elements=st.sampled_from([-1.5, -0.5, 0.0, 0.25, 1.0, 2.0])))
    axis = data.draw(st.none() | npst.valid_tuple_axes(len(shape))) if shape else None
    out, expected = getattr(td, name)(x, axis, keepdims), REFERENCES[name](x, axis=axis, keepdims=keepdims)
    assert (out.shape, out.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13, atol=1e-15)


# The deviation of single numbers is 0, where it has no slope.
@pytest.mark.parametrize(("name", "axis"), [(n, a) for n in SMOOTH for a in AXES if (n, a) != ("std", ())], ids=repr)
@pytest.mark.parametrize("keepdims", [False, True])
def test_derivatives(name: str, axis: Any, keepdims: bool, backend: str) -> None:
    check_grads(lambda x: getattr(td, name)(x, axis, keepdims), distinct((2, 3, 2)), order=2)


@pytest.mark.parametrize("name", REFERENCES)
def test_methods_and_functions_take_lists(name: str, backend: str) -> None:
    x = [[1.0, 0.0], [2.0, 3.0]]
    expected = REFERENCES[name](np.array(x), axis=1)
    for out in [getattr(td, name)(x, 1)] + ([getattr(td.tensor(x), name)(1)] if hasattr(td.Tensor, name) else []):
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "logsumexp", "any", "argmax", "cumsum", "norm", "var"])
@pytest.mark.parametrize("axis", [2, -3, 100])
def test_axes_out_of_range_are_refused(name: str, axis: int, backend: str) -> None:
    with pytest.raises(ValueError, match=rf"axis {axis} does not fit a Tensor of 2 axes"):
        getattr(td, name)(td.zeros((2, 3)), axis)


def test_axes_named_twice_are_refused(backend: str) -> None:
    with pytest.raises(ValueError, match=r"axis \(0, -2\) does not fit"):
        td.sum(td.zeros((2, 3)), (0, -2))


@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_mean_of_nothing_is_nan(name: str, backend: str) -> None:
    assert math.isnan(getattr(td, name)(td.zeros((0,))).item())
    assert getattr(td, name)(td.zeros((0, 2)), 0).shape == (2,)
    assert getattr(td, name)(td.zeros((0, 2)), 1).shape == (0,)
    assert td.sum(td.zeros((0, 2))).item() == 0


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "logsumexp"])
def test_extreme_of_nothing_is_refused(name: str, backend: str) -> None:
    named = "max" if name == "logsumexp" else name
    with pytest.raises(ValueError, match=rf"^{named}\(float32\[0\] on {backend}.*\) is not possible: "):
        getattr(td, name)(td.zeros((0,)))


@pytest.mark.parametrize("count", [3, 41, 49, 107, 1000])
def test_mean_of_equal_numbers_is_that_number(count: int, backend: str) -> None:
    x = td.ones(count)
    assert td.mean(x).item() == 1.0
    assert td.var(x).item() == 0.0


@pytest.mark.parametrize("ddof", [0, 1, 2])
def test_var_and_std_with_ddof(ddof: int, backend: str) -> None:
    x = signed((4, 3))
    np.testing.assert_allclose(td.var(x, 0, ddof=ddof).numpy(), np.var(x, 0, ddof=ddof), rtol=1e-13)
    np.testing.assert_allclose(td.std(x, 0, True, ddof).numpy(), np.std(x, 0, ddof=ddof, keepdims=True), rtol=1e-13)
    check_grads(lambda t: td.tensor(x).var(0, ddof=ddof) * td.var(t, 0, ddof=ddof), x)


def test_var_without_degrees_of_freedom_is_nan(backend: str) -> None:
    assert math.isnan(td.var([1.0], ddof=1).item())


@pytest.mark.parametrize("function", [td.max, td.min])
def test_elements_that_tie_share_the_gradient(function: Callable[..., td.Tensor], backend: str) -> None:
    x = td.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]], requires_grad=True)
    sign = 1.0 if function is td.max else -1.0
    g = td.grad(function(x * sign, 1).sum() * sign, x)
    np.testing.assert_allclose(g.numpy(), [[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_first_of_equal_elements_is_the_index(name: str, backend: str) -> None:
    x = np.array([[1, 1, 0], [0, 2, 2]])
    for axis in (None, 0, 1, -1):
        out = getattr(td, name)(x, axis)
        assert out.dtype == "int64"
        np.testing.assert_array_equal(out.numpy(), getattr(np, name)(x, axis))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_cumsum(axis: int, backend: str) -> None:
    x = signed((2, 3, 2))
    np.testing.assert_allclose(td.cumsum(x, axis).numpy(), np.cumsum(x, axis), rtol=1e-13)
    check_grads(lambda t: td.cumsum(t * t, axis), x)


def test_any_and_all_count_nan_as_true(backend: str) -> None:
    assert td.any([0.0, float("nan")]).item() is True
    assert td.all([1.0, float("nan")]).item() is True
    assert td.all(td.zeros((0,))).item() is True
    assert td.any(td.zeros((0,))).item() is False


# -- logsumexp ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.0, 1.0, 1e3, 1e4, -1.0, -1e3, -1e4])
def test_logsumexp_of_extremes_in_float32(size: float, backend: str) -> None:
    x = td.tensor([size, size, size - 1.0], requires_grad=True)
    exact = size + math.log(2 + math.exp(-1))
    out = td.logsumexp(x)
    assert out.item() == pytest.approx(exact, rel=2e-7, abs=1e-7)
    softmax = np.array([1.0, 1.0, math.exp(-1)]) / (2 + math.exp(-1))
    np.testing.assert_allclose(td.grad(out, x).numpy(), softmax, rtol=1e-6)


def test_logsumexp_of_far_apart_numbers(backend: str) -> None:
    x = td.tensor([1e4, 0.0, -1e4], requires_grad=True)
    out = td.logsumexp(x)
    assert out.item() == 1e4
    assert td.grad(out, x).tolist() == [1.0, 0.0, 0.0]


def test_logsumexp_of_infinities(backend: str) -> None:
    inf = float("inf")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        assert td.logsumexp([inf, 0.0]).item() == inf
        assert td.logsumexp([-inf, 0.0]).item() == 0.0
        assert td.logsumexp([-inf, -inf]).item() == -inf
        assert math.isnan(td.logsumexp([float("nan"), 0.0]).item())
    x = td.tensor([-inf, 0.0], requires_grad=True)
    assert td.grad(td.logsumexp(x), x).tolist() == [0.0, 1.0]


def test_norm_of_large_numbers_along_an_axis(backend: str) -> None:
    x = np.array([[3.0, 4.0], [6.0, 8.0]], np.float32)
    assert td.norm(x, 1).tolist() == [5.0, 10.0]
    assert td.norm(x, 1, keepdims=True).shape == (2, 1)
    assert td.norm([3, 4]).dtype == td.backend.floatx()
