"""minimize: the path equals the optimizer's formula step by step, nothing given is changed, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

pytestmark = pytest.mark.usefixtures("backend")
START = np.array([1.0, 2.0])


def bowl(p: td.Tensor) -> td.Tensor:
    return 20 * p[0] ** 2 + p[1] ** 2


def rosenbrock(p: td.Tensor) -> td.Tensor:
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def test_gradient_descent_on_the_bowl_is_the_closed_form() -> None:
    path, values = td.minimize(bowl, START, td.optimizers.SGD(0.02), steps=30)
    t = np.arange(31)
    # The learning rate is a float32, and with it the factors 1 - 40 eta and 1 - 2 eta.
    eta = float(np.float32(0.02))
    expected = np.stack([(1 - 40 * eta) ** t, 2 * (1 - 2 * eta) ** t], axis=1)
    np.testing.assert_allclose(path, expected, rtol=1e-12)
    np.testing.assert_allclose(values, 20 * path[:, 0] ** 2 + path[:, 1] ** 2, rtol=1e-14)
    assert (path.dtype, values.dtype) == (np.float64, np.float64)


def test_momentum_on_rosenbrock_is_its_recurrence() -> None:
    result = td.minimize(rosenbrock, np.array([-1.2, 1.0]), td.optimizers.SGD(5e-4, momentum=0.9), steps=300)
    p, m, eta = np.array([-1.2, 1.0]), np.zeros(2), float(np.float32(5e-4))
    expected = [p]
    for _ in range(300):
        a, b = p
        m = 0.9 * m - eta * np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])
        p = p + m
        expected.append(p)
    np.testing.assert_allclose(result.path, expected, rtol=1e-9, atol=1e-12)
    assert result.values[-1] < 0.2 < result.values[0]


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "nadam"])
def test_every_optimizer_by_name_goes_down(name: str) -> None:
    path, values = td.minimize(bowl, [1.0, 2.0], name, steps=20)
    assert path.shape == (21, 2)
    assert path.dtype == np.float32
    assert values[-1] < values[0] == 24.0


def test_neither_start_nor_optimizer_is_changed() -> None:
    start, tensor, adam = START.copy(), td.tensor(START), td.optimizers.Adam(0.1)
    first = td.minimize(rosenbrock, start, adam, steps=10)
    second = td.minimize(rosenbrock, tensor, adam, steps=10)
    np.testing.assert_array_equal(first.path, second.path)
    np.testing.assert_array_equal(start, START)
    np.testing.assert_array_equal(tensor.numpy(), START)
    np.testing.assert_array_equal(first.path[0], START)
    assert int(adam.iterations) == 0
    assert len(adam.variables) == 2


def test_a_schedule_and_clipping_act_as_in_training() -> None:
    sgd = td.optimizers.SGD(td.schedulers.PiecewiseConstantDecay([1], [1.0, 0.5]), clipnorm=1.0)
    path, _ = td.minimize(lambda p: 3 * p[0], [10.0], sgd, steps=4)
    np.testing.assert_allclose(path[:, 0], [10, 9, 8, 7.5, 7])


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_path_that_diverges_is_returned() -> None:
    _, values = td.minimize(bowl, START, td.optimizers.SGD(1e30), steps=20)
    assert values[1] > 1e60
    assert not np.isfinite(values[-1])


def test_more_than_two_numbers_and_one() -> None:
    for n in (1, 5):
        path, _ = td.minimize(lambda p: (p * p).sum(), np.ones(n), td.optimizers.SGD(0.25), steps=2)
        np.testing.assert_allclose(path, np.array([1.0, 0.5, 0.25])[:, None] * np.ones(n))


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((bowl, [[1.0, 2.0]], "sgd"), ValueError, "start must be a vector of finite numbers"),
        ((bowl, [], "sgd"), ValueError, "start must be a vector of finite numbers"),
        ((bowl, [1.0, np.nan], "sgd"), ValueError, "start must be a vector of finite numbers"),
        ((bowl, "origin", "sgd"), TypeError, "start: a Tensor is made of numbers; str 'origin' is none."),
        ((3, [1.0, 2.0], "sgd"), TypeError, "f must be a function of a Tensor, not 3"),
        ((bowl, [1.0, 2.0], "sgd", 0), ValueError, "steps must be an integer of at least 1, not 0"),
        ((lambda p: p, [1.0, 2.0], "sgd"), ValueError, "f must return one number, and returned a Tensor of shape (2,)"),
        ((lambda p: 1.0, [1.0], "sgd"), TypeError, "f must return a Tensor, written in Tensor operations, and"),
        ((lambda p: td.tensor(1.0), [1.0], "sgd"), ValueError, "does not depend on its argument"),
        ((lambda p: bowl(p).detach(), [1.0, 2.0], "sgd"), ValueError, "does not depend on its argument"),
        ((bowl, [1.0, 2.0], "sgdd"), ValueError, "'sgdd' is not a known optimizer. Did you mean 'sgd'"),
        ((bowl, [1.0, 2.0], print), TypeError, "an optimizer must be given as a name"),
        ((bowl, [1.0, 2.0], None), TypeError, "optimizer must be a registered name or an Optimizer, not None"),
    ],
)
def test_what_is_refused(arguments: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        td.minimize(*arguments)
