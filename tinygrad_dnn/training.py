"""Compiling, fitting, evaluating, predicting: what turns a model into one that learns."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from tinygrad_dnn import autograd, backend, metrics, ops, registry
from tinygrad_dnn.callbacks import CallbackList, History, Logs, ProgbarLogger
from tinygrad_dnn.data import (
    ArrayBatches,
    Batch,
    IterableBatches,
    class_weights,
    is_arrays,
    split_validation,
    to_host,
    unpack_x_y_sample_weight,
)
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.losses import Loss
from tinygrad_dnn.optimizers import Optimizer
from tinygrad_dnn.tensor import Tensor, as_tensor


class Trainer(Layer):
    """A layer that can be compiled and trained; ``Model`` adds how it is made of layers."""

    optimizer: Optimizer
    history: History
    stop_training: bool = False
    _loss: Any = None
    _compiled: bool = False

    # -- compiling ---------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
    ) -> None:
        """Say how the model is to learn; compiling again starts with a new optimizer's state.

        Args:
            optimizer: A registered name or an ``Optimizer``.
            loss: A registered name, a ``Loss``, or a function ``(y_true, y_pred)`` that returns one value a sample.
            metrics: Registered names, ``Metric`` objects, or functions ``(y_true, y_pred)``; "accuracy" becomes the
                sparse, categorical or binary one by the shapes of targets and outputs.
            weighted_metrics: The same, but weighted by sample and class weights.
            run_eagerly: Run each step operation by operation.
            jit_compile: "auto" or False; every step runs eagerly so far, and True says so.

        Raises:
            ValueError: A name is unknown.
            NotImplementedError: ``jit_compile=True``.

        Example:
            >>> model = td.models.Sequential([td.layers.Dense(1)])
            >>> model.compile(optimizer="sgd", loss="mse")
        """
        if jit_compile is True:
            raise NotImplementedError("compile: there is no compiler yet; leave jit_compile at 'auto'.")
        self.optimizer = registry.optimizers.get(optimizer)
        self._loss = registry.losses.get(loss)
        self._compiled_metrics = [_CompiledMetric(m, weighted=False) for m in metrics or ()]
        self._compiled_metrics += [_CompiledMetric(m, weighted=True) for m in weighted_metrics or ()]
        self._loss_tracker = _new_loss_tracker()
        self.run_eagerly = run_eagerly
        self._compiled = True

    def _require_compiled(self, caller: str) -> None:
        if not self._compiled:
            raise RuntimeError(
                f"{caller}: the model {self.name!r} is not compiled; call model.compile(optimizer=..., loss=...) first."
            )

    @property
    def metrics(self) -> list[metrics.Metric]:
        """The loss's running mean and the metrics, as far as their kinds are known."""
        if not self._compiled:
            return []
        return [self._loss_tracker, *(m.metric for m in self._compiled_metrics if m.metric is not None)]

    def reset_metrics(self) -> None:
        """Begin all running means anew; ``fit`` does so at each epoch."""
        for metric in self.metrics:
            metric.reset_state()

    # -- one step ----------------------------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """Learn from one batch; override it for another way of learning.

        Args:
            data: (x, y) or (x, y, sample_weight), Tensors.

        Returns:
            The running means to show, 0-d Tensors by name.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, sample_weight)
        weights = self.trainable_weights
        if not weights:
            raise ValueError(
                f"model {self.name!r} has no trainable weights: unfreeze a layer, or add one with weights."
            )
        grads = autograd.grad(loss, weights, allow_unused=True)
        self.optimizer.apply(grads, weights)
        return self._track(loss, x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluate one batch; returns as ``train_step`` does."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with no_grad():
            y_pred = self(x, training=False)
            loss = self.compute_loss(x, y, y_pred, sample_weight)
            return self._track(loss, x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Tensor:
        """Return the outputs for one batch."""
        with no_grad():
            outputs: Tensor = self(unpack_x_y_sample_weight(data).x, training=False)
            return outputs

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Return the loss of a batch, a 0-d Tensor: the compiled loss's mean, and all penalties of ``losses``.

        Raises:
            ValueError: There is neither a loss nor a penalty, or the loss needs targets and there are none.
        """
        parts = list(self.losses)
        if self._loss is not None:
            if y is None:
                raise ValueError(f"the loss of model {self.name!r} needs targets: give fit or evaluate y.")
            parts.insert(0, _reduced(self._loss, y, y_pred, sample_weight))
        if not parts:
            raise ValueError(f"model {self.name!r} was compiled without a loss and no layer adds one: name a loss.")
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the compiled metrics with a batch and return all running means."""
        with no_grad():
            for compiled in self._compiled_metrics:
                compiled.update(y, y_pred.detach(), sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the running means, 0-d Tensors by name."""
        with no_grad():
            return {metric.name: metric.result() for metric in self.metrics}

    def _track(self, loss: Tensor, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        with no_grad():
            self._loss_tracker.update_state(loss.detach(), sample_weight=float(_length(x)))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    # -- many steps ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Any] | None = None,
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
        epochs that were finished. So does an exception that a callback raises.

        Args:
            x: Inputs, (samples, ...); or an iterable of batches (x, y) or (x, y, sample_weight).
            y: Targets, (samples, ...).
            batch_size: Samples a step, 32 by default.
            epochs: The number of the last epoch.
            verbose: 0 is silent, 1 a live bar (on a terminal), 2 a line an epoch; "auto" is 1.
            callbacks: Callbacks to call.
            validation_split: The part of the samples, from the end, to validate on instead of training, in [0, 1).
            validation_data: (x, y) or (x, y, sample_weight) to validate on after each epoch, or batches of them.
            shuffle: Whether each epoch goes through the samples in a new random order.
            class_weight: How much each class counts, 1 for those left out.
            sample_weight: How much each sample counts.
            initial_epoch: The number of epochs already done.
            steps_per_epoch: How many batches an epoch takes from an iterable.
            validation_steps: How many batches a validation takes from an iterable.
            validation_batch_size: Samples a validation step, by default ``batch_size``.
            validation_freq: Validate after every so many epochs.

        Returns:
            The history: ``history.history["loss"]`` and so on, one number an epoch.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.

        Example:
            >>> model = td.models.Sequential([td.layers.Dense(1)])
            >>> model.compile(optimizer="sgd", loss="mse")
            >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=2, verbose=0)
            >>> len(history.history["loss"])
            2
        """
        self._require_compiled("fit")
        _check_count("epochs", epochs, 1)
        _check_count("initial_epoch", initial_epoch, 0)
        _check_count("validation_freq", validation_freq, 1)
        if x is None:
            raise ValueError("fit: there is no x to train on.")
        batches: ArrayBatches | IterableBatches
        if is_arrays(x, y):
            if validation_split and validation_data is None:
                (x, y, sample_weight), validation_data = split_validation((x, y, sample_weight), validation_split)
            weights = class_weights(y, class_weight, sample_weight)
            rng = ops.random.generator() if shuffle else None
            batches = ArrayBatches(x, y, weights, batch_size, rng)
            self._probe(batches)
        else:
            if validation_split or sample_weight is not None:
                raise ValueError("fit: validation_split and sample_weight are for arrays, not for batches.")
            batches = IterableBatches(x, steps_per_epoch, class_weight)
        validation = None
        if validation_data is not None:
            validation = self._validation(validation_data, validation_batch_size or batch_size, validation_steps)
        listeners = list(callbacks or ())
        if verbose:
            listeners.append(ProgbarLogger(bar=False if verbose == 2 else None))
        self.history = History()
        params = {"epochs": epochs, "steps": len(batches), "verbose": verbose}
        calls = CallbackList([*listeners, self.history], self, params)
        self.stop_training = False
        with _BetweenSteps() as between, _ClosingBars(listeners):
            calls("train_begin", Logs())
            logs = Logs()
            for epoch in range(initial_epoch, epochs):
                logs = self._train_epoch(epoch, batches, calls, between)
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    for key, value in self._test_epoch(validation, calls, between).items():
                        logs[f"val_{key}"] = value
                calls("epoch_end", epoch, logs)
                if self.stop_training:
                    break
            calls("train_end", logs)
        return self.history

    def _train_epoch(
        self, epoch: int, batches: ArrayBatches | IterableBatches, calls: CallbackList, between: _BetweenSteps
    ) -> Logs:
        self.reset_metrics()
        calls("epoch_begin", epoch, Logs())
        largest = self._largest_matrix()
        logs = Logs()
        for step, batch in enumerate(batches):
            calls("train_batch_begin", step, Logs())
            with self._products(batch, largest):
                logs = Logs(self.train_step(_packed(batch)))
            calls("train_batch_end", step, logs)
            between.check()
            if self.stop_training:
                break
        return Logs(dict(logs))  # fetched now, before validation begins the running means anew

    def _test_epoch(
        self, batches: ArrayBatches | IterableBatches, calls: CallbackList, between: _BetweenSteps | None = None
    ) -> dict[str, Any]:
        self.reset_metrics()
        calls("test_begin", Logs())
        largest = self._largest_matrix()
        logs = Logs()
        for step, batch in enumerate(batches):
            calls("test_batch_begin", step, Logs())
            with self._products(batch, largest):
                logs = Logs(self.test_step(_packed(batch)))
            calls("test_batch_end", step, logs)
            if between is not None:
                between.check()
        calls("test_end", logs)
        return dict(logs)

    def _largest_matrix(self) -> int:
        return max((w.size for w in self.weights if w.ndim > 1), default=0)

    @staticmethod
    def _products(batch: Batch, largest: int) -> contextlib.AbstractContextManager[object]:
        return backend.current().products_of(_length(batch.x) * largest)

    def _validation(self, data: Any, batch_size: int | None, steps: int | None) -> ArrayBatches | IterableBatches:
        if isinstance(data, (tuple, list)) and data and not isinstance(data[0], tuple):
            batch = unpack_x_y_sample_weight(tuple(data))
            batches = ArrayBatches(*batch, batch_size=batch_size, caller="fit, validation_data")
            self._probe(batches)
            return batches
        return IterableBatches(data, steps, caller="fit, validation_data")

    def _probe(self, batches: ArrayBatches) -> None:
        """Build the model on the first sample, and let the loss look at the targets before anything is trained."""
        x, y, _ = batches.sources
        assert x is not None
        outputs = self.predict_step((x[:1],))
        check = getattr(self._loss, "check_targets", None)
        if check is not None and y is not None:
            check(y, outputs.shape)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
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
            callbacks: Callbacks to call.
            return_dict: Return the values by name instead of as a list, or as a number where the loss is the only one.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
        """
        self._require_compiled("evaluate")
        batches: ArrayBatches | IterableBatches
        if is_arrays(x, y):
            batches = ArrayBatches(x, y, sample_weight, batch_size, caller="evaluate")
            self._probe(batches)
        else:
            batches = IterableBatches(x, steps, caller="evaluate")
        calls = CallbackList(callbacks or (), self, {"steps": len(batches), "verbose": verbose})
        values = self._test_epoch(batches, calls)
        if verbose:
            print(" - ".join(f"{key}: {value:.4f}" for key, value in values.items()), flush=True)
        if return_dict:
            return values
        return list(values.values()) if len(values) > 1 else values["loss"]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
    ) -> np.ndarray:
        """Return the outputs for data as one NumPy array, with the model as at inference.

        Args:
            x: Inputs, (samples, ...); or an iterable of batches.
            batch_size: Samples a step, 32 by default.
            verbose: Accepted as Keras's; nothing is printed.
            steps: How many batches to take from an iterable.
            callbacks: Callbacks to call.

        Raises:
            ValueError: The data do not fit the model.
        """
        batches: ArrayBatches | IterableBatches
        if is_arrays(x, None):
            batches = ArrayBatches(x, batch_size=batch_size, caller="predict")
        else:
            batches = IterableBatches(x, steps, caller="predict")
        calls = CallbackList(callbacks or (), self, {"steps": len(batches), "verbose": verbose})
        calls("predict_begin", Logs())
        largest = self._largest_matrix()
        outputs = []
        for step, batch in enumerate(batches):
            calls("predict_batch_begin", step, Logs())
            with self._products(batch, largest):
                outputs.append(self.predict_step(_packed(batch)))
            calls("predict_batch_end", step, Logs({"outputs": outputs[-1]}))
        calls("predict_end", Logs())
        return to_host(outputs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Learn from one batch; return the running means since the last ``reset_metrics``, as ``evaluate`` does.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
        """
        self._require_compiled("train_on_batch")
        return self._on_batch(self.train_step, x, y, class_weights(y, class_weight, sample_weight), return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Evaluate one batch; return the running means since the last ``reset_metrics``, as ``evaluate`` does.

        Raises:
            RuntimeError: The model is not compiled.
            ValueError: The data do not fit each other, the model or the loss.
        """
        self._require_compiled("test_on_batch")
        return self._on_batch(self.test_step, x, y, sample_weight, return_dict)

    def _on_batch(
        self, step: Callable[[Any], dict[str, Any]], x: Any, y: Any, sample_weight: Any, return_dict: bool
    ) -> Any:
        caller = step.__name__.replace("step", "on_batch")
        batches = ArrayBatches(x, y, sample_weight, batch_size=2**62, caller=caller)
        self._probe(batches)
        batch = Batch(*batches.sources)
        with self._products(batch, self._largest_matrix()):
            values = dict(Logs(step(_packed(batch))))
        if return_dict:
            return values
        return list(values.values()) if len(values) > 1 else values["loss"]


class _CompiledMetric:
    """A metric as it was named in ``compile``, made when the shapes of targets and outputs are known."""

    def __init__(self, identifier: Any, weighted: bool) -> None:
        self.identifier = identifier
        self.weighted = weighted
        self.metric: metrics.Metric | None = None
        if identifier not in ("accuracy", "acc"):
            found = registry.metrics.get(identifier)
            self.metric = found if hasattr(found, "update_state") else metrics.MeanMetricWrapper(found)

    def update(self, y: Any, y_pred: Tensor, sample_weight: Any) -> None:
        if self.metric is None:
            self.metric = metrics.resolve_accuracy(y.shape, y_pred.shape)(name=self.identifier)
        self.metric.update_state(y, y_pred, sample_weight=sample_weight if self.weighted else None)


def _new_loss_tracker() -> metrics.Metric:
    return metrics.Mean(name="loss")


def _reduced(loss: Any, y: Any, y_pred: Tensor, sample_weight: Any) -> Tensor:
    """Return the mean over the batch of a loss, weighted: the sum of weight * value over the number of values."""
    if isinstance(loss, Loss):
        return loss(y, y_pred, sample_weight=sample_weight)
    values = as_tensor(loss(y, y_pred))
    if sample_weight is not None:
        if not values.ndim:
            raise ValueError("the loss returns one number for the whole batch, so its samples cannot be weighted.")
        weight = ops.cast(sample_weight, values.dtype)
        values = values * ops.reshape(weight, (-1,) + (1,) * (values.ndim - 1))
    return ops.mean(values)


def _packed(batch: Batch) -> Any:
    """Return a batch as Keras hands it to ``train_step``: x, (x, y) or (x, y, sample_weight)."""
    if batch.sample_weight is not None:
        return tuple(batch)
    return (batch.x, batch.y) if batch.y is not None else batch.x


def _length(x: Any) -> int:
    return len(x[0]) if isinstance(x, (list, tuple)) else len(x)


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"fit: {name} must be an integer of at least {least}, not {value!r}.")


class _BetweenSteps:
    """Holds a Ctrl-C back until a training step is complete, so that no weight is left half updated.

    A second Ctrl-C is not held back. Only the main thread gets signals; elsewhere this does nothing, nor does it
    where the program has set a handler of its own.
    """

    def __init__(self) -> None:
        self._asked = False
        self._installed = False

    def __enter__(self) -> _BetweenSteps:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was asked for since the last check."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kind is None:
            self.check()


class _ClosingBars:
    """Takes the progress bars off the terminal, however training ends."""

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._bars = [callback for callback in callbacks if isinstance(callback, ProgbarLogger)]

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars:
            bar.close()
