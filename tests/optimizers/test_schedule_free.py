"""ScheduleFreeAdamW: the formulas in float64, the weights to evaluate, the warm-up, bad arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import path, waves

START = np.array([0.5, -1.0, 2.0])


def schedule_free(
    gradients: Sequence[np.ndarray], lr: float = 0.0025, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    warmup: int = 0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The formula, with all three sequences kept; what y and what x were after each step."""
    z, x, v, ys, xs = START, START, np.zeros(3), [], []
    for t, g in enumerate(gradients, 1):
        v = b2 * v + (1 - b2) * g**2
        rate = lr * min(1.0, t / warmup) if warmup else lr
        z = z - rate * g / (np.sqrt(v / (1 - b2**t)) + eps)
        x = x + (z - x) / t
        ys.append((1 - b1) * z + b1 * x)
        xs.append(x)
    return np.array(ys), np.array(xs)


ARGUMENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "warmup_steps": 7},
        {"lr": 0.1, "b1": 0.5, "b2": 0.9, "eps": 1e-3, "warmup": 7},
    ),
    ({"beta_1": 1.0, "learning_rate": 0.1}, {"b1": 1.0, "lr": 0.1}),
]


@pytest.mark.parametrize(("arguments", "terms"), ARGUMENTS)
def test_trajectory_is_the_formula_s(
    backend: str, float64: None, arguments: dict[str, Any], terms: dict[str, Any]
) -> None:
    gradients = waves(200)
    optimizer, weight = td.optimizers.ScheduleFreeAdamW(**arguments), td.Variable(START, "float64", trainable=True)
    ys, xs = [], []
    for gradient in gradients:
        optimizer.apply([td.tensor(gradient)], [weight])
        ys.append(weight.numpy())
        xs.append(optimizer.evaluation_weights([weight])[0].numpy())
    expected = schedule_free(gradients, **terms)
    np.testing.assert_allclose(ys, expected[0], rtol=1e-10)
    np.testing.assert_allclose(xs, expected[1], rtol=1e-10)


def test_warm_up_shortens_the_first_steps(backend: str) -> None:
    # With beta_2 = 0 each step of z is the rate long, and after the first one x, y and z are the same.
    for warmup, length in ((0, 0.1), (1, 0.1), (4, 0.025)):
        optimizer = td.optimizers.ScheduleFreeAdamW(0.1, beta_2=0.0, warmup_steps=warmup)
        np.testing.assert_allclose(path(optimizer, [0.0], [[3.0]]), [[-length]], rtol=1e-5)


def test_the_weights_to_evaluate_settle_where_the_weights_themselves_waver(backend: str) -> None:
    # A bowl with noisy gradients and a learning rate that never falls.
    rng = np.random.default_rng(0)
    weight = td.Variable(np.full(50, 3.0, np.float32), trainable=True)
    optimizer = td.optimizers.ScheduleFreeAdamW(0.3, beta_1=0.5)
    sizes = []
    for _ in range(300):
        optimizer.apply([weight + td.tensor(rng.normal(size=50).astype(np.float32))], [weight])
        sizes.append([td.norm(w).item() for w in (weight, optimizer.evaluation_weights([weight])[0])])
    around, settled = np.array(sizes)[-100:].mean(axis=0)
    assert settled < 0.5 * around


def test_the_weights_to_evaluate_are_not_recorded_and_change_nothing(backend: str) -> None:
    first, second = (td.Variable(START, "float32", trainable=True) for _ in range(2))
    optimizer = td.optimizers.ScheduleFreeAdamW(0.1)
    for gradient in waves(3):
        optimizer.apply([td.tensor(gradient.astype(np.float32))], [first])
    before = first.numpy()
    found, untouched = optimizer.evaluation_weights([first, second])
    assert not found.requires_grad
    assert not untouched.requires_grad
    np.testing.assert_array_equal(first.numpy(), before)
    np.testing.assert_array_equal(untouched.numpy(), second.numpy())
    assert not np.array_equal(found.numpy(), before)


def test_fit_leaves_the_weights_where_training_can_go_on(backend: str) -> None:
    x, found = waves(16)[:, :2].astype(np.float32), []
    for epochs in ([4], [1, 3]):
        model = td.Sequential([td.layers.InputLayer((2,)), td.layers.Dense(1, kernel_initializer="ones")])
        model.compile(td.optimizers.ScheduleFreeAdamW(0.1), loss="mse")
        for number in epochs:
            model.fit(x, x[:, :1], epochs=number, batch_size=4, shuffle=False, verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(*found)
    (averaged, _) = model.optimizer.evaluation_weights(model.trainable_weights)
    assert not np.allclose(found[0], averaged.numpy(), atol=1e-3)


@pytest.mark.filterwarnings("error::RuntimeWarning")  # as of a division by zero
def test_zero_gradients_move_nothing(backend: str) -> None:
    found = path(td.optimizers.ScheduleFreeAdamW(beta_1=0.5), START, np.zeros((8, 3)))
    np.testing.assert_array_equal(found, np.tile(START.astype(np.float32), (8, 1)))


BAD: list[tuple[str, list[Any], str]] = [
    ("beta_1", [0.0, 1.1, -0.1, math.nan, True], r"a number in \(0, 1\]"),
    ("beta_2", [1.0, -0.1, math.nan, None], r"a number in \[0, 1\)"),
    ("epsilon", [-1e-8, math.inf, "x"], "a number of at least 0"),
    ("warmup_steps", [-1, 2.5, True, math.nan, None], "an integer of at least 0"),
]


@pytest.mark.parametrize(("argument", "values", "expected"), BAD)
def test_argument_out_of_range(argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^schedulefreeadamw: {argument} must be {expected}, not "):
            td.optimizers.ScheduleFreeAdamW(**{argument: value})
