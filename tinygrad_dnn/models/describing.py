"""What a model is made of, as JSON has it: its layers with their arguments and shapes, and how they are connected."""

from __future__ import annotations

import inspect
from typing import Any

from tinygrad_dnn import nested, registry
from tinygrad_dnn.layers import InputLayer, Layer, SymbolicTensor
from tinygrad_dnn.layers.arguments import is_shape
from tinygrad_dnn.metrics import MeanMetricWrapper
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.ensemble import Ensemble
from tinygrad_dnn.models.graph import LayerGraph
from tinygrad_dnn.models.sequential import Sequential
from tinygrad_dnn.saving.values import TAG, Encoder

_OF_EVERY_LAYER = frozenset(inspect.signature(Layer).parameters)


class Description:
    """Describes models and what they were compiled with; the arrays among it are kept beside.

    Attributes:
        encoder: What turns values into JSON's, with the arrays.

    Example:
        >>> model = td.Sequential([td.layers.Flatten(name="flat")], name="tiny")
        >>> description = td.models.describing.Description()
        >>> description.model(model)["layers"][0]["class_name"]
        'Flatten'
    """

    def __init__(self) -> None:
        self.encoder = Encoder(self._value)
        self._nodes: dict[int, dict[str, Any]] = {}
        self._shared = 0
        self._shapes: dict[int, list[Any]] = {}
        self._values: dict[tuple[int, int], int] = {}

    def model(self, model: Layer) -> dict[str, Any]:
        """Return a model as JSON has it.

        Raises:
            ValueError: A layer cannot be described: it has a function without a name, or its configuration is not what
                it is made from.
        """
        node = self._node(model)
        for key, shapes in self._shapes.items():
            self._nodes[key]["shapes"] = shapes
        return node

    def _value(self, value: Any) -> Any:
        if isinstance(value, SymbolicTensor):
            return {TAG: ["value", self._values[value.key]]}
        if isinstance(value, Layer):
            return {TAG: ["layer", self._node(value)]}
        if type(value) is MeanMetricWrapper:
            config = {**value.get_config(), "fn": value._function}
            return {TAG: ["mean_of", self.encoder.encode(config, f"the metric {value.name!r}")]}
        return None

    def _node(self, layer: Layer) -> dict[str, Any]:
        """Describe a layer, or say that it is one that was described before."""
        known = self._nodes.get(id(layer))
        if known is not None:
            if "id" not in known:
                known["id"] = self._shared
                self._shared += 1
            return {"kind": "shared", "id": known["id"]}
        node = self._nodes[id(layer)] = {}
        if isinstance(layer, (Sequential, Ensemble)) and type(layer) in (Sequential, Ensemble):
            inside = layer._stack if isinstance(layer, Sequential) else layer.members
            node.update(kind=type(layer).__name__.lower(), config=self._own(layer))
            node["layers"] = [self._node(part) for part in inside]
            if isinstance(layer, Sequential) and layer.built:
                for part, before, after in zip(layer.layers, layer._tensors, layer._tensors[1:], strict=False):
                    self._saw(part, before.shape, after.shape)
        elif type(layer) is Model and layer._graph is not None:
            node.update(kind="graph", config=self._own(layer), **self._graph(layer._graph))
        else:
            node.update(kind="layer", **self._arguments(layer))
        if layer._build_shape is not None:
            node["build"] = shapes_as_json(layer._build_shape)
        return node

    def _own(self, model: Model) -> Any:
        return self.encoder.encode(Layer.get_config(model), f"model {model.name!r}")

    def _arguments(self, layer: Layer) -> dict[str, Any]:
        """Return the class and the arguments of a layer that is described by its own configuration."""
        cls = type(layer)
        what = f"{'model' if isinstance(layer, Model) else 'layer'} {layer.name!r} of class {cls.__name__}"
        if isinstance(layer, Model) and cls.get_config is Layer.get_config:
            raise ValueError(
                f"{what} cannot be saved: a file does not hold a subclass's code. Define get_config() on it and give "
                "the class to load_model in custom_objects; or keep its weights alone, by save_weights(path)."
            )
        try:
            config = layer.get_config()
            _check_arguments(cls, config)
            saved = registry.layers.serialize(layer)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{what} cannot be saved: {error}") from error
        class_name = saved["class_name"] if isinstance(saved, dict) else saved
        if class_name == cls.__name__.lower():
            class_name = cls.__name__  # as it is known; names are looked up in any case
        return {"class_name": class_name, "config": self.encoder.encode(config, what)}

    def _graph(self, graph: LayerGraph) -> dict[str, Any]:
        places = {id(layer): place for place, layer in enumerate(graph.layers)}
        layers = [self._node(layer) for layer in graph.layers]
        before = self._values
        self._values = {x.key: number for number, x in enumerate(graph.inputs)}
        count = len(graph.inputs)
        calls = []
        for call in graph.calls:
            inputs = nested.map_leaves(lambda x: x.shape, call.inputs)
            self._saw(call.layer, tuple(inputs) if isinstance(inputs, list) else inputs, call.shapes)
            owner = f"the call of layer {call.layer.name!r}"
            calls.append(
                {
                    "layer": places[id(call.layer)],
                    **{part: self.encoder.encode(getattr(call, part), owner) for part in ("inputs", "args", "kwargs")},
                }
            )
            for x in nested.leaves(call.outputs):
                self._values[x.key] = count
                count += 1
        ends = {"input": graph.input, "output": graph.output}
        structure = {end: self.encoder.encode(tensors, "a model") for end, tensors in ends.items()}
        self._values = before
        return {"layers": layers, "inputs": [_head(x, places) for x in graph.inputs], "calls": calls, **structure}

    def _saw(self, layer: Layer, inputs: Any, outputs: Any) -> None:
        pair = [shapes_as_json(inputs), shapes_as_json(outputs)]
        known = self._shapes.setdefault(id(layer), [])
        if pair not in known:
            known.append(pair)


