"""AdamW, Adamax, RAdam, Lamb and Lion: Keras's trajectories, the formulas in float64, PyTorch's RAdam, the corners."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import CASES, GOLDEN, TOLERANCE, WEIGHTS, follow, path, rule_cases, waves, worst

RULES = rule_cases("AdamW", "Adamax", "RAdam", "Lamb", "Lion")
START = np.array([0.5, -1.0, 2.0])

Path = Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]


# -- the formulas, in float64 and NumPy alone ----------------------------------------------------------------------


def adamw(lr: float = 1e-3, decay: float = 0.004, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, v, values = np.zeros_like(p), np.zeros_like(p), []
        for t, g in enumerate(gradients, 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            p = (1 - lr * decay) * p - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps)
            values.append(p)
        return np.array(values)

    return run


def adamax(lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, u, values = np.zeros_like(p), np.zeros_like(p), []
        for t, g in enumerate(gradients, 1):
            m, u = b1 * m + (1 - b1) * g, np.maximum(b2 * u, np.abs(g))
            p = p - lr / (1 - b1**t) * m / (u + eps)
            values.append(p)
        return np.array(values)

    return run


def radam(lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, v, values, end = np.zeros_like(p), np.zeros_like(p), [], 2 / (1 - b2) - 1
        for t, g in enumerate(gradients, 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            now, factor = end - 2 * t * b2**t / (1 - b2**t), np.ones_like(p)
            if now > 5:
                r = math.sqrt((now - 4) * (now - 2) * end / ((end - 4) * (end - 2) * now))
                factor = r * math.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
            p = p - lr * m / (1 - b1**t) * factor
            values.append(p)
        return np.array(values)

    return run


def lamb(lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, v, values = np.zeros_like(p), np.zeros_like(p), []
        for t, g in enumerate(gradients, 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            d = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
            p = p - lr * np.linalg.norm(p) / np.linalg.norm(d) * d
            values.append(p)
        return np.array(values)

    return run


def lion(lr: float = 1e-3, b1: float = 0.9, b2: float = 0.99) -> Path:
    def run(p: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        m, values = np.zeros_like(p), []
        for g in gradients:
            p = p - lr * np.sign(b1 * m + (1 - b1) * g)
            m = b2 * m + (1 - b2) * g
            values.append(p)
        return np.array(values)

    return run


FORMULAS: dict[str, tuple[Callable[[], td.optimizers.Optimizer], Path]] = {
    "adamw": (td.optimizers.AdamW, adamw()),
    "adamw_arguments": (lambda: td.optimizers.AdamW(0.01, 0.5, 0.8, 0.95, 1e-4), adamw(0.01, 0.5, 0.8, 0.95, 1e-4)),
    "adamax": (td.optimizers.Adamax, adamax()),
    "adamax_arguments": (lambda: td.optimizers.Adamax(0.01, 0.8, 0.5, 1e-4), adamax(0.01, 0.8, 0.5, 1e-4)),
    "radam": (td.optimizers.RAdam, radam()),
    "radam_arguments": (lambda: td.optimizers.RAdam(0.01, 0.8, 0.95, 1e-4), radam(0.01, 0.8, 0.95, 1e-4)),
    "radam_long_memory": (lambda: td.optimizers.RAdam(beta_2=0.99999), radam(b2=0.99999)),
    "radam_never_adaptive": (lambda: td.optimizers.RAdam(beta_2=0.6), radam(b2=0.6)),
    "radam_barely_adaptive": (lambda: td.optimizers.RAdam(beta_2=0.67), radam(b2=0.67)),
    "lamb": (td.optimizers.Lamb, lamb()),
    "lamb_arguments": (lambda: td.optimizers.Lamb(0.01, 0.8, 0.95, 1e-4), lamb(0.01, 0.8, 0.95, 1e-4)),
    "lion": (td.optimizers.Lion, lion()),
    "lion_arguments": (lambda: td.optimizers.Lion(0.01, 0.5, 0.8), lion(0.01, 0.5, 0.8)),
}


# -- trajectories --------------------------------------------------------------------------------------------------


def test_every_rule_of_keras_has_golden_values() -> None:
    classes = [case["class"] for case in CASES.values()]
    assert {cls: classes.count(cls) for cls in ("AdamW", "Adamax", "Lamb", "Lion")} == {
        "AdamW": 2, "Adamax": 1, "Lamb": 2, "Lion": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_trajectory_is_keras_s(backend: str, name: str) -> None:
    found = follow(CASES[name])
    for weight in WEIGHTS:
        assert worst(found[weight], CASES[name][weight]) <= TOLERANCE


@pytest.mark.parametrize("name", FORMULAS)
def test_trajectory_is_the_formula_s(backend: str, float64: None, name: str) -> None:
    make, formula = FORMULAS[name]
    gradients = waves(200)
    np.testing.assert_allclose(path(make(), START, gradients, "float64"), formula(START, gradients), rtol=1e-10)


@pytest.mark.parametrize("gradients", ["unit", "small", "mixed"])
@pytest.mark.parametrize("name", ["adamax", "radam", "radam_long_memory"])
def test_float32_follows_the_formula(backend: str, name: str, gradients: str) -> None:
    make, formula = FORMULAS[name]
    sequence = GOLDEN.inputs[f"{gradients}_bias"]
    expected = formula(np.zeros(3), sequence.astype(np.float64))
    assert worst(path(make(), np.zeros(3), sequence), expected) <= 1e-6


# torch.optim.RAdam of PyTorch 2.13.0 in float64: arguments, decay, and the weight after steps 1, 6 and 100.
PYTORCH_S: list[tuple[dict[str, Any], list[list[float]]]] = [
    (
        {"learning_rate": 0.002, "epsilon": 1e-8},
        [
            [0.49831705803038423, -1.0001677063269057, 1.99999999971776],
            [0.4950930843984404, -1.0026154997866077, 2.0000069230496655],
            [0.4950113347928287, -1.018540780609514, 2.000014367616863],
        ],
    ),
    (
        {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4, "weight_decay": 0.1},
        [
            [0.49108529015192104, -0.9998385316345286, 1.9979999985888],
            [0.47541487457789977, -1.0086563648317215, 1.9880310528853016],
            [0.43311339185247527, -1.3382773044856857, 1.8095898655947462],
        ],
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), PYTORCH_S)
def test_radam_is_pytorch_s(
    backend: str, float64: None, arguments: dict[str, Any], expected: list[list[float]]
) -> None:
    found = path(td.optimizers.RAdam(**arguments), START, waves(100), "float64")
    np.testing.assert_allclose(found[[0, 5, 99]] - START, np.array(expected) - START, rtol=1e-9, atol=1e-14)


# -- corners -------------------------------------------------------------------------------------------------------


def test_adamw_is_adam_with_decay(backend: str) -> None:
    assert issubclass(td.optimizers.AdamW, td.optimizers.Adam)
    assert td.optimizers.AdamW().weight_decay == 0.004
    for amsgrad in (False, True):
        with_default = path(td.optimizers.AdamW(0.1, amsgrad=amsgrad), START, waves(20))
        spelled_out = path(td.optimizers.Adam(0.1, weight_decay=0.004, amsgrad=amsgrad), START, waves(20))
        np.testing.assert_array_equal(with_default, spelled_out)


def test_adamw_needs_a_decay() -> None:
    with pytest.raises(ValueError, match=r"^adamw: weight_decay must be a number of at least 0, not None"):
        td.optimizers.AdamW(weight_decay=None)


def test_adamax_s_first_step_is_the_learning_rate_long(backend: str) -> None:
    (value,) = path(td.optimizers.Adamax(0.01), np.zeros(3), [np.array([1.0, -2.0, 1e4])])
    np.testing.assert_allclose(value, [-0.01, 0.01, -0.01], rtol=1e-6)


def test_radam_uses_the_squares_from_the_sixth_step_on(backend: str) -> None:
    gradients = np.tile([1.0, 100.0], (7, 1))
    moves = -np.diff(path(td.optimizers.RAdam(), np.zeros(2), gradients), axis=0, prepend=0.0)
    # Up to there the step is the mean gradient's, after that it does not know the gradient's size.
    np.testing.assert_allclose(moves[:5], 1e-3 * gradients[:5], rtol=1e-4)
    assert (moves[5:] < 1e-3).all()
    np.testing.assert_allclose(moves[5:, 0], moves[5:, 1], rtol=2e-2)


def test_lamb_moves_each_weight_by_a_part_of_its_own_length(backend: str) -> None:
    rng = np.random.default_rng(0)
    weights = [
        td.Variable(scale * rng.normal(size=shape).astype(np.float32), "float32", trainable=True)
        for scale, shape in ((1.0, (4, 3)), (100.0, (3,)), (1e-3, (2, 2, 2)))
    ]
    before = [w.numpy() for w in weights]
    gradients = [td.tensor(rng.normal(size=w.shape).astype(np.float32)) for w in weights]
    td.optimizers.Lamb(0.01).apply(gradients, weights)
    for weight, old in zip(weights, before, strict=True):
        assert np.linalg.norm(weight.numpy() - old) / np.linalg.norm(old) == pytest.approx(0.01, rel=1e-4)


def test_lamb_s_quotient_is_1_where_a_norm_is_0(backend: str) -> None:
    (value,) = path(td.optimizers.Lamb(0.01), np.zeros(2), [[3.0, -5.0]])
    np.testing.assert_allclose(value, [-0.01, 0.01], rtol=1e-5)


def test_lion_s_steps_have_one_length(backend: str) -> None:
    moves = np.diff(path(td.optimizers.Lion(0.25), np.zeros(3), waves(50)), axis=0, prepend=0.0)
    np.testing.assert_array_equal(np.abs(moves), np.full((50, 3), 0.25))


@pytest.mark.filterwarnings("error::RuntimeWarning")  # as of a division by zero
def test_zero_gradients_move_nothing(backend: str) -> None:
    for make in (td.optimizers.Adamax, td.optimizers.RAdam, td.optimizers.Lamb, td.optimizers.Lion):
        found = path(make(), START, np.zeros((8, 3)))
        np.testing.assert_array_equal(found, np.tile(START.astype(np.float32), (8, 1)))


FRACTION = r"a number in \[0, 1\)"
BAD: list[tuple[str, str, list[Any], str]] = [
    *((cls, beta, [1.0, -0.1, math.nan, True], FRACTION) for cls in ("AdamW", "Adamax", "RAdam", "Lamb")
      for beta in ("beta_1", "beta_2")),
    *((cls, "epsilon", [-1e-7, None], "a number of at least 0") for cls in ("AdamW", "Adamax", "RAdam", "Lamb")),
    ("AdamW", "weight_decay", [-0.1], "a number of at least 0"),
    ("Lion", "beta_1", [0.0, 1.1, "x"], r"a number in \(0, 1\]"),
    ("Lion", "beta_2", [1.0, -0.1], FRACTION),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "argument", "values", "expected"), BAD)
def test_argument_out_of_range(cls: str, argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{cls.lower()}: {argument} must be {expected}, not "):
            getattr(td.optimizers, cls)(**{argument: value})
