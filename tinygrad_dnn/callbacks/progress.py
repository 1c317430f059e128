"""Where a training is, and all that it needs to go on from there as if it had never stopped."""

from __future__ import annotations

import random as python_random
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.callbacks.base import CallbackList, Logs
from tinygrad_dnn.callbacks.identity import identity
from tinygrad_dnn.data import ArrayBatches, Batch, IterableBatches
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.tensor import Tensor, Variable

Batches = ArrayBatches | IterableBatches


class Progress:
    """Where a training is; callbacks are given it in ``on_resume`` and ``on_progress``.

    Its state is everything that decides what the training does next: the weights, and which layers are trainable; the
    optimizer's learning rate, counters, moments, averages and accumulated gradients; the random streams of the layers,
    of the package, of NumPy's global generator and of Python's ``random``; the order of the samples and the place in
    it; the running means of the epoch, the logs and the history; and what callbacks return from ``get_state``.

    Args:
        model: The model in training.
        calls: The callbacks.
        batches: What it is trained on.
        validation: What it is validated on, or None.
        epoch: The number of epochs already done.

    Attributes:
        epoch: How many epochs are done.
        step: How many steps of the epoch in progress are done; 0 between two epochs.
        logs: The last values that callbacks were told: of the step, or between two epochs of the epoch.
        finished: Whether training has ended as it should.

    Example:
        >>> class Places(td.callbacks.Callback):
        ...     def on_progress(self, progress):
        ...         print(progress.epoch, progress.step)
        >>> model = td.Sequential([td.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=2, callbacks=Places(), verbose=0)
        0 1
        0 2
        1 0
        1 0
    """

    def __init__(
        self, model: Any, calls: CallbackList, batches: Batches, validation: Batches | None, epoch: int = 0
    ) -> None:
        self.model = model
        self.epoch = epoch
        self.step = 0
        self.logs: Any = {}
        self.finished = False
        # Whether what was put back is a training that had been told to stop, and the running means to be put back.
        self.stopped = False
        self.means: list[list[Any]] | None = None
        self._calls = calls
        self._batches = batches
        self._validation = validation

    @property
    def ended(self) -> bool:
        """Whether what was put back is a training that had been told to stop, after its last epoch."""
        return self.stopped and not self.step

    def identity(self) -> dict[str, Any]:
        """Return what a state fits: the model, what it was compiled with, and the cutting of its data, by words."""
        return identity(self.model, self._batches)

    def get_state(self) -> dict[str, Any]:
        """Return all of it, as ``td.saving.tree`` writes it; Tensors are not copied."""
        model = self.model
        return {
            "epoch": self.epoch,
            "step": self.step,
            "logs": dict(self.logs),
            "stop_training": bool(model.stop_training),
            "model": _of_model(model),
            "optimizer": _of_optimizer(model.optimizer, model.weights),
            "means": [list(metric.variables) for metric in model.metrics] if self.step else [],
            "batches": self._batches.get_state(self.step),
            "validation": None if self._validation is None else self._validation.get_state(0),
            "history": model.history.get_state(),
            "callbacks": {key: state for key, one in self._named_callbacks().items() if (state := one.get_state())},
            "random": _of_random(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``get_state`` returned, of a training like this one.

        In the middle of an epoch, the callbacks hear ``on_epoch_begin`` first; what they change is then overwritten.

        Raises:
            ValueError: The data do not reach so far, or the model's parts are others.
            TypeError: A part is not of its kind.
        """
        for key, kind in _KINDS.items():
            if type(state[key]) is not kind:
                raise TypeError(f"of the state, {key!r} is a {type(state[key]).__name__} and no {kind.__name__}")
        if state["step"]:
            self._calls("epoch_begin", state["epoch"], Logs())
        # What an iterable draws on the way belongs to the past: the random states come last.
        self._batches.set_state(state["batches"])
        if self._validation is not None and state["validation"] is not None:
            self._validation.set_state(state["validation"])
        _to_model(self.model, state["model"])
        _to_optimizer(self.model.optimizer, self.model.weights, state["optimizer"])
        self.epoch, self.step, self.logs = state["epoch"], state["step"], state["logs"]
        self.stopped = self.model.stop_training = state["stop_training"]
        # Some metrics make their variables at the first batch only.
        self.means = state["means"] if self.step else None
        self.model.history.set_state(state["history"])
        self._to_callbacks(state["callbacks"])
        _to_random(state["random"])

    def restore_means(self, batch: Batch) -> None:
        """Let the epoch's running means be those of the state, before the first step from there.

        Args:
            batch: The batch of that step.

        Raises:
            ValueError: The metrics are others.
        """
        means, self.means = self.means or [], None
        model = self.model
        if [len(metric.variables) for metric in model.metrics] != [len(values) for values in means]:
            with no_grad():  # a model with a step of its own was not tried on a batch yet
                model.compute_metrics(batch.x, batch.y, model(batch.x, training=False), batch.sample_weight)
        for metric, values in zip(model.metrics, means, strict=True):
            _assign(metric.variables, values, f"metric {metric.name!r}")

    def _named_callbacks(self) -> dict[str, Any]:
        """Return the callbacks by the names of their classes, with a number where one has come before."""
        count: Counter[str] = Counter()
        named = {}
        for callback in self._calls.callbacks:
            name = type(callback).__name__
            count[name] += 1
            named[name if count[name] == 1 else f"{name}_{count[name]}"] = callback
        return named

    def _to_callbacks(self, states: dict[str, Any]) -> None:
        named = self._named_callbacks()
        for name, state in states.items():
            if name in named:
                named[name].set_state(state)
            else:
                warnings.warn(
                    f"the interrupted training had the callback {name}, and this one has none: what it knew is left "
                    "out; give fit the same callbacks to go on as it would have.",
                    stacklevel=2,
                )


_KINDS: dict[str, type] = {
    "epoch": int, "step": int, "logs": dict, "stop_training": bool, "model": dict, "optimizer": dict, "means": list,
    "history": dict, "callbacks": dict, "random": dict,
}  # fmt: skip


def _of_model(model: Any) -> dict[str, Any]:
    parts = list(model._flatten())
    generators = {id(one): one for _, part in parts for one in part.generators.values()}
    return {
        "weights": list(model.weights),
        "trainable": [layer._trainable for layer, _ in parts],
        "streams": [[one.number, one.state] for one in generators.values()],
    }


def _to_model(model: Any, state: dict[str, Any]) -> None:
    parts = list(model._flatten())
    for (layer, _), trainable in zip(parts, state["trainable"], strict=True):
        layer._trainable = trainable
    generators = {id(one): one for _, part in parts for one in part.generators.values()}
    for generator, (number, values) in zip(generators.values(), state["streams"], strict=True):
        generator.number = number
        generator.state.assign(values)
    _assign(model.weights, state["weights"], f"model {model.name!r}")


def _of_optimizer(optimizer: Any, weights: Sequence[Tensor]) -> dict[str, Any]:
    places = {id(weight): place for place, weight in enumerate(weights)}
    shared = {key: value for key, value in vars(optimizer).items() if isinstance(value, Variable)}
    kept = [
        [places[key], dict(slots.state), dict(slots.own)] for key, slots in optimizer._slots.items() if key in places
    ]
    return {"shared": shared, "slots": kept}


def _to_optimizer(optimizer: Any, weights: Sequence[Tensor], state: dict[str, Any]) -> None:
    owner = f"optimizer {optimizer.name!r}"
    shared = {key: value for key, value in vars(optimizer).items() if isinstance(value, Variable)}
    _assign_named(shared, state["shared"], owner)
    with_slots = [weights[place] for place, _, _ in state["slots"]]
    # One that was updated only after the state was taken has nothing kept there, and begins again.
    for key in optimizer._slots.keys() - {id(weight) for weight in with_slots}:
        del optimizer._slots[key]
    optimizer.build(with_slots)
    for weight, (_, of_rule, own) in zip(with_slots, state["slots"], strict=True):
        slots = optimizer._slots[id(weight)]
        _assign_named(slots.state, of_rule, owner)
        _assign_named(slots.own, own, owner)


def _assign(variables: Sequence[Variable], values: Sequence[Any], owner: str) -> None:
    if len(variables) != len(values):
        raise ValueError(f"{owner} has {len(variables)} variables, and {len(values)} in the state to go on from.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _assign_named(variables: dict[str, Variable], values: dict[str, Any], owner: str) -> None:
    if variables.keys() != values.keys():
        raise ValueError(f"{owner} keeps {[*variables]}, and {[*values]} in the state to go on from.")
    _assign([variables[key] for key in values], [*values.values()], owner)


def _of_random() -> dict[str, Any]:
    return {
        "package": ops.random.get_state(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # for what the user draws from it
        "python": python_random.getstate(),
    }


def _to_random(state: dict[str, Any]) -> None:
    ops.random.set_state(state["package"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    version, words, gauss = state["python"]
    python_random.setstate((version, tuple(words), gauss))
