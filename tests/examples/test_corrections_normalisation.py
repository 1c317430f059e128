"""The lesson that corrects batch normalisation, fusing and dropout: each number as it was said to be, and right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Correct = Callable[..., list[tuple[float, float]]]
SCRIPT = "corrections_normalisation"


def test_the_first_batchs_statistics_suit_the_first_batch(correct: Correct) -> None:
    last, untrained = correct(SCRIPT, "statistics")
    assert last == pytest.approx((3, 1), rel=0.1)
    assert np.isnan(untrained[0])
    assert untrained[1] == pytest.approx(1, abs=0.05)


def test_a_high_rate_needs_each_batchs_own_statistics(correct: Correct) -> None:
    low, high = correct(SCRIPT, "network", epochs=3, samples=1000)
    assert min(low) > 50
    assert high[0] < 20
    assert high[1] > 60


def test_gamma_is_left_to_the_optimizer(correct: Correct) -> None:
    first, last = correct(SCRIPT, "learned_scale")
    assert first == pytest.approx((5, 1.4), rel=1e-4)
    assert last == pytest.approx((1, 3 - 2 * 0.8**20), rel=1e-4)


def test_dropout_keeps_the_mean(correct: Correct) -> None:
    fifth, half = correct(SCRIPT, "dropout_scale")  # of 100,000 units: sqrt(rate / (1 - rate) / 100,000) is the error
    assert fifth == pytest.approx((0.25, 1), abs=4 * np.sqrt(0.25 / 1e5))
    assert half == pytest.approx((1, 1), abs=4 * np.sqrt(1 / 1e5))


def test_what_fuse_gives_is_exact_and_the_others_are_not(correct: Correct) -> None:
    before, epsilon = correct(SCRIPT, "fusing")
    assert min(before[0], epsilon[0]) > 0.5
    assert max(before[1], epsilon[1]) < 5e-5
