"""What fit, evaluate and predict do with data: order, epochs, validation, iterables, waits for the device."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)
LABELS = np.arange(10) % 3


class Spy(td.Model):
    """A model that notes what its steps are given; a number of X tells which sample it is."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        self.trained: list[list[float]] = []
        self.tested: list[list[float]] = []

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        self.trained.append([float(v) for v in data[0].numpy()[:, 0]])
        return super().train_step(data)

    def test_step(self, data: Any) -> dict[str, Any]:
        self.tested.append([float(v) for v in data[0].numpy()[:, 0]])
        return super().test_step(data)


def spy() -> Spy:
    model = Spy()
    model.compile(td.optimizers.SGD(0.01), "mse")
    return model


def classifier() -> td.Sequential:
    model = td.Sequential([layers.Dense(5, activation="elu"), layers.Dense(3, activation="softmax")])
    model.compile(td.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def orders(**options: Any) -> list[list[float]]:
    """Return the order of the samples in each epoch."""
    model = spy()
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, **options)
    assert [len(batch) for batch in model.trained] == [4, 4, 2] * 3
    return [[sample for batch in model.trained[i : i + 3] for sample in batch] for i in (0, 3, 6)]


# -- the order of the samples ------------------------------------------------------------------------------------------


def test_shuffling_takes_each_sample_once_an_epoch_in_a_new_order() -> None:
    first, second, third = orders()
    in_order = X[:, 0].tolist()
    assert sorted(first) == sorted(second) == sorted(third) == in_order
    assert len({tuple(first), tuple(second), tuple(third), tuple(in_order)}) == 4


def test_shuffling_follows_the_seed() -> None:
    td.utils.set_random_seed(5)
    once = orders()
    td.utils.set_random_seed(5)
    assert orders() == once
    td.utils.set_random_seed(6)
    assert orders() != once


def test_a_second_fit_shuffles_anew() -> None:
    model = spy()
    for _ in range(2):
        model.fit(X, Y, batch_size=10, verbose=0)
    assert model.trained[0] != model.trained[1]


def test_a_fit_that_is_refused_does_not_change_the_orders_that_follow() -> None:
    td.utils.set_random_seed(5)
    model = classifier()
    model.fit(X, LABELS, epochs=2, batch_size=2, verbose=0)
    expected = model.get_weights()
    td.utils.set_random_seed(5)
    model = classifier()
    for wrong in (
        {"y": LABELS + 1},
        {"y": LABELS, "validation_data": (X, LABELS + 1)},
        {"y": LABELS, "callbacks": [3]},
    ):
        with pytest.raises((ValueError, TypeError)):
            model.fit(X, verbose=0, **wrong)
    model.fit(X, LABELS, epochs=2, batch_size=2, verbose=0)
    for now, then in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(now, then)


def test_without_shuffling_the_order_is_the_given_one() -> None:
    assert orders(shuffle=False) == [X[:, 0].tolist()] * 3


def test_targets_and_weights_are_shuffled_with_their_inputs() -> None:
    seen: list[Any] = []

    class Pairs(Spy):
        def train_step(self, data: Any) -> dict[str, Any]:
            seen.append([part.numpy() for part in data])
            return super().train_step(data)

    model = Pairs()
    model.compile("sgd", "mse")
    model.fit(X, Y, sample_weight=X[:, 1], batch_size=3, verbose=0)
    for x, y, weight in seen:
        np.testing.assert_array_equal(y, x.sum(axis=1, keepdims=True))
        np.testing.assert_array_equal(weight, x[:, 1])


def test_the_users_arrays_are_left_alone() -> None:
    x, y = X.copy(), LABELS.copy()
    classifier().fit(x, y, epochs=2, verbose=0, validation_split=0.2, class_weight={1: 2.0})
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, LABELS)


# -- epochs and validation ---------------------------------------------------------------------------------------------


