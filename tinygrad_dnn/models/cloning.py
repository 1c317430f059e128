"""Making a model again: the same architecture of new layers."""

from __future__ import annotations

import inspect
from typing import Any

from tinygrad_dnn import nested
from tinygrad_dnn.layers import Input, InputLayer, Layer, SymbolicTensor
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.ensemble import Ensemble
from tinygrad_dnn.models.graph import LayerGraph
from tinygrad_dnn.models.sequential import Sequential

# The arguments that Layer itself takes.
_OF_EVERY_LAYER = frozenset(inspect.signature(Layer).parameters)


def clone_model(model: Model) -> Model:
    """Return a model of the same architecture with fresh weights: new layers, with the old ones' names and arguments.

    Weights are drawn anew, unless an initializer has a seed. A model that is built gives one that is built. It is not
    compiled. To have the weights too: ``clone.set_weights(model.get_weights())``.

    Args:
        model: A graph of layers that can be remade, a ``Sequential`` or an ``Ensemble`` of such, or a model whose class
            defines ``get_config`` and can be made from it. Layers that are shared are so again.

    Raises:
        ValueError: A layer cannot be remade: its ``get_config`` lacks an argument, or something has no name that it is
            registered under.

    Example:
        >>> model = td.models.Sequential([td.layers.InputLayer(shape=(3,)), td.layers.Dense(2, name="outputs")])
        >>> clone = td.models.clone_model(model)
        >>> clone.layers[0].name, clone.layers[0] is model.layers[0]
        ('outputs', False)
        >>> clone.set_weights(model.get_weights())
    """
    if not isinstance(model, Model):
        raise TypeError(f"clone_model: it takes a model, not {type(model).__name__}.")
    clone: Model = remade(model)
    if model._build_shape is not None:
        # By a run on zeros: layers that a model makes its own use of are built only when they are called.
        clone.compute_output_shape(model._build_shape)
    return clone


def remade(layer: Layer, done: dict[int, Layer] | None = None) -> Any:
    """Return a new layer made with the arguments of another; without its weights.

    Args:
        layer: The layer, or a model.
        done: The layers remade so far by the id of the old one, so that one that is shared is so again.

    Raises:
        ValueError: Its configuration lacks an argument, or cannot be written.

    Example:
        >>> td.models.remade(td.layers.Dense(3, name="last")).units
        3
    """
    done = {} if done is None else done
    if id(layer) not in done:
        done[id(layer)] = _remade(layer, done)
    return done[id(layer)]


def _remade(layer: Layer, done: dict[int, Layer]) -> Layer:
    cls = type(layer)
    if cls in (Sequential, Ensemble):
        inside = layer._stack if isinstance(layer, Sequential) else layer.members
        return cls([remade(part, done) for part in inside], **Layer.get_config(layer))
    if type(layer) is Model and layer._graph is not None:
        return _redrawn(layer, layer._graph, done)
    try:
        config = layer.get_config()
        wanted = inspect.signature(cls).parameters.values()
        named = [p.name for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        # What Layer's own configuration leaves out is at its default.
        lacking = [name for name in named if name not in config and name not in _OF_EVERY_LAYER]
        if lacking:
            raise ValueError(f"get_config() of {cls.__name__} does not return the argument {lacking[0]!r}")
        return cls.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{layer.name!r} of class {cls.__name__} cannot be made again: {error}") from error


def _redrawn(model: Model, graph: LayerGraph, done: dict[int, Layer]) -> Model:
    """Return a model of the same graph, drawn by new layers."""
    taken = {layer.name for layer in graph.layers}

    def head(x: SymbolicTensor) -> SymbolicTensor:
        if isinstance(x.call.layer, InputLayer):
            return remade(x.call.layer, done).output  # type: ignore[no-any-return]
        # What a layer before the graph makes; that layer may be called inside, too.
        return Input(batch_shape=x.shape, dtype=x.dtype, name=None if x.name in taken else x.name)

    heads = [head(x) for x in graph.inputs]
    outputs = graph.run(heads, apply=lambda layer, *args, **kwargs: remade(layer, done)(*args, **kwargs))
    waiting = iter(heads)
    inputs = nested.map_leaves(lambda x: next(waiting), model.input)
    return Model(inputs, outputs, **Layer.get_config(model))
