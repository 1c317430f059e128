"""Models as Keras's configurations describe them, made here: rows, graphs, and what they were compiled with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_dnn import nested
from tinygrad_dnn.interchange.keras_objects import TENSOR, NoCounterpartError, layer_from_keras, value_from_keras
from tinygrad_dnn.layers import InputLayer, Layer, Operation, SymbolicTensor
from tinygrad_dnn.models import Model, Sequential


def model_from_keras(config: dict[str, Any]) -> Model:
    """Return the model that a configuration of Keras's describes, with fresh weights.

    Args:
        config: ``{"class_name": "Sequential" or "Functional", "config": {...}}``, as
            ``keras.saving.serialize_keras_object`` gives it.

    Raises:
        NoCounterpartError: It is a model of another class, or has a layer that there is not here.

    Example:
        >>> layers = [{"class_name": "Dense", "config": {"name": "d", "units": 3}}]
        >>> model = td.interchange.model_from_keras(
        ...     {"class_name": "Sequential", "config": {"layers": layers, "build_input_shape": [None, 2]}}
        ... )
        >>> model.output_shape
        (None, 3)
    """
    name, given = config["class_name"], config["config"]
    if name == "Sequential":
        return _row(given)
    if name in ("Functional", "Model") and "input_layers" in given:
        return _Drawn(given).model()
    raise NoCounterpartError(
        f"Keras's model {given.get('name')!r} is of class {name}, and what it computes stands in Python: from_keras "
        "takes Sequential and functional models; write a td.Model of that kind and set its weights."
    )


def _layer(config: dict[str, Any]) -> Layer:
    if config["class_name"] in ("Sequential", "Functional", "Model"):
        return model_from_keras(config)
    return layer_from_keras(config)


def _arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a model has as a layer."""
    found = {key: given[key] for key in ("name", "trainable") if given.get(key) is not None}
    if given.get("dtype") is not None:
        found["dtype"] = value_from_keras(given["dtype"], f"Keras's model {given.get('name')!r}")
    return found


def _row(given: dict[str, Any]) -> Sequential:
    row = Sequential([_layer(each) for each in given["layers"]], **_arguments(given))
    shape = given.get("build_input_shape")
    if shape is not None:
        row.ensure_built(tuple(shape))
    return row


class _Drawn:
    """A graph of layers that is drawn anew, call by call, each when what it takes has been made."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.layers: dict[str, Layer] = {}
        self.classes: dict[str, str] = {}
        self.made: dict[tuple[str, int], list[Any]] = {}
        self.waiting: dict[str, list[dict[str, Any]]] = {}
        for each in given["layers"]:
            name = each.get("name") or each["config"]["name"]
            layer = self.layers[name] = _layer(each)
            self.classes[name] = each["class_name"]
            self.waiting[name] = list(each["inbound_nodes"])
            if isinstance(layer, InputLayer):
                self.made[name, 0] = [layer.output]

    def model(self) -> Model:
        """Return the model."""
        while any(self.waiting.values()):
            before = sum(map(len, self.waiting.values()))
            for name, calls in self.waiting.items():
                while calls and self._ready(calls[0]):
                    self._call(name, calls.pop(0))
            if sum(map(len, self.waiting.values())) == before:
                stuck = next(name for name, calls in self.waiting.items() if calls)
                raise ValueError(
                    f"Keras's model {self.given.get('name')!r}: what its layer {stuck!r} takes is made by none of its "
                    "layers."
                )
        ends = (self._ends(self.given[key]) for key in ("input_layers", "output_layers"))
        return Model(*ends, **_arguments(self.given))

    def _ready(self, call: dict[str, Any]) -> bool:
        return all(
            (x["config"]["keras_history"][0], x["config"]["keras_history"][1]) in self.made
            for x in nested.leaves((call["args"], call["kwargs"]), _is_tensor)
            if _is_tensor(x)
        )

    def _value(self, structure: Any) -> Any:
        """Return arguments with symbolic tensors in the place of what stands for them."""
        if _is_tensor(structure):
            name, node, place = structure["config"]["keras_history"]
            return self.made[name, node][place]
        if isinstance(structure, dict) and structure.get("class_name") in ("__tuple__", "__numpy__"):
            config = structure["config"]
            if structure["class_name"] == "__tuple__":
                return tuple(self._value(part) for part in config)
            return value_from_keras(structure, "a constant")
        if isinstance(structure, (list, tuple)):
            return [self._value(part) for part in structure]
        if isinstance(structure, dict):
            return {key: self._value(part) for key, part in structure.items()}
        return structure

    def _call(self, name: str, call: dict[str, Any]) -> None:
        layer = self.layers[name]
        args = self._value(call["args"])
        kwargs = {
            key: value
            for key, value in self._value(call["kwargs"]).items()
            if any(part is not None for part in nested.leaves(value))  # a mask of several inputs is a list of nothing
        }
        if isinstance(layer, Operation):
            operands = [*args, *kwargs.values()]
            tensors = [x for x in operands if isinstance(x, SymbolicTensor)]
            constants = [None if isinstance(x, SymbolicTensor) else x for x in operands]
            if len(tensors) < len(operands):
                if layer.arguments not in (None, constants):
                    raise NoCounterpartError(f"Keras's operation {name!r} is called with several constants.")
                layer.arguments = constants
            made = layer(tensors if len(tensors) > 1 else tensors[0])
        else:
            # Keras writes down what "training" was by default too, and what its models are told overrides it.
            further = sorted(set(kwargs) - {"training"})
            if further:
                raise NoCounterpartError(f"Keras's layer {name!r} is called with {further}, which no layer takes here.")
            made = layer(*args)
        number = sum(key[0] == name for key in self.made)
        self.made[name, number] = list(nested.leaves(made))

    def _ends(self, given: Any) -> Any:
        """Return the inputs or the outputs, each of which is named by its layer, call and place."""
        if isinstance(given, (list, tuple)) and len(given) == 3 and isinstance(given[0], str):
            name, node, place = given
            # Keras counts the making of such a model as its first call, here and nowhere else.
            return self.made[name, node - 1 if self.classes[name] in ("Functional", "Model") else node][place]
        if isinstance(given, dict):
            return {key: self._ends(part) for key, part in given.items()}
        return [self._ends(part) for part in given]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == TENSOR


def compile_from_keras(model: Model, config: dict[str, Any]) -> None:
    """Compile a model as Keras's ``get_compile_config`` says.

    Raises:
        NoCounterpartError: An optimizer, loss or metric has no counterpart here.

    Example:
        >>> model = td.Sequential([td.layers.Dense(1)])
        >>> td.interchange.compile_from_keras(model, {"optimizer": "sgd", "loss": "mse", "metrics": ["mae"]})
        >>> model.optimizer.name
        'sgd'
    """
    owner = f"model {model.name!r}"
    keys = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
    said = {key: value_from_keras(config[key], owner) for key in keys if config.get(key) is not None}
    model.compile(**said, run_eagerly=bool(config.get("run_eagerly")))
