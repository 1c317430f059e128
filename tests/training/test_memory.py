"""Training takes no more memory with each step, keeps no graph alive, and does not copy the data set."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
Y = np.arange(64) % 3
BATCHES = len(X) // 8


def network() -> td.Sequential:
    """Return a model of all that keeps something from step to step."""
    model = td.Sequential(
        [
            td.layers.Dense(16, activation="elu", kernel_regularizer="l2", kernel_constraint="max_norm"),
            td.layers.BatchNormalization(),
            td.layers.Dropout(0.1),
            td.layers.AlphaDropout(0.1),
            td.layers.Dense(3, activation="softmax", activity_regularizer="l1"),
        ]
    )
    model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
    model.fit(X, Y, epochs=3, batch_size=8, verbose=0)
    return model


def fit(model: td.Sequential, steps: int) -> None:
    model.fit(X, Y, epochs=steps // BATCHES, batch_size=8, verbose=0)


def fit_batches(model: td.Sequential, steps: int) -> None:
    data = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, len(X), 8)]
    model.fit(data, epochs=steps // BATCHES, class_weight={0: 2.0}, verbose=0)


def train_on_batch(model: td.Sequential, steps: int) -> None:
    for _ in range(steps):
        model.train_on_batch(X[:8], Y[:8])


def evaluate_and_predict(model: td.Sequential, steps: int) -> None:
    for _ in range(steps // BATCHES):
        model.evaluate(X, Y, batch_size=8, verbose=0)
        model.predict(X, batch_size=8)


def own_loop(model: td.Sequential, steps: int) -> None:
    optimizer = td.optimizers.SGD(0.01, momentum=0.9)
    for _ in range(steps):
        loss = td.mean(td.losses.sparse_categorical_crossentropy(Y[:8], model(X[:8], training=True)))
        optimizer.apply(td.grad(loss, model.trainable_weights), model.trainable_weights)


def listening(model: td.Sequential, steps: int) -> None:
    class Reading(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.last = dict(logs)

    model.fit(X, Y, epochs=steps // BATCHES, batch_size=8, callbacks=[Reading()], verbose=0)


WAYS = [fit, fit_batches, train_on_batch, evaluate_and_predict, own_loop, listening]


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch the collector of reference cycles off: what a cycle keeps then shows as growth."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("way", WAYS)
def test_steps_leave_nothing_behind(way: Callable[[td.Sequential, int], None], backend: str) -> None:
    model = network()
    way(model, 40)
    with no_collection():
        before = len(gc.get_objects())
        way(model, 80)
        grown = len(gc.get_objects()) - before
    assert grown < 40, f"{grown} objects more after 80 steps"


@pytest.mark.heavy
@pytest.mark.parametrize("way", [fit, own_loop])
def test_five_thousand_steps_take_at_most_a_mebibyte_more(
    way: Callable[[td.Sequential, int], None], backend: str
) -> None:
    model = network()
    way(model, 400)
    with no_collection():
        tracemalloc.start()
        try:
            way(model, 400)
            grown = []
            for _ in range(2):
                before = tracemalloc.get_traced_memory()[0]
                way(model, 2500)
                grown.append(tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
    # What is left behind by steps shows both times; the interpreter's table of names grows by 2 MiB once, at some call.
    assert min(grown) <= 2**19, f"{[f'{more / 2**10:.0f} KiB' for more in grown]} more after 2,500 steps each"


def test_the_data_set_is_not_copied() -> None:
    with td.backend.use("numpy"):
        images = np.zeros((20_000, 28, 28), np.uint8)
        labels = np.zeros(20_000, np.uint8)
        model = td.Sequential([td.layers.Flatten(), td.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(images[:64], labels[:64], verbose=0)
        tracemalloc.start()
        try:
            model.fit(images, labels, batch_size=500, validation_split=0.1, verbose=0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < images.nbytes / 2, f"{peak / 2**20:.1f} MiB for a data set of {images.nbytes / 2**20:.1f} MiB"
