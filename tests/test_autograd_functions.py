"""Gradients of functions: structures of arguments, nesting, what else a function uses, and what has none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.testing import check_grads


def leaf(value: Any) -> Tensor:
    return td.tensor(value, "float64", requires_grad=True)


def test_grad_of_a_function(backend: str) -> None:
    assert td.grad(lambda x: x * x)(3.0).item() == 6.0
    assert td.grad(lambda x, y: x * x * y, 1)(3.0, 4.0).item() == 9.0
    value, gradient = td.value_and_grad(lambda x: (x * x).sum())([1.0, 2.0])
    assert (value.item(), gradient.tolist()) == (5.0, [2.0, 4.0])
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert td.grad(lambda x, k: x**k)(np.array(3.0), k=2).dtype == "float64"
    assert td.grad(lambda x: x * 2)(3).dtype == td.backend.floatx()


@pytest.mark.parametrize("argnums", [(0, 1), (1, 0), (1,), (0, 0), [0, 1]], ids=repr)
def test_grad_for_several_arguments_comes_in_their_order(argnums: Any, backend: str) -> None:
    gradients = td.grad(lambda x, y: x * x * y, argnums)(3.0, 5.0)
    assert isinstance(gradients, tuple)
    assert [g.item() for g in gradients] == [{0: 30.0, 1: 9.0}[i] for i in argnums]


def test_structures(backend: str) -> None:
    def f(weights: dict[str, Any], x: Tensor) -> Any:
        return ((x @ weights["w"] + weights["layers"][0]) * weights["layers"][1][0]).sum()

    weights = {"w": leaf([[1.0], [2.0]]), "layers": [leaf([3.0]), (np.array([2.0]),)]}
    value, g = td.value_and_grad(f)(weights, td.tensor([[1.0, 1.0]], "float64"))
    assert value.item() == 12.0
    assert g["w"].tolist() == [[2.0], [2.0]]
    assert g["layers"][0].tolist() == [2.0]
    assert isinstance(g["layers"][1], tuple)
    assert g["layers"][1][0].tolist() == [6.0]
    gw, gx = td.grad(f, (0, 1))(weights, td.tensor([[1.0, 1.0]], "float64"))
    assert (gw["w"].tolist(), gx.tolist()) == ([[2.0], [2.0]], [[2.0, 4.0]])


def test_orders_of_a_function(backend: str) -> None:
    f = td.tanh
    orders = []
    for _ in range(4):
        f = td.grad(f)
        orders.append(f(np.array(0.3)).item())
    t = math.tanh(0.3)
    d = 1 - t * t
    expected = [d, -2 * t * d, -2 * d * (1 - 3 * t * t), 8 * t * d * (2 - 3 * t * t)]
    np.testing.assert_allclose(orders, expected, rtol=1e-12)


def test_orders_beyond_the_degree_are_zero(backend: str) -> None:
    f: Any = lambda x: 3 * x * x + x  # noqa: E731
    found = []
    for _ in range(4):
        f = td.grad(f)
        found.append(f(2.0).item())
    assert found == [13.0, 6.0, 0.0, 0.0]
    assert td.grad(lambda x: td.tensor(1.0))(2.0).item() == 0.0


def test_nested_gradients_keep_their_variables_apart(backend: str) -> None:
    # d/dx (x * d/dy (x * y) at y = x) = d/dx x^2
    assert td.grad(lambda x: x * td.grad(lambda y: x * y)(x))(3.0).item() == 6.0
    # d/dx (x * d/dy (x + y) at y = 1) = 1
    assert td.grad(lambda x: x * td.grad(lambda y: x + y)(1.0))(3.0).item() == 1.0
    # d/dx d/dy (x^2 y^3) at y = x, x also inside: 2 x * 3 y^2 with both moving = d/dx (3 x^4)
    assert td.grad(lambda x: td.grad(lambda y: x * x * y**3)(x))(2.0).item() == 12 * 8.0


def test_a_constant_of_the_function_is_not_its_argument(backend: str) -> None:
    w = leaf(3.0)
    assert td.grad(lambda x: x * w)(w).item() == 3.0
    assert [g.item() for g in td.grad(lambda x, y: x * x * y, (0, 1))(w, w)] == [18.0, 9.0]
    assert w.grad is None


def test_a_functions_gradient_carries_on_the_history_of_its_argument(backend: str) -> None:
    w = leaf(3.0)
    inner = td.grad(lambda y: y**3)(w * 2)
    assert inner.item() == 108.0
    assert td.grad(inner, w).item() == 6 * 6.0 * 2


def test_a_functions_gradient_leaves_other_graphs_whole(backend: str) -> None:
    w = leaf(3.0)
    hidden = w * w
    assert td.grad(lambda x: x * hidden)(2.0).item() == 9.0
    hidden.backward()
    assert w.grad is not None
    assert w.grad.item() == 6.0


def test_gradients_of_functions_inside_a_recorded_loss(backend: str) -> None:
    def penalty(w: Tensor) -> Any:
        slope = td.grad(lambda x: (td.tanh(x * w)).sum())(td.tensor([0.5, -1.0], "float64"))
        return (slope * slope).sum()

    check_grads(penalty, signed((2,)))


def test_a_functions_gradient_has_the_history_of_what_else_it_uses(backend: str) -> None:
    w = leaf([3.0, 4.0])
    value, gradient = td.value_and_grad(lambda x: (x * x * w).sum())(td.tensor([1.0, 2.0], "float64"))
    assert td.grad(gradient.sum(), w).tolist() == [2.0, 4.0]
    assert td.grad(value, w).tolist() == [1.0, 4.0]
    with td.no_grad():
        value, gradient = td.value_and_grad(lambda x: (x * x * w).sum())(td.tensor([1.0, 2.0], "float64"))
    assert not value.requires_grad
    assert not gradient.requires_grad
    nested = td.grad(lambda x: td.grad(lambda y: (x * y**3).sum())(td.tensor(2.0)))(5.0)
    assert nested.item() == 12.0
    assert not nested.requires_grad


def test_functions_inside_no_grad(backend: str) -> None:
    with td.no_grad():
        gradient = td.grad(lambda x: x * x)(3.0)
        assert gradient.item() == 6.0
        assert not gradient.requires_grad
        assert not td.is_grad_enabled()


def test_arguments_are_not_changed(backend: str) -> None:
    host, plain, w = np.array([1.0, 2.0]), td.tensor([1.0, 2.0]), leaf([1.0, 2.0])
    for x in (host, plain, w):
        td.grad(lambda t: (t * t).sum())(x)
    assert host.tolist() == [1.0, 2.0]
    assert not plain.requires_grad
    assert w.grad is None


@pytest.mark.parametrize(
    ("f", "argnums", "error", "message"),
    [
        (lambda x: x * td.ones(2), 0, ValueError, r"shape \(2,\) needs the gradient to start from"),
        (lambda x: td.ones(2), 0, ValueError, r"shape \(2,\) needs the gradient to start from"),
        (lambda x: 3.0, 0, TypeError, "'<lambda>' has no gradient: it returned float, no Tensor"),
        (lambda x: None, 0, TypeError, "it returned NoneType, no Tensor"),
        (lambda x: x, 1, ValueError, r"the arguments at \(1,\) was asked for, and 1 were given"),
        (lambda x: x, -1, ValueError, r"the arguments at \(-1,\) was asked for"),
    ],
)
def test_functions_without_a_gradient(f: Any, argnums: int, error: type[Exception], message: str, backend: str) -> None:
    with pytest.raises(error, match=message):
        td.grad(f, argnums)(2.0)
    assert td.grad(td.grad(lambda x: x**3))(1.0).item() == 6.0  # nothing was left behind


def test_an_error_inside_the_function_passes_through(backend: str) -> None:
    def fails(x: Tensor) -> Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        td.grad(fails)(1.0)
    assert td.is_grad_enabled()
    assert not td.grad(lambda x: x * x)(td.tensor(1.0)).requires_grad  # it does not take itself for a nested one
