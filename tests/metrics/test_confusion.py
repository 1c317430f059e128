"""Metrics that count above thresholds: ties, the top k, weights, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import metrics

COUNTS = [metrics.TruePositives, metrics.TrueNegatives, metrics.FalsePositives, metrics.FalseNegatives]
AT_THRESHOLDS = [*COUNTS, metrics.Precision, metrics.Recall]


def test_four_counts_share_out_all_outputs(backend: str) -> None:
    draw = np.random.default_rng(0)
    y_true, y_pred = draw.integers(0, 2, (50, 3)), draw.uniform(size=(50, 3)).astype(np.float32)
    weight = draw.integers(0, 4, 50).astype(np.float32)
    above, yes = y_pred > np.float32(0.3), y_true == 1
    spread = np.broadcast_to(weight[:, None], (50, 3))
    expected = [(spread * part).sum() for part in (yes & above, ~yes & ~above, ~yes & above, yes & ~above)]
    found = [each(thresholds=0.3)(y_true, y_pred, sample_weight=weight).item() for each in COUNTS]
    assert found == expected
    assert sum(found) == 3 * weight.sum()


def test_a_prediction_at_the_threshold_is_not_above_it(backend: str) -> None:
    for thresholds, expected in ((None, 1), (0.5, 1), ([0.5], 1), ([0.0, 0.5, 1.0], [3, 1, 0])):
        metric = metrics.TruePositives(thresholds=thresholds)
        metric.update_state([1, 1, 1, 1], [0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.25])
        np.testing.assert_array_equal(metric.result().numpy(), expected)


def test_anything_but_0_is_a_positive_target(backend: str) -> None:
    assert metrics.Recall()([0.0, 0.3, 7.0, -1.0], [0.9, 0.9, 0.1, 0.9]).item() == pytest.approx(2 / 3)


def test_the_top_k_count_whatever_their_values(backend: str) -> None:
    y_true = [[0, 0, 1, 1], [1, 0, 0, 0]]
    y_pred = np.array([[0.1, -3.0, 0.2, -9.0], [0.3, 0.3, 0.3, 0.0]], np.float32)
    for k, right in {1: 2, 2: 2, 3: 2, 4: 3}.items():
        assert metrics.Precision(top_k=k)(y_true, y_pred).item() == pytest.approx(right / (2 * k))
        assert metrics.Recall(top_k=k)(y_true, y_pred).item() == pytest.approx(right / 3)
    assert metrics.Recall(top_k=1)([[0, 1, 0]], [[0.5, 0.5, 0.5]]).item() == 0  # of equals the first counts
    with_nan = metrics.Precision(top_k=1)([[1, 0, 0]], [[np.nan, 0.2, 0.1]])
    assert with_nan.item() == 0


def test_nothing_predicted_and_nothing_to_find_is_0(backend: str) -> None:
    assert metrics.Precision()([1, 1], [0.1, 0.2]).item() == 0
    assert metrics.Recall()([0, 0], [0.9, 0.2]).item() == 0
    for each in AT_THRESHOLDS:
        assert each().result().item() == 0
        assert each()([1, 0], [0.9, 0.9], sample_weight=[0.0, 0.0]).item() == 0


def test_types_of_targets_and_predictions(backend: str) -> None:
    for dtype in ("bool", "uint8", "int64", "float64"):
        y_true = np.array([[0], [1], [1]]).astype(dtype)
        for given in (y_true, y_true[:, 0], td.tensor(y_true)):
            metric = metrics.Precision(dtype="float64")
            metric.update_state(given, np.array([[0.9], [0.9], [0.1]], np.float16))
            assert (metric.result().item(), metric.result().dtype) == (0.5, np.float64)


@pytest.mark.parametrize("each", AT_THRESHOLDS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("value", [-0.1, 1.5, [0.5, 2], [], "half", [None], float("nan")])
def test_thresholds_out_of_range_are_refused(each: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^own: thresholds must be None, or a number in \[0, 1\], or a list of such"):
        each(thresholds=value, name="own")


@pytest.mark.parametrize("each", [metrics.Precision, metrics.Recall])
def test_classes_that_there_are_not_are_refused(backend: str, each: Any) -> None:
    for argument, value, least in (("top_k", 0, 1), ("top_k", 1.5, 1), ("class_id", -1, 0), ("class_id", "a", 0)):
        with pytest.raises(ValueError, match=f"{argument} must be None or an integer of at least {least}, not "):
            each(**{argument: value})
    for arguments in ({"top_k": 4}, {"class_id": 3}):
        with pytest.raises(ValueError, match=r"(top_k|class_id) is ., which needs 4 classes, and y_pred has 3"):
            each(**arguments).update_state(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="class_id is 1, which needs 2 classes, and y_pred has 1"):
        each(class_id=1).update_state([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="sample_weight has shape"):
        each().update_state(np.zeros((2, 3)), np.zeros((2, 3)), sample_weight=np.ones(3))


def test_a_model_reports_them_by_name(backend: str) -> None:
    model = td.models.Sequential([td.layers.Dense(1, activation="sigmoid")])
    given = ["Precision", metrics.Recall(name="found"), metrics.TruePositives(thresholds=[0.1, 0.9]), "AUC", "mape"]
    model.compile("sgd", "binary_crossentropy", metrics=given, weighted_metrics=["bce"])
    x = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0).history
    names = ["loss", "Precision", "found", "true_positives", "AUC", "mape", "bce"]
    assert list(history) == names + [f"val_{name}" for name in names]
    assert np.shape(history["val_true_positives"]) == (2, 2)
    p = model.predict(x)[:, 0]
    found, yes = p > 0.5, y == 1
    assert history["val_Precision"][-1] == pytest.approx(yes[found].mean(), rel=1e-6)
    assert history["val_found"][-1] == pytest.approx(found[yes].mean(), rel=1e-6)
    assert history["val_bce"][-1] == pytest.approx(history["val_loss"][-1], rel=1e-5)
