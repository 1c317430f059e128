"""Losses: Keras's values and gradients, logits found behind probabilities, reductions, shapes, names."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import activations, losses

SETS = [storage.load("losses"), storage.load("losses_more")]
CASES = {name: case for golden in SETS for name, case in golden.cases.items()}
INPUTS = {name: golden.inputs for golden in SETS for name in golden.cases}
FROM_LOGITS = [
    name
    for name, case in CASES.items()
    if case["config"].get("from_logits") and case["config"].get("axis", -1) == -1  # where a softmax keeps its logits
]
BINARY = {"binary_crossentropy", "binary_focal_crossentropy"}
FUNCTIONS = {
    "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "categorical_hinge", "cosine_similarity", "hinge", "huber", "kl_divergence", "log_cosh", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson",
    "sparse_categorical_crossentropy", "squared_hinge",
}  # fmt: skip
OF_OUTPUTS = FUNCTIONS - {  # the others compare whole rows
    "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "cosine_similarity",
    "kl_divergence", "sparse_categorical_crossentropy",
}  # fmt: skip
SAME_NAME = {"hinge", "huber", "poisson"}
WEIGHT = SETS[0].inputs["sample_weight"]


def data(name: str) -> tuple[np.ndarray, td.Tensor]:
    """Return the labels of a golden case and its predictions, which require a gradient."""
    case = CASES[name]
    return INPUTS[name][case["y_true"]], td.tensor(INPUTS[name][case["y_pred"]], requires_grad=True)


def made(name: str, **kwargs: Any) -> losses.Loss:
    """Return the loss of a golden case."""
    return getattr(losses, CASES[name]["class"])(**CASES[name]["config"], **kwargs)


def close(found: Any, expected: Any) -> None:
    """Compare with what Keras computed in float32; gradients of clipped probabilities go up to 1e6."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-6, atol=5e-7 * min(scale, 1.0))


# -- Keras's values ---------------------------------------------------------------------------------------------------


def test_all_builtins_have_golden_values() -> None:
    assert {case["function"] for case in CASES.values()} == FUNCTIONS
    names = td.registry.losses.names()
    ours = {each for each in map(td.losses.get, names) if getattr(each, "__module__", "").startswith("tinygrad_dnn.")}
    assert {each.__name__ for each in ours if callable(each) and hasattr(each, "__name__")} == FUNCTIONS


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_are_keras_s(backend: str, name: str) -> None:
    y_true, y_pred = data(name)
    case = CASES[name]
    values = getattr(losses, case["function"])(y_true, y_pred, **case["config"])
    assert (values.shape, values.dtype) == (case["per_sample"].shape, np.float32)
    close(values, case["per_sample"])
    np.testing.assert_array_equal(made(name, reduction="none")(y_true, y_pred).numpy(), values.numpy())
    np.testing.assert_array_equal(made(name).call(y_true, y_pred).numpy(), values.numpy())


@pytest.mark.parametrize("name", sorted(CASES))
def test_reductions_are_keras_s(backend: str, name: str) -> None:
    y_true, y_pred = data(name)
    case = CASES[name]
    close(made(name)(y_true, y_pred), case["value"])
    close(made(name, reduction="mean")(y_true, y_pred), case["value"])
    close(made(name)(y_true, y_pred, sample_weight=WEIGHT), case["value_weighted"])
    close(made(name, reduction="sum")(y_true, y_pred, WEIGHT), case["value_sum"])
    close(made(name, reduction="mean_with_sample_weight")(y_true, y_pred, WEIGHT), case["value_weighted_mean"])
    weighted = (WEIGHT * case["per_sample"].T).T
    np.testing.assert_allclose(made(name, reduction=None)(y_true, y_pred, WEIGHT).numpy(), weighted, 2e-6, 1e-6)


@pytest.mark.parametrize("name", sorted(CASES))
def test_gradients_are_keras_s(backend: str, name: str) -> None:
    y_true, y_pred = data(name)
    close(td.grad(made(name)(y_true, y_pred), y_pred), CASES[name]["gradient"])
    close(td.grad(made(name)(y_true, y_pred, WEIGHT), y_pred), CASES[name]["gradient_weighted"])


# -- logits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FROM_LOGITS))
def test_a_softmax_or_sigmoid_before_the_loss_counts_as_logits(backend: str, name: str) -> None:
    y_true, x = data(name)
    case = CASES[name]
    activation = activations.sigmoid if case["function"] in BINARY else activations.softmax
    config = {key: value for key, value in case["config"].items() if key != "from_logits"}
    loss = getattr(losses, case["class"])(**config)
    found = loss(y_true, activation(x))
    assert found.item() == made(name)(y_true, x).item()
    close(td.grad(found, x), case["gradient"])


