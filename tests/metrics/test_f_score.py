"""F-scores: the formula, whose greatest counts, no samples, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dnn import metrics

DRAW = np.random.default_rng(3)
Y = DRAW.integers(0, 2, (40, 3))
P = (0.3 * Y + DRAW.uniform(size=(40, 3))).astype(np.float32) / 1.3


@pytest.mark.parametrize("beta", [0.5, 1, 2.0])
def test_f_score_is_the_mean_of_precision_and_recall(backend: str, beta: float) -> None:
    weight = DRAW.uniform(size=40).astype(np.float32)
    expected = []
    for label in range(3):
        precision = metrics.Precision(class_id=label)(Y, P, sample_weight=weight).item()
        recall = metrics.Recall(class_id=label)(Y, P, sample_weight=weight).item()
        expected.append((1 + beta**2) * precision * recall / (beta**2 * precision + recall))
    found = metrics.FBetaScore(beta=beta, threshold=0.5)(Y, P, sample_weight=weight[:, None])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    macro = metrics.FBetaScore(average="macro", beta=beta, threshold=0.5)(Y, P, sample_weight=weight)
    assert macro.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_greatest_is_chosen_where_there_is_no_threshold(backend: str) -> None:
    y = [[1, 0], [0, 1], [1, 0], [1, 0]]
    p = [[0.9, 0.1], [0.2, 0.1], [0.5, 0.5], [0.0, 0.0]]  # right, wrong, both, none
    np.testing.assert_allclose(metrics.F1Score()(y, p).numpy(), [2 / 3, 0], rtol=1e-6)
    assert metrics.F1Score(average="micro")(y, p).item() == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))


def test_scores_of_nothing(backend: str) -> None:
    for average in (None, "micro", "macro", "weighted"):
        assert metrics.F1Score(average=average).result().item() == 0
        zero = metrics.F1Score(average=average)(np.zeros((2, 3)), np.zeros((2, 3)))
        assert zero.shape == (() if average else (3,))
        assert (zero.numpy() == 0).all()


@pytest.mark.parametrize(
    ("each", "arguments", "message"),
    [
        (metrics.F1Score, {"average": "mean"}, "f1_score: average must be None, 'micro', .*, not 'mean'"),
        (metrics.F1Score, {"threshold": 0.0}, r"f1_score: threshold must be None or a number in \(0, 1\], not 0.0"),
        (metrics.F1Score, {"threshold": "a"}, r"f1_score: threshold must be None or a number in \(0, 1\], not 'a'"),
        (metrics.FBetaScore, {"beta": 0.0}, "fbeta_score: beta must be a number above 0, not 0.0"),
        (metrics.FBetaScore, {"beta": float("inf")}, "fbeta_score: beta must be a number above 0, not inf"),
    ],
)
def test_arguments_out_of_range_are_refused(each: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        each(**arguments)


def test_the_number_of_classes_does_not_change(backend: str) -> None:
    metric = metrics.F1Score()
    with pytest.raises(ValueError, match=r"y_pred must have shape \(n, classes\), not \(4,\)"):
        metric.update_state(np.zeros(4), np.zeros(4))
    metric.update_state(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"y_pred must have shape \(n, 2\), not \(4, 3\)"):
        metric.update_state(np.zeros((4, 3)), np.zeros((4, 3)))
