"""Callbacks that stop training: when a value has stopped improving, when the loss is no number."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tinygrad_dnn.callbacks.base import Callback
from tinygrad_dnn.callbacks.monitoring import Monitor, check_verbose
from tinygrad_dnn.checks import as_flag, as_integer, as_number


class EarlyStopping(Monitor):
    """Stop training when a value has stopped improving.

    Args:
        monitor: The value to watch, a name in the epoch's logs.
        min_delta: The least change that counts as an improvement.
        patience: How many epochs without one are waited for.
        verbose: 1 says when it stops.
        mode: "min", "max", or "auto": max for accuracies and their like, else min.
        baseline: An epoch that is no better than this does not count as an improvement.
        restore_best_weights: Give the model the weights of its best epoch at the end.
        start_from_epoch: The first epoch watched, counted from 0.

    Attributes:
        best: The best value so far, None before the first; as in Keras, nothing is better than a first that is NaN.
        best_epoch: Its epoch.
        wait: How many epochs have passed since the last improvement.
        stopped_epoch: The epoch after which it stopped training, 0 if it did not.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> callback = td.callbacks.EarlyStopping(patience=20, restore_best_weights=True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        check_verbose("EarlyStopping", verbose)
        if baseline is not None:
            baseline = as_number(baseline, "EarlyStopping: baseline")
        self.patience = as_integer(patience, "EarlyStopping: patience", "[0, inf)")
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = as_flag(restore_best_weights, "EarlyStopping: restore_best_weights")
        self.start_from_epoch = as_integer(start_from_epoch, "EarlyStopping: start_from_epoch", "[0, inf)")
        self.on_train_begin()

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget what an earlier training left."""
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best: float | None = None
        self.best_weights: list[np.ndarray] | None = None
        if self.model is not None and not self.monitor.startswith("val_"):
            warnings.warn(
                f"EarlyStopping watches {self.monitor!r}, a value of the training data, which goes on improving while "
                f"the model overfits; watch 'val_{self.monitor}' and give fit validation data.",
                stacklevel=2,
            )

    def get_state(self) -> dict[str, Any]:
        """Return the best value with its epoch and weights, and what is counted."""
        return {key: getattr(self, key) for key in ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` returned."""
        self.wait, self.stopped_epoch, self.best_epoch = state["wait"], state["stopped_epoch"], state["best_epoch"]
        self.best, self.best_weights = state["best"], state["best_weights"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare the epoch's value with the best so far."""
        value = self.monitored(logs)
        if value is None:
            return
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.improves(value, self.best):
            self.best = value
            self._remember(epoch)
            if self.improves(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        """Say that it stopped, and give the model its best weights, where this was asked for."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping, {self.monitor} did not improve.")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


# After so many steps a value is looked at that has to be waited for.
_LOOKS = 100


class TerminateOnNaN(Callback):
    """Stop training at the first step after which the loss is NaN or infinite.

    A loss on a device is read after every hundredth step and at the end of the epoch, since reading it waits for the
    device. A mean over the epoch that was no number once stays so: it is found, a little later.

    Args:
        raise_error: Raise an error instead of ending the training as if it were done.

    Raises:
        RuntimeError: The loss is no number, and ``raise_error`` is set.

    Example:
        >>> callback = td.callbacks.TerminateOnNaN()
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = as_flag(raise_error, "TerminateOnNaN: raise_error")
        self._found = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin to look."""
        self._found = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the loss, where that waits for nothing or is due."""
        if getattr(logs, "at_hand", True) or (batch + 1) % _LOOKS == 0:
            self._look(f"batch {batch}", logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the loss of the epoch, where no step has ended the training."""
        if not self._found:
            self._look(f"epoch {epoch + 1}", logs)

    def _look(self, when: str, logs: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        self._found = True
        sentence = f"TerminateOnNaN: the loss is {loss} after {when}; a lower learning rate may help"
        if self.raise_error:
            raise RuntimeError(f"{sentence}.")
        print(f"{sentence}. Training stops.")
        self.model.stop_training = True
