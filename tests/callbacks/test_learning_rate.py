"""Callbacks that set the learning rate: ReduceLROnPlateau as Keras's, LearningRateScheduler, and what is refused."""

from __future__ import annotations

import re
import types
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("callbacks")
PLATEAU = [name for name in GOLDEN.cases if name.startswith("reduce_lr_")]
X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)
ReduceLROnPlateau = td.callbacks.ReduceLROnPlateau
LearningRateScheduler = td.callbacks.LearningRateScheduler


def network(learning_rate: Any = 0.1) -> td.Sequential:
    model = td.Sequential([td.layers.Dense(1)])
    model.compile(td.optimizers.SGD(learning_rate), "mse")
    return model


def started(callback: Any, learning_rate: float) -> Any:
    """Begin a training whose optimizer is nothing but a learning rate."""
    callback.set_model(types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=learning_rate)))
    callback.on_train_begin()
    return callback


# -- ReduceLROnPlateau -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLATEAU)
def test_the_rate_is_lowered_as_keras_lowers_it(name: str) -> None:
    case = GOLDEN.cases[name]
    callback = started(ReduceLROnPlateau(**case["config"]), case["initial_learning_rate"])
    rates = []
    for epoch, value in enumerate(GOLDEN.inputs["sequences"][case["sequence"]]):
        logs = {callback.monitor: float(value)}
        before = callback.model.optimizer.learning_rate
        callback.on_epoch_end(epoch, logs)
        rates.append(callback.model.optimizer.learning_rate)
        assert logs["learning_rate"] == before
    assert rates == pytest.approx(case["learning_rates"], rel=1e-6)


def test_it_lowers_the_rate_of_a_training(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = network(0.1)
    callback = ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=1e9, verbose=1)
    history = model.fit(X, Y, epochs=6, callbacks=[callback], verbose=0).history
    np.testing.assert_allclose(history["learning_rate"], [0.1, 0.1, 0.1, 0.05, 0.05, 0.025], rtol=1e-6)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 3: ReduceLROnPlateau lowers the learning rate from 0.1 to 0.05.",
        "Epoch 5: ReduceLROnPlateau lowers the learning rate from 0.05 to 0.025.",
    ]


def test_a_second_training_begins_anew(backend: str) -> None:
    model, callback = network(), ReduceLROnPlateau("loss", patience=2, min_delta=1e9)
    for _ in range(2):
        model.fit(X, Y, epochs=2, callbacks=[callback], verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


def test_it_warns_where_there_is_no_such_value(backend: str) -> None:
    with pytest.warns(UserWarning, match=r"ReduceLROnPlateau watches 'val_loss', but the logs have .*: give fit valid"):
        network().fit(X, Y, callbacks=[ReduceLROnPlateau()], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"factor": 1.0}, "factor must be a number in (0, 1), not 1.0"),
        ({"factor": 0}, "factor must be a number in (0, 1), not 0"),
        ({"factor": "half"}, "factor must be a number in (0, 1), not 'half'"),
        ({"patience": -1}, "patience must be an integer of at least 0, not -1"),
        ({"cooldown": -1}, "cooldown must be an integer of at least 0, not -1"),
        ({"min_lr": -0.1}, "min_lr must be a number of at least 0, not -0.1"),
        ({"min_lr": float("nan")}, "min_lr must be a number of at least 0, not nan"),
        ({"mode": "up"}, "mode must be 'auto', 'min' or 'max', not 'up'"),
        ({"min_delta": "small"}, "min_delta must be a finite number, not 'small'"),
        ({"monitor": 3}, "monitor must be the name of a value, not 3"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="ReduceLROnPlateau: " + re.escape(sentence)):
        ReduceLROnPlateau(**arguments)


# -- LearningRateScheduler ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.1 / (epoch + 1), [0.1, 0.05, 0.1 / 3]),
        (lambda epoch, rate: rate * 0.5, [0.05, 0.025, 0.0125]),
        (lambda epoch, learning_rate=3.0: learning_rate * 0.5, [0.05, 0.025, 0.0125]),
        (td.schedulers.ExponentialDecay(0.2, decay_steps=1, decay_rate=0.1), [0.2, 0.02, 0.002]),
        (
            {
                "class_name": "piecewise_constant_decay",
                "config": {"boundaries": [0], "values": [0.3, 0.2]},
            },
            [0.3, 0.2, 0.2],
        ),
    ],
)
def test_the_rate_is_that_of_the_schedule(backend: str, schedule: Any, rates: list[float]) -> None:
    model = network(0.1)
    history = model.fit(X, Y, epochs=3, callbacks=[LearningRateScheduler(schedule)], verbose=0).history
    np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-6)


def test_it_counts_from_the_initial_epoch_and_says_what_it_sets(
    backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = LearningRateScheduler(lambda epoch: 0.01 * epoch, verbose=1)
    network().fit(X, Y, initial_epoch=2, epochs=4, callbacks=[callback], verbose=0)
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 3: LearningRateScheduler sets the learning rate to 0.02.",
        "Epoch 4: LearningRateScheduler sets the learning rate to 0.03.",
    ]


def test_an_error_inside_the_schedule_is_its_own() -> None:
    def schedule(epoch: int, rate: float) -> float:
        return rate + "much"  # type: ignore[operator, no-any-return]

    with pytest.raises(TypeError, match="unsupported operand"):
        network().fit(X, Y, callbacks=[LearningRateScheduler(schedule)], verbose=0)


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(TypeError, match="a scheduler must be given as a name"):
        LearningRateScheduler(0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="LearningRateScheduler: schedule must be a function of the epoch, not None"):
        LearningRateScheduler(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the schedule must return a number, and for epoch 0 it returned None"):
        network().fit(X, Y, callbacks=[LearningRateScheduler(lambda epoch: None)], verbose=0)
    with pytest.raises(ValueError, match="learning_rate must be a number of at least 0 or a schedule, not -1"):
        network().fit(X, Y, callbacks=[LearningRateScheduler(lambda epoch: -1)], verbose=0)


@pytest.mark.parametrize("callback", [ReduceLROnPlateau(), LearningRateScheduler(lambda epoch: 0.1)])
def test_an_optimizer_with_a_schedule_of_its_own_is_refused(callback: Any) -> None:
    model = network(td.schedulers.ExponentialDecay(0.1, 10, 0.5))
    sentence = f"{type(callback).__name__} sets the learning rate, and the optimizer 'sgd' has a schedule of its own"
    with pytest.raises(ValueError, match=f"{sentence}, ExponentialDecay: compile the model with a number"):
        model.fit(X, Y, callbacks=[callback], verbose=0)
    assert callable(model.optimizer._schedule)
