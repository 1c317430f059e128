"""The callback that writes training to event files, which TensorBoard draws."""

from __future__ import annotations

import itertools
import os
import socket
import time
from typing import Any

import numpy as np

from tinygrad_dnn.callbacks.base import Callback
from tinygrad_dnn.checks import as_flag, as_integer

# Two files that one process opens in the same second get different names.
_file_numbers = itertools.count()


class TensorBoard(Callback):
    """Writes the values of training to event files; ``tensorboard --logdir logs`` draws them.

    The folder "train" inside ``log_dir`` has the training's series, "validation" the validation's: "epoch_loss",
    "epoch_accuracy" and so on by epoch, counted from 0; the learning rate as "epoch_learning_rate"; and after each
    evaluation "evaluation_loss_vs_iterations" and so on by the optimizer's steps. Values that are no single number are
    left out. The files are complete after each epoch, and closed however training ends.

    Needs tensorboardX: ``pip install 'tinygrad-dnn[tensorboard]'``.

    Args:
        log_dir: The folder, created where there is none. Each training adds files to it.
        histogram_freq: Write a histogram of each weight's finite values after every so many epochs, "<path>/histogram";
            0 for never. It does not need validation data, as Keras's does.
        write_graph: Whether to write the table of the layers, as the text "model" (Keras's writes its configuration).
        write_images: Only False: weights are not written as images.
        write_steps_per_second: Whether to write the speed too, as "epoch_steps_per_second" and, where series by batch
            are written, "batch_steps_per_second".
        update_freq: "epoch", or after how many steps the training's averages of the epoch so far are written as
            "batch_loss" and so on, counted from 1; "batch" is 1. Each such value waits for the device.
        profile_batch: Only 0: no step is profiled.
        embeddings_freq: Only 0: there are no embedding layers.
        embeddings_metadata: Only None.

    Raises:
        TypeError: ``log_dir`` is no path.
        ValueError: An argument is out of its range.
        ImportError: Training begins and tensorboardX is not installed.
        OSError: A file cannot be written.

    Example:
        >>> import os, tempfile
        >>> model = td.models.Sequential([td.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     board = td.callbacks.TensorBoard(folder, histogram_freq=1)
        ...     history = model.fit(np.ones((4, 2)), np.ones((4, 1)), callbacks=[board], verbose=0)
        ...     print(os.listdir(folder))
        ['train']
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: int | str = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: None = None,
    ) -> None:
        if not isinstance(log_dir, (str, os.PathLike)):
            raise TypeError(f"TensorBoard: log_dir must be the path of a folder, not {log_dir!r}.")
        as_integer(histogram_freq, "TensorBoard: histogram_freq", "[0, inf)")
        if not isinstance(update_freq, str) or update_freq not in ("batch", "epoch"):
            words = "'epoch', 'batch' or an integer of at least 1"
            update_freq = as_integer(update_freq, "TensorBoard: update_freq", "[1, inf)", words)
        settled: tuple[tuple[str, Any, Any], ...] = (
            ("write_images", write_images, False), ("profile_batch", profile_batch, 0),
            ("embeddings_freq", embeddings_freq, 0), ("embeddings_metadata", embeddings_metadata, None),
        )  # fmt: skip
        for name, value, only in settled:
            if np.ndim(value) or value != only:
                raise ValueError(f"TensorBoard: {name} is accepted only as {only}, not {value!r}: leave it out.")
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = as_flag(write_graph, "TensorBoard: write_graph")
        self.write_steps_per_second = as_flag(write_steps_per_second, "TensorBoard: write_steps_per_second")
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._files: dict[str, _EventFile] = {}
        self._training = False
        self._step = 0

    def _file(self, part: str) -> _EventFile:
        """Return the file of "train" or "validation", opened when it is first written to."""
        if part not in self._files:
            self._files[part] = _EventFile(os.path.join(self.log_dir, part))
        return self._files[part]

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the training's file, so that a folder that cannot be written is refused before training."""
        self.close()
        self._training = True
        self._step = 0
        self._graph_due = self.write_graph
        self._file("train")

    def get_state(self) -> dict[str, Any]:
        """Return how many steps were made, by which the series go on, and whether the table was written."""
        return {"step": self._step, "graph_due": self._graph_due}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` returned; the speed is that since then."""
        self._step, self._graph_due = state["step"], state["graph_due"]
        self._epoch_began = time.perf_counter(), self._step

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note when the epoch begins."""
        self._epoch_began = time.perf_counter(), self._step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Note when the step begins."""
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the values by step where they are due."""
        self._step += 1
        if self.update_freq == "epoch" or self._step % int(self.update_freq):
            return
        values = dict(logs or {})
        if self.write_steps_per_second:
            values["steps_per_second"] = 1 / max(time.perf_counter() - self._step_began, 1e-9)
        self._file("train").scalars("batch_", values, self._step)

    def on_test_end(self, logs: Any = None) -> None:
        """Write an evaluation's values by the optimizer's steps."""
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None:
            named = {f"{name}_vs_iterations": value for name, value in (logs or {}).items()}
            self._file("validation").scalars("evaluation_", named, int(optimizer.iterations))
        if not self._training:
            self.close()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the values of the epoch, and the histograms where they are due."""
        values = dict(logs or {})
        validation = {name.removeprefix("val_"): values.pop(name) for name in list(values) if name.startswith("val_")}
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            began, first = self._epoch_began
            values["steps_per_second"] = (self._step - first) / max(time.perf_counter() - began, 1e-9)
        train = self._file("train")
        train.scalars("epoch_", values, epoch)
        if validation:
            self._file("validation").scalars("epoch_", validation, epoch)
        if self._graph_due:  # only now is a model surely built that was given batches
            self._graph_due = False
            train.text("model", _table(self.model))
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for weight in self.model.weights:
                train.histogram(f"{weight.path}/histogram", weight.numpy(), epoch)
        for file in self._files.values():
            file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the files; ``fit`` calls it however training ends."""
        self._training = False
        while self._files:
            self._files.popitem()[1].close()


class _EventFile:
    """An event file in a folder, written as it is told: no thread, so that a full disk is an error where it happens.

    Raises:
        ImportError: tensorboardX is not installed.
        OSError: The file cannot be written.
    """

    def __init__(self, folder: str) -> None:
        self._library = _tensorboard_x()
        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}"
        self._records = self._library.RecordWriter(os.path.join(folder, name))
        self._write(file_version="brain.Event:2")
        self.flush()

    def _write(self, **content: Any) -> None:
        event = self._library.proto.event_pb2.Event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())

    def scalars(self, prefix: str, values: dict[str, Any], step: int) -> None:
        for name, value in values.items():
            array = np.asarray(value)
            if array.size == 1 and array.dtype.kind in "fiub":
                self._write(summary=self._library.summary.scalar(prefix + name, array.item()), step=step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        finite = values[np.isfinite(values)]  # a histogram has no place for the others, and training may go on
        if finite.size:
            self._write(summary=self._library.summary.histogram(name, finite, bins=30), step=step)

    def text(self, name: str, text: str) -> None:
        self._write(summary=self._library.summary.text(name, text))

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


def _tensorboard_x() -> Any:
    try:
        import tensorboardX
    except ImportError as error:
        raise ImportError("TensorBoard needs tensorboardX: pip install 'tinygrad-dnn[tensorboard]'.") from error
    return tensorboardX


def _table(model: Any) -> str:
    """Return what ``summary`` prints, indented, which TensorBoard's texts show as it is."""
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return "".join(f"    {line}\n" for line in lines)
