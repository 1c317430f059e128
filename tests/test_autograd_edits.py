"""Values edited between the forward and the backward pass: an error where the old one is needed, else no matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.tensor import Tensor

# A case computes from a weight w and a state x, both [0.5, 2.0], and returns its result and the edit that follows.
Case: TypeAlias = Callable[[td.Variable, td.Variable], tuple[Tensor, Callable[[], object]]]


def added(x: Tensor) -> Callable[[], object]:
    """Return an edit by +=, as an optimizer makes it."""

    def edit() -> None:
        with td.no_grad():
            x.__iadd__(1.0)

    return edit


def assigned(x: Tensor) -> Callable[[], object]:
    return lambda: x.assign(x.numpy() + 1.0)


def item_set(x: Tensor) -> Callable[[], object]:
    def edit() -> None:
        with td.no_grad():
            x[0] = 7.0

    return edit


def by(function: Callable[[Tensor], Tensor], edit: Callable[[Tensor], Callable[[], object]] = assigned) -> Case:
    """Return the case of a function of the weight, after which the weight is edited."""
    return lambda w, x: (function(w), edit(w))


def out_of(function: Callable[[Tensor], Tensor], edit: Callable[[Tensor], Callable[[], object]] = assigned) -> Case:
    """Return the case of a function of the weight, after which its result is edited."""

    def case(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
        out = function(w)
        return out * 1.0, edit(out)

    return case


def of_state(
    function: Callable[[Tensor, Tensor], Tensor], edit: Callable[[Tensor], Callable[[], object]] = assigned
) -> Case:
    """Return the case of a function of weight and state, after which the state is edited."""
    return lambda w, x: (function(w, x), edit(x))


def of_integers(function: Callable[[Tensor, Tensor], Tensor], values: Any, later: Any) -> Case:
    """Return the case of a function of the weight and of integers or booleans, after which these are assigned."""

    def case(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
        chosen = td.tensor(values)
        return function(w, chosen), lambda: chosen.assign(later)

    return case


def matrix(function: Callable[[Tensor, Tensor], Tensor]) -> Case:
    """Return the case of a function of the weight and of a square matrix, after which the matrix is edited."""

    def case(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
        square = td.Variable([[1.0, 2.0], [3.0, 4.0]], "float64")
        return function(w, square), item_set(square)

    return case


def view_edited(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    view = x[::-1]
    return w * view, assigned(view)


def in_a_closure(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    scale = td.Variable([3.0, 4.0], "float64")

    def layer(a: Tensor) -> Tensor:
        return td.tanh(a * scale) + x

    return layer(w), item_set(scale)


def moving_average(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    return (w - x) / x, lambda: x.assign(x * 0.9 + w.detach() * 0.1)


def second_pass(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    out = w * w
    out.sum().backward(retain_graph=True)
    return out, assigned(w)


def second_order(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    return td.grad((w**3).sum(), w, create_graph=True), added(w)


def chained(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    hidden = td.exp(w)
    return td.sum(td.sin(hidden) + hidden), item_set(hidden)


NEEDED: dict[str, tuple[str, Case]] = {
    "operand of *, assigned": ("multiply", of_state(lambda w, x: w * x)),
    "operand of *, +=": ("multiply", of_state(lambda w, x: w * x, added)),
    "operand of *, one element set": ("multiply", of_state(lambda w, x: w * x, item_set)),
    "operand of *, bound to its own value": ("multiply", of_state(lambda w, x: w * x, lambda x: lambda: x.assign(x))),
    "operand of *, all elements set": (
        "multiply",
        of_state(lambda w, x: w * x, lambda x: lambda: x.__setitem__(slice(None), 1.0)),
    ),
    "operand of *, -=": ("multiply", of_state(lambda w, x: x * w, lambda x: lambda: x.__isub__(1.0))),
    "operand of *, *=": ("multiply", of_state(lambda w, x: x * w, lambda x: lambda: x.__imul__(2.0))),
    "operand of *, /=": ("multiply", of_state(lambda w, x: x * w, lambda x: lambda: x.__itruediv__(2.0))),
    "weight squared": ("multiply", by(lambda w: w * w)),
    "weight to a power": ("power", by(lambda w: w**3, added)),
    "exponent": ("power", of_state(lambda w, x: w**x)),
    "base": ("power", of_state(lambda w, x: x**w)),
    "result of a power": ("power", out_of(lambda w: 2.0**w)),
    "divisor": ("divide", of_state(lambda w, x: w / x)),
    "weight as divisor": ("divide", by(lambda w: 1.0 / w)),
    "result of a division": ("divide", out_of(lambda w: 1.0 / w, item_set)),
    "result of exp": ("exp", out_of(td.exp)),
    "result of exp, +=": ("exp", out_of(td.exp, added)),
    "result of expm1": ("expm1", out_of(td.expm1)),
    "result of tanh": ("tanh", out_of(td.tanh, item_set)),
    "result of sqrt": ("sqrt", out_of(td.sqrt)),
    "argument of log": ("log", by(td.log)),
    "argument of log1p": ("log1p", by(td.log1p, added)),
    "argument of sin": ("sin", by(td.sin)),
    "argument of cos": ("cos", by(td.cos)),
    "argument of abs": ("abs", by(abs, item_set)),
    "argument of relu": ("maximum", by(lambda w: td.maximum(w, 0.0), added)),
    "bound of minimum": ("minimum", of_state(lambda w, x: td.minimum(w, x))),
    "dividend of a remainder": ("remainder", of_state(lambda w, x: x % w)),
    "argument of max": ("max", by(lambda w: td.max(w))),
    "result of min": ("min", out_of(lambda w: td.min(w))),
    "matrix on the right": ("matmul", matrix(lambda w, m: w @ m)),
    "matrix on the left": ("matmul", matrix(lambda w, m: m @ w)),
    "condition": ("where", of_integers(lambda w, c: td.where(c, w, 0.0), [True, False], [False, False])),
    "indices": ("gather", of_integers(lambda w, i: w[i], [1, 1], [0, 1])),
    "indices of take": ("gather", of_integers(lambda w, i: td.take(w, i), [1, 1], [0, 1])),
    "a view": ("multiply", view_edited),
    "inside a closure": ("multiply", in_a_closure),
    "moving average": ("divide", moving_average),
    "kept graph": ("multiply", second_pass),
    "graph of a gradient": ("multiply", second_order),
    "hidden value": ("sin|exp", chained),
}


def view_of_what_is_edited(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    return w * x[::-1], assigned(x)


def detached_copy(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    copy = w.detach()
    return w * w, assigned(copy)


def own_value_of_another(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    other = td.zeros(2, "float64").assign(x)
    return w * x, added(other)


def gradient_edited(w: td.Variable, x: td.Variable) -> tuple[Tensor, Callable[[], object]]:
    out = w * x
    first = td.grad(out.sum(), w, retain_graph=True)
    return out, assigned(first)


HARMLESS: dict[str, Case] = {
    "operands of +": of_state(lambda w, x: w + x),
    "weight of +": by(lambda w: w + 1.0, added),
    "weight of -": by(lambda w: 1.0 - w, item_set),
    "weight of unary -": by(lambda w: -w),
    "weight times a number": by(lambda w: w * 3.0),
    "weight divided by a number": by(lambda w: w / 3.0),
    "weight times a constant": by(lambda w: w * [3.0, 4.0]),
    "dividend": of_state(lambda w, x: x / w - x / w.detach()),
    "argument of exp": by(td.exp),
    "argument of tanh": by(td.tanh, added),
    "argument of sqrt": by(td.sqrt),
    "argument of sum": by(td.sum),
    "argument of mean": by(td.mean),
    "argument of cumsum": by(td.cumsum),
    "argument of logsumexp": by(td.logsumexp),
    "argument of var": by(td.var),
    "argument of reshape": by(lambda w: w.reshape(2, 1)),
    "argument of transpose": by(lambda w: w.reshape(2, 1).T),
    "argument of a slice": by(lambda w: w[::-1], item_set),
    "argument of a gather": by(lambda w: w[[1, 1, 0]]),
    "argument of broadcast_to": by(lambda w: td.broadcast_to(w, (3, 2))),
    "argument of concatenate": of_state(lambda w, x: td.concatenate([w, x])),
    "argument of pad": by(lambda w: td.pad(w, [(1, 1)])),
    "argument of a cast": by(lambda w: td.cast(w, "float32")),
    "branch of where": of_state(lambda w, x: td.where([True, False], w, x)),
    "weight of a product with a constant matrix": by(lambda w: w @ td.tensor([1.0, 2.0], "float64")),
    "result of +": out_of(lambda w: w + 1.0),
    "result of *": out_of(lambda w: w * 3.0),
    "result of log": out_of(td.log, added),
    "result of a slice": out_of(lambda w: w[:1]),
    "base of a view": view_of_what_is_edited,
    "base of a reshaped matrix": of_state(lambda w, x: w.reshape(1, 2) @ x.reshape(2, 1)),
    "what a cast was made of": matrix(lambda w, m: td.cast(w, "float32") @ td.cast(m, "float32")),
    "detached copy": detached_copy,
    "another one bound to the same value": own_value_of_another,
    "an earlier gradient": gradient_edited,
}


def state() -> tuple[td.Variable, td.Variable]:
    values = np.array([0.5, 2.0])
    return td.Variable(values, trainable=True, name="w"), td.Variable(values, name="x")


def test_the_tables_are_large_enough() -> None:
    assert len(NEEDED) >= 40
    assert len(HARMLESS) >= 30


@pytest.mark.parametrize("name", NEEDED)
def test_an_edit_of_a_value_that_the_backward_pass_needs_is_an_error(name: str, backend: str) -> None:
    operation, case = NEEDED[name]
    w, x = state()
    out, edit = case(w, x)
    before = w.grad
    edit()
    message = (
        rf"^the backward pass of ({operation}) needs the value that .* had in the forward pass, but it was assigned"
    )
    with pytest.raises(RuntimeError, match=message):
        out.sum().backward()
    assert w.grad is before
    with pytest.raises(RuntimeError, match=message):
        td.grad(case(w, x)[0].sum() + out.sum(), w)


@pytest.mark.parametrize("name", NEEDED)
def test_without_the_edit_there_is_a_gradient(name: str, backend: str) -> None:
    w, x = state()
    out, _ = NEEDED[name][1](w, x)
    assert np.isfinite(td.grad(out.sum(), w).numpy()).all()


@pytest.mark.parametrize("name", HARMLESS)
def test_an_edit_of_a_value_that_is_not_needed_does_not_matter(name: str, backend: str) -> None:
    case = HARMLESS[name]
    w, x = state()
    expected = td.grad(case(w, x)[0].sum(), w)
    out, edit = case(w, x)
    edit()
    out.sum().backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy(), expected.numpy())


@pytest.mark.parametrize("name", NEEDED)
def test_an_edit_after_the_backward_pass_or_before_the_next_forward_pass_does_not_matter(
    name: str, backend: str
) -> None:
    w, x = state()
    for _ in range(2):
        out, edit = NEEDED[name][1](w, x)
        td.grad(out.sum(), w)
        edit()


def test_an_edit_inside_a_differentiated_function(backend: str) -> None:
    count = td.Variable(td.tensor([1.0, 2.0]), name="count")

    def before(a: Tensor) -> Tensor:
        count.assign(count + 1.0)
        return (a * count).sum()

    def after(a: Tensor) -> Tensor:
        out = (a * count).sum()
        count.assign(count + 1.0)
        return out

    assert td.grad(before)([1.0, 1.0]).tolist() == [2.0, 3.0]
    with pytest.raises(RuntimeError, match=r"the backward pass of multiply needs the value that .* of shape \(2,\)"):
        td.grad(after)([1.0, 1.0])
    with pytest.raises(RuntimeError, match="the backward pass of multiply"):
        td.value_and_grad(lambda a: td.grad(after)(a).sum())([1.0, 1.0])


def test_an_edit_of_a_weight_is_named(backend: str) -> None:
    w, _ = state()
    out = (w * w).sum()
    added(w)()
    with pytest.raises(RuntimeError, match=r"multiply needs the value that .*'w'.* of shape \(2,\) had"):
        out.backward()
