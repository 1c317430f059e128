"""A run that is interrupted and goes on elsewhere: machine code makes each of its steps, and so gives the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import Jitted

pytest.importorskip("llvmlite")

RNG = np.random.default_rng(1)
X = RNG.standard_normal((6, 8, 12)).astype(np.float32)
Y = RNG.integers(0, 3, (6, 8))

BETWEEN: dict[str, Callable[[], td.layers.Layer]] = {
    "dense": lambda: td.layers.Dense(5, activation="tanh"),
    "batch normalization": lambda: td.layers.BatchNormalization(),
    "dropout": lambda: td.layers.Dropout(0.3),
    "alpha dropout": lambda: td.layers.AlphaDropout(0.3),
    "noise": lambda: td.layers.GaussianNoise(0.3),
}


def classifier(between: str) -> td.Sequential:
    """Return a compiled model with a built optimizer, alike each time."""
    td.utils.set_random_seed(3)
    model = td.Sequential([
        td.layers.Input((12,)), td.layers.Dense(16, activation="elu"), BETWEEN[between](),
        td.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=True)
    model.optimizer.build(model.trainable_weights)
    return model


def state(model: td.Sequential) -> list[td.Variable]:
    """Return all that training changes: weights, moments and counters, and the random streams."""
    parts = [part for layer in model.layers for part in vars(layer).values()]
    streams = [part.state for part in parts if isinstance(part, td.random.SeedGenerator)]
    return [*model.weights, *model.optimizer.variables, *streams]


def programs(model: td.Sequential) -> dict[str, Jitted]:
    """Return what the model's steps were compiled to."""
    assert model._programs is not None
    return model._programs


def bits(model: td.Sequential) -> list[bytes]:
    """Return the bytes of all that training changes."""
    return [variable.numpy().tobytes() for variable in state(model)]


@pytest.mark.parametrize("between", BETWEEN)
def test_another_model_goes_on_to_the_bit(between: str) -> None:
    straight = classifier(between)
    for i in range(3):
        straight.train_on_batch(X[i], Y[i])
    saved = [variable.numpy().copy() for variable in state(straight)]
    for i in range(3, 6):
        straight.train_on_batch(X[i], Y[i])
    resumed = classifier(between)
    for variable, value in zip(state(resumed), saved, strict=True):
        variable.assign(value)
    for i in range(3, 6):
        resumed.train_on_batch(X[i], Y[i])
        (step,) = programs(resumed).values()
        (program,) = step._entries.values()
        assert program.calls == i - 2  # from the first call on, none was made operation by operation
        assert program.run is not None
    assert bits(resumed) == bits(straight)


@pytest.mark.parametrize("between", BETWEEN)
def test_programs_that_are_recorded_anew_go_on_to_the_bit(between: str) -> None:
    straight, forgetful = classifier(between), classifier(between)
    for i in range(6):
        straight.train_on_batch(X[i], Y[i])
        if i == 3:
            programs(forgetful).clear()
        forgetful.train_on_batch(X[i], Y[i])
    assert bits(forgetful) == bits(straight)


def test_the_call_that_is_recorded_is_made_by_the_program() -> None:
    x = td.tensor(RNG.standard_normal(1000).astype(np.float32))
    rounds = Jitted(lambda x: td.sum(td.exp(x) * x) + td.sum(td.tanh(x)), native=True)
    first = rounds(x).numpy()
    assert first.tobytes() == rounds(x).numpy().tobytes()
    assert first.tobytes() != rounds.function(x).numpy().tobytes()  # else this could not fail
