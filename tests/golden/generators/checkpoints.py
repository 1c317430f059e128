"""Which files ModelCheckpoint writes, and at which step, on fixed sequences of values."""

from __future__ import annotations

import os
import tempfile
import warnings
from typing import Any

import keras

VALUES: dict[str, list[list[float]]] = {
    # An epoch's values of val_loss and val_accuracy, after each of four epochs of three steps.
    "falls_then_rises": [[1.0, 0.1], [0.6, 0.4], [0.8, 0.5], [0.5, 0.45]],
    "equal": [[0.5, 0.5], [0.5, 0.5], [0.4, 0.6], [0.4, 0.6]],
    "not_a_number": [[float("nan"), 0.1], [0.5, float("nan")], [0.6, 0.3], [0.4, 0.3]],
    "large": [[123.456, 0.0], [12.3456, 1.0], [1.23456, 0.5], [0.123456, 0.25]],
}
STEPS = 3
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("falls_then_rises", {}),
    "numbered": ("falls_then_rises", {"filepath": "{epoch:02d}-{val_loss:.2f}"}),
    "rounded": ("large", {"filepath": "e{epoch}/{val_loss:8.3e}-{val_accuracy:.0%}"}),
    "best": ("falls_then_rises", {"save_best_only": True}),
    "best_numbered": ("falls_then_rises", {"save_best_only": True, "filepath": "{epoch}"}),
    "best_accuracy": (
        "falls_then_rises", {"save_best_only": True, "filepath": "{epoch}", "monitor": "val_accuracy", "mode": "max"},
    ),
    "best_min_of_accuracy": (
        "falls_then_rises", {"save_best_only": True, "filepath": "{epoch}", "monitor": "val_accuracy", "mode": "min"},
    ),
    "best_equal": ("equal", {"save_best_only": True, "filepath": "{epoch}"}),
    "best_not_a_number": ("not_a_number", {"save_best_only": True, "filepath": "{epoch}"}),
    "best_threshold": (
        "falls_then_rises", {"save_best_only": True, "filepath": "{epoch}", "initial_value_threshold": 0.7},
    ),
    "best_unknown": (
        "falls_then_rises", {"save_best_only": True, "filepath": "{epoch}", "monitor": "other", "mode": "min"},
    ),
    "every_step": ("falls_then_rises", {"save_freq": 1, "filepath": "{epoch}-{batch}"}),
    "every_second_step": ("falls_then_rises", {"save_freq": 2, "filepath": "{epoch:03d}-{batch:03d}-{loss:.1f}"}),
    "every_fifth_step": ("falls_then_rises", {"save_freq": 5, "filepath": "{epoch}-{batch}"}),
    "weights": ("falls_then_rises", {"save_weights_only": True, "filepath": "{epoch}"}),
}  # fmt: skip


class StubModel:
    """Notes what it is told to save, and when, in the place of saving it."""

    def __init__(self) -> None:
        self.calls = 0
        self.saved: list[tuple[int, str, str]] = []

    def save(self, path: str, **options: Any) -> None:
        """Note a model."""
        self.saved.append((self.calls, "model", path))

    def save_weights(self, path: str, **options: Any) -> None:
        """Note weights."""
        self.saved.append((self.calls, "weights", path))


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """For each case what was saved, by the number of the call at a step or an epoch; NaN is the string "nan"."""
    texts = {key: [["nan" if v != v else v for v in pair] for pair in values] for key, values in VALUES.items()}
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)  # it makes folders
        try:
            cases = {name: {"values": key, "config": config, "saved": saved(key, config)}
                     for name, (key, config) in OPTIONS.items()}  # fmt: skip
        finally:
            os.chdir(before)
    return {"values": texts, "steps": STEPS}, cases


def saved(key: str, config: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Drive ModelCheckpoint as fit does."""
    suffix = ".weights.h5" if config.get("save_weights_only") else ".keras"
    given = {"filepath": "model", **config}
    callback, model = keras.callbacks.ModelCheckpoint(**{**given, "filepath": given["filepath"] + suffix}), StubModel()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, (loss, accuracy) in enumerate(VALUES[key]):
        callback.on_epoch_begin(epoch)
        for batch in range(STEPS):
            model.calls += 1
            callback.on_train_batch_end(batch, {"loss": loss + (STEPS - batch) / 10})
        model.calls += 1
        callback.on_epoch_end(epoch, {"loss": loss, "val_loss": loss, "val_accuracy": accuracy})
    return [(call, kind, path.removesuffix(suffix)) for call, kind, path in model.saved]
