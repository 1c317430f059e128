"""When fit, evaluate and predict run their steps as programs."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.linspace(-1, 1, 84, dtype=np.float32).reshape(21, 4)
Y = np.arange(21) % 3


def classifier(**options: Any) -> td.Sequential:
    td.utils.set_random_seed(5)
    model = td.Sequential([td.layers.Dense(5, "elu"), td.layers.Dropout(0.2), td.layers.Dense(3, "softmax")])
    model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


def programs(model: td.Sequential, step: str, native: bool | None = None) -> int:
    """Count the kinds of batches that a step has programs for, of machine code or not, or of both."""
    found = [each for (name, kind), each in (model._programs or {}).items() if name == step and native in (kind, None)]
    return sum(len(each._entries) for each in found)


def test_a_kind_of_batch_that_comes_often_gets_a_program(backend: str) -> None:
    model = classifier()
    model.fit(X, Y, batch_size=4, verbose=0)  # five of 4, and one of 1
    assert programs(model, "train_step") == 1
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    assert programs(model, "train_step") == 2
    for length in range(1, 20):
        model.predict(X[:length], verbose=0)
    assert programs(model, "predict_step") == 0


def test_it_learns_to_the_bit_what_it_learns_eagerly(backend: str) -> None:
    runs = []
    for options in ({}, {"jit_compile": False}, {"run_eagerly": True}):
        model = classifier(**options)
        history = model.fit(X, Y, batch_size=4, epochs=6, verbose=0, validation_split=0.2).history
        runs.append((history, [weight.tobytes() for weight in model.get_weights()], model.predict(X).tobytes()))
    assert runs[0] == runs[1] == runs[2]
    assert programs(classifier(run_eagerly=True), "train_step") == 0


def test_machine_code_learns_nearly_the_same() -> None:
    pytest.importorskip("llvmlite")
    with td.backend.use("numpy"):
        learned = []
        for options in ({"run_eagerly": True}, {"jit_compile": True}):
            model = classifier(**options)
            model.fit(X, Y, batch_size=4, epochs=4, verbose=0)
            learned.append(model.get_weights())
        assert programs(model, "train_step") == 2
        for expected, got in zip(*learned, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)


def test_many_batches_become_machine_code_at_once() -> None:
    pytest.importorskip("llvmlite")
    with td.backend.use("numpy"):
        model = classifier()
        model.fit(X, Y, batch_size=4, epochs=16, verbose=0, validation_data=(X, Y))
        assert [programs(model, step, native=False) for step in ("train_step", "test_step")] == [2, 2]
        model.fit(X, Y, batch_size=4, epochs=17, initial_epoch=16, verbose=0, validation_data=(X, Y))  # 17 x 6 batches
        assert [programs(model, step, native=True) for step in ("train_step", "test_step")] == [2, 2]
        model.fit(iter([(X, Y)]), verbose=0)  # nobody knows how many
        assert programs(model, "train_step", native=True) == 3
        model.evaluate(X, Y, batch_size=4, verbose=0)
        model.predict(X, batch_size=4)
        assert [programs(model, step, native=True) for step in ("test_step", "predict_step")] == [2, 0]
        tall = np.tile(X, (20, 1))
        model.predict(tall, batch_size=4)
        assert programs(model, "predict_step", native=True) == 1
    with td.backend.use("strict"):
        model = classifier()
        model.fit(X, Y, batch_size=4, epochs=20, verbose=0)
        assert programs(model, "train_step", native=True) == 0


def test_a_step_of_ones_own_is_a_program_only_where_that_is_asked_for(backend: str) -> None:
    class Counting(td.Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    for jit_compile, expected in (("auto", 0), (True, 2)):
        model = Counting([td.layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit_compile)
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
        assert programs(model, "train_step") == expected


class Factor(td.layers.Layer):
    """Multiplies by a number that is an attribute."""

    factor = 1.0

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return inputs * self.factor


class Turning(td.callbacks.Callback):
    """Changes the number between steps of every kind."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.layers[0].factor = 1.0 + batch % 4

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


def test_what_a_callback_changes_between_steps_counts_at_the_next(backend: str) -> None:
    runs = []
    for run_eagerly in (False, True):
        td.utils.set_random_seed(5)
        model = td.Sequential([Factor(), td.layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=run_eagerly)
        model.fit(X, Y, batch_size=2, verbose=0, callbacks=[Turning()])
        loss = model.evaluate(X, Y, batch_size=2, verbose=0, callbacks=[Turning()])
        runs.append((model.history.history, loss, model.predict(X, batch_size=2, callbacks=[Turning()]).tobytes()))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("rule", ["adam", "nadam", "adamax", "muon", "schedule_free_adamw"])
def test_what_an_optimizer_leaves_does_not_let_an_evaluation_be_recorded_anew(rule: str, backend: str) -> None:
    model = td.Sequential([td.layers.Dense(3, "elu"), td.layers.Dense(1)])
    model.compile(rule, "mse")
    model.fit(X, X[:, :1], batch_size=7, epochs=6, verbose=0, validation_data=(X, X[:, :1]))
    (kind,) = (each for (name, _), each in model._programs.items() if name == "test_step")
    assert [entry.calls for entry in kind._entries.values()] == [3 * 6 - 3]  # three come before it is recorded


class Looking(td.layers.Layer):
    """Looks at its values, which no program can."""

    def call(self, x: td.Tensor, training: bool = False) -> td.Tensor:
        return x * (2.0 if x.detach().sum().item() > 0 else 1.0)


@pytest.mark.parametrize("caller", ["fit", "train_on_batch"])
def test_a_warning_points_to_the_line_that_called_the_package(caller: str, backend: str) -> None:
    model = td.Sequential([Looking(), td.layers.Dense(3)])
    model.compile("sgd", "mse", jit_compile=True)
    targets = np.zeros((21, 3), np.float32)
    options = {"batch_size": 4, "verbose": 0} if caller == "fit" else {}
    line = sys._getframe().f_lineno
    with pytest.warns(UserWarning, match="looked at") as caught:
        getattr(model, caller)(X, targets, **options)
    (warning,) = (each for each in caught if "td.jit" in str(each.message))
    assert (warning.filename, warning.lineno) == (__file__, line + 2)


@pytest.mark.parametrize(
    "layers",
    [
        # The elements of a window must be added up in the order in which they lie in the picture.
        lambda: [td.layers.Reshape((2, 2, 1)), td.layers.AveragePooling2D(2), td.layers.Flatten(), td.layers.Dense(1)],
        # The penalty depends on no weight that learns, so no backward pass frees the graph behind it.
        lambda: [td.layers.Dense(2, trainable=False, activity_regularizer="l1"), td.layers.Dense(1)],
    ],
    ids=["pooling", "frozen with a penalty"],
)
def test_models_whose_steps_were_no_programs_or_other_ones(layers: Any, backend: str) -> None:
    learned = []
    for options in ({"run_eagerly": True}, {}):
        td.utils.set_random_seed(5)
        model = td.Sequential(layers())
        model.compile("sgd", "mse", **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X, X[:, :1], batch_size=3, epochs=2, verbose=0)
        learned.append([weight.tobytes() for weight in model.get_weights()])
    assert learned[0] == learned[1]
    (kind,) = model._programs.values()
    assert all(entry.run is not None for entry in kind._entries.values())