def test_an_initial_epoch_counts_as_done() -> None:
    model = spy()
    history = model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]
    assert len(history.history["loss"]) == len(model.trained) == 2
    assert model.fit(X, Y, epochs=3, initial_epoch=3, verbose=0).history == {}


def test_a_validation_split_is_the_last_part_before_shuffling() -> None:
    model = spy()
    model.fit(X, Y, batch_size=100, validation_split=0.25, epochs=2, verbose=0)
    assert [sorted(batch) for batch in model.trained] == [X[:7, 0].tolist()] * 2
    assert model.tested == [X[7:, 0].tolist()] * 2


def test_validation_data_go_before_a_split() -> None:
    model = spy()
    model.fit(X, Y, validation_split=0.25, validation_data=(X[:2], Y[:2]), verbose=0)
    assert len(model.trained[0]) == 10
    assert model.tested == [X[:2, 0].tolist()]


@pytest.mark.parametrize(
    "form", [tuple, list, lambda pair: [pair], lambda pair: [list(pair)], lambda pair: (pair for _ in range(4))]
)
def test_validation_data_may_be_arrays_or_batches(form: Any) -> None:
    model = classifier()
    steps = 1 if isinstance(form((X, LABELS)), Iterator) else None
    history = model.fit(X, LABELS, epochs=4, validation_data=form((X, LABELS)), validation_steps=steps, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(X, LABELS, verbose=0)[0], rel=1e-6)
    assert len(history.history["val_accuracy"]) == 4


def test_validation_data_may_be_weighted() -> None:
    model = classifier()
    weight = np.arange(10.0)
    history = model.fit(X, LABELS, validation_data=(X, LABELS, weight), verbose=0).history
    expected = model.evaluate(X, LABELS, sample_weight=weight, verbose=0)
    assert [history["val_loss"][0], history["val_accuracy"][0]] == pytest.approx(expected, rel=1e-6)


def test_validation_every_few_epochs() -> None:
    model = spy()
    history = model.fit(X, Y, validation_data=(X, Y), epochs=5, validation_freq=2, verbose=0)
    assert len(model.tested) == 2
    assert {key: len(values) for key, values in history.history.items()} == {"loss": 5, "val_loss": 2}


def test_validation_has_a_batch_size_of_its_own() -> None:
    model = spy()
    model.fit(X, Y, batch_size=5, validation_data=(X, Y), verbose=0)
    model.fit(X, Y, batch_size=5, validation_data=(X, Y), validation_batch_size=3, verbose=0)
    assert [len(batch) for batch in model.tested] == [5, 5, 3, 3, 3, 1]


def test_the_history_has_the_means_over_the_samples() -> None:
    model = classifier()
    model.optimizer.learning_rate = 0.0
    logs = model.fit(X, LABELS, batch_size=4, verbose=0).history
    values = model.evaluate(X, LABELS, batch_size=10, verbose=0)
    assert [logs["loss"][0], logs["accuracy"][0]] == pytest.approx(values, rel=1e-6)
    assert all(type(value) is float for values in logs.values() for value in values)


def test_the_history_stays_with_the_model() -> None:
    model = spy()
    history = model.fit(X, Y, epochs=2, verbose=0)
    assert model.history is history
    assert history.params == {"epochs": 2, "steps": 1, "verbose": 0}
    assert model.fit(X, Y, verbose=0) is not history
    assert len(history.history["loss"]) == 2


def test_evaluate_returns_a_number_a_list_or_a_dict() -> None:
    assert isinstance(spy().evaluate(X, Y, verbose=0), float)
    model = classifier()
    loss, accuracy = model.evaluate(X, LABELS, verbose=0)
    assert model.evaluate(X, LABELS, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}


