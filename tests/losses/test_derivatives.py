"""Losses: two orders of derivative against finite differences, and numbers far from 0 that must not overflow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import activations, losses

DRAW = np.random.default_rng(7)
SPARSE = np.array([2, 0, 1])
ONE_HOT = np.eye(4)[SPARSE]
SOFT = DRAW.dirichlet(np.ones(4), size=3)
SIGNS = np.array([[1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
PROBABILITIES = DRAW.uniform(0.1, 0.8, size=(3, 4))
OTHERS = DRAW.uniform(0.1, 0.8, size=(3, 4))
NUMBERS = 2 * DRAW.normal(size=(3, 4))
AXIS = {"axis": 0}
FAR = np.array([0.0, 1.0, -1.0, 1e3, -1e3, 1e4, -1e4], np.float32)

# name: (function, targets, predictions, arguments)
SMOOTH: dict[str, tuple[str, np.ndarray, np.ndarray, dict[str, Any]]] = {
    "sparse": ("sparse_categorical_crossentropy", SPARSE, PROBABILITIES, {}),
    "sparse_logits": ("sparse_categorical_crossentropy", SPARSE, NUMBERS, {"from_logits": True}),
    "sparse_ignoring": ("sparse_categorical_crossentropy", SPARSE, PROBABILITIES, {"ignore_class": 0}),
    "sparse_axis": ("sparse_categorical_crossentropy", np.array([2, 0, 1, 1]), NUMBERS, {"from_logits": True, **AXIS}),
    "categorical": ("categorical_crossentropy", SOFT, PROBABILITIES, {"label_smoothing": 0.1}),
    "categorical_logits": ("categorical_crossentropy", SOFT, NUMBERS, {"from_logits": True, **AXIS}),
    "binary": ("binary_crossentropy", SOFT, PROBABILITIES, {"label_smoothing": 0.1, **AXIS}),
    "binary_logits": ("binary_crossentropy", SOFT, NUMBERS, {"from_logits": True}),
    "binary_focal": ("binary_focal_crossentropy", SOFT, PROBABILITIES, {"apply_class_balancing": True}),
    "binary_focal_logits": ("binary_focal_crossentropy", ONE_HOT, NUMBERS, {"from_logits": True, "gamma": 0.5, **AXIS}),
    "categorical_focal": ("categorical_focal_crossentropy", SOFT, PROBABILITIES, {"alpha": [0.1, 1.0, 2.0, 0.0]}),
    "categorical_focal_logits": ("categorical_focal_crossentropy", SOFT, NUMBERS, {"from_logits": True, "gamma": 0.5}),
    "mse": ("mean_squared_error", SOFT, NUMBERS, {}),
    "mape": ("mean_absolute_percentage_error", SOFT, NUMBERS, {}),
    "msle": ("mean_squared_logarithmic_error", SOFT, PROBABILITIES, {}),
    "huber": ("huber", SOFT, NUMBERS, {"delta": 0.7}),
    "log_cosh": ("log_cosh", SOFT, NUMBERS, {}),
    "cosine_similarity": ("cosine_similarity", SOFT, NUMBERS, {}),
    "cosine_similarity_axis": ("cosine_similarity", SOFT, NUMBERS, AXIS),
    "hinge": ("hinge", SIGNS, NUMBERS, {}),
    "squared_hinge": ("squared_hinge", SIGNS, NUMBERS, {}),
    "categorical_hinge": ("categorical_hinge", ONE_HOT, NUMBERS, {}),
    "kl_divergence": ("kl_divergence", SOFT, PROBABILITIES, {}),
    "poisson": ("poisson", SOFT, PROBABILITIES, {}),
}
PIECEWISE_LINEAR = {"mape", "hinge", "categorical_hinge"}


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_derivatives_agree_with_finite_differences(backend: str, name: str) -> None:
    function, y_true, y_pred, arguments = SMOOTH[name]
    loss = getattr(losses, function)
    td.testing.check_grads(lambda x: loss(y_true, x, **arguments), [y_pred], order=1 if name in PIECEWISE_LINEAR else 2)


def test_derivatives_of_the_absolute_error(backend: str) -> None:
    td.testing.check_grads(lambda x: losses.mean_absolute_error(SOFT, x), [NUMBERS], order=1)


def test_derivatives_by_the_targets(backend: str) -> None:
    for loss in (losses.kl_divergence, losses.log_cosh, losses.huber, losses.cosine_similarity, losses.poisson):
        td.testing.check_grads(lambda y, loss=loss: loss(y, PROBABILITIES), [OTHERS])
    td.testing.check_grads(lambda y: losses.kl_divergence(y, activations.softmax(td.tensor(NUMBERS))), [OTHERS])


@pytest.mark.parametrize("loss", [losses.huber, losses.log_cosh])
def test_the_curvature_of_no_error_is_1(backend: str, loss: Any) -> None:
    x = td.zeros((1, 1), "float64", requires_grad=True)
    slope = td.grad(loss(td.zeros((1, 1), "float64"), x), x, create_graph=True)
    assert slope.item() == 0
    assert td.grad(slope, x).item() == 1


# -- far from 0 -------------------------------------------------------------------------------------------------------

LOGITS = ["binary_crossentropy", "binary_focal_crossentropy"]
OF_ROWS = ["categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "cosine_similarity"]
OF_NUMBERS = ["hinge", "huber", "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error",
              "mean_squared_error", "mean_squared_logarithmic_error", "squared_hinge"]  # fmt: skip


def finite(loss: Any, y_true: Any, y_pred: np.ndarray) -> None:
    """Check that values and gradients are finite, in float32."""
    x = td.tensor(y_pred, "float32", requires_grad=True)
    values = loss(y_true, x)
    slope = td.grad(values, x, td.ones_like(values))
    assert values.dtype == slope.dtype == np.float32
    assert np.isfinite(values.numpy()).all()
    assert np.isfinite(slope.numpy()).all()


@pytest.mark.parametrize("name", LOGITS + OF_NUMBERS)
def test_far_numbers_overflow_nothing(backend: str, name: str) -> None:
    loss = getattr(losses, name)
    for target in (0.0, 1.0) if name in LOGITS else (0.0, 1.0, -1.0, 1e4):
        y_true = np.full((7, 1), target, np.float32)
        if name not in LOGITS:
            finite(loss, y_true, FAR[:, None])
            continue
        for arguments in ({}, {"gamma": 0.5}) if "focal" in name else ({},):
            finite(lambda y, x, more=arguments: loss(y, x, from_logits=True, **more), y_true, FAR[:, None])
            finite(lambda y, x, more=arguments: loss(y, activations.sigmoid(x), **more), y_true, FAR[:, None])
            finite(lambda y, x, more=arguments: loss(y, x, **more), y_true, np.resize([0.0, 1.0], (7, 1)))


@pytest.mark.parametrize("name", [*OF_ROWS, "kl_divergence", "sparse_categorical_crossentropy"])
def test_far_rows_overflow_nothing(backend: str, name: str) -> None:
    rows = np.stack([np.roll(FAR, shift) for shift in range(7)] + [np.zeros(7), np.full(7, 1e4), np.full(7, -1e4)])
    loss = getattr(losses, name)
    for place in range(7):
        y_true = np.full(10, place) if name.startswith("sparse") else np.eye(7)[np.full(10, place)]
        finite(lambda y, x: loss(y, activations.softmax(x)), y_true, rows)
        finite(loss, y_true, np.eye(7)[np.arange(10) % 7])
        if "crossentropy" in name:
            finite(lambda y, x: loss(y, x, from_logits=True), y_true, rows)
        if "focal" in name:
            finite(lambda y, x: loss(y, x, from_logits=True, gamma=0.5), y_true, rows)
            finite(lambda y, x: loss(y, x, gamma=0.5), y_true, np.eye(7)[np.arange(10) % 7])
        if name in ("categorical_hinge", "cosine_similarity"):
            finite(loss, y_true, rows)


def test_poisson_of_many_and_of_no_events(backend: str) -> None:
    expected = np.abs(FAR)[:, None]
    for count in (0.0, 1.0, 1e4):
        finite(losses.poisson, np.full((7, 1), count), expected)
    with np.errstate(invalid="ignore"):
        assert math.isnan(losses.poisson([[1.0]], [[-1.0]]).item())


def test_huber_and_log_cosh_are_lines_far_out(backend: str) -> None:
    far = td.tensor([[1e30], [-1e30]], requires_grad=True)
    for loss in (losses.huber, losses.log_cosh):
        values = loss(td.zeros((2, 1)), far)
        np.testing.assert_allclose(values.numpy(), 1e30, rtol=1e-6)
        np.testing.assert_array_equal(td.grad(values, far, td.ones_like(values)).numpy(), [[1], [-1]])


@pytest.mark.parametrize("error", [1e-6, 1e-3, 0.1, 3.0, 20.0, 1e4])
def test_log_cosh_is_right_to_a_rounding_error_of_the_error(backend: str, error: float) -> None:
    error = float(np.float32(error))
    exact = error + math.log1p(math.expm1(-2 * error) / 2) if error > 1e-2 else error**2 / 2 - error**4 / 12
    assert losses.log_cosh([[0.0]], [[error]]).item() == pytest.approx(exact, rel=1e-6, abs=1.2e-7 * error)


@pytest.mark.parametrize("x", [-1e4, -30.0, -3.0, 0.0, 5.0, 12.0, 40.0])
def test_focal_losses_from_logits_lose_no_digits(backend: str, x: float) -> None:
    right, wrong = (1 / (1 + np.exp(np.float64(min(each, 700.0)))) for each in (-x, x))
    log_right = -np.logaddexp(0, -np.float64(x))
    expected = wrong**2 * -log_right
    found = losses.binary_focal_crossentropy([[1.0]], td.tensor([[x]]), from_logits=True).item()
    assert found == pytest.approx(expected, rel=2e-6, abs=1e-13)
    assert losses.binary_focal_crossentropy([[0.0]], activations.sigmoid(td.tensor([[-x]]))).item() == found
    row = td.tensor([[x, 0.0]])
    found = losses.categorical_focal_crossentropy([[1.0, 0.0]], row, alpha=1.0, from_logits=True).item()
    assert found == pytest.approx(expected, rel=2e-5, abs=1e-13)
    assert right + wrong == pytest.approx(1)


def test_divergence_of_a_softmax_is_exact(backend: str) -> None:
    x = td.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    value = losses.kl_divergence([[0.0, 0.0, 1.0]], activations.softmax(x))
    assert value.item() == 2e4
    np.testing.assert_array_equal(td.grad(value, x).numpy(), [[1, 0, -1]])
    assert losses.kl_divergence([[1.0, 0.0, 0.0]], activations.softmax(x)).item() == 0


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_cosine_of_vectors_of_any_length(backend: str, scale: float) -> None:
    x = td.tensor([[3 * scale, 4 * scale]], requires_grad=True)
    value = losses.cosine_similarity([[1e20, 0.0]], x)
    np.testing.assert_allclose(value.numpy(), [-0.6], rtol=1e-6)
    np.testing.assert_allclose(td.grad(value, x).numpy() * scale, [[-0.128, 0.096]], rtol=1e-5)


def test_cosine_of_no_direction_is_0(backend: str) -> None:
    x = td.zeros((1, 2), requires_grad=True)
    value = losses.cosine_similarity([[1.0, 1.0]], x)
    assert value.item() == 0
    assert np.isfinite(td.grad(value, x).numpy()).all()
    assert losses.cosine_similarity([[0.0, 0.0]], [[1.0, 1.0]]).item() == 0
