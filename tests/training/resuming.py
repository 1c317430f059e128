"""Straight and interrupted trainings of the same model, and all that they end with, to compare."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import layers

RNG = np.random.default_rng(3)
X = RNG.normal(size=(22, 6)).astype(np.float32)
IMAGES = RNG.normal(size=(22, 8, 8, 2)).astype(np.float32)
Y = np.arange(22) % 3
WEIGHT = RNG.uniform(0.5, 2.0, 22).astype(np.float32)
BATCH = 4  # five batches of 4, and one of 2
STEPS = 6
EPOCHS = 4


class InterruptionError(Exception):
    """What stops a training in the middle."""


class Interrupt(td.callbacks.Callback):
    """Raises an error at the so-and-so-manyth call of any of its methods at a step, counted over all epochs."""

    def __init__(self, at: int, error: type[BaseException] = InterruptionError) -> None:
        self.left = at
        self.error = error

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error

    on_train_batch_end = on_train_batch_begin
    on_test_batch_end = on_train_batch_begin

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.on_train_batch_begin(epoch)


class Counting(td.callbacks.Callback):
    """A callback of the user's that counts, and draws."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {"steps": 0, "sum": np.zeros(2, np.float32), "epochs": (), "best": float("inf")}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen = {**self.seen, "steps": self.seen["steps"] + 1, "sum": self.seen["sum"] + np.random.rand(2)}  # noqa: NPY002

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        assert self.began == epoch
        self.seen = {**self.seen, "epochs": (*self.seen["epochs"], epoch), "best": min(self.seen["best"], logs["loss"])}

    def get_state(self) -> dict[str, Any]:
        return self.seen

    def set_state(self, state: dict[str, Any]) -> None:
        self.seen = state


Build = Callable[[], td.Model]


def dense(optimizer: Any = "adam", **options: Any) -> Build:
    """Return what makes a small classifier with dropout, noise and running means."""

    def build() -> td.Model:
        model = td.Sequential(
            [
                td.Input((6,)),
                layers.Dense(7, "elu"),
                layers.BatchNormalization(),
                layers.GaussianNoise(0.1),
                layers.Dense(5, "selu", kernel_regularizer="l2", kernel_constraint="max_norm"),
                layers.AlphaDropout(0.2),
                layers.Dense(3, "softmax"),
            ]
        )
        chosen = optimizer() if callable(optimizer) else optimizer
        model.compile(chosen, "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
        return model

    return build


def images(**options: Any) -> Build:
    """Return what makes a small network with augmentation and convolutions."""

    def build() -> td.Model:
        model = td.Sequential(
            [
                td.Input((8, 8, 2)),
                layers.RandomFlip(),
                layers.Conv2D(4, 3, activation="elu"),
                layers.BatchNormalization(),
                layers.Dropout(0.3),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, "softmax"),
            ]
        )
        model.compile("nadam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy", "AUC"][:1], **options)
        return model

    return build


def callbacks() -> list[td.callbacks.Callback]:
    """Return callbacks that know something."""
    return [
        td.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        td.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=1.0),
        Counting(),
    ]


def fit(build: Build, seed: int, extra: list[Any], own: Callable[[], list[Any]] = list, **options: Any) -> Any:
    """Train a new model; return it with its callbacks."""
    td.utils.set_random_seed(seed)
    model = build()
    listeners = own()
    shape = model.input_shape[1:]
    x = options.pop("x", X if len(shape) == 1 else IMAGES)
    given = {"x": x() if callable(x) else x, "epochs": EPOCHS, "verbose": 0, **options}
    if isinstance(given["x"], np.ndarray):
        given = {"y": Y, "batch_size": BATCH, **given}
    model.fit(callbacks=[*listeners, *extra], **given)
    return model, listeners


def outcome(model: td.Model, listeners: list[Any]) -> dict[str, Any]:
    """Return everything a training ends with, as bytes and texts."""
    found: dict[str, Any] = {f"weight {n}": array.tobytes() for n, array in enumerate(model.get_weights())}
    for n, variable in enumerate(model.optimizer.variables):
        found[f"optimizer {n} {variable.name.rpartition('/')[2]}"] = variable.numpy().tobytes()
    for n, (_, parts) in enumerate(model._flatten()):
        found.update({f"stream {n}": one.state.tolist() for one in parts.generators.values()})
    found["history"] = repr((model.history.history, model.history.epoch))
    found["random"] = td.random.get_state()
    found["numpy"] = np.random.get_state()[1].tobytes()  # noqa: NPY002
    found["stopped"] = model.stop_training
    found["callbacks"] = [repr(listener.get_state()) for listener in listeners]
    return found


def resumed(
    build: Build,
    folder: Path,
    places: list[int],
    save_freq: int | str,
    own: Callable[[], list[Any]] = list,
    error: type[BaseException] = InterruptionError,
    **options: Any,
) -> dict[str, Any]:
    """Train with an interruption at each place, each run by a new model that begins with another seed."""
    for number, place in enumerate([*places, 0], 2):
        seed = number if any(folder.glob("backup-*")) else 1  # what is put back does not depend on it
        stop = [Interrupt(place, error)] if place else []
        backup = td.callbacks.BackupAndRestore(folder, save_freq)
        try:
            ended = fit(build, seed, [backup, *stop], own, **options)
        except error:
            continue
        break
    assert not folder.exists()
    return outcome(*ended)


def straight(build: Build, own: Callable[[], list[Any]] = list, **options: Any) -> dict[str, Any]:
    """Train without an interruption."""
    return outcome(*fit(build, 1, [], own, **options))


def endless(x: np.ndarray = X) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches for ever, each another one."""
    for n in itertools.count():
        rows = (np.arange(BATCH) + 3 * n) % len(x)
        yield x[rows] + np.float32(n / 100), Y[rows]
