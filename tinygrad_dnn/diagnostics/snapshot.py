"""All that training a model changes, kept and put back."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.metrics import Metric
from tinygrad_dnn.objectives import Objective, Objectives
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.optimizers import Optimizer
from tinygrad_dnn.tensor import Variable


class Snapshot:
    """What training may change, as it is now: of a model and all that belongs to it, and all random state.

    That is every attribute of the model, its layers, optimizers, metrics and random streams, what their lists and dicts
    hold, and the values of their Variables. A model that is not built yet is so again.

    Args:
        model: The model.

    Example:
        >>> model = td.models.Sequential([td.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> snapshot = td.diagnostics.snapshot.Snapshot(model)
        >>> model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0).epoch
        [0]
        >>> snapshot.restore()
        >>> model.built, int(model.optimizer.iterations)
        (False, 0)
    """

    def __init__(self, model: Layer) -> None:
        self._seen: dict[int, Any] = {}  # what is seen stays alive, or another could take its id
        self._attributes: list[tuple[Any, dict[str, Any]]] = []
        self._lists: list[tuple[list[Any], list[Any]]] = []
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._values: list[tuple[Variable, np.ndarray]] = []
        self._random = ops.random.get_state(), python_random.getstate(), np.random.get_state()  # noqa: NPY002
        pending: list[Any] = [model]
        while pending:
            pending.extend(self._keep(pending.pop()))

    def _keep(self, value: Any) -> list[Any]:
        """Keep one thing, and return what it holds."""
        if id(value) in self._seen:
            return []
        self._seen[id(value)] = value
        if isinstance(value, Variable):
            self._values.append((value, value.numpy()))
        elif isinstance(value, (Layer, Metric, Objective, Objectives, Optimizer, SeedGenerator)):
            self._attributes.append((value, dict(value.__dict__)))
            return list(value.__dict__.values())
        elif isinstance(value, list):
            self._lists.append((value, list(value)))
            return list(value)
        elif isinstance(value, dict):
            self._dicts.append((value, dict(value)))
            return list(value.values())
        elif isinstance(value, tuple):
            return list(value)
        return []

    def restore(self) -> None:
        """Put everything back."""
        for thing, attributes in self._attributes:
            thing.__dict__.clear()
            thing.__dict__.update(attributes)
        # In place: another name for the list or dict must go on meaning what the model has.
        for held, items in self._lists:
            held[:] = items
        for mapping, entries in self._dicts:
            mapping.clear()
            mapping.update(entries)
        for variable, value in self._values:
            variable.assign(value)
        own, python, numpy = self._random
        ops.random.set_state(own)
        python_random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002  # for what the user draws from it
