"""When EarlyStopping stops and what it restores, and what ReduceLROnPlateau does, on fixed sequences of a value."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

SEQUENCES: dict[str, list[float]] = {
    "falls_then_rises": [1.0, 0.8, 0.6, 0.5, 0.55, 0.52, 0.51, 0.49, 0.6, 0.7, 0.8, 0.9],
    "always_falls": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5],
    "always_rises": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "constant": [0.5] * 6,
    "slow": [1.0, 0.995, 0.99, 0.985, 0.98, 0.97, 0.96, 0.95],
    "accuracy": [0.1, 0.3, 0.5, 0.55, 0.54, 0.53, 0.56, 0.5, 0.4, 0.3],
    "early_dip": [1.0, 0.2, 0.9, 0.8, 0.7, 0.65, 0.66, 0.67, 0.68],
    "not_a_number": [1.0, 0.8, float("nan"), float("nan"), 0.7, 0.9, 0.9],
    "starts_not_a_number": [float("nan"), 1.0, 0.8, 0.9, 0.9],
}
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("falls_then_rises", {}),
    "patience_1": ("falls_then_rises", {"patience": 1}),
    "patience_2": ("falls_then_rises", {"patience": 2}),
    "patience_3": ("falls_then_rises", {"patience": 3}),
    "patience_4": ("falls_then_rises", {"patience": 4}),
    "patience_20": ("falls_then_rises", {"patience": 20}),
    "restore": ("falls_then_rises", {"patience": 2, "restore_best_weights": True}),
    "restore_patience_3": ("falls_then_rises", {"patience": 3, "restore_best_weights": True}),
    "restore_never_stops": ("falls_then_rises", {"patience": 20, "restore_best_weights": True}),
    "always_falls": ("always_falls", {"restore_best_weights": True}),
    "always_rises_patience_0": ("always_rises", {"restore_best_weights": True}),
    "always_rises_patience_2": ("always_rises", {"patience": 2, "restore_best_weights": True}),
    "constant_patience_2": ("constant", {"patience": 2, "restore_best_weights": True}),
    "min_delta": ("slow", {"min_delta": 0.012, "patience": 3, "restore_best_weights": True}),
    "min_delta_negative": ("slow", {"min_delta": -0.012, "patience": 2}),
    "min_delta_patience_0": ("slow", {"min_delta": 0.012}),
    "no_min_delta": ("slow", {"patience": 2}),
    "baseline_missed": ("slow", {"baseline": 0.5, "patience": 2, "restore_best_weights": True}),
    "baseline_reached": ("falls_then_rises", {"baseline": 0.7, "patience": 3, "restore_best_weights": True}),
    "baseline_reached_late": ("falls_then_rises", {"baseline": 0.5, "patience": 4}),
    "start_from_epoch": ("early_dip", {"start_from_epoch": 2, "patience": 2, "restore_best_weights": True}),
    "start_from_epoch_0": ("early_dip", {"patience": 2, "restore_best_weights": True}),
    "start_past_the_end": ("early_dip", {"start_from_epoch": 50, "restore_best_weights": True}),
    "mode_max": ("accuracy", {"monitor": "val_accuracy", "mode": "max", "patience": 2}),
    "mode_max_restore": (
        "accuracy",
        {"monitor": "val_accuracy", "mode": "max", "patience": 3, "restore_best_weights": True},
    ),
    "mode_max_min_delta": (
        "accuracy",
        {"monitor": "val_accuracy", "mode": "max", "patience": 2, "min_delta": 0.04},
    ),
    "mode_max_baseline": (
        "accuracy",
        {"monitor": "val_accuracy", "mode": "max", "patience": 2, "baseline": 0.6},
    ),
    "mode_min_of_accuracy": ("accuracy", {"monitor": "val_accuracy", "mode": "min", "patience": 1}),
    "monitor_loss": ("falls_then_rises", {"monitor": "loss", "patience": 1}),
    "nan_patience_1": ("not_a_number", {"patience": 1, "restore_best_weights": True}),
    "nan_patience_3": ("not_a_number", {"patience": 3, "restore_best_weights": True}),
    "nan_first": ("starts_not_a_number", {"patience": 2, "restore_best_weights": True}),
}
PLATEAU: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("falls_then_rises", {}),
    "patience_1": ("falls_then_rises", {"patience": 1}),
    "patience_2": ("falls_then_rises", {"patience": 2, "factor": 0.5}),
    "cooldown": ("always_rises", {"patience": 1, "factor": 0.5, "cooldown": 2}),
    "no_cooldown": ("always_rises", {"patience": 1, "factor": 0.5}),
    "min_lr": ("always_rises", {"patience": 1, "factor": 0.5, "min_lr": 0.003}),
    "min_delta": ("slow", {"patience": 2, "factor": 0.5, "min_delta": 0.022}),
    "mode_max": ("accuracy", {"monitor": "val_accuracy", "mode": "max", "patience": 2, "factor": 0.5}),
    "patience_0": ("falls_then_rises", {"patience": 0, "factor": 0.5}),
}


class StubOptimizer:
    """Something with a learning rate."""

    learning_rate = np.float32(0.01)


class StubModel:
    """Weights that name the epoch they belong to."""

    def __init__(self) -> None:
        self.stop_training = False
        self.optimizer = StubOptimizer()
        self.weights = [np.array([-1.0])]

    def get_weights(self) -> list[np.ndarray]:
        """A copy of the weights."""
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Put weights back."""
        self.weights = [weight.copy() for weight in weights]


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """``early_stopping/...`` and ``reduce_lr/...``; NaN stands in JSON as the string "nan"."""
    cases: dict[str, dict[str, Any]] = {}
    for name, (sequence, config) in OPTIONS.items():
        cases[f"early_stopping_{name}"] = stop(sequence, config)
    for name, (sequence, config) in PLATEAU.items():
        cases[f"reduce_lr_{name}"] = reduce(sequence, config)
    return {"sequences": {name: encode(values) for name, values in SEQUENCES.items()}}, cases


