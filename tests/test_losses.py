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

GOLDEN = storage.load("losses")
CASES = {
    name: case
    for name, case in GOLDEN.cases.items()
    if case["function"] in losses.__all__ and "ignore_class" not in case["config"]
}
FROM_LOGITS = [name for name, case in CASES.items() if case["config"].get("from_logits")]
FUNCTIONS = [
    "binary_crossentropy", "categorical_crossentropy", "mean_absolute_error", "mean_squared_error",
    "sparse_categorical_crossentropy",
]  # fmt: skip
WEIGHT = GOLDEN.inputs["sample_weight"]


def data(name: str) -> tuple[np.ndarray, td.Tensor]:
    """Return the labels of a golden case and its predictions, which require a gradient."""
    case = CASES[name]
    return GOLDEN.inputs[case["y_true"]], td.tensor(GOLDEN.inputs[case["y_pred"]], requires_grad=True)


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
    assert {case["function"] for case in CASES.values()} == set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_are_keras_s(backend: str, name: str) -> None:
    y_true, y_pred = data(name)
    case = CASES[name]
    values = getattr(losses, case["function"])(y_true, y_pred, **case["config"])
    assert (values.shape, values.dtype) == ((8,), np.float32)
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
    np.testing.assert_allclose(
        made(name, reduction=None)(y_true, y_pred, WEIGHT).numpy(), WEIGHT * case["per_sample"], rtol=2e-6, atol=1e-6
    )


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
    activation = activations.sigmoid if case["function"] == "binary_crossentropy" else activations.softmax
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


# -- derivatives, shapes, types --------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [False, True])
def test_two_derivatives_agree_with_finite_differences(backend: str, from_logits: bool) -> None:
    draw = np.random.default_rng(3)
    sparse, p = np.array([2, 0, 1]), draw.uniform(0.1, 0.8, size=(3, 4))
    if from_logits:
        p = np.log(p)
    soft = draw.dirichlet(np.ones(4), size=3)
    check = td.testing.check_grads
    check(lambda x: losses.sparse_categorical_crossentropy(sparse, x, from_logits), [p])
    check(lambda x: losses.categorical_crossentropy(soft, x, from_logits, 0.1), [p])
    check(lambda x: losses.binary_crossentropy(soft, x, from_logits, 0.1), [p])
    check(lambda x: losses.mean_squared_error(soft, x), [p])
    check(lambda x: losses.mean_absolute_error(soft, x), [p], order=1)


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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_targets_take_the_type_of_the_predictions(backend: str, name: str) -> None:
    targets = np.array([1, 0]) if name.startswith("sparse") else np.array([[0.0, 1.0], [1.0, 0.0]], np.float64)
    for dtype in ("float16", "float32", "float64"):
        assert getattr(losses, name)(targets, td.full((2, 2), 0.5, dtype)).dtype == dtype


@pytest.mark.parametrize("name", FUNCTIONS)
def test_more_axes_give_a_value_for_each_place(backend: str, name: str) -> None:
    p = np.random.default_rng(5).dirichlet(np.ones(3), size=(4, 2))
    y = np.zeros((4, 2), int) if name.startswith("sparse") else np.eye(3)[np.zeros((4, 2), int)]
    values = getattr(losses, name)(y, p)
    assert values.shape == (4, 2)
    flat = getattr(losses, name)(y.reshape(8, *y.shape[2:]), p.reshape(8, 3))
    np.testing.assert_allclose(values.numpy().ravel(), flat.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["binary_crossentropy", "mean_absolute_error", "mean_squared_error"])
def test_an_axis_of_one_output_may_be_missing(backend: str, name: str) -> None:
    loss = getattr(losses, name)
    y, p = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.3, 0.9])
    expected = loss(y[:, None], p[:, None]).numpy()
    assert expected.shape == (3,)
    for y_true, y_pred in ((y, p), (y, p[:, None]), (y[:, None], p)):
        np.testing.assert_array_equal(loss(y_true, y_pred).numpy(), expected)


@pytest.mark.parametrize(
    ("name", "true", "predicted", "message"),
    [
        ("sparse_categorical_crossentropy", (4, 3), (4, 3), r"and y_pred \(4, 3\); .* need one class a sample"),
        ("sparse_categorical_crossentropy", (3,), (4, 3), r"y_true has shape \(3,\) and y_pred \(4, 3\)"),
        ("sparse_categorical_crossentropy", (), (), r"y_true has shape \(\) and y_pred \(\)"),
        ("categorical_crossentropy", (4,), (4, 3), r"y_true has shape \(4,\) and y_pred \(4, 3\); they must be equal"),
        ("categorical_crossentropy", (), (), "a single number"),
        ("binary_crossentropy", (4,), (4, 3), r"y_true has shape \(4,\) and y_pred \(4, 3\)"),
        ("mean_squared_error", (4, 1), (4, 3), r"y_true has shape \(4, 1\) and y_pred \(4, 3\)"),
        ("mean_absolute_error", (3, 1), (4, 1), r"y_true has shape \(3, 1\) and y_pred \(4, 1\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    backend: str, name: str, true: tuple[int, ...], predicted: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"{name}: .*{message}|{name}: {message}"):
        getattr(losses, name)(td.zeros(true), td.ones(predicted))


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
    with pytest.raises(ValueError, match=r"mean_squared_error: reduction is one of 'sum.* not 'avg'"):
        losses.MeanSquaredError(reduction="avg")
    for loss in (losses.categorical_crossentropy, losses.binary_crossentropy):
        with pytest.raises(ValueError, match=r"label_smoothing is in \[0, 1\], not 1.5"):
            loss([[0.0, 1.0]], [[0.5, 0.5]], label_smoothing=1.5)
    with pytest.raises(NotImplementedError, match="Loss does not define call"):
        losses.Loss()([0.0], [0.0])


@pytest.mark.parametrize("name", sorted(CASES))
def test_config_makes_the_same_again(name: str) -> None:
    original = made(name, reduction="sum")
    config = original.get_config()
    assert config == {**config, **CASES[name]["config"], "reduction": "sum", "name": CASES[name]["function"]}
    again = losses.get(losses.serialize(original))
    assert type(again) is type(original)
    assert again.get_config() == original.get_config()


def test_names() -> None:
    assert losses.get("mse") is losses.get("mean_squared_error") is losses.mse
    assert losses.get("mae") is losses.mean_absolute_error
    for name in FUNCTIONS:
        assert losses.get(name) is getattr(losses, name)
        made_by_name = losses.get(name.replace("_", ""))
        assert made_by_name.name == name
        assert losses.get(type(made_by_name).__name__).get_config() == made_by_name.get_config()
    smoothed = losses.get("categorical_crossentropy", label_smoothing=0.2)
    assert losses.serialize(smoothed) == {"class_name": "categorical_crossentropy", "config": {"label_smoothing": 0.2}}
