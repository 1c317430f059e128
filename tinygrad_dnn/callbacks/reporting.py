"""Callbacks that keep or show the values of training: History, CSVLogger, ProgbarLogger."""

from __future__ import annotations

import csv
import os
import sys
import time
import warnings
from typing import Any

import numpy as np

from tinygrad_dnn.callbacks.base import Callback
from tinygrad_dnn.checks import as_flag, as_path


class History(Callback):
    """Keeps the values of each epoch; ``fit`` returns one.

    Attributes:
        history: Lists of one number an epoch, by name: "loss", "accuracy", "val_loss" ...
        epoch: The number of each epoch, from ``initial_epoch`` on.

    Example:
        >>> td.callbacks.History().history
        {}
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget what an earlier training left."""
        self.history, self.epoch = {}, []

    def get_state(self) -> dict[str, Any]:
        """Return all values so far."""
        return {"history": self.history, "epoch": self.epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` returned."""
        self.history = {key: list(values) for key, values in state["history"].items()}
        self.epoch = list(state["epoch"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the values of an epoch."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class CSVLogger(Callback):
    """Writes the values of each epoch to a CSV file, one row an epoch, complete after each.

    Where an interrupted training goes on, so does its file: rows of epochs that are run again are taken out of it.

    The columns are "epoch", counted from 0, and the values of the first epoch in alphabetical order, with those of the
    validation even where it comes later; what an epoch lacks is "NA".

    Args:
        filename: The file's path.
        separator: What stands between two values, one character.
        append: Whether rows are added to what the file has; else it is begun anew with the first row. A file with a
            header keeps its columns; a value without one is left out, with a warning.

    Raises:
        TypeError: ``filename`` is no path.
        ValueError: ``separator`` is not one character.
        OSError: The file cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> model = td.models.Sequential([td.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     logger = td.callbacks.CSVLogger(f"{folder}/log.csv")
        ...     history = model.fit(np.ones((4, 2)), np.ones((4, 1)), callbacks=[logger], verbose=0)
        ...     print(pathlib.Path(logger.filename).read_text().splitlines()[0])
        epoch,loss,val_loss
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, not {separator!r}.")
        self.filename = as_path(filename, "CSVLogger: filename")
        self.separator = separator
        self.append = as_flag(append, "CSVLogger: append")
        self._columns: list[str] = []
        self._left_out: list[str] = []
        self._anew = True

    def on_train_begin(self, logs: Any = None) -> None:
        """Make sure that the file can be written, and read what its columns are if it is to go on."""
        self._columns, self._left_out = [], []
        self._anew = not self.append
        # Opened to be written even then, so that a path that cannot be is refused before training.
        with open(self.filename, "a+", newline="", encoding="utf-8") as file:
            if self.append:
                file.seek(0)
                self._columns = next(csv.reader(file, delimiter=self.separator), [])

    def get_state(self) -> dict[str, Any]:
        """Return the columns, and how long the file is."""
        length = -1 if self._anew else os.path.getsize(self.filename)
        return {"columns": self._columns, "left_out": self._left_out, "length": length}

    def set_state(self, state: dict[str, Any]) -> None:
        """Let the file be what it was then: without the rows that came after."""
        if state["length"] < 0 or os.path.getsize(self.filename) < state["length"]:
            return  # it is begun anew: there was no row yet, or they are gone
        self._columns, self._left_out, self._anew = state["columns"], state["left_out"], False
        os.truncate(self.filename, state["length"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add a row."""
        values = dict(logs or {})
        mode, self._anew = "w" if self._anew else "a", False
        # Opened for each row: what was written is in the file, however training ends.
        with open(self.filename, mode, newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            if not self._columns:
                names = sorted(values)
                if not any(name.startswith("val_") for name in names):
                    names += [f"val_{name}" for name in names if name != "learning_rate"]
                self._columns = ["epoch", *names]
                writer.writerow(self._columns)
            lacking = sorted(values.keys() - {*self._columns, *self._left_out})
            if lacking:
                self._left_out += lacking
                warnings.warn(
                    f"CSVLogger: {self.filename} has the columns {self._columns} and none for {lacking}, which is left "
                    "out of it: begin another file.",
                    stacklevel=2,
                )
            row = {"epoch": epoch, **values}
            writer.writerow([row.get(column, "NA") for column in self._columns])


class ProgbarLogger(Callback):
    """Shows training: a live bar on a terminal, else one plain line an epoch; ``fit`` adds it unless verbose=0.

    The bar moves ten times a second. Its values are those of the step where it is, but of a model on a device they are
    read once a second at most, since that waits for the device; without a bar, they are read when an epoch has ended.

    Args:
        bar: True for the live bar, False for lines; by default the bar where the output is a terminal.

    Example:
        >>> callback = td.callbacks.ProgbarLogger(bar=False)
    """

    def __init__(self, bar: bool | None = None) -> None:
        self.bar = bar
        self._progress: Any = None
        self._task: Any = None
        self._due = 0.0
        self._values_due = 0.0
        self._values = ""

    def on_train_begin(self, logs: Any = None) -> None:
        """Find out whether there is a terminal to draw on."""
        isatty = getattr(sys.stdout, "isatty", None)  # what replaces stdout may lack it
        self._live = (isatty is not None and isatty()) if self.bar is None else self.bar

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin a bar."""
        self._started = time.perf_counter()
        self._due = self._values_due = 0.0
        if self._live:
            self._begin_bar(epoch)

    def _begin_bar(self, epoch: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn(f"Epoch {epoch + 1}/{self.params.get('epochs', '?')}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
            transient=True,
            auto_refresh=False,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=self.params.get("steps") or None, values="")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar, at most ten times a second."""
        now = time.perf_counter()
        if self._progress is None or now < self._due:
            return
        self._due = now + 0.1
        if getattr(logs, "at_hand", True) or now >= self._values_due:
            self._values = self.text(logs)
            self._values_due = now + 1.0
        self._progress.update(self._task, completed=batch + 1, values=self._values)
        self._progress.refresh()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Leave one line for the epoch."""
        self.close()
        seconds = time.perf_counter() - self._started
        print(f"Epoch {epoch + 1}/{self.params.get('epochs', '?')} - {seconds:.1f} s - {self.text(logs)}", flush=True)

    def on_train_end(self, logs: Any = None) -> None:
        """Leave the terminal as it was."""
        self.close()

    def close(self) -> None:
        """Take the bar off the terminal; training that ends in an error calls it too."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    @staticmethod
    def text(logs: Any) -> str:
        """Return the values of an epoch or a batch as one line."""
        return " - ".join(f"{key}: {_number(value)}" for key, value in (logs or {}).items())


def _number(value: Any) -> str:
    if not isinstance(value, (int, float, np.number)):
        return str(value)
    number = float(value)
    return f"{number:.4f}" if number == 0 or abs(number) >= 1e-3 else f"{number:.4e}"
