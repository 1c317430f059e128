"""Constraints: Keras's results without its shrinking, weights that comply unharmed, refusals, names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import constraints

GOLDEN = storage.load("regularization")
CASES = {name: case for name, case in GOLDEN.cases.items() if case["kind"] == "constraint"}


def made(name: str) -> constraints.Constraint:
    """Return the constraint of a golden case."""
    return getattr(constraints, CASES[name]["class"])(**CASES[name]["config"])


def norms(weight: np.ndarray, constraint: constraints.Constraint) -> np.ndarray:
    """Return the norms that a constraint looks at."""
    axis = constraint.get_config().get("axis", 0)
    axes = tuple(axis) if isinstance(axis, list) else axis
    return np.sqrt((weight.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))


@pytest.mark.parametrize("name", sorted(CASES))
def test_result_is_keras_s_without_its_epsilon(backend: str, name: str) -> None:
    weight, constraint = GOLDEN.inputs["weight"], made(name)
    found = constraint(td.tensor(weight))
    assert found.dtype == np.float32
    before = norms(weight, constraint)
    shrunk_by_keras = 1 if CASES[name]["class"] == "NonNeg" else before / (before + 1e-7)
    np.testing.assert_allclose(found.numpy() * shrunk_by_keras, CASES[name]["value"], rtol=5e-7)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_weight_that_complies_stays_to_the_last_bit(backend: str, name: str) -> None:
    constraint = made(name)
    draw = np.random.default_rng(1)
    for _ in range(20):
        weight = np.abs(draw.normal(size=(6, 5))).astype(np.float32)
        config = constraint.get_config()
        if "max_value" in config:
            span = draw.uniform(config.get("min_value", 0) + 1e-3, config["max_value"] - 1e-3, size=(1, 1))
            weight = (weight * (span / norms(weight, constraint))).astype(np.float32)
        elif "axis" in config:
            # One element in each row and column: its norm is 1 without rounding.
            weight = np.eye(6, dtype=np.float32)[draw.permutation(6)]
        np.testing.assert_array_equal(constraint(td.tensor(weight)).numpy(), weight)


def test_a_part_of_the_way_leaves_what_complies(backend: str) -> None:
    weight = np.random.default_rng(3).uniform(-0.3, 0.3, size=(6, 50)).astype(np.float32)
    found = constraints.MinMaxNorm(0.0, 2.0, rate=0.3)(td.tensor(weight))
    np.testing.assert_array_equal(found.numpy(), weight)


def test_a_weight_whose_squares_vanish_stays(backend: str) -> None:
    weight = np.full((3, 2), 1e-30, np.float32)
    for constraint in (constraints.MaxNorm(), constraints.MinMaxNorm(), constraints.UnitNorm()):
        np.testing.assert_array_equal(constraint(td.tensor(weight)).numpy(), weight)


@pytest.mark.parametrize("name", sorted(CASES))
def test_zeros_have_no_direction_and_stay(backend: str, name: str) -> None:
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(made(name)(td.zeros((4, 3))).numpy(), np.zeros((4, 3)))


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_result_complies(backend: str, name: str) -> None:
    constraint = made(name)
    config = constraint.get_config()
    weight = 3 * np.random.default_rng(2).normal(size=(6, 5)).astype(np.float32)
    found = constraint(td.tensor(weight)).numpy()
    if "max_value" in config and config.get("rate", 1) == 1:
        assert (norms(found, constraint) <= config["max_value"] * (1 + 1e-6)).all()
        assert (norms(found, constraint) >= config.get("min_value", 0) * (1 - 1e-6)).all()
    elif "max_value" in config:
        halfway = (norms(weight, constraint) + np.clip(norms(weight, constraint), 1.5, 2)) / 2
        np.testing.assert_allclose(norms(found, constraint), halfway, rtol=1e-6)
    elif "axis" in config:
        np.testing.assert_allclose(norms(found, constraint), 1, rtol=1e-6)
    else:
        np.testing.assert_array_equal(found, np.maximum(weight, 0))


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("MaxNorm", (-1.0,), "MaxNorm: max_value must be a number of at least 0, not -1.0"),
        ("MaxNorm", (math.inf,), "MaxNorm: max_value must be a number of at least 0, not inf"),
        ("MinMaxNorm", (2.0, 1.0), "MinMaxNorm: max_value must be a number of at least 2, not 1.0"),
        ("MinMaxNorm", (0.0, 1.0, 1.5), r"MinMaxNorm: rate must be a number in \[0, 1\], not 1.5"),
        ("MinMaxNorm", ("0",), "MinMaxNorm: min_value must be a number of at least 0, not '0'"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(constraints, name)(*args)


def test_no_axis_means_the_whole_weight(backend: str) -> None:
    weight = 3 * np.random.default_rng(4).normal(size=(3, 2, 4)).astype(np.float32)
    found = constraints.MaxNorm(1.5, axis=None)(td.tensor(weight)).numpy()
    np.testing.assert_allclose(found, weight * 1.5 / np.linalg.norm(weight), rtol=1e-6)
    assert constraints.UnitNorm(axis=None).get_config() == {"axis": None}


def test_an_axis_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="axis 2"):
        constraints.UnitNorm(axis=2)(td.ones((2, 2)))
    with pytest.raises(NotImplementedError, match="Constraint does not define __call__"):
        constraints.Constraint()(td.ones((2, 2)))


@pytest.mark.parametrize("name", sorted(CASES))
def test_config_makes_the_same_again(name: str) -> None:
    again = constraints.get(constraints.serialize(made(name)))
    assert type(again) is type(made(name))
    assert again.get_config() == made(name).get_config()


def test_names() -> None:
    assert constraints.max_norm(1.0).get_config() == {"max_value": 1.0, "axis": 0}
    for name in ("max_norm", "min_max_norm", "non_neg", "unit_norm"):
        made_by_name = constraints.get(name)
        assert type(made_by_name) is getattr(constraints, name)
        assert type(constraints.get(type(made_by_name).__name__)) is type(made_by_name)
