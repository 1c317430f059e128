"""The lesson that corrects formulas: each number as it was said to be, and right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Correct = Callable[..., list[tuple[float, float]]]
SCRIPT = "corrections_formulas"


def test_selu_fades_with_a_digit_of_lambda_lost(correct: Correct) -> None:
    ((said, right),) = correct(SCRIPT, "selu_constant", layers=20)
    assert said == pytest.approx(0.82, abs=0.03)
    assert right == pytest.approx(1, abs=0.03)


def test_elu_jumps_without_its_parenthesis_and_overflows_without_care(correct: Correct) -> None:
    below, slope, tiny = correct(SCRIPT, "elu_formula")
    assert below == pytest.approx((0.67326, 0), abs=1e-5)
    assert np.isnan(slope[0])
    assert slope[1] == 1
    assert abs(tiny[0] - 1) > 0.01
    assert tiny[1] == pytest.approx(1, abs=1e-5)


def test_the_logit_is_the_inverse_of_the_sigmoid(correct: Correct) -> None:
    value, back = correct(SCRIPT, "sigmoid_name")
    assert value == pytest.approx((1 / (1 + np.exp(-0.8)), np.log(4)), abs=1e-6)
    assert back[1] == pytest.approx(0.8, abs=1e-6)
    assert abs(back[0] - 0.8) > 0.1


def test_a_maximum_is_no_leaky_relu_of_slope_two(correct: Correct) -> None:
    assert correct(SCRIPT, "leaky_maximum") == [(-1, -2), (2, 1)]


def test_what_was_called_a_variance_is_a_deviation_and_lecun_knows_no_relu(correct: Correct) -> None:
    variance, believed, lecun = correct(SCRIPT, "weights")
    assert variance == pytest.approx((np.sqrt(2 / 500), 2 / 500), rel=0.02)
    assert believed[0] > 1e5
    assert lecun[0] == pytest.approx(2**-5 * lecun[1], rel=0.2)  # half of the variance is lost in each of ten layers
    assert believed[1] == lecun[1] == pytest.approx(1, abs=0.25)


def test_one_length_and_one_factor_are_not_any_steps_and_rates(correct: Correct) -> None:
    at_boundary, between = correct(SCRIPT, "piecewise_formula")
    assert at_boundary == pytest.approx((0.01, 0.1))
    assert between == pytest.approx((0.001, 0.03))
