"""Adafactor: PyTorch's trajectories, the formulas in float64, what it keeps, dead rows and columns, bad arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import path, waves

START = np.array([0.5, -1.0, 2.0])
MATRIX = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]])


def adafactor(
    p: np.ndarray, gradients: Sequence[np.ndarray], lr: float = 1e-3, decay: float = -0.8, eps_1: float = 1e-30,
    eps_2: float = 1e-3, threshold: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """The formula, NumPy alone."""
    def rms(x: np.ndarray) -> float:
        return math.sqrt(np.mean(x**2))

    v = r = c = 0.0
    values = []
    for t, g in enumerate(gradients, 1):
        b, s = 1 - t**decay, g**2 + eps_1
        if p.ndim < 2:
            v = b * v + (1 - b) * s
        else:
            r, c = b * r + (1 - b) * s.mean(axis=-1), b * c + (1 - b) * s.mean(axis=-2)
            v = np.einsum("...i,...j->...ij", r / r.mean(axis=-1, keepdims=True), c)
        u = g / np.sqrt(v)
        p = p - max(eps_2, rms(p)) * min(lr, 1 / math.sqrt(t)) * u / max(1.0, rms(u) / threshold)
        values.append(p)
    return np.array(values)


def of_shape(shape: tuple[int, ...], steps: int = 60) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=(steps, *shape))


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (2, 4, 3), (2, 2, 1, 5)])
@pytest.mark.parametrize(
    ("arguments", "terms"),
    [
        ({}, {}),
        (
            {"learning_rate": 0.5, "beta_2_decay": -0.5, "epsilon_1": 0.25, "epsilon_2": 2.0, "clip_threshold": 0.5},
            {"lr": 0.5, "decay": -0.5, "eps_1": 0.25, "eps_2": 2.0, "threshold": 0.5},
        ),
    ],
)
def test_trajectory_is_the_formula_s(
    backend: str, float64: None, shape: tuple[int, ...], arguments: dict[str, Any], terms: dict[str, float]
) -> None:
    gradients, start = of_shape(shape), np.ones(shape)
    found = path(td.optimizers.Adafactor(**arguments), start, gradients, "float64")
    np.testing.assert_allclose(found, adafactor(start, gradients, **terms), rtol=1e-10, atol=1e-13)


# torch.optim.Adafactor of PyTorch 2.13.0 in float64, after 100 steps: our arguments, its matrix, its vector.
PYTORCH_S: list[tuple[dict[str, Any], list[list[float]], list[float]]] = [
    (
        {"learning_rate": 0.1},
        [
            [5.033581140411214, -30.080091733021373, 2.0000017267710306],
            [1.0000034535420645, -28.83009173302137, 1.7667905702101887],
        ],
        [2.55671343430925, -30.406294820656566, 2.8458000144175495],
    ),
    (
        {"learning_rate": 1.0, "beta_2_decay": -0.5, "epsilon_2": 0.5, "clip_threshold": 2.0},
        [
            [52.38220022371237, -278.77055826565515, 2.0000123899243034],
            [1.0000247798486026, -277.52055826565515, 25.441100111917866],
        ],
        [20.45703915048574, -248.9718019693269, 9.207504660998403],
    ),
]


@pytest.mark.parametrize(("arguments", "matrix", "vector"), PYTORCH_S)
def test_trajectory_is_pytorch_s(
    backend: str, float64: None, arguments: dict[str, Any], matrix: list[list[float]], vector: list[float]
) -> None:
    gradients = waves(100)
    pairs = np.stack([gradients, 2 * gradients[:, ::-1]], axis=1)
    found = path(td.optimizers.Adafactor(**arguments), MATRIX, pairs, "float64")[-1]
    np.testing.assert_allclose(found - MATRIX, np.array(matrix) - MATRIX, rtol=1e-8)
    found = path(td.optimizers.Adafactor(**arguments), START, gradients, "float64")[-1]
    np.testing.assert_allclose(found - START, np.array(vector) - START, rtol=1e-8)


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((), {"v": ()}),
        ((5,), {"v": (5,)}),
        ((4, 3), {"r": (4,), "c": (3,)}),
        ((7, 2, 4, 3), {"r": (7, 2, 4), "c": (7, 2, 3)}),
    ],
)
def test_what_is_kept_of_a_weight(backend: str, shape: tuple[int, ...], kept: dict[str, tuple[int, ...]]) -> None:
    weight = td.Variable(np.ones(shape, np.float32), trainable=True, name="w")
    optimizer = td.optimizers.Adafactor()
    optimizer.build([weight])
    assert {v.name.rpartition("/")[2]: v.shape for v in optimizer.variables if "/w/" in v.name} == kept


@pytest.mark.filterwarnings("error::RuntimeWarning")  # as of 0 / 0
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_dead_rows_and_columns_stay_as_they_are(backend: str, scale: float) -> None:
    # An input that is always 0 and a unit that never fires: there r c is 1e-60, which is 0 in float32.
    gradients = scale * of_shape((4, 3))
    gradients[:, 1], gradients[:, :, 2] = 0.0, 0.0
    found = path(td.optimizers.Adafactor(0.1), np.ones((4, 3)), gradients)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, 1], np.ones((60, 3)))
    np.testing.assert_array_equal(found[:, :, 2], np.ones((60, 4)))
    assert (found[-1][[0, 2, 3]][:, :2] != 1).all()


def test_weights_of_float16_stay_finite(backend: str) -> None:
    gradients = of_shape((4, 3)).clip(-2, 2)
    gradients[:, 1], gradients[:, :, 2] = 0.0, 0.0
    start = np.full((4, 3), 4.0)
    found = path(td.optimizers.Adafactor(0.01), start, gradients, "float16")
    assert found.dtype == np.float16
    expected = path(td.optimizers.Adafactor(0.01), start, gradients)
    # 60 steps, each rounded to a unit in the last place of 4.
    np.testing.assert_allclose(found, expected, atol=60 * 2**-9)
    for vector in ([0.0, 1.0], [0.0, 0.0]):
        assert np.isfinite(path(td.optimizers.Adafactor(0.01), [1.0, 1.0], [vector] * 4, "float16")).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_zero_gradients_move_nothing(backend: str) -> None:
    for start in (START, MATRIX):
        found = path(td.optimizers.Adafactor(), start, np.zeros((8, *start.shape)))
        np.testing.assert_array_equal(found, np.stack([start.astype(np.float32)] * 8))


def test_steps_are_a_part_of_the_weight_s_size(backend: str) -> None:
    for size, length in ((100.0, 1.0), (1e-6, 1e-5)):  # below epsilon_2 a size counts as that
        (moved,) = path(td.optimizers.Adafactor(0.01), [size, -size], [[5.0, -7.0]])
        np.testing.assert_allclose(np.array([size, -size]) - moved, [length, -length], rtol=1e-4)


@pytest.mark.parametrize("relative_step", [True, False])
def test_the_rate_is_bounded_by_the_root_of_the_step(backend: str, relative_step: bool) -> None:
    # A weight that stays smaller than epsilon_2: a step is the rate times that.
    optimizer = td.optimizers.Adafactor(0.6, relative_step=relative_step, epsilon_2=1e4)
    moves = -np.diff(path(optimizer, [0.0], [[0.1], [-0.1]] * 2)[:, 0], prepend=0.0) / 1e4
    np.testing.assert_allclose(moves, [0.6, -0.6, 1 / math.sqrt(3), -0.5], rtol=1e-5)


def test_without_a_least_size_a_weight_of_zeros_never_moves(backend: str) -> None:
    found = path(td.optimizers.Adafactor(0.1, epsilon_2=0.0), np.zeros(3), waves(4))
    np.testing.assert_array_equal(found, np.zeros((4, 3)))


BAD: list[tuple[str, list[Any], str]] = [
    ("beta_2_decay", [0.1, math.nan, None, "x"], "a number of at most 0"),
    ("epsilon_1", [0.0, -1e-30, math.inf], "a number above 0"),
    ("epsilon_2", [-1e-3, math.nan, True], "a number of at least 0"),
    ("clip_threshold", [0.0, -1.0, math.nan], "a number above 0"),
    ("relative_step", ["no", 1, None], "True or False"),
]


@pytest.mark.parametrize(("argument", "values", "expected"), BAD)
def test_argument_out_of_range(argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^adafactor: {argument} must be {expected}, not "):
            td.optimizers.Adafactor(**{argument: value})
