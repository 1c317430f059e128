"""SGD: Keras's trajectories, and what momentum and Nesterov's look-ahead do in closed form."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import CASES, TOLERANCE, WEIGHTS, follow, path, rule_cases, waves, worst

RULES = rule_cases("SGD")


def test_all_three_kinds_have_golden_values() -> None:
    assert set(RULES) >= {"sgd", "sgd_default", "sgd_momentum", "sgd_nesterov"}


@pytest.mark.parametrize("name", RULES)
def test_trajectory_is_keras_s(backend: str, name: str) -> None:
    found = follow(CASES[name])
    for weight in WEIGHTS:
        assert worst(found[weight], CASES[name][weight]) <= TOLERANCE


def test_momentum_is_a_geometric_sum_under_a_constant_gradient(backend: str) -> None:
    found = path(td.optimizers.SGD(0.1, momentum=0.9), [0.0], [[1.0]] * 30)[:, 0]
    t = np.arange(1, 31)
    # m_t = -lr (1 - 0.9^t) / 0.1, and the weight is the sum of these.
    expected = -0.1 * np.cumsum((1 - 0.9**t) / 0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_trajectory_is_the_formula_s(backend: str, nesterov: bool) -> None:
    gradients = waves(50)
    p, m, expected = np.array([0.5, -1.0, 2.0]), np.zeros(3), []
    for g in gradients:
        m = 0.8 * m - 0.05 * g
        p = p + (0.8 * m - 0.05 * g if nesterov else m)
        expected.append(p)
    td.backend.set_floatx("float64")
    try:
        found = path(td.optimizers.SGD(0.05, 0.8, nesterov), [0.5, -1.0, 2.0], gradients, "float64")
    finally:
        td.backend.set_floatx("float32")
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("momentum", "nesterov", "first", "last"),
    [
        (
            0.8, True, [0.4242676113672893, -1.007546784710757, 1.9999999872991994],
            [0.35271489081665447, -12.96482706447685, 2.000000027121736],
        ),
        (
            0.9, False, [0.4579264507596052, -1.0041926581726428, 1.9999999929439995],
            [0.07290181219617856, -23.489595787021994, 1.9999999953268643],
        ),
    ],
)  # fmt: skip
def test_at_a_constant_rate_the_trajectory_is_pytorch_s(
    backend: str, float64: None, momentum: float, nesterov: bool, first: list[float], last: list[float]
) -> None:
    # torch.optim.SGD([p], lr=0.05) of PyTorch 2.13.0 in float64, after the first and the last of 100 steps. PyTorch
    # multiplies the sum of the gradients by the rate of the step, Keras each gradient by that of its own.
    start = np.array([0.5, -1.0, 2.0])
    found = path(td.optimizers.SGD(0.05, momentum, nesterov), start, waves(100), "float64")
    np.testing.assert_allclose(found[[0, -1]], [first, last], rtol=1e-13)
    np.testing.assert_allclose(found[[0, -1]] - start, [first, last] - start, rtol=1e-7)


def test_without_momentum_no_state_is_kept(backend: str) -> None:
    plain, looking_ahead = td.optimizers.SGD(0.1), td.optimizers.SGD(0.1, nesterov=True)
    gradients = waves(5)
    np.testing.assert_array_equal(path(plain, np.ones(3), gradients), path(looking_ahead, np.ones(3), gradients))
    assert {v.name for v in plain.variables} == {"sgd/iterations", "sgd/learning_rate"}


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "0.9", None, True])
def test_momentum_out_of_range(value: object) -> None:
    with pytest.raises(ValueError, match=r"^sgd: momentum must be a number in \[0, 1\], not "):
        td.optimizers.SGD(momentum=value)