def test_an_evaluation_between_two_epochs_does_not_disturb_training() -> None:
    class Evaluating(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.evaluate(X[:3], Y[:3], verbose=0)

    losses = []
    for callbacks in ([], [Evaluating()]):
        td.utils.set_random_seed(1)
        losses.append(spy().fit(X, Y, epochs=3, batch_size=3, callbacks=callbacks, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_predict_needs_no_compile_and_joins_the_batches() -> None:
    model = td.Sequential([layers.Dense(3)])
    outputs = model.predict(X, batch_size=4)
    assert outputs.shape == (10, 3)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, X @ model.get_weights()[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict([X[:4], X[4:]]), outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict([(X, Y)]), outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict((X for _ in range(3)), steps=1), outputs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_, np.float16, np.float64])
def test_inputs_of_any_kind_of_number_train_float32_weights(dtype: type) -> None:
    x = (np.arange(40).reshape(10, 4) % 5).astype(dtype)
    plain = classifier()
    plain.predict(x)
    other = classifier()
    other.predict(x)
    other.set_weights(plain.get_weights())
    td.utils.set_random_seed(2)
    expected = plain.fit(x.astype(np.float32), LABELS, epochs=3, batch_size=4, verbose=0).history
    td.utils.set_random_seed(2)
    assert other.fit(x, LABELS, epochs=3, batch_size=4, verbose=0).history == expected
    assert {weight.dtype.name for weight in other.weights} == {"float32"}
    assert other.predict(x).dtype == np.float32


def test_images_are_not_widened_before_their_batch_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    model = td.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    step = model.train_step
    monkeypatch.setattr(model, "train_step", lambda data: kinds.append(data[0].dtype.name) or step(data))
    model.fit(np.zeros((10, 2, 2), np.uint8), LABELS, verbose=0)
    assert kinds == ["uint8"]


def test_a_tensor_with_a_history_is_only_data() -> None:
    factor = td.tensor(2.0, requires_grad=True)
    model = classifier()
    model.fit(td.tensor(X) * factor, LABELS, epochs=2, batch_size=4, verbose=0)
    assert factor.grad is None


def test_data_on_another_backend_are_brought_over() -> None:
    x = td.tensor(X)
    other = "numpy" if td.backend.current().name != "numpy" else "strict"
    with td.backend.use(other):
        model = classifier()
        assert len(model.fit(x, LABELS, verbose=0).history["loss"]) == 1
        assert {weight.backend.name for weight in model.weights} == {other}


# -- iterables ---------------------------------------------------------------------------------------------------------


def endless() -> Iterator[Any]:
    while True:
        yield X, Y


def test_a_list_of_batches_is_gone_through_in_each_epoch() -> None:
    model = spy()
    model.fit([(X[:6], Y[:6]), (X[6:], Y[6:])], epochs=2, verbose=0)
    assert model.trained == [X[:6, 0].tolist(), X[6:, 0].tolist()] * 2


def test_an_endless_generator_needs_a_number_of_steps_and_goes_on() -> None:
    taken = []

    def counting() -> Iterator[Any]:
        for i in range(100):
            taken.append(i)
            yield X, Y

    model = spy()
    model.fit(counting(), steps_per_epoch=3, epochs=2, verbose=0)
    assert len(model.trained) == 6
    assert taken == list(range(6)), "a batch too many was taken"


def test_an_iterable_object_is_asked_anew_in_each_epoch() -> None:
    class Source:
        asked = 0

        def __iter__(self) -> Iterator[Any]:
            self.asked += 1
            yield X, Y

    source = Source()
    spy().fit(source, epochs=3, verbose=0)
    assert source.asked == 3


def test_a_generator_that_runs_dry_says_so_and_keeps_what_was_learned() -> None:
    model = spy()
    with pytest.raises(
        ValueError, match=r"fit: the data ran out after 0 batches: a generator can be gone through once"
    ):
        model.fit(((X, Y) for _ in range(2)), epochs=2, verbose=0)
    assert len(model.history.history["loss"]) == 1
    assert int(model.optimizer.step) == 2
    with pytest.raises(ValueError, match=r"fit: the data ran out after 1 batches, 4 are one epoch"):
        model.fit(((X, Y) for _ in range(5)), epochs=2, steps_per_epoch=4, verbose=0)
    assert len(model.history.history["loss"]) == 1


def test_class_weights_count_in_batches_too() -> None:
    weighted, plain = classifier(), classifier()
    weighted.predict(X)
    plain.predict(X)
    plain.set_weights(weighted.get_weights())
    weight = np.where(LABELS == 1, 3.0, 1.0)
    expected = plain.fit([(X, LABELS, weight)], epochs=2, verbose=0).history
    assert weighted.fit([(X, LABELS)], class_weight={1: 3.0}, epochs=2, verbose=0).history == expected


def test_evaluate_and_predict_take_batches() -> None:
    model = classifier()
    whole = model.evaluate(X, LABELS, verbose=0)
    assert model.evaluate([(X[:4], LABELS[:4]), (X[4:], LABELS[4:])], verbose=0) == pytest.approx(whole, rel=1e-6)
    assert model.evaluate(((X, LABELS) for _ in range(9)), steps=2, verbose=0) == pytest.approx(whole, rel=1e-6)


def test_batches_may_be_of_different_lengths() -> None:
    class Averaging(td.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs: td.Tensor) -> td.Tensor:
            return self.dense(td.mean(inputs, axis=1))

    model = Averaging()
    model.compile(td.optimizers.SGD(0.0), "mse", metrics=["mae"])
    data = [(np.full((2, length, 4), length, np.float32), np.zeros((2, 1))) for length in (3, 5, 2)]
    history = model.fit(data, verbose=0).history
    errors = np.array([model.predict_on_batch(x)[0, 0] for x, _ in data])
    assert history["loss"] == pytest.approx([np.mean(errors**2)], rel=1e-5)
    assert history["mae"] == pytest.approx([np.mean(np.abs(errors))], rel=1e-5)


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_stop_training_ends_the_epoch_after_the_step_and_still_validates() -> None:
    class Stopping(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    model = spy()
    history = model.fit(X, Y, batch_size=2, epochs=5, validation_data=(X, Y), callbacks=[Stopping()], verbose=0)
    assert len(model.trained) == 2
    assert {key: len(values) for key, values in history.history.items()} == {"loss": 1, "val_loss": 1}
    model.fit(X, Y, batch_size=2, verbose=0)
    assert len(model.trained) == 2 + 5, "the next fit begins anew"


# -- waiting for the device --------------------------------------------------------------------------------------------


def waits(**options: Any) -> int:
    """Count how often the host waits for the device while an epoch of 5 batches is trained."""
    with td.backend.use("strict"):
        model = classifier()
        # Recording a step compares the constants of two recordings, and waits for them.
        recorded = {key: value for key, value in options.items() if key != "callbacks"}
        model.fit(X, LABELS, batch_size=2, verbose=0, **recorded)
        before = td.backend.get("strict").host_syncs
        model.fit(X, LABELS, batch_size=2, verbose=0, **options)
        return td.backend.get("strict").host_syncs - before


def test_the_host_waits_for_values_at_the_end_of_an_epoch_and_not_at_each_step() -> None:
    # Loss and accuracy come together.
    assert waits(epochs=1) == 1
    assert waits(epochs=4) == 4
    assert waits(epochs=4, class_weight={0: 2.0}) == 4
    assert waits(epochs=4, validation_data=(X, LABELS)) == 8
    with td.backend.use("strict"):
        on_device = [(td.tensor(X[i : i + 2]), td.tensor(LABELS[i : i + 2])) for i in range(0, 10, 2)]
        model = classifier()
        model.fit(on_device, class_weight={0: 2.0}, verbose=0)
        before = td.backend.get("strict").host_syncs
        model.fit(on_device, epochs=4, class_weight={0: 2.0}, verbose=0)
        assert td.backend.get("strict").host_syncs - before == 4


def test_a_batchs_value_is_fetched_when_it_is_read() -> None:
    class Reading(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch in (1, 3):
                assert isinstance(logs["loss"], float)
                assert logs["loss"] == logs["loss"]  # the second time from memory

    class Listening(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            assert "loss" in logs
            assert len(logs) == 2

    assert waits(callbacks=[Listening()]) == 1
    assert waits(callbacks=[Reading()]) == 3


# -- a lesson of the first seed ----------------------------------------------------------------------------------------


def test_transfer_learning_with_a_frozen_base_and_binary_labels() -> None:
    """Labels are floats of shape (n,), outputs of shape (n, 1); the base is frozen at first, then fine-tuned."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(200, 6, 6)).astype(np.float32)
    model_a = td.models.Sequential()
    model_a.add(layers.InputLayer(shape=(6, 6)))
    model_a.add(layers.Flatten())
    for units in (20, 10):
        model_a.add(layers.Dense(units, activation="relu"))
    model_a.add(layers.Dense(8, activation="softmax"))
    model_a.compile(loss="sparse_categorical_crossentropy", optimizer=td.optimizers.SGD(), metrics=["accuracy"])
    model_a.fit(images, rng.integers(8, size=200), epochs=1, verbose=0)

    model_b = td.models.Sequential(model_a.layers[:-1])
    model_b.add(layers.Dense(1, activation="sigmoid"))
    y = (images.sum(axis=(1, 2)) > 0).astype(np.float32)
    for layer in model_b.layers[:-1]:
        layer.trainable = False
    model_b.compile(loss="binary_crossentropy", optimizer=td.optimizers.SGD(0.1), metrics=["accuracy"])
    base = model_a.get_weights()[:-2]
    history = model_b.fit(images, y, epochs=4, verbose=0, validation_data=(images[:50], y[:50]))
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for now, before in zip(model_b.get_weights()[:-2], base, strict=True):
        np.testing.assert_array_equal(now, before)
    p = model_b.predict(images).astype(np.float64)[:, 0]
    loss, accuracy = model_b.evaluate(images, y, verbose=0)
    assert loss == pytest.approx(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))), rel=1e-5)
    assert accuracy == pytest.approx(np.mean((p > 0.5) == y))

    for layer in model_b.layers[:-1]:
        layer.trainable = True
    model_b.compile(loss="binary_crossentropy", optimizer=td.optimizers.SGD(0.1), metrics=["accuracy"])
    model_b.fit(images, y, epochs=15, verbose=0)
    assert model_b.evaluate(images, y, verbose=0)[1] > accuracy
    assert any((now != before).any() for now, before in zip(model_b.get_weights(), base, strict=False))


# -- the same seed, the same bytes -------------------------------------------------------------------------------------

PROGRAM = """
import hashlib, numpy as np, tinygrad_dnn as td
td.utils.set_random_seed(11)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(96, 8)).astype(np.float32), rng.integers(3, size=96)
model = td.Sequential([
    td.layers.Dense(16, kernel_initializer="he_normal"), td.layers.BatchNormalization(), td.layers.Activation("elu"),
    td.layers.Dropout(0.2), td.layers.Dense(16, activation="selu", kernel_initializer="lecun_normal"),
    td.layers.AlphaDropout(0.1), td.layers.Dense(3, activation="softmax"),
])
model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=3, validation_split=0.25, verbose=0)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest(), history.history)
"""


def runs(count: int, backend: str) -> list[str]:
    env = {**os.environ, "TINYGRAD_DNN_BACKEND": backend, "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-c", PROGRAM]
    return [subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout for _ in range(count)]


def test_the_same_seed_gives_the_same_weights_byte_for_byte(backend: str) -> None:
    assert len(set(runs(2, backend))) == 1


@pytest.mark.heavy
def test_the_same_seed_gives_the_same_weights_in_twenty_runs(backend: str) -> None:
    assert len(set(runs(20, backend))) == 1


def test_shuffle_is_a_truth_value() -> None:
    with pytest.raises(ValueError, match="fit: shuffle must be True or False, not 'no'"):
        classifier().fit(X, LABELS, shuffle="no")  # type: ignore[arg-type]
