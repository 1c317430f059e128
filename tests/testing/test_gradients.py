"""check_grads: passes what is right, catches and names what is wrong, changes nothing around it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.tensor import Tensor, apply
from tinygrad_dnn.testing import check_grads

# -- what is right passes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (td.tanh, 0.5),
        (td.tanh, np.array(0.5)),
        (td.tanh, np.float64(0.5)),
        (td.tanh, [0.5, -1.0]),
        (td.tanh, [[0.5, -1.0]]),
        (td.tanh, np.array([[0.5], [-1.0]], np.float32)),
        (td.tanh, [np.array([0.5, -1.0])]),
        (lambda x, y: x * y, [[0.5, -1.0], [2.0, 3.0]]),
        (lambda x, y: x @ y, [signed((2, 3)), signed((3, 2))]),
        (lambda x, y: x**y, (np.array(2.0), [1.0, 2.0])),
        (lambda x, i: x[i], [[0.5, -1.0, 2.0], np.array([0, 2, 2])]),
        (lambda x, mask: td.where(mask, x, 0.0), [np.array([0.5, -1.0]), [True, False]]),
        (lambda x: td.stack([x, x * x]).sum(1), np.zeros((0, 3))),
        (lambda x: td.tensor(3.0), 0.5),
        (lambda x: x * 2, 0.5),
        (lambda n: n * 0.5, [1, 2]),
        (lambda x, unused: x * x, [[0.5], [0.5]]),
        (lambda x: td.sign(x) + td.floor(x), [0.5, -1.5]),
        (lambda x: x.mean() + x[0], signed((100,))),
    ],
)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_gradients_pass(f: Callable[..., Tensor], inputs: Any, order: int, backend: str) -> None:
    check_grads(f, inputs, order=order)


def test_tensors_are_inputs_too(backend: str) -> None:
    x, y = td.tensor([0.5, -1.0], requires_grad=True), td.tensor([2.0, 3.0])
    check_grads(td.tanh, x)
    check_grads(lambda a, b: a * td.exp(b), [x, y])
    assert x.grad is None


def test_f_is_given_float64_on_the_current_backend(backend: str) -> None:
    seen = []

    def f(x: Tensor, n: Tensor) -> Tensor:
        seen.append((x.dtype.name, n.dtype.name, x.backend.name, n.requires_grad, td.zeros(1).dtype.name))
        return x * n

    check_grads(f, [np.array([0.5], np.float16), np.array([2], np.int32)])
    assert set(seen) == {("float64", "int32", backend, False, "float64")}


# -- what is wrong is caught --------------------------------------------------------------------------------------


def square(slope: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """Return a square whose gradient is as given."""
    primitive = Primitive("square", lambda xp, x: xp.multiply(x, x), x=lambda g, x: slope(g, x))
    return lambda x: apply(primitive, (x,))


WRONG: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "sign": (1, square(lambda g, x: -2 * g * x)),
    "factor": (1, square(lambda g, x: g * x)),
    "factor, by a thousandth": (1, square(lambda g, x: 2.002 * g * x)),
    "offset": (1, square(lambda g, x: 2 * g * x + 1e-4 * g)),
    "without the gradient from above": (1, square(lambda g, x: 2 * x)),
    "zero": (1, square(lambda g, x: g * 0.0)),
    "at one place": (1, square(lambda g, x: 2 * g * td.minimum(x, 0.7))),
    "elements mixed up": (1, square(lambda g, x: td.flip(2 * g * x))),
    "rounded to float16": (1, square(lambda g, x: td.cast(td.cast(2 * g * x, "float16"), "float64"))),
    "NaN": (1, square(lambda g, x: 2 * g * x + td.log(x * 0.0 - 1.0))),
    "infinite": (1, square(lambda g, x: g / (x * 0.0))),
    "detached": (1, lambda x: x * x.detach()),
    "wholly detached": (1, lambda x: (x * x).detach()),
    "second derivative missing": (2, square(lambda g, x: 2 * g * x.detach())),
    "second derivative doubled": (2, square(lambda g, x: g * (4 * x - 2 * x.detach()))),
    "second derivative without the gradient from above": (2, square(lambda g, x: 2 * g.detach() * x)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_caught(name: str, backend: str) -> None:
    order, f = WRONG[name]
    inputs = [0.5, 1.25, -0.75]
    message = (
        rf"^order {order}, input 0 of shape \(3,\): the projected gradient at \(\d,\) is .*, finite differences give"
    )
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match=message):
        check_grads(lambda x: f(x) * td.exp(x * 0.5), inputs)
    if order == 2:
        check_grads(lambda x: f(x) * td.exp(x * 0.5), inputs, order=1)


def test_third_order_is_checked(backend: str) -> None:
    slope = square(lambda g, x: 2 * g * x.detach())  # x^2 with a first derivative alone

    def f(x: Tensor) -> Tensor:
        return apply(cube, (x,))

    cube = Primitive("cube", lambda xp, x: xp.power(x, 3), x=lambda g, x: 3 * g * slope(x))
    check_grads(f, [0.5, 1.25], order=2)
    with pytest.raises(AssertionError, match=r"^order 3, input 0"):
        check_grads(f, [0.5, 1.25], order=3)


def test_the_input_the_place_and_the_values_are_named(backend: str) -> None:
    place = np.zeros((2, 3))
    place[1, 2] = 1.0
    wrong = square(lambda g, x: 2 * g * x + g * 0.25 * td.tensor(place))
    with pytest.raises(AssertionError) as caught:
        check_grads(lambda x, n, y: x.sum() + wrong(y) + n, [[1.0, 2.0], np.array(3), signed((2, 3))])
    found = re.fullmatch(
        r"order 1, input 2 of shape \(2, 3\): the projected gradient at \(1, 2\) is (\S+), finite differences give "
        r"(\S+); they differ by (\S+), the most of all places\.",
        str(caught.value),
    )
    assert found is not None
    ours, theirs, deviation = map(float, found.groups())
    assert abs(ours - theirs) == pytest.approx(deviation, rel=1e-2)
    weight = deviation / 0.25  # of the projection
    assert ours == pytest.approx(theirs + np.sign(ours - theirs) * 0.25 * weight, rel=1e-4)


def test_the_greatest_deviation_is_named(backend: str) -> None:
    factors = np.array([1.0, 1.0, 3.0, 1.0, 1.5])
    f = square(lambda g, x: 2 * g * x * td.tensor(factors))
    with pytest.raises(AssertionError, match=r"the projected gradient at \(2,\)"):
        check_grads(lambda x: f(x).sum(), [0.5] * 5)


@pytest.mark.parametrize("index", [(0, 0), (6, 7), (9, 9)])
def test_one_wrong_element_of_a_large_input_is_found(index: tuple[int, int], backend: str) -> None:
    place = np.zeros((10, 10))
    place[index] = 0.5
    f = square(lambda g, x: 2 * g * x + g * td.tensor(place))
    text = rf"order 1, input 0 of shape (10, 10): the projected gradient at {index}"
    with pytest.raises(AssertionError, match=f"^{re.escape(text)}"):
        check_grads(f, signed((10, 10)))
    check_grads(td.sin, signed((10, 10)))


def test_a_gradient_of_the_wrong_shape_is_named(backend: str) -> None:
    summed = Primitive("summed", lambda xp, x: xp.sum(x), x=lambda g: g)
    with pytest.raises(AssertionError, match=r"order 1, input 0 of shape \(2,\): the gradient has shape \(\)"):
        check_grads(lambda x: apply(summed, (x,)), [0.5, 1.0])


def test_tolerances_and_step(backend: str) -> None:
    slightly = square(lambda g, x: 2.002 * g * x)
    check_grads(slightly, [0.5, 1.0], rtol=2e-3)
    check_grads(slightly, [0.5, 1.0], atol=1e-1)
    kinked = lambda x: td.maximum(x, 0.0)  # noqa: E731
    check_grads(kinked, [1e-3, -1e-3])
    with pytest.raises(AssertionError):
        check_grads(kinked, [1e-3, -1e-3], eps=1e-2)


# -- misuse -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "came"),
    [
        (lambda x: td.cast(x, "float32"), "float32"),
        (lambda x: td.argmax(x), "int64"),
        (lambda x: x > 0, "bool"),
        (lambda x: x.numpy(), "ndarray"),
        (lambda x: None, "NoneType"),
    ],
)
def test_what_f_must_return(f: Callable[..., Any], came: str, backend: str) -> None:
    with pytest.raises(TypeError, match=f"functions that return a float64 Tensor for float64, not {came}"):
        check_grads(f, [0.5, 1.0])


def test_f_must_repeat_itself(backend: str) -> None:
    with pytest.raises(ValueError, match="two results for the same inputs: seed what it draws"):
        check_grads(lambda x: x * td.random.uniform((2,)), [0.5, 1.0])
    check_grads(lambda x: x * td.random.uniform((2,), seed=3), [0.5, 1.0])


@pytest.mark.parametrize("order", [0, -1])
def test_order_is_at_least_1(order: int) -> None:
    with pytest.raises(ValueError, match=f"check_grads checks orders from 1, not {order}"):
        check_grads(td.tanh, 0.5, order=order)


def test_what_f_raises_passes_through(backend: str) -> None:
    with pytest.raises(ValueError, match="matmul: shapes"):
        check_grads(lambda x: x @ td.zeros((4, 1)), signed((2, 3)))


# -- nothing around it changes ------------------------------------------------------------------------------------


def test_state_of_the_thread_is_left_alone(backend: str) -> None:
    def wrong(x: Tensor) -> Tensor:
        raise KeyError

    td.random.set_seed(5)
    expected = td.random.uniform((3,)).tolist()
    for f, error in [(td.tanh, None), (lambda x: x * x.detach(), AssertionError), (wrong, KeyError)]:
        td.random.set_seed(5)
        with td.no_grad():
            if error is None:
                check_grads(f, [0.5])
            else:
                with pytest.raises(error):
                    check_grads(f, [0.5])
            assert not td.is_grad_enabled()
        assert td.is_grad_enabled()
        assert (td.backend.floatx(), td.backend.current().name, td.random.get_seed()) == ("float32", backend, 5)
        assert td.random.uniform((3,)).tolist() == expected


def test_inputs_are_left_alone(backend: str) -> None:
    array, x = np.array([0.5, 1.0]), td.tensor([0.5, 1.0], requires_grad=True)
    check_grads(lambda a, b: a * b, [array, x])
    assert array.tolist() == x.tolist() == [0.5, 1.0]
    assert x.grad is None
