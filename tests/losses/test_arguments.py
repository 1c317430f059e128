"""Losses: arguments out of their range and targets that cannot be right, refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import losses, metrics

ROWS = [[0.5, 0.5]]
OUT_OF_RANGE: list[tuple[str, str, Any, str]] = [
    ("BinaryCrossentropy", "label_smoothing", 1.5, r"in \[0, 1\]"),
    ("CategoricalCrossentropy", "label_smoothing", -0.1, r"in \[0, 1\]"),
    ("CategoricalCrossentropy", "label_smoothing", math.nan, r"in \[0, 1\]"),
    ("CategoricalCrossentropy", "axis", True, "an integer"),
    ("BinaryCrossentropy", "axis", 0.5, "an integer"),
    ("SparseCategoricalCrossentropy", "ignore_class", 2.5, "an integer or None"),
    ("SparseCategoricalCrossentropy", "axis", "last", "an integer"),
    ("BinaryFocalCrossentropy", "alpha", 1.5, r"in \[0, 1\]"),
    ("BinaryFocalCrossentropy", "gamma", -1.0, "a number of at least 0"),
    ("BinaryFocalCrossentropy", "label_smoothing", 2, r"in \[0, 1\]"),
    ("CategoricalFocalCrossentropy", "alpha", -0.5, "at least 0, or a list"),
    ("CategoricalFocalCrossentropy", "alpha", [0.5, -1.0], "at least 0, or a list"),
    ("CategoricalFocalCrossentropy", "alpha", [], "at least 0, or a list"),
    ("CategoricalFocalCrossentropy", "gamma", math.inf, "a number of at least 0"),
    ("Huber", "delta", 0.0, "a number above 0"),
    ("Huber", "delta", math.nan, "a number above 0"),
    ("Huber", "delta", "1", "a number above 0"),
    ("CosineSimilarity", "axis", None, "an integer"),
]


@pytest.mark.parametrize(("name", "argument", "value", "words"), OUT_OF_RANGE)
def test_arguments_out_of_range_are_refused(name: str, argument: str, value: Any, words: str) -> None:
    loss = getattr(losses, name)
    function = type(loss())._function
    for owner, call in (
        ("own", lambda: loss(name="own", **{argument: value})),
        (loss().name if name != "Huber" else "huber_loss", lambda: loss(**{argument: value})),
        (function.__name__, lambda: function(ROWS, ROWS, **{argument: value})),
    ):
        with pytest.raises(ValueError, match=rf"^{owner}: {argument} must be .*{words}.*, not "):
            call()
    metric = getattr(metrics, name, None)
    if metric is not None and argument in metric().get_config():
        with pytest.raises(ValueError, match=rf"^own: {argument} must be .*{words}.*, not "):
            metric(name="own", **{argument: value})


def test_numbers_of_numpy_are_numbers() -> None:
    assert losses.Huber(np.float32(0.5))([[0.0]], [[2.0]]).item() == 0.875
    assert losses.SparseCategoricalCrossentropy(ignore_class=np.int64(1))([1], ROWS).item() == 0


# -- targets, before training -----------------------------------------------------------------------------------------

BAD_TARGETS: list[tuple[str, Any, str]] = [
    ("poisson", [[1, 0], [2, -3]], r"poisson: y must hold numbers of at least 0; sample 1 holds -3"),
    ("msle", [[1, 0], [2, -3]], "mean_squared_logarithmic_error: y must hold numbers of at least 0; sample 1"),
    ("hinge", [[1, -1], [2, 1]], r"hinge: y must hold -1 and 1, or 0 and 1; sample 1 holds 2"),
    ("hinge", [[1, -1], [0, 1]], "hinge: y must hold -1 and 1, or 0 and 1, and not all three; sample 1 holds 0"),
    ("squared_hinge", [[1, 0], [1, 0.5]], "squared_hinge: y must hold -1 and 1, or 0 and 1; sample 1 holds 0.5"),
    ("categorical_hinge", [[1, 0], [-1, 1]], r"categorical_hinge: y must hold numbers in \[0, 1\]; sample 1"),
    ("kld", [[1, 0], [0.5, 1.5]], r"kl_divergence: y must hold numbers in \[0, 1\]; sample 1 holds 1.5"),
    ("binary_focal_crossentropy", [[1, 0], [2, 1]], r"numbers in \[0, 1\]; sample 1 holds 2"),
    ("categorical_focal_crossentropy", [0, 1], "Integer classes go with sparse_categorical_crossentropy"),
    ("poisson", [[1, 2, 3], [1, 2, 3]], r"y has shape \(2, 3\) and the model's outputs \(2, 2\); they must be equal"),
    ("hinge", [1, -1], r"y has shape \(2,\) and the model's outputs \(2, 2\); they must be equal\.$"),
]


@pytest.mark.parametrize(("loss", "y", "message"), BAD_TARGETS)
def test_targets_that_cannot_be_right_are_refused_before_training(
    backend: str, loss: str, y: Any, message: str
) -> None:
    model = td.models.Sequential([td.layers.Dense(2, activation="softmax")])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=f"fit: .*{message}"):
        model.fit(np.ones((2, 3), np.float32), np.array(y), verbose=0)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("poisson", [[0, 2], [1, 7]]),
        ("hinge", [[-1, 1], [1, 1]]),
        ("hinge", np.array([[0, 1], [1, 0]], np.uint8)),
        ("squared_hinge", [[True, False], [True, True]]),
        ("msle", [[0.0, 2.0], [1.0, 7.0]]),
        ("kld", [[0.5, 0.5], [0.0, 1.0]]),
        (losses.CategoricalFocalCrossentropy(label_smoothing=0.1), [[1, 0], [0, 1]]),
        (losses.Huber(delta=2.0), [[-5, 3], [0, 1]]),
        (losses.CosineSimilarity(), [[-5, 3], [0, 1]]),
    ],
)
def test_targets_that_may_be_right_are_learned_from(backend: str, loss: Any, y: Any) -> None:
    model = td.models.Sequential([td.layers.Dense(2, activation="softmax")])
    model.compile("sgd", loss)
    for targets in (np.array(y), td.tensor(y)):
        history = model.fit(np.ones((2, 3), np.float32), targets, verbose=0).history
        assert np.isfinite(history["loss"]).all()


def test_targets_with_the_classes_on_another_axis(backend: str) -> None:
    check = losses.SparseCategoricalCrossentropy(axis=1).check_targets
    check(np.array([[2, 0, 1, 1, 2]] * 4), (4, 3, 5))
    check(np.array([[[2, 0, 1, 1, 2]]] * 4), (4, 3, 5))
    with pytest.raises(ValueError, match=r"from 0 to 2, for the model has 3 outputs; sample 0 holds 3"):
        check(np.array([[2, 0, 3, 1, 2]] * 4), (4, 3, 5))
    with pytest.raises(ValueError, match=r"one class a sample, of shape \(4, 5\)"):
        check(np.zeros((4, 3)), (4, 3, 5))
