"""Models of this package as Keras's configurations describe them: rows, graphs, and what they were compiled with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import nested, registry
from tinygrad_dnn.interchange.keras_objects import TENSOR, NoCounterpartError, layer_to_keras, value_to_keras
from tinygrad_dnn.layers import InputLayer, Layer, Operation, SymbolicTensor
from tinygrad_dnn.models import Model, Sequential


def model_to_keras(model: Model) -> dict[str, Any]:
    """Return the configuration from which Keras makes a model like this one, without its weights.

    Raises:
        NoCounterpartError: It is no ``Sequential`` and no ``Model(inputs, outputs)``, or has a layer that Keras lacks.

    Example:
        >>> model = td.Sequential([td.Input(shape=(2,), name="x"), td.layers.Dense(3, name="d")], name="row")
        >>> config = td.interchange.model_to_keras(model)
        >>> config["class_name"], [layer["config"]["name"] for layer in config["config"]["layers"]]
        ('Sequential', ['x', 'd'])
    """
    if type(model) is Sequential:
        layers = [_to_keras(layer) for layer in model.layers]
        given: dict[str, Any] = {"name": model.name, "trainable": model.trainable, "dtype": model.dtype_policy.name}
        if model.built:
            head = model.inputs[0]
            layers.insert(0, _input_to_keras(head.name, head.shape, head.dtype))
            given["build_input_shape"] = list(head.shape)
        return _model_object("Sequential", {**given, "layers": layers})
    if type(model) is Model and model._graph is not None:
        return _model_object("Functional", _Written(model).config())
    raise NoCounterpartError(
        f"model {model.name!r} of class {type(model).__name__}: what it computes stands in Python; to_keras takes "
        "Sequential models and Model(inputs, outputs)."
    )


def _to_keras(layer: Layer) -> dict[str, Any]:
    return model_to_keras(layer) if isinstance(layer, Model) else layer_to_keras(layer)


def _model_object(name: str, config: dict[str, Any]) -> dict[str, Any]:
    module = {"Sequential": "keras", "Functional": "keras.src.models.functional"}[name]
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


def _input_to_keras(name: str, shape: Sequence[int | None], dtype: str) -> dict[str, Any]:
    config = {"batch_shape": list(shape), "dtype": dtype, "name": name}
    return {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}


class _Written:
    """A graph of layers as Keras writes it: each layer with its calls."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.entries: dict[str, dict[str, Any]] = {}
        # Of each call, and each input, the name of its layer and its number among that layer's.
        self.numbers: dict[Any, tuple[str, int]] = {}
        self.models: set[str] = set()

    def config(self) -> dict[str, Any]:
        """Return the configuration."""
        graph = self.model._graph
        assert graph is not None
        called = {call.layer.name for call in graph.calls}
        for x in graph.inputs:
            name = x.name if isinstance(x.call.layer, InputLayer) or x.name not in called else f"{x.name}_input"
            self.numbers[x.key] = name, 0
            self.entries[name] = {**_input_to_keras(name, x.shape, x.dtype), "name": name, "inbound_nodes": []}
        counts: Counter[str] = Counter()
        for call in graph.calls:
            name = call.layer.name
            if name not in self.entries:
                self.entries[name] = {**_to_keras(call.layer), "name": name, "inbound_nodes": []}
                if self.entries[name]["class_name"] == "Functional":
                    self.models.add(name)
            for place, _ in enumerate(nested.leaves(call.outputs)):
                self.numbers[id(call), place] = name, counts[name]
            counts[name] += 1
            self.entries[name]["inbound_nodes"].append(self._call(call))
        return {
            "name": self.model.name,
            "trainable": self.model.trainable,
            "layers": list(self.entries.values()),
            "input_layers": nested.map_leaves(self._end, graph.input),
            "output_layers": nested.map_leaves(self._end, graph.output),
        }

    def _call(self, call: Any) -> dict[str, Any]:
        inputs = nested.map_leaves(self._tensor, call.inputs)
        args = [list(inputs) if isinstance(inputs, tuple) else inputs, *call.args]
        if isinstance(call.layer, Operation):
            given = args[0] if isinstance(args[0], list) else [args[0]]
            waiting = iter(given)
            wanted = call.layer.arguments or [None] * len(given)
            args = [next(waiting) if x is None else _number(x, call.layer) for x in wanted]
        if call.kwargs:
            raise NoCounterpartError(
                f"layer {call.layer.name!r} of model {self.model.name!r} is called with {dict(call.kwargs)}, which "
                "Keras's models override: leave it out, and set layer.trainable = False where a normalisation is to "
                "stay as it is."
            )
        return {"args": args, "kwargs": {}}

    def _tensor(self, x: SymbolicTensor) -> dict[str, Any]:
        name, node = self.numbers[x.key]
        config = {"shape": list(x.shape), "dtype": x.dtype, "keras_history": [name, node, self._place(x)]}
        return {"class_name": TENSOR, "config": config}

    def _end(self, x: SymbolicTensor) -> list[Any]:
        name, node = self.numbers[x.key]
        return [name, node + (name in self.models), self._place(x)]

    def _place(self, x: SymbolicTensor) -> int:
        return x.place if self.entries[self.numbers[x.key][0]]["class_name"] != "InputLayer" else 0


def _number(value: Any, layer: Layer) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    array = np.asarray(value)
    return {"class_name": "__numpy__", "config": {"value": array.tolist(), "dtype": array.dtype.name}}


def compile_to_keras(model: Model) -> dict[str, Any]:
    """Return what Keras's ``compile_from_config`` takes for a model that is compiled.

    Raises:
        NoCounterpartError: An optimizer, loss or metric has no counterpart in Keras.

    Example:
        >>> model = td.Sequential([td.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> config = td.interchange.compile_to_keras(model)
        >>> config["optimizer"]["class_name"], config["loss"]
        ('SGD', 'mse')
    """
    owner = f"model {model.name!r}"
    given = model._objectives._given
    kinds = {"loss": registry.losses, "metrics": registry.metrics, "weighted_metrics": registry.metrics}
    said: dict[str, Any] = {"optimizer": value_to_keras(model.optimizer, registry.optimizers, owner)}
    for key, kind in kinds.items():
        said[key] = nested.map_leaves(
            lambda x, kind=kind: value_to_keras(x, kind, owner), given[key], leaf=lambda x: _is_configuration(x)
        )
    return {**said, "loss_weights": given["loss_weights"], "run_eagerly": model.run_eagerly}


def _is_configuration(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"class_name", "config"}
