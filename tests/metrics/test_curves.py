"""AUC: the probability that it is, its bounds, several labels, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import metrics

DRAW = np.random.default_rng(2)
Y = DRAW.integers(0, 2, 300)
P = np.clip(0.35 * Y + DRAW.uniform(size=300), 0, 1.35) / 1.35


def rank_probability(y: np.ndarray, p: np.ndarray, weight: np.ndarray) -> float:
    """Return the probability that a positive sample's prediction is greater than a negative one's, ties by half."""
    above = (p[y == 1, None] > p[None, y == 0]) + 0.5 * (p[y == 1, None] == p[None, y == 0])
    weights = weight[y == 1, None] * weight[None, y == 0]
    return float((above * weights).sum() / weights.sum())


def test_the_area_is_a_probability_of_ranks(backend: str) -> None:
    p = np.round(P * 99 - 0.5) / 99 + 0.5 / 99  # in the middle between two of the thresholds, with ties
    for weight in (np.ones(300), DRAW.uniform(size=300)):
        metric = metrics.AUC(num_thresholds=100)
        for part in range(3):
            rows = slice(100 * part, 100 * part + 100)
            metric.update_state(Y[rows], p[rows], sample_weight=weight[rows])
        assert metric.result().item() == pytest.approx(rank_probability(Y, p, weight), rel=1e-5)


def test_perfect_reversed_and_constant_predictions(backend: str) -> None:
    for p, expected in ((Y * 1.0, 1), (1.0 - Y, 0), (np.full(300, 0.4), 0.5)):
        assert metrics.AUC()(Y, p).item() == pytest.approx(expected)
    assert metrics.AUC(curve="PR")(Y, Y * 1.0).item() == pytest.approx(1)
    constant = metrics.AUC(curve="PR")(Y, np.full(300, 0.4)).item()
    assert constant == pytest.approx(Y.mean(), rel=1e-6)  # the precision is the share of positives at every recall


@pytest.mark.parametrize("curve", ["ROC", "pr"])
def test_rectangles_enclose_the_area(backend: str, curve: str) -> None:
    areas = {
        method: metrics.AUC(num_thresholds=9, curve=curve, summation_method=method)(Y, P).item()
        for method in ("minoring", "interpolation", "Majoring")
    }
    assert areas["minoring"] < areas["interpolation"] < areas["Majoring"]


def test_several_labels_have_an_area_each(backend: str) -> None:
    y, p = np.stack([Y, 1 - Y, Y], 1), np.stack([P, P, Y * 1.0], 1)
    each = [metrics.AUC()(y[:, label], p[:, label]).item() for label in range(3)]
    metric = metrics.AUC(multi_label=True)
    assert metric.result().item() == 0
    assert metric.variables == []
    metric.reset_state()
    assert metric(y, p).item() == pytest.approx(np.mean(each), rel=1e-6)
    assert metric.true_positives.shape == (200, 3)
    with pytest.raises(ValueError, match=r"auc: multi_label=True needs y_pred of shape \(n, 3\), not \(300, 2\)"):
        metric.update_state(y[:, :2], p[:, :2])
    weighted = metrics.AUC(multi_label=True, num_labels=3, label_weights=[1.0, 0.0, 3.0])
    assert weighted(y, p).item() == pytest.approx((each[0] + 3 * each[2]) / 4, rel=1e-6)


def test_nothing_but_one_class_is_0(backend: str) -> None:
    for curve in ("ROC", "PR"):
        assert metrics.AUC(curve=curve).result().item() == 0
        assert metrics.AUC(curve=curve)([0, 0], [0.2, 0.9]).item() == 0
        assert np.isfinite(metrics.AUC(curve=curve)([1, 1], [0.2, 0.9]).item())


def test_logits_become_probabilities(backend: str) -> None:
    x = np.log(P / (1 - P))
    found = metrics.AUC(from_logits=True)(Y, td.tensor(x, "float32")).item()
    assert found == pytest.approx(metrics.AUC()(Y, P).item(), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_thresholds": 1}, "num_thresholds must be an integer of at least 2, not 1"),
        ({"num_thresholds": 2.5}, "num_thresholds must be an integer of at least 2, not 2.5"),
        ({"curve": "RO"}, "curve must be 'ROC' or 'PR', not 'RO'"),
        ({"summation_method": "middle"}, "summation_method must be .* or 'minoring', not 'middle'"),
        ({"thresholds": [0.5, 1.5]}, r"thresholds must be None, or a number in \[0, 1\]"),
        ({"num_labels": 3}, "num_labels=3 says something with multi_label=True alone"),
        ({"num_labels": 0, "multi_label": True}, "num_labels must be None or an integer of at least 1, not 0"),
        ({"label_weights": [1.0, -1.0]}, "each of label_weights must be a number of at least 0, not -1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^auc: {message}"):
        metrics.AUC(**arguments)


def test_shapes_that_do_not_fit_are_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="there are 2 label_weights for 3 outputs"):
        metrics.AUC(label_weights=[1.0, 2.0]).update_state(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"needs y_pred of shape \(n, labels\), not \(4,\)"):
        metrics.AUC(multi_label=True).update_state(np.zeros(4), np.zeros(4))