def encode(values: list[float]) -> list[float | str]:
    """NaN as a string, for JSON has no such number."""
    return ["nan" if value != value else value for value in values]


def stop(sequence: str, config: dict[str, Any]) -> dict[str, Any]:
    """Drive EarlyStopping as fit does, the weights of epoch e being [e]."""
    callback, model = keras.callbacks.EarlyStopping(**config), StubModel()
    callback.set_model(model)
    callback.on_train_begin()
    waits = []
    for epoch, value in enumerate(SEQUENCES[sequence]):
        model.weights = [np.array([float(epoch)])]
        callback.on_epoch_end(epoch, {callback.monitor: value})
        waits.append(callback.wait)
        if model.stop_training:
            break
    callback.on_train_end()
    best = None if callback.best is None else float(callback.best)
    return {
        "callback": "EarlyStopping",
        "sequence": sequence,
        "config": config,
        "epochs_run": len(waits),
        "stopped": model.stop_training,
        "stopped_epoch": callback.stopped_epoch,
        "best": encode([best])[0] if best is not None else None,
        "best_epoch": callback.best_epoch,
        "waits": waits,
        "weights_of_epoch": int(model.weights[0][0]),
    }


def reduce(sequence: str, config: dict[str, Any]) -> dict[str, Any]:
    """Drive ReduceLROnPlateau from a learning rate of .01 and record the rate after each epoch."""
    callback, model = keras.callbacks.ReduceLROnPlateau(**config), StubModel()
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(SEQUENCES[sequence]):
        callback.on_epoch_end(epoch, {callback.monitor: value})
        rates.append(float(model.optimizer.learning_rate))
    return {
        "callback": "ReduceLROnPlateau",
        "sequence": sequence,
        "config": config,
        "initial_learning_rate": 0.01,
        "learning_rates": rates,
    }
