"""Compiling a model, and learning from, evaluating and predicting a single batch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
Y = (X @ np.array([[1.0], [-2.0], [0.5], [1.0]], np.float32)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def linear(units: int = 1, activation: str | None = None) -> td.Sequential:
    return td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(units, activation=activation, name="dense")])


def gradient_of_mse(model: td.Sequential, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())
    error = X @ kernel + bias - Y
    slope = 2 * error / len(X) * (1 if weight is None else weight[:, None])
    return X.T @ slope, slope.sum(axis=0)


# -- compile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "MeanSquaredError", td.losses.mean_squared_error])
def test_a_loss_may_be_a_name_a_function_or_an_object(loss: Any) -> None:
    model = linear()
    model.compile(optimizer="sgd", loss=loss)
    expected = np.mean((X @ model.get_weights()[0] - Y) ** 2)
    assert model.test_on_batch(X, Y) == pytest.approx(expected, rel=1e-5)
    model.compile(optimizer=td.optimizers.SGD(), loss=td.losses.MeanSquaredError())
    assert model.test_on_batch(X, Y) == pytest.approx(expected, rel=1e-5)


def test_a_loss_of_ones_own_is_weighted_and_averaged() -> None:
    def fourth_power(y_true: td.Tensor, y_pred: td.Tensor) -> td.Tensor:
        return ((y_true - y_pred) ** 4).mean(axis=-1)

    class FourthPower(td.losses.Loss):
        def call(self, y_true: td.Tensor, y_pred: td.Tensor) -> td.Tensor:
            return fourth_power(y_true, y_pred)

    weight = np.array([0, 1, 2, 3, 0, 1.0])
    model = linear()
    values = ((X @ model.get_weights()[0] - Y) ** 4)[:, 0]
    for loss in (fourth_power, FourthPower()):
        model.compile(optimizer="sgd", loss=loss)
        assert model.test_on_batch(X, Y) == pytest.approx(values.mean(), rel=1e-5)
        assert model.test_on_batch(X, Y, sample_weight=weight) == pytest.approx((values * weight).mean(), rel=1e-5)


def test_a_loss_of_ones_own_may_return_one_number_for_the_batch() -> None:
    model = linear()
    model.compile(optimizer="sgd", loss=lambda y_true, y_pred: td.max(td.abs(y_true - y_pred)))
    expected = np.abs(X @ model.get_weights()[0] - Y).max()
    assert model.test_on_batch(X, Y) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="one number for the whole batch, so its samples cannot be weighted"):
        model.test_on_batch(X, Y, sample_weight=np.ones(6))


def test_a_metric_may_be_a_name_an_object_or_a_function() -> None:
    def worst(y_true: td.Tensor, y_pred: td.Tensor) -> td.Tensor:
        return td.max(td.abs(y_true - y_pred), axis=-1)

    class Count(td.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="count")
            self.count = self.add_variable(name="count")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.count.assign(self.count + len(y_true))

        def result(self) -> td.Tensor:
            return self.count + 0

    model = linear()
    model.compile("sgd", "mse", metrics=["mae", worst, Count(), td.metrics.MeanSquaredError(name="square")])
    error = X @ model.get_weights()[0] - Y
    values = model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)
    expected = {
        "loss": (error**2).mean(), "mae": np.abs(error).mean(), "worst": np.abs(error).mean(), "count": 6,
        "square": (error**2).mean(),
    }  # fmt: skip
    assert list(values) == list(expected)
    assert values == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "outputs", "y", "meant"),
    [
        ("sparse_categorical_crossentropy", 3, LABELS, td.metrics.SparseCategoricalAccuracy),
        ("sparse_categorical_crossentropy", 3, LABELS[:, None], td.metrics.SparseCategoricalAccuracy),
        ("categorical_crossentropy", 3, np.eye(3)[LABELS], td.metrics.CategoricalAccuracy),
        ("binary_crossentropy", 1, LABELS % 2, td.metrics.BinaryAccuracy),
        ("binary_crossentropy", 1, LABELS[:, None] % 2, td.metrics.BinaryAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_means_what_fits_the_shapes(loss: str, outputs: int, y: np.ndarray, meant: Any, name: str) -> None:
    model = linear(outputs, "softmax" if outputs > 1 else "sigmoid")
    model.compile("sgd", loss, metrics=[name])
    values = model.evaluate(X, y, verbose=0, return_dict=True)
    metric = meant()
    metric.update_state(td.tensor(y), td.tensor(model.predict(X)))
    assert list(values) == ["loss", name]
    assert values[name] == pytest.approx(metric.result().item())


def test_no_metric_hides_another() -> None:
    model = linear()
    model.compile("sgd", "mse", metrics=["mae", "mae"], weighted_metrics=["mae"])
    values = model.test_on_batch(X, Y, sample_weight=np.array([2.0, 0, 0, 0, 0, 0]), return_dict=True)
    error = np.abs(X @ model.get_weights()[0] - Y)
    assert list(values) == ["loss", "mae", "mae_1", "weighted_mae"]
    assert values["mae"] == values["mae_1"] == pytest.approx(error.mean(), rel=1e-5)
    assert values["weighted_mae"] == pytest.approx(error[0, 0], rel=1e-5)


def test_compiling_again_starts_with_a_new_optimizer() -> None:
    model = linear()
    model.compile("nadam", "mse")
    model.fit(X, Y, verbose=0)
    first = model.optimizer
    assert int(first.step) == 1
    model.compile("nadam", "mse")
    assert model.optimizer is not first
    assert int(model.optimizer.step) == 0


def test_the_optimizers_own_object_is_used() -> None:
    model = linear()
    optimizer = td.optimizers.SGD(learning_rate=0.5)
    model.compile(optimizer, "mse")
    kernel, bias = model.get_weights()
    slope, slope_of_bias = gradient_of_mse(model)
    model.train_on_batch(X, Y)
    assert model.optimizer is optimizer
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * slope, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.5 * slope_of_bias, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"optimizer": "sgdd"}, ValueError, r"'sgdd' is not a known optimizer. Did you mean 'sgd'"),
        ({"optimizer": None}, TypeError, r"the model needs an optimizer"),
        ({"optimizer": 0.1}, TypeError, r"an optimizer must be given as .*got 0.1"),
        ({"loss": "msee"}, ValueError, r"'msee' is not a known loss. Did you mean"),
        ({"loss": 3}, TypeError, r"a loss must be given as .*got 3"),
        ({"metrics": ["accuracyy"]}, ValueError, r"'accuracyy' is not a known metric. Did you mean 'accuracy'"),
        ({"metrics": "accuracy"}, TypeError, r"metrics must be a list, as \['accuracy'\]"),
        ({"weighted_metrics": "mae"}, TypeError, r"weighted_metrics must be a list"),
        ({"jit_compile": "yes"}, ValueError, r"jit_compile must be True, False or 'auto', not 'yes'"),
    ],
)
def test_what_compile_refuses_changes_nothing(arguments: dict[str, Any], error: type, sentence: str) -> None:
    model = linear()
    model.compile("sgd", "mse", metrics=["mae"])
    optimizer, before = model.optimizer, model.test_on_batch(X, Y)
    with pytest.raises(error, match=sentence):
        model.compile(**{"optimizer": "adam", "loss": "mae", "metrics": [], **arguments})
    assert model.optimizer is optimizer
    assert model.test_on_batch(X, Y) == before


# -- one batch ---------------------------------------------------------------------------------------------------------


def test_train_on_batch_returns_the_values_of_that_batch() -> None:
    model = linear()
    model.compile(td.optimizers.SGD(0.1), "mse", metrics=["mae"])
    for _ in range(2):
        error = X @ model.get_weights()[0] + model.get_weights()[1] - Y
        loss, mae = model.train_on_batch(X, Y)
        assert loss == pytest.approx((error**2).mean(), rel=1e-4)
        assert mae == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert int(model.optimizer.step) == 2


def test_sample_and_class_weights_multiply() -> None:
    model = linear(3, "softmax")
    model.compile("sgd", "sparse_categorical_crossentropy")
    sample_weight = np.array([1, 2, 0, 1, 1, 1.0])
    class_weight = {0: 3.0, 2: 0.5}
    together = sample_weight * np.array([3, 1, 0.5, 3, 1, 0.5])
    expected = model.test_on_batch(X, LABELS, sample_weight=together)
    for weight in (together, together[:, None]):
        assert model.test_on_batch(X, LABELS, sample_weight=weight) == pytest.approx(expected, rel=1e-6)
    got = model.train_on_batch(X, LABELS, sample_weight=sample_weight, class_weight=class_weight)
    assert got == pytest.approx(expected, rel=1e-6)


def test_test_on_batch_changes_nothing() -> None:
    model = td.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.predict(X)
    before = model.get_weights()
    assert model.test_on_batch(X, Y, return_dict=True).keys() == {"loss"}
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_predict_on_batch() -> None:
    model = linear()
    np.testing.assert_array_equal(model.predict_on_batch(X), model.predict(X))
    assert type(model.predict_on_batch(td.tensor(X))) is np.ndarray


def test_the_penalties_are_in_the_loss_and_in_the_gradient() -> None:
    model = td.Sequential(
        [
            layers.InputLayer(shape=(4,)),
            layers.Dense(1, kernel_regularizer=td.regularizers.L2(0.5), bias_initializer="ones",
                         bias_regularizer="l1"),
        ]
    )  # fmt: skip
    model.compile(td.optimizers.SGD(0.1), "mse")
    kernel, bias = model.get_weights()
    slope, slope_of_bias = gradient_of_mse(model)
    mse = ((X @ kernel + bias - Y) ** 2).mean()
    penalty = 0.5 * (kernel**2).sum() + 0.01 * np.abs(bias).sum()
    assert model.test_on_batch(X, Y) == pytest.approx(mse + penalty, rel=1e-5)
    assert model.train_on_batch(X, Y) == pytest.approx(mse + penalty, rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * (slope + 2 * 0.5 * kernel), atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.1 * (slope_of_bias + 0.01 * np.sign(bias)), atol=1e-6)


class Penalised(layers.Layer):
    """A layer that adds a penalty on its output to the loss."""

    def call(self, inputs: td.Tensor) -> td.Tensor:
        self.add_loss(0.1 * td.sum(inputs * inputs))
        return inputs


def test_what_a_layer_adds_joins_the_loss() -> None:
    model = td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(1), Penalised()])
    model.compile("sgd", "mse")
    outputs = X @ model.get_weights()[0]
    expected = ((outputs - Y) ** 2).mean() + 0.1 * (outputs**2).sum()
    for _ in range(2):  # once a call, not once more each time
        assert model.test_on_batch(X, Y) == pytest.approx(expected, rel=1e-5)


def test_a_loss_scale_changes_neither_the_steps_nor_the_loss_that_is_shown() -> None:
    found = []
    for scale in (None, 256.0):
        model = linear()
        model.set_weights([np.ones((4, 1)), np.zeros(1)])
        model.compile(td.optimizers.SGD(0.1, momentum=0.5, clipnorm=1.0, loss_scale_factor=scale), loss="mse")
        found.append([[model.train_on_batch(X, Y) for _ in range(3)], *model.get_weights()])
    for plain, scaled in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, scaled)


def test_a_penalty_alone_can_be_trained_on_without_targets() -> None:
    model = td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(2), Penalised()])
    model.compile(td.optimizers.SGD(0.1))
    losses = model.fit(X, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]


# -- before the first step -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "y", "sentence"),
    [
        ({"loss": "mse"}, np.zeros((6, 2)), r"mean_squared_error: y_true has shape \(6, 2\)"),
        ({"loss": "mse"}, None, "needs targets"),
        ({"metrics": ["mae"]}, None, "the metrics of model .* need targets"),
        ({"loss": "mse", "metrics": ["sparse_categorical_accuracy"]}, np.zeros((6, 3)), "one class a sample"),
        ({}, Y, "was compiled without a loss"),
    ],
)
@pytest.mark.parametrize(
    "train",
    [
        lambda model, y: model.fit(X, y, verbose=0),
        lambda model, y: model.fit([(td.tensor(X), None if y is None else td.tensor(y))], verbose=0),
        lambda model, y: model.train_on_batch(X, y),
    ],
    ids=["fit", "fit on batches", "train_on_batch"],
)
def test_what_cannot_be_learned_is_refused_before_anything_moves(
    arguments: dict[str, Any], y: Any, sentence: str, train: Any
) -> None:
    model = td.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5, name="drop")])
    if "loss" not in arguments and "metrics" in arguments:
        model.add(Penalised())
    model.predict(X)
    model.compile("nadam", **arguments)
    stream = model.get_layer("drop").seed_generator.state
    before = [w.numpy() for w in (*model.weights, stream)]
    with pytest.raises(ValueError, match=sentence):
        train(model, y)
    for now, then in zip((*model.weights, stream), before, strict=True):
        np.testing.assert_array_equal(now.numpy(), then)
    assert int(model.optimizer.step) == 0


def test_a_model_that_returns_something_else_needs_steps_of_its_own() -> None:
    class Text(td.Model):
        def call(self, inputs: td.Tensor) -> Any:
            return "text"

    model = Text(name="text")
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"model 'text' returned str from call\(\); training needs a Tensor"):
        model.fit(X, Y, verbose=0)


# -- a step of one's own -----------------------------------------------------------------------------------------------


class Own(td.Model):
    """Keras's guide to writing one's own train_step, in this project's words."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        trainable = self.trainable_weights
        self.optimizer.apply(td.grad(loss, trainable), trainable)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def test_a_train_step_of_ones_own_learns_as_the_built_in_one() -> None:
    own = Own()
    own(X)
    built_in = linear(3, "softmax")
    built_in.set_weights(own.get_weights())
    histories = []
    for model in (own, built_in):
        model.compile(td.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(model.fit(X, LABELS, epochs=5, batch_size=6, shuffle=False, verbose=0).history)
    assert histories[0] == histories[1]
    assert set(histories[0]) == {"loss", "accuracy"}


def test_a_train_step_may_keep_metrics_and_an_optimizer_of_its_own_and_needs_no_call() -> None:
    class Scaled(td.Model):
        def __init__(self) -> None:
            super().__init__()
            self.factor = self.add_weight(name="factor", initializer="zeros")
            self.distance = td.metrics.Mean(name="distance")

        def train_step(self, data: Any) -> dict[str, Any]:
            loss = td.mean((self.factor * data - 3.0 * data) ** 2)
            self.optimizer.apply(td.grad(loss, [self.factor]), [self.factor])
            self.distance.update_state(td.abs(self.factor - 3.0))
            return {"distance": self.distance.result()}

    model = Scaled()
    model.compile(td.optimizers.SGD(0.5))
    history = model.fit(X, epochs=8, batch_size=3, verbose=0).history
    assert set(history) == {"distance"}
    assert history["distance"][-1] < 0.2
    assert [metric.name for metric in model.metrics] == ["loss", "distance"]
    assert all(a > b for a, b in zip(history["distance"], history["distance"][1:], strict=False)), "not begun anew"


def test_a_train_step_sees_what_fit_was_given() -> None:
    seen: list[Any] = []

    class Spy(td.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            seen.append(data)
            return {}

    model = Spy()
    model.compile("sgd")
    model.fit(X, verbose=0)
    model.fit(X, Y, verbose=0)
    model.fit(X, Y, sample_weight=np.ones(6), verbose=0)
    assert isinstance(seen[0], td.Tensor)
    assert [len(data) for data in seen[1:]] == [2, 3]
    assert all(isinstance(part, td.Tensor) for data in seen[1:] for part in data)


def test_a_step_must_return_a_dict() -> None:
    class Forgetful(Own):
        def train_step(self, data: Any) -> Any:
            super().train_step(data)

    model = Forgetful()
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match=r"train_step of model 'forgetful.*' must return a dict of values by name, not"):
        model.fit(X, LABELS, verbose=0)


def test_an_own_test_step_and_predict_step_are_used() -> None:
    class Doubling(Own):
        def test_step(self, data: Any) -> dict[str, Any]:
            return {"twice": td.tensor(2.0)}

        def predict_step(self, data: Any) -> td.Tensor:
            return super().predict_step(data) * 2

    model = Doubling()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.evaluate(X, LABELS, verbose=0) == 2.0
    history = model.fit(X, LABELS, validation_data=(X, LABELS), verbose=0).history
    assert history["val_twice"] == [2.0]
    np.testing.assert_allclose(model.predict(X).sum(axis=1), 2.0, rtol=1e-5)


def test_an_own_compute_loss_is_used() -> None:
    class Absolute(td.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs: td.Tensor) -> td.Tensor:
            return self.dense(inputs)

        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
            return td.mean(td.abs(y - y_pred))

    model = Absolute()
    model.compile("sgd")
    expected = np.abs(model.predict(X) - Y).mean()
    assert model.fit(X, Y, verbose=0).history["loss"] == pytest.approx([expected], rel=1e-5)


# -- freezing ----------------------------------------------------------------------------------------------------------


def test_a_layer_frozen_after_compile_stays_from_the_next_step_on() -> None:
    model = td.Sequential(
        [layers.InputLayer(shape=(4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(1)]
    )
    model.compile("nadam", "mse")

    def moved() -> list[bool]:
        before = model.get_weights()
        model.train_on_batch(X, Y)
        return [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]

    # Dense kernel and bias; gamma, beta, moving mean and variance; Dense kernel and bias. The first bias hardly matters
    # before a normalisation, but Nadam moves it.
    assert moved() == [True] * 8
    model.layers[0].trainable = model.layers[1].trainable = False
    assert moved() == [False] * 6 + [True] * 2
    model.layers[0].trainable = True
    assert moved() == [True] * 2 + [False] * 4 + [True] * 2
    model.trainable = False
    with pytest.raises(ValueError, match="has no trainable weights: unfreeze a layer"):
        model.train_on_batch(X, Y)
    model.trainable = True
    assert moved() == [True] * 8


def test_weights_set_between_steps_count_from_the_next_one() -> None:
    model = linear()
    model.compile(td.optimizers.SGD(0.1), "mse")
    model.train_on_batch(X, Y)
    chosen = [np.full((4, 1), 0.25, np.float32), np.zeros(1, np.float32)]
    model.set_weights(chosen)
    slope, _ = gradient_of_mse(model)
    model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.get_weights()[0], chosen[0] - 0.1 * slope, atol=1e-6)


def test_only_training_records_a_graph() -> None:
    model = linear()
    assert not model.predict_step(td.tensor(X)).requires_grad
    assert model(X).requires_grad
    with td.no_grad():
        assert not model(X).requires_grad


def test_the_names_of_the_metrics_go_with_the_values_that_evaluate_returns() -> None:
    model = td.Sequential([td.layers.Dense(1)])
    assert model.metrics_names == []
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    values = dict(zip(model.metrics_names, model.evaluate(x, y, verbose=0), strict=True))
    assert list(values) == ["loss", "mae", "weighted_mae"]
    assert values == model.evaluate(x, y, verbose=0, return_dict=True)


class Cut(layers.Layer):
    """A layer that leaves the graph."""

    def call(self, x: td.Tensor) -> td.Tensor:
        return td.tensor(x.numpy())


def test_weights_that_the_loss_does_not_depend_on_are_named_and_frozen_ones_are_not() -> None:
    model = td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(3, name="first"), Cut(), layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    before = model.layers[0].get_weights()
    with pytest.warns(UserWarning, match="does not depend on first/kernel, first/bias, so that it learns nothing"):
        model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], before[0])
    model.layers[0].trainable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train_on_batch(X, Y)
