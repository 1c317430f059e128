"""Callbacks: what listens to training, and may stop it."""

from __future__ import annotations

import operator
import sys
import time
import warnings
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import registry
from tinygrad_dnn.data import check_count
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.tensor import Tensor


class Logs(MutableMapping[str, Any]):
    """The values of a batch, each fetched from its device when it is first read: as a number, or a NumPy array.

    Args:
        values: Tensors or numbers, by name.

    Example:
        >>> logs = td.callbacks.Logs({"loss": td.tensor(0.5)})
        >>> logs["loss"], dict(logs)
        (0.5, {'loss': 0.5})
    """

    def __init__(self, values: Any = ()) -> None:
        self._values: dict[str, Any] = dict(values)

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if isinstance(value, Tensor):
            value = self._values[key] = value.item() if value.size == 1 else value.numpy()
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values  # without fetching the value, as the inherited method would

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


class Callback:
    """Base of all callbacks: override the methods of the moments to listen to.

    Each moment's ``logs`` has the values known by then: an epoch's are numbers in a dict, to which a callback may add;
    a batch's are ``Logs``. ``self.model`` is the model, ``self.params`` what ``fit`` was asked for (epochs, steps,
    verbose). Set ``self.model.stop_training = True`` to stop after the step in progress, or after the epoch.

    Example:
        >>> class Count(td.callbacks.Callback):
        ...     batches = 0
        ...     def on_train_batch_end(self, batch, logs=None):
        ...         self.batches += 1
    """

    model: Any = None
    params: dict[str, Any] = {}  # noqa: RUF012  # replaced, never changed

    def set_model(self, model: Any) -> None:
        """Be told the model; called before training begins."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Be told what ``fit`` was asked for."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Listen to the begin of training."""

    def on_train_end(self, logs: Any = None) -> None:
        """Listen to the end of training."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Listen to the begin of an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Listen to the end of an epoch; ``logs`` has the validation's values too, as ``val_...``."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of a training step, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of a training step; ``logs`` has the averages of the epoch so far."""

    def on_test_begin(self, logs: Any = None) -> None:
        """Listen to the begin of an evaluation."""

    def on_test_end(self, logs: Any = None) -> None:
        """Listen to the end of an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of an evaluation step."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of an evaluation step."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """Listen to the begin of a prediction."""

    def on_predict_end(self, logs: Any = None) -> None:
        """Listen to the end of a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of a prediction step."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of a prediction step."""


class CallbackList:
    """Several callbacks as one: calls each in turn, and those of a batch only where a class overrides them.

    Args:
        callbacks: Callbacks, their classes or names.
        model: The model that they listen to.
        params: What ``fit`` was asked for.

    Raises:
        TypeError: One of them is no callback.
    """

    def __init__(self, callbacks: Sequence[Any], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = [registry.callbacks.get(callback) for callback in callbacks]
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"a callback is an object of a class derived from td.callbacks.Callback, not {callback!r}."
                )
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
        self._listening: dict[str, list[Any]] = {}

    def __call__(self, moment: str, *args: Any) -> None:
        """Call the method ``on_<moment>`` of each."""
        listening = self._listening.get(moment)
        if listening is None:
            silent = getattr(Callback, f"on_{moment}")
            methods = [getattr(callback, f"on_{moment}") for callback in self.callbacks]
            listening = self._listening[moment] = [m for m in methods if getattr(m, "__func__", m) is not silent]
        for method in listening:
            method(*args)


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

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the values of an epoch."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        on_epoch_begin: Called with (epoch, logs).
        on_epoch_end: Called with (epoch, logs).
        on_train_begin: Called with (logs).
        on_train_end: Called with (logs).
        on_train_batch_begin: Called with (batch, logs).
        on_train_batch_end: Called with (batch, logs).
        **kwargs: Functions for the other moments, by the names of ``Callback``'s methods.

    Raises:
        TypeError: A name is none of a moment, or a function is not callable.

    Example:
        >>> callback = td.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., None] | None = None,
        on_epoch_end: Callable[..., None] | None = None,
        on_train_begin: Callable[..., None] | None = None,
        on_train_end: Callable[..., None] | None = None,
        on_train_batch_begin: Callable[..., None] | None = None,
        on_train_batch_end: Callable[..., None] | None = None,
        **kwargs: Callable[..., None],
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end, **kwargs,
        }  # fmt: skip
        for moment, function in given.items():
            if not moment.startswith("on_") or not hasattr(Callback, moment):
                moments = ", ".join(name for name in dir(Callback) if name.startswith("on_"))
                raise TypeError(f"LambdaCallback: {moment!r} is no moment; choose among {moments}.")
            if function is not None:
                if not callable(function):
                    raise TypeError(f"LambdaCallback: {moment} must be a function, not {function!r}.")
                setattr(self, moment, function)


class EarlyStopping(Callback):
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
        if not isinstance(monitor, str):
            raise ValueError(f"EarlyStopping: monitor must be the name of a value, not {monitor!r}.")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'auto', 'min' or 'max', not {mode!r}.")
        check_count("EarlyStopping: patience", patience, 0)
        check_count("EarlyStopping: start_from_epoch", start_from_epoch, 0)
        for key, value in (("min_delta", min_delta), ("baseline", baseline)):
            if not (isinstance(value, (int, float)) or (key == "baseline" and value is None)):
                raise ValueError(f"EarlyStopping: {key} must be a number, not {value!r}.")
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        watched = monitor.removeprefix("val_")
        rising = ("acc", "auc", "precision", "recall", "f1", "f_beta", "iou", "r2", "cosine_similarity", "top_k")
        upwards = mode == "max" or (mode == "auto" and any(part in watched for part in rising))
        self._better = operator.gt if upwards else operator.lt
        if upwards:
            self.min_delta = -self.min_delta
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

    def _improves(self, value: float, reference: float | None) -> bool:
        return reference is None or bool(self._better(value + self.min_delta, reference))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare the epoch's value with the best so far."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            known = ", ".join(map(repr, logs or ())) or "nothing"
            hint = ": give fit validation_data or validation_split" if self.monitor.startswith("val_") else ""
            warnings.warn(f"EarlyStopping watches {self.monitor!r}, but the logs have {known}{hint}.", stacklevel=2)
            return
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._improves(value, self.best):
            self.best = value
            self._remember(epoch)
            if self._improves(value, self.baseline):
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


class ProgbarLogger(Callback):
    """Shows training: a live bar on a terminal, else one plain line an epoch; ``fit`` adds it unless verbose=0.

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

    def on_train_begin(self, logs: Any = None) -> None:
        """Find out whether there is a terminal to draw on."""
        self._live = sys.stdout.isatty() if self.bar is None else self.bar

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin a bar."""
        self._started = time.perf_counter()
        self._due = 0.0
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
        """Move the bar, at most ten times a second: reading a value waits for the device."""
        if self._progress is None or time.perf_counter() < self._due:
            return
        self._due = time.perf_counter() + 0.1
        self._progress.update(self._task, completed=batch + 1, values=self.text(logs))
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


@hookimpl
def register_callbacks(register: Register) -> None:
    """Register the built-in callbacks, as a plugin registers its own."""
    for callback in (History, LambdaCallback, EarlyStopping, ProgbarLogger):
        register(callback)
