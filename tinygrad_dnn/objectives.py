"""What a model was compiled to learn by: for each of its outputs a loss, how much that counts, and metrics."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from typing import Any

from tinygrad_dnn import nested, ops, registry
from tinygrad_dnn.losses import Loss
from tinygrad_dnn.metrics import Mean, MeanMetricWrapper, Metric, resolve_accuracy
from tinygrad_dnn.ops.cast import widened
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor

Check = Callable[[Any, tuple[int, ...]], None]


class Objective:
    """What one output is to learn: its loss and that one's weight, and its metrics.

    Attributes:
        name: The output's name where the model has several, else None.
        loss: The loss, or None.
        weight: What the loss is multiplied by.
        metrics: Metrics that take no sample weights.
        weighted_metrics: Metrics that do.
        tracker: The running mean of this output's loss, where there are several losses, else None.

    Example:
        >>> td.objectives.Objective(None, "mse", 1.0, ["mae"], []).metrics[0].name
        'mae'
    """

    tracker: Mean | None = None
    # The loss of the last batch and how many samples that had, until ``update`` counts it in.
    _last: tuple[Tensor, float] | None = None

    def __init__(self, name: str | None, loss: Any, weight: float, metrics: Any, weighted_metrics: Any) -> None:
        self.name = name
        self.loss = registry.losses.given(loss, "compile: loss")
        self.weight = weight
        self.metrics = _as_metrics("metrics", metrics, name is not None)
        self.weighted_metrics = _as_metrics("weighted_metrics", weighted_metrics, name is not None)

    def __call__(self, y: Any, y_pred: Any, sample_weight: Any) -> Tensor:
        """Return the weighted loss of a batch, 0-d if the loss says nothing else."""
        y_pred = widened(y_pred)
        value = _reduced(self.loss, _aligned(y, y_pred), y_pred, sample_weight)
        if self.tracker is not None and not value.ndim:
            self._last = value.detach(), float(len(y_pred))
        return value if self.weight == 1 else value * self.weight

    def update(self, y: Any, y_pred: Any, sample_weight: Any) -> None:
        """Update the running means with a batch: that of the loss with what it was when last called."""
        if self.tracker is not None and self._last is not None:
            value, samples = self._last
            self.tracker.update_state(value, sample_weight=samples)
            self._last = None
        if self.has_metrics:
            y_pred = widened(y_pred)
            y = _aligned(y, y_pred)
            for metric in self.metrics:
                metric.update_state(y, y_pred)
            for metric in self.weighted_metrics:
                metric.update_state(y, y_pred, sample_weight=sample_weight)

    @property
    def has_metrics(self) -> bool:
        """Whether there are metrics, which need targets."""
        return bool(self.metrics or self.weighted_metrics)

    def check_targets(self) -> Check | None:
        """Return what the loss brings along to look at targets, or None."""
        if isinstance(self.loss, functools.partial):
            check: Check | None = getattr(self.loss.func, "check_targets", None)
            return check and functools.partial(check, **self.loss.keywords)
        return getattr(self.loss, "check_targets", None)


class Objectives:
    """What all outputs of a model are to learn; ``compile`` makes it of its arguments.

    Args:
        loss: A loss for the only output or for each; or a list or dict of them, by the outputs' order or names, None
            for an output that has none.
        loss_weights: What the losses are multiplied by, in the same form; 1 by default.
        metrics: A list of metrics for the only output; for several a list or dict of such lists or single metrics.
        weighted_metrics: The same, for metrics that take sample weights.
        outputs: The outputs' names where they are known already. One that has come before is told apart by a number,
            as the outputs of a layer that is called twice: "distance", "distance_1".

    Attributes:
        each: The objective of each output; empty as long as the outputs are not known.
        named: The running means of the outputs' losses, where there are several, and then all metrics, by the names
            that the history calls them; those of several outputs in the order of their names.

    Raises:
        ValueError: A name is unknown, there are not as many entries as outputs or none of that name, or one metric is
            to count two outputs.
        TypeError: Something is no loss or metric, or ``metrics`` is no list.

    Example:
        >>> both = td.objectives.Objectives("mse", None, {"a": ["mae"]}, None, ["a", "b"])
        >>> list(both.named)
        ['a_loss', 'b_loss', 'a_mae']
    """

    def __init__(
        self, loss: Any, loss_weights: Any, metrics: Any, weighted_metrics: Any, outputs: Sequence[str] = ()
    ) -> None:
        self._given = {
            "loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics,
        }  # fmt: skip
        self._names = _apart(outputs)
        self.each: list[Objective] = []
        self.named: dict[str, Metric] = {}
        by_output = any(isinstance(part, dict) and not _is_one(part) for part in self._given.values())
        if outputs or not (by_output or isinstance(loss, (list, tuple))):
            self._spread(self._names or [""])

    def _spread(self, names: list[str]) -> None:
        """Make an objective for each output."""
        several = len(names) > 1
        columns = [_by_output(argument, given, names) for argument, given in self._given.items()]
        if isinstance(self._given["loss"], dict) and not _is_one(self._given["loss"]):
            forgotten = [name for name in names if name not in self._given["loss"]]
            if forgotten:
                raise ValueError(f"loss: there is none for the output {forgotten[0]!r}; give one, or None for no loss.")
        each = [
            Objective(name if several else None, loss, _as_weight(weight), metrics, weighted)
            for name, loss, weight, metrics, weighted in zip(names, *columns, strict=True)
        ]
        learning = [one for one in each if one.loss is not None and one.name is not None]
        if len(learning) > 1:
            for one in learning:
                one.tracker = Mean(name=f"{one.name}_loss")
        self.named = _named(each)
        own = {id(metric) for given in (self._given["metrics"], self._given["weighted_metrics"])
               for metric in nested.leaves(given)}  # fmt: skip
        for name, metric in self.named.items():
            if id(metric) not in own:  # the user's own keeps its name: it may be compiled again
                metric.name = name
        self.each, self._names = each, names

    def meet(self, y_pred: Any) -> list[Any]:
        """Return a model's outputs in a list; where their number is new, find out what each is to learn."""
        outputs = list(nested.leaves(y_pred))
        if len(outputs) != len(self.each):
            names = list(y_pred) if isinstance(y_pred, dict) else self._names
            self._spread(names if len(names) == len(outputs) else [f"output_{i}" for i in range(len(outputs))])
        return outputs

    def targets(self, y: Any) -> list[Any]:
        """Return each output's targets, None where it has none.

        Raises:
            ValueError: There are not as many as outputs, or none has that name.
        """
        return _by_output("y", y, self._names)

    def pairs(self, y: Any, y_pred: Any, sample_weight: Any) -> Iterator[tuple[Objective, Any, Any, Any]]:
        """Yield each output's objective with its targets, values and sample weights.

        Raises:
            ValueError: There are not as many targets or weights as outputs, or none has that name.
        """
        outputs = self.meet(y_pred)
        weights = _by_output("sample_weight", sample_weight, self._names)
        return zip(self.each, self.targets(y), outputs, weights, strict=True)


