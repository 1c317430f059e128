"""The callback that saves models and weights while they are trained."""

from __future__ import annotations

import os
import string
import warnings
from typing import Any

import numpy as np

from tinygrad_dnn.callbacks.backup import check_save_freq
from tinygrad_dnn.callbacks.monitoring import Monitor, check_verbose
from tinygrad_dnn.checks import as_flag, as_number, as_path


class ModelCheckpoint(Monitor):
    """Save the model, or its weights, after each epoch or so many steps; all of them, or the best one.

    Args:
        filepath: The path of the file, whose folders are made where there are none. It may name the epoch, counted
            from 1, the values of the logs and, with a number as ``save_freq``, the batch, counted from 1:
            "{epoch:02d}-{val_loss:.2f}.safetensors". A name that stays the same is overwritten.
        monitor: The value that says which is best, a name in the epoch's logs.
        verbose: 1 says what is saved.
        save_best_only: Save only what is better than all before. Where the logs lack the value, or it is no single
            number, all is saved, as in Keras, with a warning.
        save_weights_only: Call ``model.save_weights(path)`` instead of ``model.save(path)``.
        mode: "min", "max", or "auto": max for accuracies and their like, else min.
        save_freq: "epoch", or after how many steps, counted on from epoch to epoch. The values of a step are averages
            of the epoch so far, of few samples at its begin.
        initial_value_threshold: What the first one has to be better than.

    Attributes:
        best: The best value so far, None before the first.

    Raises:
        TypeError: ``filepath`` is no path.
        ValueError: An argument is out of its range.
        KeyError: The logs lack a value that ``filepath`` names.
        OSError: A file cannot be written; what was there before is as it was.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> model = td.Sequential([td.Input((2,)), td.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> saving = td.callbacks.ModelCheckpoint(folder / "{epoch:02d}.safetensors")
        >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, callbacks=saving, verbose=0)
        >>> sorted(path.name for path in folder.iterdir())
        ['01.safetensors', '02.safetensors']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        owner = "ModelCheckpoint"
        self.filepath = as_path(filepath, f"{owner}: filepath")
        if os.path.basename(self.filepath) == "":
            raise ValueError(
                f"{owner}: filepath {self.filepath!r} is a folder: give the name of a file in it, as "
                "'{epoch:02d}.safetensors'."
            )
        check_verbose(owner, verbose)
        _check_names(self.filepath)
        self.verbose = verbose
        self.save_best_only = as_flag(save_best_only, f"{owner}: save_best_only")
        self.save_weights_only = as_flag(save_weights_only, f"{owner}: save_weights_only")
        self.save_freq = check_save_freq(owner, save_freq)
        self.best: float | None = None
        if initial_value_threshold is not None:
            self.best = as_number(initial_value_threshold, f"{owner}: initial_value_threshold")
        self._epoch = 0
        self._steps = 0

    def get_state(self) -> dict[str, Any]:
        """Return the best value so far, and the steps since the last saving."""
        return {"best": self.best, "steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` returned."""
        self.best, self._steps = state["best"], state["steps"]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save where a number of steps is over."""
        if self.save_freq == "epoch":
            return
        self._steps += 1
        if self._steps >= int(self.save_freq):
            self._steps = 0
            self._save(self._epoch, dict(logs or {}), batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save where the epochs are counted."""
        if self.save_freq == "epoch":
            self._save(epoch, dict(logs or {}), None)

    def _save(self, epoch: int, logs: dict[str, Any], batch: int | None) -> None:
        path = self._path(epoch, logs, batch)
        if not self._is_due(epoch, logs, path):
            return
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)

    def _path(self, epoch: int, logs: dict[str, Any], batch: int | None) -> str:
        numbers = {"epoch": epoch + 1} if batch is None else {"epoch": epoch + 1, "batch": batch + 1}
        try:
            return self.filepath.format(**{**numbers, **logs, "epoch": epoch + 1})
        except KeyError as error:
            known = ", ".join([*numbers, *logs])
            raise KeyError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}, and there are {known}."
            ) from None

    def _is_due(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        value = logs.get(self.monitor)
        if not self.save_best_only:
            sentence = f"saving the model to {path}"
        elif value is None or np.ndim(value):
            what = "the logs lack it" if value is None else f"it is an array of shape {np.shape(value)}"
            warnings.warn(
                f"ModelCheckpoint cannot tell the best model by {self.monitor!r}, since {what}: all are saved.",
                stacklevel=4,
            )
            return True
        elif not self.improves(value, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {self.best:.5f}")
            return False
        else:
            before = "" if self.best is None else f" from {self.best:.5f}"
            sentence = f"{self.monitor} improved{before} to {value:.5f}, saving the model to {path}"
            self.best = value
        self._say(epoch, sentence)
        return True

    def _say(self, epoch: int, sentence: str) -> None:
        if self.verbose:
            print(f"Epoch {epoch + 1}: {sentence}.")


def _check_names(filepath: str) -> None:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(filepath) if name is not None]
    except ValueError as error:
        raise ValueError(
            f"ModelCheckpoint: filepath {filepath!r} is no format: {error}; write {{{{ for a brace."
        ) from None
    wrong = [name for name in names if not name.isidentifier()]
    if wrong:
        raise ValueError(
            f"ModelCheckpoint: filepath {filepath!r} names {wrong[0]!r}; it may name the epoch and values of the logs, "
            "as in '{epoch:02d}-{val_loss:.2f}.safetensors'."
        )