def test_logits_that_are_not_to_be_trusted_are_left_alone(backend: str) -> None:
    x = td.tensor([[50.0, 0.0]])
    clipped = -math.log(1e-7)
    loss = losses.sparse_categorical_crossentropy
    assert loss([1], activations.softmax(x)).item() == pytest.approx(50)
    assert loss([1], activations.softmax(x).detach()).item() == pytest.approx(clipped)
    probabilities = activations.softmax(x)
    probabilities.assign([[0.5, 0.5]])
    assert loss([1], probabilities).item() == pytest.approx(math.log(2))
    probabilities = activations.softmax(x)
    x.assign([[0.0, 0.0]])
    assert loss([1], probabilities).item() == pytest.approx(clipped)


def test_only_the_activation_that_fits_is_taken_back(backend: str) -> None:
    x = td.tensor([[20.0, -20.0]])
    assert losses.binary_crossentropy([[0, 1]], activations.sigmoid(x)).item() == pytest.approx(20)
    of_softmax = losses.binary_crossentropy([[0, 1]], activations.softmax(x)).item()
    assert of_softmax == pytest.approx(-math.log(1e-7), rel=0.02)
    of_sigmoid = losses.categorical_crossentropy([[0, 1]], activations.sigmoid(x)).item()
    assert of_sigmoid == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_saying_from_logits_of_probabilities_warns(backend: str) -> None:
    x = td.tensor([[1.0, 2.0, 4.0]])
    with pytest.warns(UserWarning, match="sparse_categorical_crossentropy: from_logits=True, but .* softmax") as record:
        found = losses.sparse_categorical_crossentropy([0], activations.softmax(x), from_logits=True)
    assert record[0].filename == __file__
    assert found.item() == losses.sparse_categorical_crossentropy([0], x, from_logits=True).item()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.sparse_categorical_crossentropy([0], x, from_logits=True)


def test_logits_far_apart_lose_nothing(backend: str) -> None:
    x = td.tensor([[1e4 + 2.0, 1e4], [-1e30, 1e30]], requires_grad=True)
    values = losses.sparse_categorical_crossentropy([0, 1], x, from_logits=True)
    np.testing.assert_allclose(values.numpy(), [math.log1p(math.exp(-2)), 0], rtol=1e-6)
    masked = td.tensor([[0.0, -math.inf, 0.0]], requires_grad=True)
    value = losses.sparse_categorical_crossentropy([0], masked, from_logits=True)
    np.testing.assert_allclose(value.numpy(), [math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(td.grad(value, masked).numpy(), [[-0.5, 0, 0.5]], rtol=1e-6)


def test_slope_of_binary_logits_at_zero(backend: str) -> None:
    x = td.zeros((2, 1), requires_grad=True)
    values = losses.binary_crossentropy([0, 1], x, from_logits=True)
    np.testing.assert_allclose(values.numpy(), math.log(2), rtol=1e-6)
    slope = td.grad(values, x, grad_outputs=td.ones_like(values), create_graph=True)
    np.testing.assert_allclose(slope.numpy(), [[0.5], [-0.5]], rtol=1e-6)
    curvature = td.grad(slope, x, grad_outputs=td.ones_like(slope))
    np.testing.assert_allclose(curvature.numpy(), [[0.25], [0.25]], rtol=1e-6)


# -- shapes, types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "uint64", "float32", "float64"])
def test_classes_may_be_of_any_type_and_stand_in_a_column(backend: str, dtype: str) -> None:
    p = td.tensor(np.random.default_rng(4).dirichlet(np.ones(5), size=6), "float32")
    labels = np.array([0, 4, 2, 2, 1, 3])
    expected = -np.log(p.numpy()[np.arange(6), labels])
    for y_true in (labels.astype(dtype), labels.astype(dtype)[:, None], td.tensor(labels.astype(dtype))):
        values = losses.sparse_categorical_crossentropy(y_true, p)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-6)


def test_a_small_type_of_label_does_not_wrap_around(backend: str) -> None:
    x = td.zeros((1, 300), requires_grad=True)
    loss = losses.sparse_categorical_crossentropy(np.array([5], np.uint8), x, from_logits=True)
    gradient = td.grad(loss, x).numpy()
    assert (gradient < 0).sum() == 1
    assert loss.item() == pytest.approx(math.log(300))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_targets_take_the_type_of_the_predictions(backend: str, name: str) -> None:
    targets = np.array([1, 0]) if name.startswith("sparse") else np.array([[0.25, 1.0], [1.0, 0.25]], np.float64)
    for dtype in ("float16", "float32", "float64"):
        assert getattr(losses, name)(targets, td.full((2, 2), 0.5, dtype)).dtype == dtype


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_more_axes_give_a_value_for_each_place(backend: str, name: str) -> None:
    p = np.random.default_rng(5).dirichlet(np.ones(3), size=(4, 2))
    y = np.zeros((4, 2), int) if name.startswith("sparse") else np.eye(3)[np.zeros((4, 2), int)]
    values = getattr(losses, name)(y, p)
    assert values.shape == (4, 2)
    flat = getattr(losses, name)(y.reshape(8, *y.shape[2:]), p.reshape(8, 3))
    np.testing.assert_allclose(values.numpy().ravel(), flat.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(OF_OUTPUTS))
def test_an_axis_of_one_output_may_be_missing(backend: str, name: str) -> None:
    loss = getattr(losses, name)
    y, p = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.3, 0.9])
    expected = loss(y[:, None], p[:, None]).numpy()
    assert expected.shape == (3,)
    for y_true, y_pred in ((y, p), (y, p[:, None]), (y[:, None], p)):
        np.testing.assert_array_equal(loss(y_true, y_pred).numpy(), expected)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_shapes_that_do_not_fit_are_refused(backend: str, name: str) -> None:
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match=rf"{name}: y_true has shape \(3, 1\) and y_pred \(4, 3\)"):
        loss(td.zeros((3, 1)), td.ones((4, 3)))
    wide = (4, 3) if name.startswith("sparse") else (4, 1)
    with pytest.raises(ValueError, match=rf"{name}: y_true has shape \(4, .\) and y_pred \(4, 3\)"):
        loss(td.zeros(wide), td.ones((4, 3)))
    if name not in OF_OUTPUTS:
        with pytest.raises(ValueError, match=rf"{name}: .*(a single number|y_pred \(\))"):
            loss(td.zeros(()), td.ones(()))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (1, 4), (1,)])
