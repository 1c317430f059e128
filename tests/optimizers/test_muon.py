"""Muon: the singular values of its steps, the formulas in float64, which weights are left to Adam, bad arguments."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import GOLDEN, path, waves

# Newton and Schulz's own polynomial, which brings singular values to 1 and not only near it.
EXACT = {"muon_a": 1.875, "muon_b": -1.25, "muon_c": 0.375, "ns_steps": 40}


def matrices(rows: int, columns: int, steps: int = 20) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(steps, rows, columns))


def muon(start: np.ndarray, gradients: Sequence[np.ndarray], nesterov: bool, rate: float = 0.2) -> np.ndarray:
    """The formula, with the polar factor from a singular value decomposition."""
    p, m, values = start, np.zeros_like(start), []
    for g in gradients:
        m = 0.95 * m + g
        u, _, v = np.linalg.svd(g + 0.95 * m if nesterov else m, full_matrices=False)
        p = p - 0.1 * rate * math.sqrt(max(p.shape)) * (u @ v)
        values.append(p)
    return np.array(values)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3), (1, 5), (5, 1)])
def test_trajectory_is_the_formula_s(backend: str, float64: None, shape: tuple[int, int], nesterov: bool) -> None:
    gradients, start = matrices(*shape), np.ones(shape)
    optimizer = td.optimizers.Muon(0.1, weight_decay=None, nesterov=nesterov, **EXACT)
    found = path(optimizer, start, gradients, "float64")
    # The division by norm + 1e-7 and forty rounds leave the smallest singular values this far from 1.
    np.testing.assert_allclose(found, muon(start, gradients, nesterov), atol=1e-9)


@pytest.mark.parametrize("shape", [(64, 64), (16, 64), (64, 16)])
def test_five_rounds_bring_singular_values_near_1(backend: str, shape: tuple[int, int]) -> None:
    (gradient,) = matrices(*shape, steps=1)
    (moved,) = path(td.optimizers.Muon(1.0, weight_decay=None, rms_rate=None), np.zeros(shape), [gradient])
    before = np.linalg.svd(gradient, compute_uv=False)
    values = np.linalg.svd(moved, compute_uv=False)
    # Five rounds of the polynomial take every number in [.01, 1] into [.681, 1.135].
    grown = values[before > 0.01 * np.linalg.norm(gradient)]
    assert len(grown) > 10
    assert 0.68 < grown.min() < grown.max() < 1.14


def test_the_smaller_product_is_the_one_that_is_computed() -> None:
    with td.backend.use("numpy"):
        gradients = [td.ones(shape) for shape in ((4096, 2), (2, 4096))]
        weights = [td.Variable(g, trainable=True) for g in gradients]
        optimizer = td.optimizers.Muon()
        optimizer.build(weights)
        tracemalloc.start()
        optimizer.apply(gradients, weights)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1e6  # 4096 x 4096 numbers are 67 MB


def test_a_step_s_root_mean_square_is_the_rate(backend: str) -> None:
    for shape in ((30, 30), (10, 40), (40, 10)):
        (gradient,) = 1e3 * matrices(*shape, steps=1)
        optimizer = td.optimizers.Muon(0.5, weight_decay=None, rms_rate=0.3, **EXACT)
        (moved,) = path(optimizer, np.zeros(shape), [gradient])
        assert math.sqrt(np.mean(moved.astype(np.float64) ** 2)) == pytest.approx(0.5 * 0.3, rel=1e-4)


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 1, 1, 3)])
def test_what_is_no_matrix_is_left_to_adamw(backend: str, shape: tuple[int, ...]) -> None:
    gradients = waves(20).reshape(20, *shape)
    ours = td.optimizers.Muon(0.1, 0.8, 0.95, 0.25, 1e-4, adam_lr_ratio=0.5)
    adamw = td.optimizers.AdamW(0.1, 0.25, 0.8, 0.95, 1e-4)
    found, alone = path(ours, np.ones(shape), gradients), path(adamw, np.ones(shape), gradients)
    assert not np.allclose(found, alone, rtol=1e-2)
    # The ratio shortens the steps and not the decay.
    halved = td.optimizers.AdamW(0.05, 0.5, 0.8, 0.95, 1e-4)
    np.testing.assert_allclose(found, path(halved, np.ones(shape), gradients), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"hidden/kernel", "output/kernel"}),
        ({"exclude_layers": ["^output/"]}, {"hidden/kernel"}),
        ({"exclude_layers": ["out", "^hid", "nothing"]}, set()),
        ({"exclude_layers": ["kernel$"], "exclude_embeddings": False}, set()),
        ({"exclude_embeddings": False}, {"hidden/kernel", "my_Embedding/kernel", "output/kernel"}),
    ],
)
def test_weights_are_told_apart_by_their_paths(backend: str, arguments: dict[str, Any], expected: set[str]) -> None:
    layers = [td.layers.Dense(2, name=name) for name in ("hidden", "my_Embedding", "output")]
    for layer in layers:
        layer.build((None, 3))
    weights = [weight for layer in layers for weight in layer.weights]
    optimizer = td.optimizers.Muon(**arguments)
    optimizer.build(weights)
    left = {v.name.removeprefix("muon/").removesuffix("/v") for v in optimizer.variables if v.name.endswith("/v")}
    assert {weight.path for weight in weights} - left == expected


def test_matrices_and_others_decay_each_by_its_own(backend: str) -> None:
    matrix, vector = (td.Variable(np.ones(shape, np.float32), trainable=True) for shape in ((2, 2), (2,)))
    optimizer = td.optimizers.Muon(0.5, weight_decay=0.5, adam_weight_decay=0.25)
    optimizer.apply([td.zeros((2, 2)), td.zeros((2,))], [matrix, vector])
    np.testing.assert_array_equal(matrix.numpy(), np.full((2, 2), 0.75))
    np.testing.assert_array_equal(vector.numpy(), np.full(2, 0.875))


@pytest.mark.filterwarnings("error::RuntimeWarning")  # as of a division by zero
def test_zero_gradients_move_nothing(backend: str) -> None:
    start = GOLDEN.inputs["drawn_kernel"]
    found = path(td.optimizers.Muon(weight_decay=None), start, np.zeros((8, 4, 3)))
    np.testing.assert_array_equal(found, np.tile(start, (8, 1, 1)))


FRACTION, AT_LEAST_0, FINITE = r"a number in \[0, 1\)", "a number of at least 0", "a finite number"
BAD: list[tuple[str, list[Any], str]] = [
    ("adam_beta_1", [1.0, -0.1, math.nan, True, None], FRACTION),
    ("adam_beta_2", [1.0, -0.1], FRACTION),
    ("adam_weight_decay", [-0.1, math.inf, "x"], AT_LEAST_0),
    ("epsilon", [-1e-7, math.nan, None], AT_LEAST_0),
    ("weight_decay", [-0.1, math.nan], AT_LEAST_0),
    ("muon_a", [math.nan, math.inf, None], FINITE),
    ("muon_b", [math.nan, "x"], FINITE),
    ("muon_c", [-math.inf, True], FINITE),
    ("adam_lr_ratio", [-1, math.inf], AT_LEAST_0),
    ("momentum", [1.1, -0.1, math.nan], r"a number in \[0, 1\]"),
    ("ns_steps", [-1, 2.5, True, None], "an integer of at least 0"),
    ("rms_rate", [0.0, -0.2, math.nan], "a number above 0"),
    ("nesterov", ["no", 1, None], "True or False"),
    ("exclude_embeddings", ["no", 0], "True or False"),
    ("exclude_layers", ["output", 3, [3], {"a"}], "a list of regular expressions"),
]


@pytest.mark.parametrize(("argument", "values", "expected"), BAD)
def test_argument_out_of_range(argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^muon: {argument} must be {expected}, not "):
            td.optimizers.Muon(**{argument: value})


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"^muon: exclude_layers must be regular expressions, not '\(': missing \)"):
        td.optimizers.Muon(exclude_layers=["out", "("])
