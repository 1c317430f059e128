"""The checks of callbacks: they hear all that fit, evaluate and predict tell, and leave the model usable."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dnn.callbacks import Callback
from tinygrad_dnn.layers import Dense
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.saving import tree
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import expect_equal, expect_finite
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject

_X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
_Y = _X.sum(axis=1, keepdims=True)


def _model() -> Any:
    model = Sequential([Dense(3, "tanh"), Dense(1)])
    model.compile("sgd", loss="mse", metrics=["mae"])
    model(_X)
    for seed, layer in enumerate(model.layers):
        random = np.random.default_rng(seed)
        layer.set_weights([random.normal(0, 0.5, size=w.shape).astype(np.float32) for w in layer.weights])
    return model


def _fit(model: Any, callbacks: list[Any]) -> Any:
    return model.fit(
        _X, _Y, epochs=2, batch_size=5, validation_data=(_X, _Y), verbose=0, shuffle=False, callbacks=callbacks,
    )  # fmt: skip


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Let what a callback prints and writes to relative paths go where it is thrown away."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


@check("callbacks")
def hears_all(subject: Subject) -> None:
    """Fit with a validation, evaluate and predict call it at every moment, twice over, and it raises nothing."""
    with _elsewhere():
        made = subject.make()
        if not isinstance(made, Callback):
            raise CheckError(f"it is {type(made).__name__}", "a td.callbacks.Callback", "derive it from that class")
        model = _model()
        for _ in range(2):
            _fit(model, [made])
            model.evaluate(_X, _Y, verbose=0, callbacks=[made])
            model.predict(_X, verbose=0, callbacks=[made])


@check("callbacks")
def signatures(subject: Subject) -> None:
    """Each method it overrides can be called with what the base class's takes, logs by name or left out."""
    for name, base in inspect.getmembers(Callback, inspect.isfunction):
        own = getattr(subject.obj, name, base)
        if name.startswith("_") or own is base or not inspect.isfunction(own):
            continue
        wanted = inspect.signature(base).parameters
        plain = {key: None for key in wanted if key != "self"}
        for given in (plain, {key: None for key in plain if wanted[key].default is inspect.Parameter.empty}):
            positional = [value for key, value in given.items() if key != "logs"]
            named = {"logs": None} if "logs" in given else {}
            try:
                inspect.signature(own).bind(None, *positional, **named)
            except TypeError as error:
                raise CheckError(
                    f"{name} cannot be called as fit calls it ({error})", f"{name}{inspect.signature(base)}",
                    "give it the base class's arguments, logs=None the last",
                ) from error  # fmt: skip


@check("callbacks")
def leaves_learning_alone(subject: Subject) -> None:
    """With it, an eager and a replayed training end with the same weights, and they are finite."""
    ends = []
    for eager in (True, False):
        with _elsewhere():
            model = _model()
            model.run_eagerly = eager
            _fit(model, [subject.make()])
            ends.append([w.numpy() for w in model.weights])
    for end in ends[0]:
        expect_finite(end, "after training a weight is", 0.0, "set weights and rates to finite numbers")
    expect_equal(
        ends[1], ends[0], "a replayed training ended elsewhere than an eager one", "equal weights",
        "change weights by assign, and decide by the epoch and the logs alone", 1e-5,
    )  # fmt: skip


class _Raising(Callback):
    """Raises in the middle of the second epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.seen:
            raise _PlannedError

    seen = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen = True


class _PlannedError(Exception):
    pass


@check("callbacks")
def survives_an_error(subject: Subject) -> None:
    """Where another callback raises, close gives back what it holds, and the model and it can be used again."""
    with _elsewhere():
        made, model = subject.make(), _model()
        try:
            _fit(model, [made, _Raising()])
        except _PlannedError:
            pass
        else:
            if not model.stop_training:
                raise CheckError("an error of another callback did not leave fit", "that error", "let errors pass")
        expect_finite(model.predict(_X, verbose=0), "afterwards a prediction is", 0.0, "leave the weights usable")
        try:
            made.close()
            _fit(model, [made])
        except Exception as error:
            raise CheckError(
                f"after an error in fit it cannot be used again ({type(error).__name__}: {error})",
                "a second fit that runs", "begin anew in on_train_begin, and give back what is held in close",
            ) from error  # fmt: skip


@check("callbacks")
def state_in_a_file(subject: Subject) -> None:
    """get_state's dict can be written to a file and read, and set_state takes it back and get_state gives it again."""
    with _elsewhere():
        made = subject.make()
        _fit(_model(), [made])
        state = made.get_state()
        if not isinstance(state, dict):
            raise CheckError(
                f"get_state returned {type(state).__name__}", "a dict", "return what is to be remembered by name"
            )
        path = Path("state")
        try:
            tree.write_state(path, state)
            read = tree.read_state(path)
        except (TypeError, ValueError) as error:
            raise CheckError(
                f"its state cannot be written ({error})", "numbers, texts, None, arrays, lists and dicts",
                "leave out of get_state what can be made again",
            ) from error  # fmt: skip
        if not state:
            raise SkipError("it keeps no state")
        new = subject.make()
        new.set_params({"epochs": 2, "steps": 3, "verbose": 0})
        new.set_model(_model())
        new.on_train_begin()
        new.set_state(read)
        again = new.get_state()
        new.close()
        if repr(again) != repr(state):
            raise CheckError(
                f"after set_state its state is {again!r}", f"{state!r}", "set in set_state all that get_state returns"
            )


@check("callbacks")
def logs_stay_plain(subject: Subject) -> None:
    """What it adds to an epoch's logs are numbers, which History keeps and JSON can hold."""
    with _elsewhere():
        history = _fit(_model(), [subject.make()]).history
    try:
        json.dumps(history)
    except TypeError as error:
        raise CheckError(
            f"after it History cannot be written as JSON ({error})", "numbers", "add float(value) to the logs"
        ) from error
