"""ModelCheckpoint: what it saves and when, as Keras does, and that what it saves can be loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("checkpoints")
ModelCheckpoint = td.callbacks.ModelCheckpoint
X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)


class StubModel:
    """Notes what it is told to save, and when."""

    def __init__(self) -> None:
        self.calls = 0
        self.saved: list[list[Any]] = []

    def save(self, path: str) -> None:
        self.saved.append([self.calls, "model", path])

    def save_weights(self, path: str) -> None:
        self.saved.append([self.calls, "weights", path])


def drive(callback: td.callbacks.Callback, values: str) -> StubModel:
    """Call a callback as fit does, with the values of a case."""
    model = StubModel()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, pair in enumerate(GOLDEN.inputs["values"][values]):
        loss, accuracy = map(float, pair)
        callback.on_epoch_begin(epoch)
        for batch in range(steps := GOLDEN.inputs["steps"]):
            model.calls += 1
            callback.on_train_batch_end(batch, td.callbacks.Logs({"loss": loss + (steps - batch) / 10}))
        model.calls += 1
        callback.on_epoch_end(epoch, {"loss": loss, "val_loss": loss, "val_accuracy": accuracy})
    return model


@pytest.mark.filterwarnings("ignore:ModelCheckpoint cannot tell")
@pytest.mark.parametrize("name", GOLDEN.cases)
def test_it_saves_what_keras_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    case = GOLDEN.cases[name]
    assert drive(ModelCheckpoint(**{"filepath": "model", **case["config"]}), case["values"]).saved == case["saved"]


def network() -> td.Sequential:
    model = td.Sequential([td.Input((4,)), td.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def test_models_and_weights_can_be_loaded(backend: str, tmp_path: Path) -> None:
    model = network()
    whole = ModelCheckpoint(tmp_path / "deep" / "{epoch}-{val_loss:.2f}.safetensors")
    weights = ModelCheckpoint(tmp_path / "w.safetensors", save_weights_only=True, save_freq=2)
    model.fit(X, Y, 5, 2, 0, [whole, weights], validation_data=(X, Y))
    path = tmp_path / "deep" / f"2-{model.history.history['val_loss'][1]:.2f}.safetensors"
    loaded, other = td.models.load_model(path), network()
    other.load_weights(tmp_path / "w.safetensors")
    for array, from_model, from_weights in zip(*(m.get_weights() for m in (model, loaded, other)), strict=True):
        assert array.tobytes() == from_model.tobytes() == from_weights.tobytes()


def test_the_best_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    best = []

    class Noting(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            best.append((logs["loss"], self.model.get_weights()[0].tobytes()))

    model = network()
    model.optimizer.learning_rate = 1.2  # at which the loss goes up and down
    model.fit(X, Y, 5, 6, 0, [ModelCheckpoint(path, "loss", save_best_only=True, save_weights_only=True), Noting()])
    other = network()
    other.load_weights(path)
    assert other.get_weights()[0].tobytes() == min(best)[1]


def test_it_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    drive(ModelCheckpoint("m", verbose=1, save_best_only=True), "falls_then_rises")
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: val_loss improved to 1.00000, saving the model to m.",
        "Epoch 2: val_loss improved from 1.00000 to 0.60000, saving the model to m.",
        "Epoch 3: val_loss did not improve from 0.60000.",
        "Epoch 4: val_loss improved from 0.60000 to 0.50000, saving the model to m.",
    ]
    drive(ModelCheckpoint("m-{batch}", verbose=1, save_freq=7), "falls_then_rises")
    assert capsys.readouterr().out == "Epoch 3: saving the model to m-1.\n"


def test_where_the_best_cannot_be_told_all_are_saved_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="cannot tell the best model by 'other', since the logs lack it: all are"):
        drive(ModelCheckpoint("m", "other", save_best_only=True), "equal")
    callback = ModelCheckpoint("m", "loss", save_best_only=True)
    callback.set_model(StubModel())
    with pytest.warns(UserWarning, match=r"since it is an array of shape \(2,\): all are saved"):
        callback.on_epoch_end(0, {"loss": np.ones(2)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drive(ModelCheckpoint("m", save_best_only=True), "equal")


def test_a_name_that_the_logs_lack_is_named() -> None:
    with pytest.raises(KeyError, match=r"names 'val_acc', and there are epoch, loss, val_loss, val_accuracy"):
        drive(ModelCheckpoint("{val_acc}"), "equal")


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="folder"):
        network().fit(X, Y, callbacks=ModelCheckpoint(tmp_path), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"filepath": ""}, "filepath must be the path of a file, not ''"),
        ({"filepath": None}, "filepath must be the path of a file, not None"),
        ({"filepath": "best/"}, "filepath 'best/' is a folder: give the name of a file in it, as '{epoch:"),
        ({"filepath": "{}"}, "filepath '{}' names ''; it may name the epoch"),
        ({"filepath": "{0:02d}"}, "filepath '{0:02d}' names '0'; it may name the epoch"),
        ({"filepath": "{epoch.real}"}, "filepath '{epoch.real}' names 'epoch.real'; it may name the epoch"),
        ({"filepath": "a{"}, "filepath 'a{' is no format"),
        ({"monitor": 3}, "monitor must be the name of a value, not 3"),
        ({"verbose": 5}, "verbose must be 0 or 1"),
        ({"save_best_only": "yes"}, "save_best_only must be True or False, not 'yes'"),
        ({"save_weights_only": 1}, "save_weights_only must be True or False, not 1"),
        ({"mode": "best"}, "mode must be 'auto', 'min' or 'max', not 'best'"),
        ({"save_freq": 0}, "save_freq must be 'epoch' or an integer of at least 1, not 0"),
        ({"save_freq": "batch"}, "save_freq must be 'epoch' or an integer of at least 1, not 'batch'"),
        ({"initial_value_threshold": "low"}, "initial_value_threshold must be a finite number, not 'low'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        ModelCheckpoint(**{"filepath": "m", **arguments})
    assert str(caught.value).startswith(f"ModelCheckpoint: {sentence}")


def test_its_best_value_is_part_of_its_state(tmp_path: Path) -> None:
    first, second = (ModelCheckpoint(tmp_path / "m", save_best_only=True, save_freq=freq) for freq in (5, 5))
    first.set_model(StubModel())
    for batch in range(3):
        first.on_train_batch_end(batch, {"val_loss": 1.0})
    second.set_state(first.get_state())
    second.set_model(model := StubModel())
    for batch in range(2):
        second.on_train_batch_end(batch, {"val_loss": 0.5})
    assert len(model.saved) == 1
    assert second.best == 0.5
