"""Compiling a model, and its single steps: learning from one batch, evaluating it, predicting it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_dnn import autograd, ops, registry
from tinygrad_dnn.data import unpack_x_y_sample_weight
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.losses import Loss
from tinygrad_dnn.metrics import Mean, MeanMetricWrapper, Metric, resolve_accuracy
from tinygrad_dnn.optimizers import Optimizer
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor


class Learner(Layer):
    """A layer that can be compiled and can learn from one batch; ``Trainer`` adds going over many."""

    optimizer: Optimizer
    run_eagerly: bool = False
    _compiled: bool = False
    _loss: Any = None
    _loss_tracker: Mean
    _plain_metrics: Sequence[Metric] = ()
    _weighted_metrics: Sequence[Metric] = ()

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
            run_eagerly: Accepted as Keras's; so far every step runs operation by operation.
            jit_compile: "auto" or False; every step runs eagerly so far, and True says so.

        Raises:
            ValueError: A name is unknown; nothing has changed then.
            TypeError: Something is no optimizer, loss or metric, or ``metrics`` is no list.
            NotImplementedError: ``jit_compile=True``.

        Example:
            >>> model = td.models.Sequential([td.layers.Dense(1)])
            >>> model.compile(optimizer="sgd", loss="mse")
        """
        if jit_compile is True:
            raise NotImplementedError("compile: there is no compiler yet; leave jit_compile at 'auto'.")
        if optimizer is None:
            raise TypeError("compile: the model needs an optimizer; give a name, as 'sgd', or an Optimizer.")
        found = registry.optimizers.get(optimizer), registry.losses.get(loss)
        plain = _as_metrics("metrics", metrics)
        weighted = _as_metrics("weighted_metrics", weighted_metrics)
        _name_apart(plain, weighted)
        self.optimizer, self._loss = found
        self._plain_metrics, self._weighted_metrics = plain, weighted
        self._loss_tracker = Mean(name="loss")
        self.run_eagerly = run_eagerly
        self._compiled = True

    def _require_compiled(self, caller: str) -> None:
        if not self._compiled:
            raise RuntimeError(
                f"{caller}: the model {self.name!r} is not compiled; call model.compile(optimizer=..., loss=...) first."
            )

    @property
    def metrics(self) -> list[Metric]:
        """The loss's running mean, the metrics of ``compile``, and those set as attributes."""
        compiled: list[Metric] = []
        if self._compiled:
            compiled = [self._loss_tracker, *self._plain_metrics, *self._weighted_metrics]
        known = {id(metric) for metric in compiled}
        return compiled + [m for m in vars(self).values() if isinstance(m, Metric) and id(m) not in known]

    def reset_metrics(self) -> None:
        """Begin all running means anew; ``fit`` does so at each epoch."""
        for metric in self.metrics:
            metric.reset_state()

    # -- one step ----------------------------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """Learn from one batch; override it for another way of learning.

        Args:
            data: x, (x, y) or (x, y, sample_weight), Tensors.

        Returns:
            The running means to show, 0-d Tensors by name.

        Raises:
            ValueError: There is nothing to learn: no trainable weight, or a loss that depends on none.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, sample_weight)
        weights = self.trainable_weights
        if not weights:
            raise ValueError(
                f"model {self.name!r} has no trainable weights: unfreeze a layer, or add one with weights."
            )
        if not loss.requires_grad:
            raise ValueError(
                f"the loss of model {self.name!r} does not depend on its trainable weights: compute it from y_pred by "
                "operations on Tensors, not on NumPy arrays."
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

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Return the loss of a batch, a 0-d Tensor: the compiled loss's mean, and all penalties of ``losses``.

        Raises:
            ValueError: There is neither a loss nor a penalty, or the loss needs targets and there are none.
        """
        parts = list(self.losses)
        if self._loss is not None:
            if y is None:
                raise ValueError(f"the loss of model {self.name!r} needs targets, and there are none: give y.")
            parts.insert(0, _reduced(self._loss, _aligned(y, y_pred), y_pred, sample_weight))
        if not parts:
            raise ValueError(f"model {self.name!r} was compiled without a loss and no layer adds one: name a loss.")
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        if total.ndim:
            raise ValueError(
                f"the loss of model {self.name!r} has shape {total.shape}, and training needs one number: leave a "
                "Loss's reduction as it is by default, and give add_loss single numbers."
            )
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the compiled metrics with a batch and return all running means.

        Raises:
            ValueError: There are metrics and no targets.
        """
        if y is None and (self._plain_metrics or self._weighted_metrics):
            raise ValueError(f"the metrics of model {self.name!r} need targets, and there are none: give y.")
        with no_grad():
            y = _aligned(y, y_pred)
            for metric in self._plain_metrics:
                metric.update_state(y, y_pred.detach())
            for metric in self._weighted_metrics:
                metric.update_state(y, y_pred.detach(), sample_weight=sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the running means, 0-d Tensors by name."""
        with no_grad():
            return {metric.name: metric.result() for metric in self.metrics}

    def _track(self, loss: Tensor, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        with no_grad():
            self._loss_tracker.update_state(loss.detach(), sample_weight=float(samples_of(x)))
        return self.compute_metrics(x, y, y_pred, sample_weight)


class _Accuracy(Metric):
    """What the name "accuracy" means, found when the shapes of targets and outputs are first seen."""

    _meant: Metric | None = None

    def update_state(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> None:
        if self._meant is None:
            meant: Any = resolve_accuracy(as_tensor(y_true).shape, as_tensor(y_pred).shape)
            self._meant = meant(name=self.name)
            self.variables = self._meant.variables
        self._meant.update_state(y_true, y_pred, sample_weight)

    def result(self) -> Tensor:
        return ops.zeros(()) if self._meant is None else self._meant.result()


def _as_metrics(argument: str, given: Any) -> list[Metric]:
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"compile: {argument} must be a list, as [{given!r}], not {given!r} alone.")
    return [_as_metric(identifier) for identifier in given]


def _as_metric(identifier: Any) -> Metric:
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return _Accuracy(name=identifier)
    if callable(identifier) and not isinstance(identifier, type) and not hasattr(identifier, "update_state"):
        return MeanMetricWrapper(identifier)
    metric: Metric = registry.metrics.get(identifier)
    if isinstance(identifier, str):
        metric.name = identifier.rpartition(":")[2]  # the history's key is what the user wrote
    return metric


def _name_apart(plain: list[Metric], weighted: list[Metric]) -> None:
    """Give a metric whose name is taken another one, so that none hides another in the history."""
    taken = {"loss"}
    for metric in [*plain, *weighted]:
        if metric.name in taken and metric in weighted:
            metric.name = f"weighted_{metric.name}"
        base, number = metric.name, 0
        while metric.name in taken:
            number += 1
            metric.name = f"{base}_{number}"
        taken.add(metric.name)


def _aligned(y: Any, y_pred: Any) -> Any:
    """Give the targets the outputs' axes where the two differ by a last one of length 1.

    A function of (n,) and (n, 1) would broadcast them to every pair of samples.
    """
    if isinstance(y, Tensor) and isinstance(y_pred, Tensor):
        if y.ndim + 1 == y_pred.ndim and y_pred.shape[-1] == 1:
            return ops.expand_dims(y, -1)
        if y.ndim == y_pred.ndim + 1 and y.shape[-1] == 1:
            return ops.squeeze(y, -1)
    return y


def _reduced(loss: Any, y: Any, y_pred: Tensor, sample_weight: Any) -> Tensor:
    """Return the mean over the batch of a loss, weighted: the sum of weight * value over the number of values."""
    if isinstance(loss, Loss):
        return loss(y, y_pred, sample_weight=sample_weight)
    values = loss(y, y_pred)
    if values is None:
        name = getattr(loss, "__name__", type(loss).__name__)
        raise TypeError(f"the loss {name!r} returned None: it must return a Tensor of one value a sample.")
    values = as_tensor(values)
    if sample_weight is not None:
        if not values.ndim:
            raise ValueError("the loss returns one number for the whole batch, so its samples cannot be weighted.")
        weight = ops.cast(sample_weight, values.dtype)
        values = values * ops.reshape(weight, (-1,) + (1,) * (values.ndim - 1))
    return ops.mean(values)


def samples_of(x: Any) -> int:
    """Return how many samples a batch of inputs has: one array, or several in a list, tuple or dict."""
    while isinstance(x, (dict, list, tuple)):
        x = next(iter(x.values() if isinstance(x, dict) else x))
    return len(x)


def targets_check(loss: Any) -> Callable[[Any, tuple[int, ...]], None] | None:
    """Return what a loss brings along to look at targets: ``check_targets(y, shape of the outputs)``, or None."""
    if isinstance(loss, functools.partial):
        loss = loss.func
    return getattr(loss, "check_targets", None)
