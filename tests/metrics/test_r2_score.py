"""R2: numbers far from 0, the adjustment, no samples, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dnn import metrics

DRAW = np.random.default_rng(3)


def test_r2_of_numbers_far_from_0_keeps_its_digits(backend: str) -> None:
    y = 1e4 + DRAW.normal(size=(96, 2)).astype(np.float32)
    p = y + 0.5 * DRAW.normal(size=(96, 2)).astype(np.float32)
    exact = 1 - ((y - p) ** 2).sum(0) / ((y - y.astype(np.float64).mean(0)) ** 2).sum(0)
    metric = metrics.R2Score(class_aggregation=None)
    for part in range(3):
        metric.update_state(y[32 * part : 32 * part + 32], p[32 * part : 32 * part + 32])
    np.testing.assert_allclose(metric.result().numpy(), exact, rtol=1e-3)


def test_r2_is_adjusted_where_there_are_samples_enough(backend: str) -> None:
    y, p = DRAW.normal(size=(2, 6, 1))
    plain = metrics.R2Score()(y, p).item()
    for regressors in (2, 4, 5, 9):
        found = metrics.R2Score(num_regressors=regressors)(y, p).item()
        expected = 1 - (1 - plain) * 5 / (5 - regressors) if regressors < 5 else plain
        assert found == pytest.approx(expected, rel=1e-5)


def test_scores_of_nothing_and_of_constants(backend: str) -> None:
    assert metrics.R2Score().result().item() == 0
    assert metrics.R2Score()([[2.0], [2.0]], [[2.0], [1.0]]).item() == 0
    assert metrics.R2Score()([[1.0], [2.0]], [[1.0], [2.0]], sample_weight=[0.0, 0.0]).item() == 0
    each = metrics.R2Score(class_aggregation=None)([[1.0, 5.0], [2.0, 5.0]], [[1.0, 4.0], [2.0, 5.0]])
    np.testing.assert_array_equal(each.numpy(), [1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_aggregation": "sum"}, "class_aggregation must be None, .*, not 'sum'"),
        ({"num_regressors": -1}, "num_regressors must be an integer of at least 0, not -1"),
        ({"num_regressors": 0.5}, "num_regressors must be an integer of at least 0, not 0.5"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^r2_score: {message}"):
        metrics.R2Score(**arguments)


def test_the_number_of_outputs_does_not_change(backend: str) -> None:
    metric = metrics.R2Score()
    with pytest.raises(ValueError, match=r"y_pred must have shape \(n, outputs\), not \(4,\)"):
        metric.update_state(np.zeros(4), np.zeros(4))
    metric.update_state(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"y_pred must have shape \(n, 2\), not \(4, 3\)"):
        metric.update_state(np.zeros((4, 3)), np.zeros((4, 3)))
