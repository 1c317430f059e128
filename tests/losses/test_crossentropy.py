"""Cross-entropies: another axis for the classes, and classes that are ignored."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import activations, losses

DRAW = np.random.default_rng(11)
CLASSES = 4
AT = DRAW.integers(0, CLASSES, size=(5, 3, 2))
PROBABILITIES = DRAW.dirichlet(np.ones(CLASSES), size=(5, 3, 2)).astype(np.float32)
ROWS = {  # functions with an axis of classes, their targets with the classes last, and arguments
    "sparse_categorical_crossentropy": (AT, {}),
    "categorical_crossentropy": (np.eye(CLASSES)[AT], {"label_smoothing": 0.2}),
    "categorical_focal_crossentropy": (np.eye(CLASSES)[AT], {"label_smoothing": 0.2, "alpha": [0.1, 0.2, 0.3, 0.4]}),
    "binary_crossentropy": (np.eye(CLASSES)[AT], {}),
    "binary_focal_crossentropy": (np.eye(CLASSES)[AT], {}),
    "cosine_similarity": (np.eye(CLASSES)[AT], {}),
}


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("name", sorted(ROWS))
def test_any_axis_may_have_the_classes(backend: str, name: str, from_logits: bool) -> None:
    y_true, arguments = ROWS[name]
    arguments = arguments if name == "cosine_similarity" else {**arguments, "from_logits": from_logits}
    loss = functools.partial(getattr(losses, name), **arguments)
    expected = loss(y_true, PROBABILITIES).numpy()
    assert expected.shape == (5, 3, 2)
    moved = td.tensor(np.moveaxis(PROBABILITIES, -1, 1))
    targets = y_true if name.startswith("sparse") else np.moveaxis(y_true, -1, 1)
    for axis in (1, -3):
        np.testing.assert_allclose(loss(targets, moved, axis=axis).numpy(), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(loss(y_true, PROBABILITIES, axis=3).numpy(), expected)
    if name.startswith("sparse"):
        np.testing.assert_allclose(loss(targets[:, None], moved, axis=1).numpy(), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=rf"{name}: axis is from -4 to 3 for y_pred of shape \(5, 4, 3, 2\), not 4"):
        loss(targets, moved, axis=4)


def test_a_sigmoid_is_taken_back_to_its_logits_whatever_the_axis(backend: str) -> None:
    x = td.tensor(np.full((2, 3, 2), 50.0, np.float32))
    for loss in (losses.binary_crossentropy, losses.binary_focal_crossentropy):
        values = loss(td.zeros((2, 3, 2)), activations.sigmoid(x), axis=1)
        np.testing.assert_allclose(values.numpy(), np.full((2, 2), 50.0), rtol=1e-6)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(("ignored", "column"), [(255, False), (-1, True), (2, False)])
def test_an_ignored_class_has_neither_value_nor_gradient(
    backend: str, from_logits: bool, ignored: int, column: bool
) -> None:
    labels = np.array([0, ignored, 3, ignored, 1])
    kept = labels != ignored
    x = td.tensor(PROBABILITIES[:, 0, 0], requires_grad=True)
    loss = losses.SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=ignored)
    plain = losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    weight = np.array([2.0, 5.0, 0.5, 1.0, 1.0], np.float32)
    given = labels[:, None] if column else labels
    value = loss(given, x)
    np.testing.assert_allclose(value.item(), plain(labels[kept], x.numpy()[kept]).item(), rtol=1e-6)
    gradient = td.grad(value, x).numpy()
    assert (gradient[~kept] == 0).all()
    assert (gradient[kept] != 0).any(axis=1).all()
    by_weight = losses.SparseCategoricalCrossentropy(from_logits, ignored, "mean_with_sample_weight")
    expected = losses.SparseCategoricalCrossentropy(from_logits, None, "mean_with_sample_weight")
    found = by_weight(given, x, weight).item()
    np.testing.assert_allclose(found, expected(labels[kept], x.numpy()[kept], weight[kept]).item(), rtol=1e-6)


def test_a_batch_of_ignored_classes_alone_makes_no_nan(backend: str) -> None:
    x = td.tensor(PROBABILITIES[:, 0, 0], requires_grad=True)
    value = losses.SparseCategoricalCrossentropy(ignore_class=9)(np.full(5, 9), x)
    assert value.item() == 0
    assert (td.grad(value, x).numpy() == 0).all()


def test_training_with_an_ignored_class(backend: str) -> None:
    model = td.models.Sequential([td.layers.Dense(3, activation="softmax")])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(ignore_class=255))
    x, y = np.eye(4, dtype=np.float32), np.array([0, 255, 2, 255])
    history = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    with pytest.raises(ValueError, match=r"from 0 to 2 or the class 255 that is ignored, .* sample 1 holds 254"):
        model.fit(x, np.array([0, 254, 2, 255]), verbose=0)


def test_focal_losses_are_weighted_cross_entropies(backend: str) -> None:
    y, p = np.eye(CLASSES)[AT[:, 0, 0]], PROBABILITIES[:, 0, 0]
    right = (p * y).sum(-1)
    found = losses.categorical_focal_crossentropy(y, p, alpha=2.0, gamma=3.0)
    np.testing.assert_allclose(found.numpy(), 2 * (1 - right) ** 3 * -np.log(right), rtol=2e-6)
    weights = [0.0, 1.0, 2.0, 3.0]
    each = losses.categorical_focal_crossentropy(y, p, alpha=weights, gamma=0.0)
    np.testing.assert_allclose(each.numpy(), np.take(weights, AT[:, 0, 0]) * -np.log(right), rtol=2e-6)
    plain: Any = losses.binary_focal_crossentropy(y, p, gamma=0.0)
    np.testing.assert_allclose(plain.numpy(), losses.binary_crossentropy(y, p).numpy(), rtol=1e-6)
    balanced = losses.binary_focal_crossentropy(y, p, apply_class_balancing=True, alpha=1.0, gamma=0.0)
    np.testing.assert_allclose(balanced.numpy(), -np.log(right) / CLASSES, rtol=2e-6)
    with pytest.raises(ValueError, match="alpha has 2 weights, and there are 4 classes"):
        losses.categorical_focal_crossentropy(y, p, alpha=[1.0, 2.0])


@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1.0, -1.0, 0.0]])
@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
@pytest.mark.parametrize("sparse", [False, True])
def test_probabilities_whose_sum_is_0_have_a_finite_loss(
    backend: str, name: str, sparse: bool, row: list[float]
) -> None:
    y_true, function = np.eye(3)[[2, 2]], getattr(losses, name)
    if sparse:
        y_true, function = np.array([2, 2]), losses.sparse_categorical_crossentropy
    predictions = td.tensor([row, [0.5, 0.25, 0.25]], requires_grad=True)
    values = function(y_true, predictions)
    factor = 0.25 * (1 - 1e-7) ** 2 if name.endswith("focal_crossentropy") and not sparse else 1.0
    assert values.numpy()[0] == pytest.approx(factor * -np.log(1e-7), rel=1e-6)
    assert values.numpy()[1] == function(y_true[1:], predictions[1:]).numpy()[0]  # the others are what they were
    values.sum().backward()
    assert np.isfinite(predictions.grad.numpy()).all()
    assert not predictions.grad.numpy()[0].any()


@pytest.mark.parametrize("name", sorted({*ROWS, "kl_divergence"}))
def test_probabilities_of_float16_may_be_0_and_1(backend: str, name: str) -> None:
    certain = np.eye(4, dtype=np.float16)
    function = getattr(losses, name)
    for right in (True, False):
        rows = certain if right else certain[::-1].copy()
        predictions = td.tensor(np.concatenate([rows, np.zeros((4, 4), np.float16)]), requires_grad=True)
        y_true = [0, 1, 2, 3] * 2 if name.startswith("sparse") else np.concatenate([certain, certain])
        values = function(y_true, predictions)
        assert values.dtype == "float16"
        values.sum().backward()
        assert np.isfinite(values.numpy()).all()
        assert np.isfinite(predictions.grad.numpy()).all()
