"""RMSprop, Adam and Nadam: Keras's trajectories, the formulas in float64, PyTorch's Nadam, and the corners."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import (
    CASES,
    GOLDEN,
    TOLERANCE,
    WEIGHTS,
    away,
    follow,
    path,
    rule_cases,
    waves,
    worst,
)

RULES = rule_cases("RMSprop", "Adam", "Nadam")
START = np.array([0.5, -1.0, 2.0])

Path = Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]


# -- the formulas, in float64 and NumPy alone ----------------------------------------------------------------------


def rmsprop(
    lr: float = 1e-3, rho: float = 0.9, momentum: float = 0.0, eps: float = 1e-7, centered: bool = False
) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        v, mean, m, values = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p), []
        for g in gradients:
            v = rho * v + (1 - rho) * g**2
            mean = rho * mean + (1 - rho) * g
            m = momentum * m + lr * g / np.sqrt((v - mean**2 if centered else v) + eps)
            p = p - m
            values.append(p)
        return np.array(values)

    return run


def adam(lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7, amsgrad: bool = False) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, v, largest, values = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p), []
        for t, g in enumerate(gradients, 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            largest = np.maximum(largest, v)
            p = p - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(largest if amsgrad else v) + eps)
            values.append(p)
        return np.array(values)

    return run


def nadam(lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7, decay: float = 1.0) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, v, product, values = np.zeros_like(p), np.zeros_like(p), 1.0, []
        for t, g in enumerate(gradients, 1):
            u, u_next = (b1 * (1 - 0.5 * 0.96 ** (decay * k)) for k in (t, t + 1))
            product *= u
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            m_hat = u_next * m / (1 - product * u_next) + (1 - u) * g / (1 - product)
            p = p - lr * m_hat / (np.sqrt(v / (1 - b2**t)) + eps)
            values.append(p)
        return np.array(values)

    return run


FORMULAS: dict[str, tuple[Callable[[], td.optimizers.Optimizer], Path]] = {
    "rmsprop": (td.optimizers.RMSprop, rmsprop()),
    "rmsprop_momentum": (lambda: td.optimizers.RMSprop(0.01, rho=0.8, momentum=0.9), rmsprop(0.01, 0.8, 0.9)),
    "rmsprop_centered": (lambda: td.optimizers.RMSprop(centered=True, epsilon=1e-3), rmsprop(centered=True, eps=1e-3)),
    "adam": (td.optimizers.Adam, adam()),
    "adam_amsgrad": (lambda: td.optimizers.Adam(amsgrad=True, beta_2=0.5), adam(amsgrad=True, b2=0.5)),
    "adam_betas": (lambda: td.optimizers.Adam(0.01, 0.8, 0.95, 1e-4), adam(0.01, 0.8, 0.95, 1e-4)),
    "adam_no_memory": (lambda: td.optimizers.Adam(beta_1=0, beta_2=0), adam(b1=0.0, b2=0.0)),
    "nadam": (td.optimizers.Nadam, nadam()),
    "nadam_betas": (lambda: td.optimizers.Nadam(0.01, 0.8, 0.95, 1e-4), nadam(0.01, 0.8, 0.95, 1e-4)),
    "nadam_pytorch": (lambda: td.optimizers.Nadam(momentum_decay=0.004), nadam(decay=0.004)),
    "nadam_constant_momentum": (lambda: td.optimizers.Nadam(momentum_decay=0), nadam(decay=0.0)),
}


# -- trajectories --------------------------------------------------------------------------------------------------


def test_every_rule_has_golden_values() -> None:
    classes = [CASES[name]["class"] for name in RULES]
    assert {cls: classes.count(cls) for cls in set(classes)} == {"RMSprop": 5, "Adam": 10, "Nadam": 9}


@pytest.mark.parametrize("name", RULES)
def test_trajectory_is_keras_s(backend: str, name: str) -> None:
    case = CASES[name]
    found = follow(case)
    for weight in WEIGHTS:
        assert away(found[weight][-1], case[weight][-1]) <= TOLERANCE
        if case["start"] == "drawn":
            # From zero the first steps show Keras's own rounding of 1 - beta^t, up to 2e-5 of a step, and not ours:
            # test_float32_follows_the_formula.
            assert worst(found[weight], case[weight]) <= TOLERANCE


@pytest.mark.parametrize("name", FORMULAS)
def test_trajectory_is_the_formula_s(backend: str, float64: None, name: str) -> None:
    make, formula = FORMULAS[name]
    gradients = waves(200)
    np.testing.assert_allclose(path(make(), START, gradients, "float64"), formula(START, gradients), rtol=1e-11)


@pytest.mark.parametrize("gradients", ["unit", "small", "mixed"])
@pytest.mark.parametrize("name", ["adam", "nadam"])
def test_float32_follows_the_formula(backend: str, name: str, gradients: str) -> None:
    make, formula = FORMULAS[name]
    sequence = GOLDEN.inputs[f"{gradients}_bias"]
    expected = formula(np.zeros(3), sequence.astype(np.float64))
    assert worst(path(make(), np.zeros(3), sequence), expected) <= 1e-6


def test_nadam_is_pytorch_s_with_its_parameters(backend: str, float64: None) -> None:
    # torch.optim.NAdam([p], lr=0.002) of PyTorch 2.13.0 in float64, after the first and the last of 100 steps.
    first = [0.49788709644244006, -1.002112903330693, 1.9980269126871808]
    last = [0.4983356038654864, -1.111249268610038, 1.9996477328270508]
    optimizer = td.optimizers.Nadam(0.002, epsilon=1e-8, momentum_decay=0.004)
    found = path(optimizer, START, waves(100), "float64")
    # PyTorch keeps the running product in float32, hence not closer.
    np.testing.assert_allclose(found[[0, -1]] - START, [first, last] - START, rtol=1e-7)


# -- corners -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_adam_s_first_step_is_the_learning_rate_long(backend: str, scale: float) -> None:
    # Both corrections cancel at t = 1; without them the step would be 0.1 / sqrt(0.001) = 3.2 times too long.
    (value,) = path(td.optimizers.Adam(0.01), np.zeros(3), [scale * np.array([1.0, -2.0, 3.0])])
    np.testing.assert_allclose(value, [-0.01, 0.01, -0.01], rtol=1e-5)


def test_epsilon_joins_the_uncorrected_root_in_adam_and_the_mean_square_in_rmsprop(backend: str) -> None:
    g = 1e-4
    (adams,) = path(td.optimizers.Adam(), [0.0], [[g]])
    np.testing.assert_allclose(adams, [-1e-3 * math.sqrt(1e-3) * g / (math.sqrt(1e-3) * g + 1e-7)], rtol=1e-5)
    (rms,) = path(td.optimizers.RMSprop(), [0.0], [[g]])
    np.testing.assert_allclose(rms, [-1e-3 * g / math.sqrt(0.1 * g**2 + 1e-7)], rtol=1e-5)


def test_nadam_s_product_advances_once_a_step_and_not_once_a_weight(backend: str) -> None:
    alone = path(td.optimizers.Nadam(), START, waves(10))
    optimizer = td.optimizers.Nadam()
    weights = [td.Variable(START, "float32", trainable=True) for _ in range(3)]
    for g, expected in zip(waves(10), alone, strict=True):
        optimizer.apply([td.tensor(g.astype(np.float32))] * 3, weights)
        for weight in weights:
            np.testing.assert_array_equal(weight.numpy(), expected)


def test_amsgrad_never_lets_the_denominator_shrink(backend: str) -> None:
    gradients = [[100.0]] + [[1.0]] * 400
    plain, largest = (
        -np.diff(path(td.optimizers.Adam(beta_1=0.0, beta_2=0.9, amsgrad=amsgrad), [0.0], gradients)[:, 0])
        for amsgrad in (False, True)
    )
    # The first gradient is forgotten, and the steps are of length lr; or it is not, and v stays at 0.1 * 100^2.
    np.testing.assert_allclose(plain[-1], 1e-3, rtol=1e-3)
    np.testing.assert_allclose(largest[-1], 1e-3 / math.sqrt(1000), rtol=1e-3)


def test_centered_rmsprop_stays_finite_where_the_gradient_does_not_change(backend: str) -> None:
    # v - mean^2 is 0 there but for rounding, which beyond -epsilon would have no root.
    gradient = 10 ** np.random.default_rng(0).uniform(-2, 5, 2000)
    assert np.isfinite(path(td.optimizers.RMSprop(centered=True), np.zeros(2000), [gradient] * 250)).all()


def test_zero_gradients_move_nothing(backend: str) -> None:
    for make in (td.optimizers.RMSprop, td.optimizers.Adam, td.optimizers.Nadam):
        found = path(make(), START, np.zeros((3, 3)))
        np.testing.assert_array_equal(found, np.tile(START.astype(np.float32), (3, 1)))


FRACTION = r"a number in \[0, 1\)"
POSITIVE = "a number of at least 0"
BAD: list[tuple[str, str, list[Any], str]] = [
    ("RMSprop", "rho", [1.0, -0.1, "x"], FRACTION),
    ("RMSprop", "momentum", [1.1, -0.1], r"a number in \[0, 1\]"),
    ("RMSprop", "epsilon", [-1e-7, math.inf, None], POSITIVE),
    ("Adam", "beta_1", [1.0, -0.1, math.nan], FRACTION),
    ("Adam", "beta_2", [1.0, -0.1, True], FRACTION),
    ("Adam", "epsilon", [-1.0], POSITIVE),
    ("Nadam", "beta_1", [1.0], FRACTION),
    ("Nadam", "beta_2", [1.0], FRACTION),
    ("Nadam", "epsilon", [-1.0], POSITIVE),
    ("Nadam", "momentum_decay", [-0.004], POSITIVE),
]


@pytest.mark.parametrize(("cls", "argument", "values", "expected"), BAD)
def test_argument_out_of_range(cls: str, argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{cls.lower()}: {argument} must be {expected}, not "):
            getattr(td.optimizers, cls)(**{argument: value})
