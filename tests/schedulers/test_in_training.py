"""Schedules at work: in optimizers, in fit, under gradient accumulation, and counting epochs in a callback."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.schedulers.cases import ALL, NAMES, made

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
Y = X @ np.array([[1.0], [-2.0]], np.float32)


def network(optimizer: Any) -> td.Sequential:
    model = td.Sequential([td.layers.Dense(1, kernel_initializer="zeros", input_shape=(2,))])
    model.compile(optimizer, "mse")
    return model


def walked(optimizer: td.optimizers.Optimizer, calls: int) -> float:
    """Return how far gradients of 1 have brought a weight down from 0."""
    weight = td.Variable([0.0], "float64", trainable=True)
    for _ in range(calls):
        optimizer.apply([td.tensor([1.0], dtype="float64")], [weight])
    return -weight.item()


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_asks_at_each_call(backend: str, name: str) -> None:
    schedule = made(name)
    rates = [schedule(step).item() for step in range(70)]
    assert walked(td.optimizers.SGD(schedule), 70) == pytest.approx(sum(rates), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_are_counted(backend: str, name: str) -> None:
    schedule = made(name)
    optimizer = td.optimizers.SGD(schedule, gradient_accumulation_steps=4)
    # Every fourth call is an update, and at that call the schedule has seen three.
    assert walked(optimizer, 40) == pytest.approx(sum(schedule(step).item() for step in range(3, 40, 4)), rel=1e-12)
    assert (optimizer.iterations.item(), optimizer.step.item()) == (40, 10)


@pytest.mark.parametrize("name", NAMES)
def test_fit_follows_it(backend: str, name: str) -> None:
    schedule, seen = made(name), []
    model = network(td.optimizers.Adam(schedule))
    record = td.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: seen.append(model.optimizer.learning_rate.item())
    )
    model.fit(X, Y, epochs=3, batch_size=4, callbacks=[record], verbose=0)
    assert seen == [schedule(step).item() for step in range(9)]
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_cycle_trains(backend: str) -> None:
    model = network(td.optimizers.Adam(td.schedulers.OneCycle(0.3, total_steps=90)))
    losses = model.fit(X, Y, epochs=30, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < 1e-3 < losses[0]
    assert model.optimizer.learning_rate.item() == pytest.approx(0.3 / 25 / 1e4)


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_s_configuration_has_it(name: str) -> None:
    config = json.loads(json.dumps(td.optimizers.Adam(made(name)).get_config()))
    assert config["learning_rate"]["class_name"] == ALL[name]["class"].lower()
    again = td.optimizers.Adam.from_config(config)
    assert again.learning_rate.item() == made(name)(0).item()


@pytest.mark.parametrize("name", NAMES)
def test_a_callback_gives_it_the_epoch(backend: str, name: str) -> None:
    model = network(td.optimizers.SGD(0.5))
    saved = td.schedulers.serialize(made(name))
    for schedule in (made(name), saved):
        callback = td.callbacks.LearningRateScheduler(schedule)
        history = model.fit(X, Y, epochs=4, batch_size=4, callbacks=[callback], verbose=0).history
        assert history["learning_rate"] == [made(name)(epoch).item() for epoch in range(4)]