def _is_one(value: dict[str, Any]) -> bool:
    """Tell whether a dict is the configuration of one loss or metric, rather than several by name."""
    return "class_name" in value


def _by_output(argument: str, given: Any, names: list[str]) -> list[Any]:
    """Return what is given for each output, in order; None where there is nothing.

    Args:
        argument: What errors call it. Metrics come in lists, one for each output; targets are never one for all.
        given: One value, or a list, tuple or dict of them.
        names: The outputs' names.

    Raises:
        ValueError: There are not as many values as outputs, or none of that name.
    """
    if given is None:
        return [None] * len(names)
    one = len(names) == 1
    if isinstance(given, dict) and not _is_one(given):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise ValueError(f"{argument}: the model has no output {unknown[0]!r}; its outputs are {names}.")
        return [given.get(name) for name in names]
    if argument.endswith("metrics"):
        if one and not (isinstance(given, (list, tuple)) and len(given) == 1 and isinstance(given[0], (list, tuple))):
            return [given]
    elif not isinstance(given, (list, tuple)) and (one or argument != "y"):
        return [given] * len(names)
    if isinstance(given, (list, tuple)) and len(given) == len(names):
        return list(given)
    ends = f"the output {names[0]!r}" if one else f"{len(names)} outputs, {names}"
    raise ValueError(f"{argument}: the model has {ends}; give a list of as many entries, or a dict by name.")


def _apart(names: Iterable[str]) -> list[str]:
    """Return names with a number where one has come before."""
    made: list[str] = []
    for name in names:
        number, new = 0, name
        while new in made:
            number += 1
            new = f"{name}_{number}"
        made.append(new)
    return made


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


def _as_metrics(argument: str, given: Any, several: bool) -> list[Metric]:
    if given is None:
        return []
    if several and not isinstance(given, (list, tuple)):
        given = [given]
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"compile: {argument} must be a list, as [{given!r}], not {given!r} alone.")
    return [_as_metric(identifier) for identifier in given]


def _as_metric(identifier: Any) -> Metric:
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return _Accuracy(name=identifier)
    if callable(identifier) and not isinstance(identifier, type) and not hasattr(identifier, "update_state"):
        return MeanMetricWrapper(identifier)
    if identifier is None:
        raise TypeError("compile: among the metrics is None: leave it out, or give None in the place of all of them.")
    metric: Metric = registry.metrics.given(identifier, "compile: metrics")
    if not isinstance(getattr(metric, "name", None), str):
        raise TypeError(f"compile: the name of a metric must be a text; that of {metric!r} is not.")
    if isinstance(identifier, str):
        metric.name = identifier.rpartition(":")[2]  # the history's key is what the user wrote
    return metric


def _as_weight(weight: Any) -> float:
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
        raise ValueError(f"compile: loss_weights must be finite numbers, not {weight!r}.")
    return float(weight)


def _named(objectives: list[Objective]) -> dict[str, Metric]:
    """Return all running means by names of which none hides another: of an output with its name before."""
    trackers = {one.tracker.name: one.tracker for one in objectives if one.tracker is not None}
    found: dict[str, Metric] = {}
    for one in objectives:
        prefix = "" if one.name is None else f"{one.name}_"
        for metric in [*one.metrics, *one.weighted_metrics]:
            if one.name is not None and any(metric is other for other in found.values()):
                raise ValueError(f"metrics: {metric.name!r} is given twice; give each output a metric of its own.")
            base = prefix + metric.name
            if base in found and metric in one.weighted_metrics:
                base = f"{prefix}weighted_{metric.name}"
            name = _apart(["loss", *trackers, *found, base])[-1]
            found[name] = metric
    if len(objectives) > 1:
        found = dict(sorted(found.items()))
    return {**trackers, **found}


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
