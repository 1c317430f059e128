"""Regularizers: Keras's values and gradients, no NaN at zero, refusals, names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import regularizers

GOLDEN = storage.load("regularization")
CASES = {name: case for name, case in GOLDEN.cases.items() if case["kind"] == "regularizer"}
MADE = {
    "l1": regularizers.L1(0.5),
    "l2": regularizers.L2(0.5),
    "l1l2": regularizers.L1L2(0.1, 0.2),
    "orthogonalregularizer": regularizers.OrthogonalRegularizer(0.5, "columns"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_value_and_gradient_are_keras_s(backend: str, name: str) -> None:
    case = CASES[name]
    weight = td.tensor(GOLDEN.inputs["weight"], requires_grad=True)
    penalty = getattr(regularizers, case["class"])(**case["config"])(weight)
    assert (penalty.shape, penalty.dtype) == ((), np.float32)
    penalty.backward()
    np.testing.assert_allclose(penalty.numpy(), case["value"], rtol=5e-7)
    kinks = (weight.numpy() == 0) & ("l1" in name)  # there JAX says that |x| has slope 1
    scale = np.abs(case["gradient"]).max()
    np.testing.assert_allclose(
        weight.grad.numpy()[~kinks], case["gradient"][~kinks], rtol=1e-5, atol=1e-6 * scale
    )


@pytest.mark.parametrize("name", sorted(MADE))
def test_two_derivatives_agree_with_finite_differences(backend: str, name: str) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3)) + 0.05
    td.testing.check_grads(MADE[name], [weight], order=2)


def test_all_builtins_are_tested() -> None:
    known = {type(regularizers.get(name)) for name in td.registry.regularizers.names()}
    builtin = {each for each in known if each.__module__ == regularizers.__name__}
    assert {type(made) for made in MADE.values()} == builtin


@pytest.mark.parametrize("name", sorted(MADE))
def test_zeros_have_no_penalty_and_no_gradient(backend: str, name: str) -> None:
    weight = td.zeros((3, 2), requires_grad=True)
    penalty = MADE[name](weight)
    penalty.backward()
    assert penalty.item() == 0
    np.testing.assert_array_equal(weight.grad.numpy(), np.zeros((3, 2)))


def test_l1_l2_without_factors_is_zero_and_has_a_gradient(backend: str) -> None:
    weight = td.ones((2, 2), requires_grad=True)
    regularizers.L1L2()(weight).backward()
    np.testing.assert_array_equal(weight.grad.numpy(), np.zeros((2, 2)))


def test_a_single_row_is_orthogonal_to_nothing(backend: str) -> None:
    assert regularizers.OrthogonalRegularizer()(td.ones((1, 3))).item() == 0


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("L1", {"l1": -0.1}, "L1: l1 must be a number of at least 0, not -0.1"),
        ("L2", {"l2": math.nan}, "L2: l2 must be a number of at least 0, not nan"),
        ("L1L2", {"l2": "0.1"}, "L1L2: l2 must be a number of at least 0, not '0.1'"),
        ("OrthogonalRegularizer", {"factor": math.inf}, "factor must be a number of at least 0, not inf"),
        ("OrthogonalRegularizer", {"mode": "row"}, "mode must be 'rows' or 'columns', not 'row'"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(regularizers, name)(**kwargs)


def test_what_has_no_rows_and_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes a matrix, not a weight of shape \(3,\)"):
        regularizers.OrthogonalRegularizer()(td.ones((3,)))
    with pytest.raises(NotImplementedError, match="Regularizer does not define __call__"):
        regularizers.Regularizer()(td.ones((3,)))


@pytest.mark.parametrize("name", sorted(MADE))
def test_config_makes_the_same_again(name: str) -> None:
    again = td.regularizers.get(td.regularizers.serialize(MADE[name]))
    assert type(again) is type(MADE[name])
    assert again.get_config() == MADE[name].get_config()


def test_names() -> None:
    assert regularizers.l2(0.01).get_config() == regularizers.get("l2").get_config() == {"l2": 0.01}
    assert regularizers.get("L1").get_config() == {"l1": 0.01}
    assert type(regularizers.get("l1_l2", l1=0.1)) is regularizers.l1_l2 is regularizers.L1L2
    assert type(regularizers.get("orthogonal")) is regularizers.OrthogonalRegularizer