def test_weights_that_do_not_fit_are_refused(backend: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mean_squared_error: sample_weight has shape .* to be weighted \(4,\)"):
        losses.MeanSquaredError()(td.zeros((4, 2)), td.ones((4, 2)), td.ones(shape))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 2), (4, 2, 1)])
def test_weights_of_samples_or_of_places(backend: str, shape: tuple[int, ...]) -> None:
    weight = np.arange(float(np.prod(shape))).reshape(shape)
    loss = losses.MeanSquaredError(reduction="none")
    expected = np.broadcast_to(weight.reshape(4, -1), (4, 2))
    for given in (weight, td.tensor(weight)):
        np.testing.assert_array_equal(loss(np.zeros((4, 2, 3)), np.ones((4, 2, 3)), given).numpy(), expected)


def test_weights_of_nothing_make_no_nan(backend: str) -> None:
    loss = losses.MeanSquaredError(reduction="mean_with_sample_weight")
    assert loss([[0.0]], [[2.0]], [0.0]).item() == 0


# -- classes and names ------------------------------------------------------------------------------------------------


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mean_squared_error: reduction must be 'sum.* not 'avg'"):
        losses.MeanSquaredError(reduction="avg")
    with pytest.raises(NotImplementedError, match="Loss does not define call"):
        losses.Loss()([0.0], [0.0])


@pytest.mark.parametrize("name", sorted(CASES))
def test_config_makes_the_same_again(name: str) -> None:
    original = made(name, reduction="sum")
    config = original.get_config()
    function = CASES[name]["function"]
    expected = {"reduction": "sum", "name": {"huber": "huber_loss"}.get(function, function)}
    assert config == {**config, **CASES[name]["config"], **expected}
    again = losses.get(losses.serialize(original))
    assert type(again) is type(original)
    assert again.get_config() == original.get_config()


def test_names() -> None:
    assert losses.get("mse") is losses.get("mean_squared_error") is losses.mse
    assert losses.get("mae") is losses.mean_absolute_error
    for alias, name in {"bce": "binary_crossentropy", "KLD": "kl_divergence", "kld": "kl_divergence"}.items():
        assert losses.get(alias) is getattr(losses, name)
    assert losses.get("MAPE") is losses.mape is losses.mean_absolute_percentage_error
    assert losses.get("MSLE") is losses.msle is losses.mean_squared_logarithmic_error
    for name, case in CASES.items():
        function, cls = case["function"], getattr(losses, case["class"])
        assert losses.get(function) is getattr(losses, function)
        # A name in capitals is the class's, but where the function has the same one.
        made_by_name = losses.get(f"{function}_loss" if function in SAME_NAME else case["class"])
        assert type(made_by_name) is cls, name
        assert made_by_name.get_config() == cls().get_config()
    smoothed = losses.get("categorical_crossentropy", label_smoothing=0.2)
    assert losses.serialize(smoothed) == {"class_name": "categorical_crossentropy", "config": {"label_smoothing": 0.2}}
