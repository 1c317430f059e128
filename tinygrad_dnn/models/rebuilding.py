"""Models made again from what ``describing`` says of them; every name in it is looked up, none is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_dnn import nested, registry
from tinygrad_dnn.layers import Input, Layer
from tinygrad_dnn.layers.restoring import Restoring
from tinygrad_dnn.metrics import MeanMetricWrapper
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.describing import shapes_from_json
from tinygrad_dnn.models.ensemble import Ensemble
from tinygrad_dnn.models.sequential import Sequential
from tinygrad_dnn.saving.errors import FileError
from tinygrad_dnn.saving.values import Decoder


class Rebuilding:
    """Makes layers and models from their descriptions.

    Args:
        arrays: The arrays that descriptions name.
        custom_objects: What names mean that no registry knows.
        restoring: What is told which shapes the layers give.

    Example:
        >>> description = td.models.describing.Description().model(td.layers.Dense(3, name="last"))
        >>> restoring = td.layers.restoring.Restoring(0)
        >>> td.models.rebuilding.Rebuilding({}, {}, restoring).layer(description).units
        3
    """

    def __init__(self, arrays: Mapping[str, Any], custom_objects: Mapping[str, Any], restoring: Restoring) -> None:
        self.decoder = Decoder(arrays, custom_objects, self._tagged)
        self._restoring = restoring
        self._shared: dict[int, Layer] = {}
        self._values: list[Any] = []

    def layer(self, node: Any) -> Layer:
        """Return the layer or model that is described.

        Raises:
            FileError: No description has this form.
        """
        kind = _member(node, "kind", str)
        if kind == "shared":
            number = _member(node, "id", int)
            if number not in self._shared:
                raise FileError(f"it shares a layer number {number}, which it has not described before")
            return self._shared[number]
        layer = self._made(kind, node)
        if "shapes" in node and not _builds_by_calls(layer):
            pairs = [tuple(map(shapes_from_json, pair)) for pair in _member(node, "shapes", list)]
            self._restoring.says(layer, [(given, made) for given, made in pairs])
        if "build" in node and not layer.built:
            shape = shapes_from_json(node["build"])
            layer.ensure_built(shape)
            if _builds_by_calls(layer):
                layer.compute_output_shape(shape)
        if "id" in node:
            self._shared[_member(node, "id", int)] = layer
        return layer

    def _made(self, kind: str, node: Any) -> Layer:
        config = self.decoder.decode(_member(node, "config", dict))
        if kind == "layer":
            made: Layer = registry.layers.get({"class_name": _member(node, "class_name", str), "config": config})
            return made
        if kind not in ("sequential", "ensemble", "graph"):
            raise FileError(f"it has a model of the kind {kind!r:.60}, which there is not")
        layers = [self.layer(part) for part in _member(node, "layers", list)]
        if kind == "graph":
            return self._graph(node, layers, config)
        return (Sequential if kind == "sequential" else Ensemble)(layers, **config)

    def _graph(self, node: Any, layers: list[Layer], config: dict[str, Any]) -> Model:
        before, self._values = self._values, []
        for head in _member(node, "inputs", list):
            if "layer" in head:
                self._values.append(layers[_member(head, "layer", int)].output)
            else:
                shape = shapes_from_json(_member(head, "shape", list))
                self._values.append(Input(batch_shape=shape, dtype=head["dtype"], name=head["name"]))
        for call in _member(node, "calls", list):
            inputs, args, kwargs = (self.decoder.decode(call[part]) for part in ("inputs", "args", "kwargs"))
            outputs = layers[_member(call, "layer", int)](inputs, *args, **kwargs)
            self._values.extend(nested.leaves(outputs))
        ends = [self.decoder.decode(node[end]) for end in ("input", "output")]
        self._values = before
        return Model(*ends, **config)

    def _tagged(self, tagged: list[Any]) -> Any:
        tag, value = tagged
        if tag == "value":
            return self._values[value]
        if tag == "layer":
            return self.layer(value)
        if tag == "mean_of":
            return MeanMetricWrapper(**self.decoder.decode(value))
        raise FileError(f"it has {tag!r:.60}, which stands for nothing")


def _builds_by_calls(layer: Layer) -> bool:
    """Tell whether a layer of somebody's own has layers inside, which are built when it calls them."""
    return type(layer) not in (Sequential, Ensemble, Model) and bool(layer._parts().layers)


def _member(node: Any, name: str, kind: type) -> Any:
    """Return a member of a description, of the type that it must have."""
    value = node.get(name) if isinstance(node, dict) else None
    if type(value) is not kind:
        raise FileError(f"it describes something without a {name!r} of type {kind.__name__}")
    return value
