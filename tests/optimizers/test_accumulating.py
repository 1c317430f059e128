"""Adagrad, Adadelta and Ftrl: Keras's trajectories, the formulas in float64, and the corners."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import CASES, TOLERANCE, WEIGHTS, follow, path, rule_cases, waves, worst

RULES = rule_cases("Adagrad", "Adadelta", "Ftrl")
START = np.array([0.5, -1.0, 2.0])

Path = Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]


# -- the formulas, in float64 and NumPy alone ----------------------------------------------------------------------


def adagrad(lr: float = 1e-3, initial: float = 0.1, eps: float = 1e-7) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        sums = initial + np.cumsum(np.square(gradients), axis=0)
        return p - np.cumsum(lr * np.asarray(gradients) / np.sqrt(sums + eps), axis=0)

    return run


def adadelta(lr: float = 1e-3, rho: float = 0.95, eps: float = 1e-7) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        v, s, values = np.zeros_like(p), np.zeros_like(p), []
        for g in gradients:
            v = rho * v + (1 - rho) * g**2
            d = np.sqrt(s + eps) / np.sqrt(v + eps) * g
            s = rho * s + (1 - rho) * d**2
            p = p - lr * d
            values.append(p)
        return np.array(values)

    return run


def ftrl(
    lr: float, power: float = -0.5, initial: float = 0.1, l1: float = 0.0, l2: float = 0.0, shrinkage: float = 0.0,
    beta: float = 0.0,
) -> Path:  # fmt: skip
    """The minimum over p that McMahan et al. state: z p + l1 |p| + ((beta + n^k) / lr + 2 l2) p^2 / 2."""

    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        n, z, values = np.full_like(p, initial), np.zeros_like(p), []
        for g in gradients:
            sigma = ((n + g**2) ** -power - n**-power) / lr
            n, z = n + g**2, z + g + 2 * shrinkage * p - sigma * p
            p = -np.sign(z) * np.maximum(np.abs(z) - l1, 0) / ((beta + n**-power) / lr + 2 * l2)
            values.append(p)
        return np.array(values)

    return run


FORMULAS: dict[str, tuple[Callable[[], td.optimizers.Optimizer], Path]] = {
    "adagrad": (td.optimizers.Adagrad, adagrad()),
    "adagrad_arguments": (lambda: td.optimizers.Adagrad(0.1, 0.0, 1e-4), adagrad(0.1, 0.0, 1e-4)),
    "adadelta": (td.optimizers.Adadelta, adadelta()),
    "adadelta_arguments": (lambda: td.optimizers.Adadelta(1.0, 0.5, 1e-3), adadelta(1.0, 0.5, 1e-3)),
    "adadelta_no_memory": (lambda: td.optimizers.Adadelta(1.0, 0), adadelta(1.0, 0.0)),
    "ftrl": (lambda: td.optimizers.Ftrl(0.1), ftrl(0.1)),
    "ftrl_power": (lambda: td.optimizers.Ftrl(0.1, -0.75, 0.5), ftrl(0.1, -0.75, 0.5)),
    "ftrl_constant_rate": (lambda: td.optimizers.Ftrl(0.1, 0), ftrl(0.1, 0.0)),
    "ftrl_l1": (lambda: td.optimizers.Ftrl(0.1, l1_regularization_strength=0.5), ftrl(0.1, l1=0.5)),
    "ftrl_l2": (lambda: td.optimizers.Ftrl(0.1, l2_regularization_strength=0.5), ftrl(0.1, l2=0.5)),
    "ftrl_shrinkage": (
        lambda: td.optimizers.Ftrl(0.1, l2_shrinkage_regularization_strength=0.5), ftrl(0.1, shrinkage=0.5),
    ),
    "ftrl_beta": (lambda: td.optimizers.Ftrl(0.1, beta=0.5), ftrl(0.1, beta=0.5)),
}  # fmt: skip


# -- trajectories --------------------------------------------------------------------------------------------------


def test_every_rule_has_golden_values() -> None:
    classes = [CASES[name]["class"] for name in RULES]
    assert {cls: classes.count(cls) for cls in set(classes)} == {"Adagrad": 2, "Adadelta": 2, "Ftrl": 2}


@pytest.mark.parametrize("name", RULES)
def test_trajectory_is_keras_s(backend: str, name: str) -> None:
    found = follow(CASES[name])
    for weight in WEIGHTS:
        assert worst(found[weight], CASES[name][weight]) <= TOLERANCE


@pytest.mark.parametrize("name", FORMULAS)
def test_trajectory_is_the_formula_s(backend: str, float64: None, name: str) -> None:
    make, formula = FORMULAS[name]
    gradients = waves(200)
    expected = formula(START, gradients)
    # A weight of Ftrl can come near 0 as the difference of larger numbers.
    np.testing.assert_allclose(path(make(), START, gradients, "float64"), expected, rtol=1e-11, atol=1e-13)


# -- corners -------------------------------------------------------------------------------------------------------


def test_adagrad_s_steps_shrink_with_the_root_of_their_number(backend: str) -> None:
    found = path(td.optimizers.Adagrad(0.1, initial_accumulator_value=0.0, epsilon=0.0), [0.0], [[3.0]] * 30)[:, 0]
    np.testing.assert_allclose(found, -0.1 * np.cumsum(np.arange(1, 31) ** -0.5), rtol=1e-5)


def test_adagrad_and_adadelta_move_nothing_without_gradient(backend: str) -> None:
    for optimizer in (td.optimizers.Adagrad(initial_accumulator_value=0.0), td.optimizers.Adadelta(1.0)):
        found = path(optimizer, START, np.zeros((3, 3)))
        np.testing.assert_array_equal(found, np.tile(START.astype(np.float32), (3, 1)))


def test_adadelta_does_not_mind_the_gradient_s_unit(backend: str) -> None:
    gradients = waves(50)[:, :2]
    plain, scaled = (path(td.optimizers.Adadelta(1.0), [0.0, 0.0], k * gradients) for k in (10, 1000))
    np.testing.assert_allclose(scaled, plain, rtol=1e-3)


def test_ftrl_sets_weights_to_exactly_0_whose_gradients_stay_small(backend: str) -> None:
    optimizer = td.optimizers.Ftrl(0.1, l1_regularization_strength=2.0)
    found = path(optimizer, [0.0, 0.0], [[0.1, 1.0]] * 10)
    # The gradients' sums are 1 and 10; the second one passes 2 at the third step.
    np.testing.assert_array_equal(found[:, 0], np.zeros(10))
    assert (found[:2, 1] == 0).all()
    assert (found[2:, 1] < 0).all()


def test_ftrl_computes_the_weight_afresh(backend: str) -> None:
    # z is 0 without a gradient, and so is the weight; Keras's does the same.
    (value,) = path(td.optimizers.Ftrl(0.1), START, np.zeros((1, 3)))
    np.testing.assert_array_equal(value, np.zeros(3))


def test_ftrl_at_learning_rate_0_changes_nothing(backend: str) -> None:
    def rate(step: td.Tensor) -> td.Tensor:
        return td.where(td.greater(step, 1), 0.1, 0.0)

    optimizer = td.optimizers.Ftrl(rate, l1_regularization_strength=0.1)
    found = path(optimizer, START, waves(4))
    np.testing.assert_array_equal(found[:2], np.tile(START.astype(np.float32), (2, 1)))
    later = path(td.optimizers.Ftrl(0.1, l1_regularization_strength=0.1), START, waves(4)[2:])
    np.testing.assert_array_equal(found[2:], later)


@pytest.mark.filterwarnings("error::RuntimeWarning")  # as of a division by zero
def test_ftrl_from_an_empty_sum_waits_for_the_first_gradient(backend: str) -> None:
    optimizer = td.optimizers.Ftrl(0.1, initial_accumulator_value=0.0)
    found = path(optimizer, [1.0, 1.0], [[0.0, 2.0], [2.0, 0.0]])
    # The first gradient takes the weight to p - lr g / |g|, whenever it comes.
    np.testing.assert_allclose(found, [[1.0, 0.9], [0.9, 0.9]], rtol=1e-6)


POSITIVE = "a number of at least 0"
BAD: list[tuple[str, str, list[Any], str]] = [
    ("Adagrad", "initial_accumulator_value", [-0.1, math.nan], POSITIVE),
    ("Adagrad", "epsilon", [-1e-7, None], POSITIVE),
    ("Adadelta", "rho", [1.0, -0.1, "x"], r"a number in \[0, 1\)"),
    ("Adadelta", "epsilon", [0.0, -1.0], "a number above 0"),
    ("Ftrl", "learning_rate_power", [0.5, math.nan], "a number of at most 0"),
    ("Ftrl", "initial_accumulator_value", [-0.1], POSITIVE),
    ("Ftrl", "l1_regularization_strength", [-0.1, True], POSITIVE),
    ("Ftrl", "l2_regularization_strength", [-0.1, math.inf], POSITIVE),
    ("Ftrl", "l2_shrinkage_regularization_strength", [-0.1], POSITIVE),
    ("Ftrl", "beta", [-0.1], POSITIVE),
]


@pytest.mark.parametrize(("cls", "argument", "values", "expected"), BAD)
def test_argument_out_of_range(cls: str, argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{cls.lower()}: {argument} must be {expected}, not "):
            getattr(td.optimizers, cls)(**{argument: value})
