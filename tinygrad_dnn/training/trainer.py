"""Fitting a model to data, evaluating it, predicting with it: ``Trainer``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from tinygrad_dnn import nested, ops
from tinygrad_dnn.callbacks import CallbackList, History, Logs, ProgbarLogger, Progress
from tinygrad_dnn.checks import as_flag, as_integer
from tinygrad_dnn.data import (
    ArrayBatches,
    Batch,
    IterableBatches,
    checked_arrays,
    is_arrays,
    is_batch,
    is_indexed,
    split_validation,
    unpack_x_y_sample_weight,
)
from tinygrad_dnn.interruption import BetweenSteps
from tinygrad_dnn.layers.arguments import is_shape
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.training.examining import Examiner
from tinygrad_dnn.training.outputs import Outputs
from tinygrad_dnn.training.passes import Batches, Pass


class Trainer(Examiner):
    """A layer that can be compiled and trained; ``Model`` adds how it is made of layers."""

    history: History
    stop_training: bool = False
    _unwatched = Examiner._unwatched | {"history", "stop_training", "_programs"}

    # -- training ------------------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train the model.

        Ctrl-C ends training after the step in progress: the model keeps what it learned and ``model.history`` the
        epochs that were finished. So does an exception that a callback raises. A second Ctrl-C does not wait. With the
        callback ``BackupAndRestore``, ``fit`` goes on where it was when it is called again, also by another process.

        On a GPU the data set is brought over once, unless it is too large (see ``td.data.set_resident_limit``), and
        the host waits for no step: what a batch's ``logs`` hold is fetched when a callback reads it, the values of an
        epoch at its end.

        Args:
            x: Inputs, (samples, ...), of a model with several in a list or a dict by name; or an iterable of batches
                (x, y) or (x, y, sample_weight); or what gives such batches by their number, as Keras's ``PyDataset``:
                it has ``__getitem__``, ``__len__`` and, if it likes, ``on_epoch_end``.
            y: Targets, (samples, ...), for several outputs likewise; so are sample weights.
            batch_size: Samples a step, 32 by default.
            epochs: The number of the last epoch.
            verbose: 0 is silent, 1 a live bar (on a terminal), 2 a line an epoch; "auto" is 1.
            callbacks: Callbacks to call, or one.
            validation_split: The part of the samples, from the end, to validate on instead of training, in [0, 1).
            validation_data: (x, y) or (x, y, sample_weight) to validate on after each epoch, or batches of them.
            shuffle: Whether each epoch goes through the samples in a new random order; so it does through batches that
                it asks for by their number, and others keep their order.
            class_weight: How much each class counts, 1 for those left out.
            sample_weight: How much each sample counts.
            initial_epoch: The number of epochs already done.
            steps_per_epoch: How many batches an epoch takes from an iterable; of batches by their number the next epoch
                takes those that follow.
            validation_steps: How many batches a validation takes from an iterable.
            validation_batch_size: Samples a validation step, by default ``batch_size``.
            validation_freq: Validate after every so many epochs.

        Returns:
            The history: ``history.history["loss"]`` and so on, one number an epoch.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
            KeyboardInterrupt: There was a Ctrl-C.

        Example:
            >>> model = td.models.Sequential([td.layers.Dense(1)])
            >>> model.compile(optimizer="sgd", loss="mse")
            >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=2, verbose=0)
            >>> len(history.history["loss"])
            2
        """
        self._require_compiled("fit")
        as_integer(epochs, "fit: epochs", "[1, inf)")
        as_integer(initial_epoch, "fit: initial_epoch", "[0, inf)")
        as_integer(validation_freq, "fit: validation_freq", "[1, inf)")
        as_flag(shuffle, "fit: shuffle")
        _check_verbose("fit", verbose)
        if validation_batch_size is None:
            validation_batch_size = batch_size
        batches: Batches
        if is_arrays(x, y, "fit", self._number_of_inputs()):
            _refuse("fit", _FOR_BATCHES, steps_per_epoch=steps_per_epoch)
            given = Batch(x, y, sample_weight)
            if validation_split and validation_data is None:
                given, validation_data = split_validation(checked_arrays(given, "fit"), validation_split)
            batches = ArrayBatches(
                *given, batch_size, class_weight=class_weight, examine=self._examiner("train_step", "fit")
            )
        else:
            _refuse("fit", _FOR_ARRAYS, validation_split=validation_split or None, sample_weight=sample_weight)
            examine = self._examiner("train_step", "fit")
            batches = IterableBatches(x, steps_per_epoch, goes_on=True, class_weight=class_weight, examine=examine)
        validation = None
        if validation_data is not None:
            validation = self._validation(validation_data, validation_batch_size, validation_steps)
        listeners = _as_list(callbacks)
        if verbose:
            listeners.append(ProgbarLogger(bar=False if verbose == 2 else None))
        params = {"epochs": epochs, "steps": len(batches) or None, "verbose": verbose}
        calls = CallbackList(listeners, self, params)
        if shuffle:
            batches.shuffle(ops.random.generator)
        self.history = History()
        self.history.set_params(params)
        self.stop_training = False
        progress = Progress(self, calls, batches, validation, initial_epoch)
        self._train(progress, epochs, batches, calls, validation, validation_freq)
        return self.history

    def _train(
        self,
        progress: Progress,
        epochs: int,
        batches: Batches,
        calls: CallbackList,
        validation: Batches | None,
        validation_freq: int,
    ) -> None:
        with contextlib.ExitStack() as closing, BetweenSteps() as between:
            for callback in calls.callbacks:
                closing.callback(callback.close)
            calls("train_begin", Logs())
            calls("resume", progress)
            logs: dict[str, Any] = dict(progress.logs)
            for epoch in () if progress.ended else range(progress.epoch, epochs):
                logs = self._train_epoch(progress, batches, calls, between, epochs)
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    values = self._test_epoch(validation, calls, between, epochs // validation_freq)
                    logs.update({f"val_{key}": value for key, value in values.items()})
                try:
                    calls("epoch_end", epoch, logs)
                finally:
                    # After the others, who may add to the logs; and even if one of them raises: the epoch was run.
                    self.history.on_epoch_end(epoch, logs)
                progress.epoch, progress.step, progress.logs = epoch + 1, 0, logs
                calls("progress", progress)
                if self.stop_training:
                    break
            self.optimizer.finalize_variable_values(self.trainable_weights)
            calls("train_end", logs)
            progress.finished = True
            calls("progress", progress)

    def _train_epoch(
        self, progress: Progress, batches: Batches, calls: CallbackList, between: BetweenSteps, epochs: int
    ) -> dict[str, Any]:
        logs = Logs(progress.logs if progress.step else ())
        if not progress.step:
            self.reset_metrics()
            progress.means = None
            calls("epoch_begin", progress.epoch, Logs())
        one = Pass(self, "train", batches, calls, epochs)
        for step, batch in enumerate(() if progress.stopped else between.waiting(batches), progress.step):
            if progress.means is not None:
                progress.restore_means(batch)
            logs = one.step(step, batch)
            progress.step, progress.logs = step + 1, logs
            calls("progress", progress)
            if self.stop_training:
                break
        return dict(logs)

    def _validation(self, data: Any, batch_size: int | None, steps: int | None) -> Batches:
        caller = "fit, validation_data"
        examine = self._examiner("test_step", caller)
        if isinstance(data, Tensor) or hasattr(data, "__array__"):
            raise ValueError(f"{caller}: it must be a tuple (x, y) or batches of such, not inputs alone.")
        if isinstance(data, (tuple, list)) and data and (not is_batch(data[0]) or self._is_pair(data)):
            _refuse(caller, _FOR_BATCHES, validation_steps=steps)
            batch = unpack_x_y_sample_weight(tuple(data))
            return ArrayBatches(*batch, batch_size, caller=caller, examine=examine)
        if not isinstance(data, Iterable) and not is_indexed(data):
            raise ValueError(f"{caller}: it must be a tuple (x, y) or batches of such, not {type(data).__name__}.")
        return IterableBatches(data, steps, caller=caller, examine=examine)

    def _is_pair(self, data: Any) -> bool:
        """Tell whether data whose first part could be a batch hold several inputs there, so that they are (x, y)."""
        first = data[0]
        several = isinstance(first, list) or self._number_of_inputs() > 1
        return isinstance(data, tuple) and several and all(getattr(part, "ndim", 0) for part in first)

    def _number_of_inputs(self) -> int:
        """Return how many inputs the model is known to have, by its graph or since it was built; else 1."""
        return len(self.inputs) or sum(1 for _ in nested.leaves(self._build_shape, is_shape))

    # -- evaluating, predicting --------------------------------------------------------------------------------------

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and the metrics on data, with the model as at inference.

        Args:
            x: Inputs, or an iterable of batches, as for ``fit``.
            y: Targets.
            batch_size: Samples a step, 32 by default.
            verbose: 0 is silent, else the values are printed on one line.
            sample_weight: How much each sample counts.
            steps: How many batches to take from an iterable.
            callbacks: Callbacks to call, or one.
            return_dict: Return the values by name instead of as a list, or as a number where the loss is the only one.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
        """
        self._require_compiled("evaluate")
        _check_verbose("evaluate", verbose)
        examine = self._examiner("test_step", "evaluate")
        batches: Batches
        if is_arrays(x, y, "evaluate", self._number_of_inputs()):
            _refuse("evaluate", _FOR_BATCHES, steps=steps)
            batches = ArrayBatches(x, y, sample_weight, batch_size, caller="evaluate", examine=examine)
        else:
            _refuse("evaluate", _FOR_ARRAYS, sample_weight=sample_weight)
            batches = IterableBatches(x, steps, caller="evaluate", examine=examine)
        calls = CallbackList(_as_list(callbacks), self, {"steps": len(batches) or None, "verbose": verbose})
        values = self._test_epoch(batches, calls)
        if verbose:
            print(ProgbarLogger.text(values), flush=True)
        return _returned(values, return_dict)

    def _test_epoch(
        self, batches: Batches, calls: CallbackList, between: BetweenSteps | None = None, epochs: int = 1
    ) -> dict[str, Any]:
        self.reset_metrics()
        calls("test_begin", Logs())
        one = Pass(self, "test", batches, calls, epochs)
        logs = Logs()
        for step, batch in enumerate(batches if between is None else between.waiting(batches)):
            logs = one.step(step, batch)
        calls("test_end", logs)
        return dict(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Return the outputs for data as one NumPy array, or as many as there are, with the model as at inference.

        Args:
            x: Inputs as for ``fit``; or an iterable of batches.
            batch_size: Samples a step, 32 by default.
            verbose: Accepted as Keras's; nothing is printed.
            steps: How many batches to take from an iterable.
            callbacks: Callbacks to call, or one.

        Raises:
            ValueError: The data do not fit the model.
        """
        batches: Batches
        if is_arrays(x, None, "predict", self._number_of_inputs()):
            _refuse("predict", _FOR_BATCHES, steps=steps)
            batches = ArrayBatches(x, batch_size=batch_size, caller="predict")
        else:
            batches = IterableBatches(x, steps, caller="predict")
        calls = CallbackList(_as_list(callbacks), self, {"steps": len(batches) or None, "verbose": verbose})
        calls("predict_begin", Logs())
        one = Pass(self, "predict", batches, calls)
        outputs = Outputs(self.name)
        for step, batch in enumerate(batches):
            outputs.add(one.step(step, batch))
        calls("predict_end", Logs())
        return outputs.joined()

    # -- one batch -----------------------------------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Learn from one batch; return its loss and metrics, as ``evaluate`` does.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
        """
        return self._on_batch("train", Batch(x, y, sample_weight), class_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Evaluate one batch; return its loss and metrics, as ``evaluate`` does.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
        """
        return self._on_batch("test", Batch(x, y, sample_weight), None, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch as a NumPy array, or as many as there are.

        Raises:
            ValueError: The data do not fit the model.
        """
        (batch,) = IterableBatches([(x,)], caller="predict_on_batch")
        return nested.map_leaves(lambda part: part.numpy(), Pass(self, "predict").step(0, batch))

    def _on_batch(self, kind: str, given: Batch, class_weight: Any, return_dict: bool) -> Any:
        caller = f"{kind}_on_batch"
        self._require_compiled(caller)
        (batch,) = IterableBatches(
            [tuple(given)], class_weight=class_weight, caller=caller, examine=self._examiner(f"{kind}_step", caller)
        )
        self.reset_metrics()
        return _returned(dict(Pass(self, kind).step(0, batch)), return_dict)


def _returned(values: dict[str, Any], return_dict: bool) -> Any:
    """Return values by name, as a list, or the only one, as Keras does."""
    if return_dict:
        return values
    return list(values.values()) if len(values) != 1 else next(iter(values.values()))


def _check_verbose(caller: str, verbose: Any) -> None:
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f"{caller}: verbose must be 0, 1, 2 or 'auto', not {verbose!r}.")


def _as_list(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


_FOR_BATCHES = "is for an iterable of batches, and these data are all samples at once"
_FOR_ARRAYS = "is for arrays, and these data are an iterable of batches"


def _refuse(caller: str, reason: str, **given: Any) -> None:
    """Raise ValueError if an argument was given that says nothing about this kind of data."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{caller}: {name} {reason}: leave it out.")
