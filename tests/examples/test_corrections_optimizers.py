"""The lesson that corrects optimizers: each number as it was said to be, and right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Correct = Callable[..., list[tuple[float, float]]]
SCRIPT = "corrections_optimizers"


def test_adam_without_correction_begins_too_fast(correct: Correct) -> None:
    first, longest = correct(SCRIPT, "adam_correction", steps=50)
    assert first == pytest.approx((np.sqrt(10), 1), rel=1e-3)
    assert longest == pytest.approx((6.57, 1), rel=1e-3)


def test_epsilon_inside_the_root_is_another_one(correct: Correct) -> None:
    pairs = correct(SCRIPT, "epsilon_place")
    for g, (outside, inside) in zip((1e-5, 1e-4), pairs, strict=True):
        assert outside == pytest.approx(g / (g + 1e-7), rel=0.001)
        assert inside == pytest.approx(g / np.sqrt(g**2 + 1e-7), rel=0.001)


def test_a_start_that_is_moved_is_no_start(correct: Correct) -> None:
    moved = 20 * (3 * 0.96**50) ** 2 + (3 * 0.998**50) ** 2
    assert correct(SCRIPT, "start_point", steps=50) == [pytest.approx((moved, 189))]


def test_the_bowl_is_not_rosenbrocks_function(correct: Correct) -> None:
    value, condition = correct(SCRIPT, "rosenbrock_name")
    assert value == (21, 0)
    assert condition == pytest.approx((20, 2508), rel=1e-3)


def test_clipnorm_turns_the_gradient(correct: Correct) -> None:
    turned, norm = correct(SCRIPT, "clipping")
    assert turned == pytest.approx((np.degrees(np.arctan(4 / 0.9) - np.arctan(1 / 0.9)), 0), abs=1e-3)
    assert norm == pytest.approx((np.hypot(0.9, 1), 1), abs=1e-6)


def test_adagrads_rate_is_divided_once(correct: Correct) -> None:
    fifth, tenth = correct(SCRIPT, "adagrad_rate")
    assert fifth == pytest.approx((1 / np.sqrt(120), 1 / np.sqrt(5)), rel=1e-4)
    assert tenth == pytest.approx((1 / np.sqrt(3628800), 1 / np.sqrt(10)), rel=1e-4)
