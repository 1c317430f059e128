"""Ctrl-C while training, and callbacks that raise: the model stays usable, and what was finished is kept."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
Y = np.arange(20) % 3
MOMENTS = sorted(name for name in dir(td.callbacks.Callback) if re.match("on_(train|epoch|test)", name))


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Hear Ctrl-C even where the tests run in the background of a shell, which has it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def ctrl_c() -> None:
    """Do what the terminal does on Ctrl-C, at exactly this point."""
    signal.raise_signal(signal.SIGINT)


def network(optimizer: Any = "nadam") -> td.Sequential:
    model = td.Sequential(
        [
            td.layers.Dense(8, activation="elu"), td.layers.BatchNormalization(), td.layers.Dropout(0.1),
            td.layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class CountingSteps(td.callbacks.Callback):
    """Counts complete steps and keeps the weights after the last one."""

    def __init__(self) -> None:
        self.steps = 0
        self.weights: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self.weights = self.model.get_weights()


class At(td.callbacks.Callback):
    """Does something at one moment of the second epoch, or at the only time that the moment comes."""

    def __init__(self, moment: str, what: Callable[[], None]) -> None:
        batches = 4
        times = itertools.count(1)
        due = 1 if moment in ("on_train_begin", "on_train_end") else batches + 1 if "batch" in moment else 2
        setattr(self, moment, lambda *args: what() if next(times) == due else None)


def assert_usable(model: td.Sequential) -> None:
    """Check that the handler of signals is back, and that the model predicts, evaluates and goes on learning."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.isfinite(model.predict(X)).all()
    before = int(model.optimizer.step)
    assert len(model.fit(X, Y, batch_size=5, epochs=2, verbose=0).history["loss"]) == 2
    assert int(model.optimizer.step) == before + 8


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_each_moment_keeps_model_and_history(moment: str, backend: str) -> None:
    model, counting = network(), CountingSteps()
    callbacks = [counting, At(moment, ctrl_c)]
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=5, epochs=4, validation_data=(X, Y), callbacks=callbacks, verbose=0)
    # It acts before the next batch is fetched: after the epoch's last one, in the next epoch.
    finished = {"on_train_begin": 0, "on_train_end": 4, "on_epoch_end": 2, "on_test_end": 2}.get(moment, 1)
    assert {key: len(values) for key, values in model.history.history.items()} == (
        dict.fromkeys(["loss", "accuracy", "val_loss", "val_accuracy"], finished) if finished else {}
    )
    assert model.history.epoch == list(range(finished))
    assert int(model.optimizer.step) == counting.steps
    for now, then in zip(model.get_weights(), counting.weights, strict=bool(counting.weights)):
        np.testing.assert_array_equal(now, then)
    assert_usable(model)


class Pressing(td.optimizers.SGD):
    """Presses Ctrl-C in the middle of an update: some weights are changed by then, others are not."""

    def __init__(self, presses: int) -> None:
        super().__init__(learning_rate=0.1)
        self.updates = 0
        self.presses = presses

    def update(self, *args: Any) -> Any:
        self.updates += 1
        if self.updates == 8:  # 6 weights: the second one of the second step
            for _ in range(self.presses):
                ctrl_c()
        return super().update(*args)


def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(backend: str) -> None:
    model = network(Pressing(presses=1))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=5, shuffle=False, epochs=3, verbose=0)
    assert model.optimizer.updates == 12
    assert int(model.optimizer.step) == 2
    assert_usable(model)


def test_a_second_ctrl_c_does_not_wait(backend: str) -> None:
    model = network(Pressing(presses=2))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=5, epochs=3, verbose=0)
    assert model.optimizer.updates == 8
    assert_usable(model)


def test_ctrl_c_while_data_are_waited_for_is_immediate(backend: str) -> None:
    after = []

    def slow() -> Iterator[Any]:
        yield X, Y
        yield X, Y
        ctrl_c()
        after.append("the generator went on")
        yield X, Y

    model = network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(slow(), verbose=0)
    assert not after
    assert int(model.optimizer.step) == 2
    assert_usable(model)


def test_ctrl_c_in_validation_keeps_the_finished_epochs(backend: str) -> None:
    def second_time() -> Iterator[Any]:
        yield X, Y
        ctrl_c()
        yield X, Y

    model = network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=3, validation_data=second_time(), validation_steps=1, verbose=0)
    assert {key: len(values) for key, values in model.history.history.items()} == dict.fromkeys(
        ["loss", "accuracy", "val_loss", "val_accuracy"], 1
    )
    assert_usable(model)