def _head(x: SymbolicTensor, places: dict[int, int]) -> dict[str, Any]:
    """Describe where a graph begins: at an InputLayer, or at what a layer outside of it makes."""
    if isinstance(x.call.layer, InputLayer):
        return {"layer": places[id(x.call.layer)]}
    return {"shape": list(x.shape), "dtype": x.dtype, "name": x.name}


def _check_arguments(cls: type[Layer], config: dict[str, Any]) -> None:
    """Raise unless a configuration has the arguments that a class needs, and no others."""
    wanted = inspect.signature(cls).parameters.values()
    named = [p.name for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    lacking = [name for name in named if name not in config and name not in _OF_EVERY_LAYER]
    if lacking:
        raise ValueError(f"get_config() of {cls.__name__} does not return the argument {lacking[0]!r}: add it there")
    if not any(p.kind is p.VAR_KEYWORD for p in wanted):
        unknown = [name for name in config if name not in named]
        # A class with a from_config of its own may make of its configuration what it will.
        if unknown and cls.from_config.__func__ is Layer.from_config.__func__:  # type: ignore[attr-defined]
            raise ValueError(
                f"get_config() of {cls.__name__} returns {unknown[0]!r}, which its __init__ does not take: let that "
                "take **kwargs and give them to super().__init__()"
            )


def shapes_as_json(shapes: Any) -> Any:
    """Return a shape as a list; several in the list, tuple or dict that they are in, which an object names.

    Example:
        >>> td.models.describing.shapes_as_json(((None, 2), (None, 3)))
        {'tuple': [[None, 2], [None, 3]]}
    """
    if is_shape(shapes):
        return [None if n is None else int(n) for n in shapes]
    if isinstance(shapes, dict):
        return {"dict": {str(key): shapes_as_json(shape) for key, shape in shapes.items()}}
    return {"tuple" if isinstance(shapes, tuple) else "list": [shapes_as_json(shape) for shape in shapes]}


def shapes_from_json(value: Any) -> Any:
    """Return what ``shapes_as_json`` was given.

    Raises:
        ValueError: It did not write this.

    Example:
        >>> td.models.describing.shapes_from_json({"tuple": [[None, 2], [None, 3]]})
        ((None, 2), (None, 3))
    """
    if isinstance(value, list) and all(n is None or (type(n) is int and 0 <= n < 2**63) for n in value):
        return tuple(value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, parts),) = value.items()
        if kind == "dict" and isinstance(parts, dict):
            return {key: shapes_from_json(shape) for key, shape in parts.items()}
        if kind in ("tuple", "list") and isinstance(parts, list):
            made = [shapes_from_json(shape) for shape in parts]
            return tuple(made) if kind == "tuple" else made
    raise ValueError(f"{value!s:.60} is no shape")
