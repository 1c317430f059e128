"""Broken callbacks."""

from __future__ import annotations

from typing import Any

import tinygrad_dnn as td
from tests.testing.specimens.breaking import breaks


@breaks("callbacks", "hears_all", "it raised RuntimeError (not ready)")
class DislikesPredictions(td.callbacks.Callback):
    def on_predict_begin(self, logs: Any = None) -> None:
        raise RuntimeError("not ready")


@breaks("callbacks", "signatures", "on_epoch_end cannot be called as fit calls it")
class WantsLogs(td.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        pass


@breaks("callbacks", "leaves_learning_alone", "a replayed training ended elsewhere than an eager one")
class Meddles(td.callbacks.Callback):
    def on_train_begin(self, logs: Any = None) -> None:
        if self.model.run_eagerly:
            weight = self.model.weights[0]
            weight.assign(weight * 2.0)


@breaks("callbacks", "survives_an_error", "after an error in fit it cannot be used again")
class StaysOpen(td.callbacks.Callback):
    is_open = False

    def on_train_begin(self, logs: Any = None) -> None:
        if self.is_open:
            raise RuntimeError("open already")
        self.is_open = True

    def on_train_end(self, logs: Any = None) -> None:
        self.is_open = False


@breaks("callbacks", "state_in_a_file", "after set_state its state is")
class Forgets(td.callbacks.Callback):
    epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1

    def get_state(self) -> dict[str, Any]:
        return {"epochs": self.epochs}


@breaks("callbacks", "logs_stay_plain", "after it History cannot be written as JSON")
class LogsSets(td.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["kinds"] = {1, 2}