def test_ctrl_c_in_a_fit_inside_a_callback_ends_both(backend: str) -> None:
    inner, outer = network(Pressing(presses=1)), network()

    class Training(td.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                inner.fit(X, Y, batch_size=5, epochs=100, verbose=0)

    with pytest.raises(KeyboardInterrupt):
        outer.fit(X, Y, batch_size=5, epochs=3, callbacks=[Training()], verbose=0)
    assert int(inner.optimizer.step) == 2
    assert len(outer.history.history["loss"]) == 1
    assert_usable(inner)
    assert_usable(outer)


def test_a_handler_of_the_programs_own_stays(backend: str) -> None:
    caught = []
    previous = signal.signal(signal.SIGINT, lambda *args: caught.append("own"))
    try:
        model = network(Pressing(presses=1))
        model.fit(X, Y, batch_size=5, verbose=0)
        assert caught == ["own"]
        assert int(model.optimizer.step) == 4
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_handler_that_a_callback_sets_stays(backend: str) -> None:
    def handler(*args: Any) -> None: ...

    class Setting(td.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            signal.signal(signal.SIGINT, handler)

    try:
        network().fit(X, Y, callbacks=[Setting()], verbose=0)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_thread_other_than_the_main_one_can_train(backend: str) -> None:
    lengths = []

    def train() -> None:
        with td.backend.use(backend):
            lengths.append(len(network().fit(X, Y, epochs=2, verbose=0).history["loss"]))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert lengths == [2]


def test_the_handler_is_back_when_training_ends_well(backend: str) -> None:
    network().fit(X, Y, verbose=0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- callbacks that raise ----------------------------------------------------------------------------------------------


class TroubleError(Exception):
    """What a callback raises here."""


def raising() -> None:
    raise TroubleError


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_callback_that_raises_at_any_moment_loses_nothing(moment: str, place: str, backend: str) -> None:
    model, counting = network(), CountingSteps()
    callbacks = [counting, At(moment, raising)] if place == "last" else [At(moment, raising), counting]
    with pytest.raises(TroubleError):
        model.fit(X, Y, batch_size=5, epochs=4, validation_data=(X, Y), callbacks=callbacks, verbose=0)
    # The epoch at whose end a callback raises was run: its values are kept.
    finished = {"on_train_begin": 0, "on_train_end": 4, "on_epoch_end": 2}.get(moment, 1)
    assert model.history.epoch == list(range(finished))
    assert [len(values) for values in model.history.history.values()] == [finished] * (4 if finished else 0)
    # Counted by a callback before it, or not any more by one after it.
    uncounted = 1 if moment == "on_train_batch_end" and place == "first" else 0
    assert int(model.optimizer.step) == counting.steps + uncounted
    assert_usable(model)


@pytest.mark.parametrize(
    "moment", ["on_predict_begin", "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end"]
)
def test_a_callback_that_raises_in_predict(moment: str, backend: str) -> None:
    model = network()
    model.predict(X)
    callback = td.callbacks.LambdaCallback(**{moment: lambda *args: raising()})
    with pytest.raises(TroubleError):
        model.predict(X, callbacks=[callback])
    assert_usable(model)


def test_a_step_that_raises_keeps_the_finished_epochs(backend: str) -> None:
    def with_a_wrong_label() -> Iterator[Any]:
        for _ in range(3):
            yield X, Y
        yield X, Y + 1

    model, counting = network(), CountingSteps()
    with pytest.raises(ValueError, match="y must hold integers from 0 to 2"):
        model.fit(with_a_wrong_label(), steps_per_epoch=2, epochs=3, callbacks=[counting], verbose=0)
    assert model.history.epoch == [0]
    assert int(model.optimizer.step) == counting.steps == 3
    for now, then in zip(model.get_weights(), counting.weights, strict=True):
        np.testing.assert_array_equal(now, then)
    assert_usable(model)


# -- a process of its own, and a signal from outside -------------------------------------------------------------------

PROGRAM = """
import signal, numpy as np, tinygrad_dnn as td
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(640, 16)).astype(np.float32), rng.integers(10, size=640)
model = td.Sequential([td.layers.Dense(32, activation="elu") for _ in range(8)])
model.add(td.layers.Dense(10, activation="softmax"))
model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
steps = epochs = 0
class Counting(td.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        global steps
        steps += 1
    def on_epoch_end(self, epoch, logs=None):
        global epochs
        epochs += 1
        print("epoch", flush=True)
try:
    model.fit(x, y, epochs=100_000, callbacks=[Counting()], validation_data=(x, y), verbose=0)
except KeyboardInterrupt:
    lengths = {len(values) for values in model.history.history.values()}
    finite = all(np.isfinite(w).all() for w in model.get_weights()) and np.isfinite(model.predict(x)).all()
    print("interrupted", int(model.optimizer.step) == steps, lengths == {epochs}, finite, flush=True)
"""


def interrupt_after(seconds: float, backend: str) -> list[str]:
    """Train in a process of its own, send it Ctrl-C some time after the first epoch, and return its last words."""
    env = {**os.environ, "TINYGRAD_DNN_BACKEND": backend}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "epoch\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    return rest.splitlines()[-1].split()


def test_a_process_that_is_interrupted_ends_in_order(backend: str) -> None:
    assert interrupt_after(0.05, backend) == ["interrupted", "True", "True", "True"]


@pytest.mark.heavy
def test_a_process_that_is_interrupted_at_fifty_moments_ends_in_order() -> None:
    for seconds in np.random.default_rng(1).uniform(0, 0.2, size=50):
        assert interrupt_after(seconds, "numpy") == ["interrupted", "True", "True", "True"], f"after {seconds} s"
