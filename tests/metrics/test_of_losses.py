"""Metrics that are means of losses: equal to the losses, arguments passed on, ignored classes, no graph."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import losses, metrics
from tinygrad_dnn.metrics.of_losses import MeanOfLoss

DRAW = np.random.default_rng(4)
P = DRAW.dirichlet(np.ones(3), size=12).astype(np.float32)
LABELS = DRAW.integers(0, 3, 12)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
MEANS = [
    each
    for name in metrics.__all__
    if inspect.isclass(each := getattr(metrics, name)) and issubclass(each, MeanOfLoss)
]
SIGN = {metrics.CosineSimilarity: -1.0}


@pytest.mark.parametrize("each", MEANS, ids=lambda each: each.__name__)
def test_batches_have_the_mean_of_the_loss(backend: str, each: type[MeanOfLoss]) -> None:
    y = LABELS if each is metrics.SparseCategoricalCrossentropy else ONE_HOT
    weight = DRAW.uniform(size=12).astype(np.float32)
    for weights in (None, weight):
        metric = each()
        for rows in (slice(0, 5), slice(5, 12)):
            metric.update_state(y[rows], P[rows], sample_weight=None if weights is None else weights[rows])
        values = each._loss(y, P).numpy().astype(np.float64)
        expected = SIGN.get(each, 1.0) * np.average(values, weights=weights)
        if each is metrics.RootMeanSquaredError:
            expected = np.sqrt(expected)
        assert metric.result().item() == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("each", MEANS, ids=lambda each: each.__name__)
def test_state_is_assigned_and_no_graph_kept(backend: str, each: type[MeanOfLoss]) -> None:
    metric = each()
    variables = list(metric.variables)
    y = LABELS if each is metrics.SparseCategoricalCrossentropy else ONE_HOT
    metric.update_state(y, td.tensor(P, requires_grad=True) * 1.0)
    assert all(new is old for new, old in zip(metric.variables, variables, strict=True))
    assert not metric.result().requires_grad


@pytest.mark.parametrize("weights", [None, np.arange(12.0)])
def test_an_ignored_class_does_not_count(backend: str, weights: np.ndarray | None) -> None:
    kept = LABELS != 1
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=1)
    found = metric(LABELS, P, sample_weight=weights).item()
    plain = metrics.SparseCategoricalCrossentropy()
    expected = plain(LABELS[kept], P[kept], sample_weight=None if weights is None else weights[kept]).item()
    assert found == pytest.approx(expected, rel=1e-6)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=1, reduction="mean_with_sample_weight")
    assert loss(LABELS, P, weights).item() == pytest.approx(expected, rel=1e-6)


def test_arguments_are_passed_on(backend: str) -> None:
    x = np.log(P)
    metric = metrics.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
    expected = losses.categorical_crossentropy(ONE_HOT, x, True, 0.3).numpy().mean()
    assert metric(ONE_HOT, x).item() == pytest.approx(expected, rel=1e-6)
    assert metric.get_config() == {
        "name": "categorical_crossentropy", "dtype": "float32", "from_logits": True, "label_smoothing": 0.3, "axis": -1,
    }  # fmt: skip
    with pytest.raises(TypeError, match="delta"):
        metrics.Hinge(delta=2.0)


def test_names_are_keras_s() -> None:
    for alias, each in {
        "bce": metrics.BinaryCrossentropy, "KLD": metrics.KLDivergence, "mape": metrics.MeanAbsolutePercentageError,
        "MSLE": metrics.MeanSquaredLogarithmicError, "log_cosh_error": metrics.LogCoshError,
        "logcosh": metrics.LogCoshError, "fbeta_score": metrics.FBetaScore, "auc": metrics.AUC,
    }.items():  # fmt: skip
        assert type(metrics.get(alias)) is each
    assert metrics.LogCoshError().name == "logcosh"
    assert metrics.RootMeanSquaredError().name == "root_mean_squared_error"
