"""What the variables of a model are called in a file: names that are the same wherever the same code made the model.

A layer's automatic name is numbered by how many were made before it in the process. In a file layers are numbered by
their place among those that the same layer holds: "dense/kernel", "dense_1/kernel", "block/dense/kernel". What is no
weight has a name that begins with "@".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dnn.layers import Layer
from tinygrad_dnn.registration import snake_case
from tinygrad_dnn.tensor import Variable, assigned_now

if TYPE_CHECKING:
    from tinygrad_dnn.layers.holding import _Parts
    from tinygrad_dnn.optimizers import Optimizer

OPTIMIZER, RANDOM = "@optimizer/", "@random/"


def weights(layer: Layer) -> dict[str, Variable]:
    """Return the weights of a layer or model, and of all inside, by name.

    Example:
        >>> model = td.Sequential([td.Input(shape=(3,)), td.layers.Dense(2), td.layers.Dense(1, name="last")])
        >>> list(td.saving.state.weights(model))
        ['dense/kernel', 'dense/bias', 'last/kernel', 'last/bias']
    """
    found: dict[str, Variable] = {}
    seen: set[int] = set()
    for path, parts in _tree(layer):
        for weight in parts.weights.values():
            if id(weight) not in seen:
                seen.add(id(weight))
                found[_free(path + (weight.name or "weight"), found)] = weight
    return found


def streams(layer: Layer) -> dict[str, Variable]:
    """Return the states of a layer's random streams, and of all inside, by name.

    Example:
        >>> list(td.saving.state.streams(td.Sequential([td.layers.Dropout(0.5)])))
        ['@random/dropout']
    """
    found: dict[str, Variable] = {}
    for path, parts in _tree(layer):
        for generator in parts.generators.values():
            if all(generator.state is not other for other in found.values()):
                found[_free(RANDOM + (path.rstrip("/") or "own"), found)] = generator.state
    return found


def optimizer_state(optimizer: Optimizer, names: dict[str, Variable]) -> dict[str, Variable]:
    """Return an optimizer's state by name, of those weights that have a name.

    Example:
        >>> w = td.Variable([1.0], trainable=True)
        >>> optimizer = td.optimizers.SGD(momentum=0.9)
        >>> optimizer.build([w])
        >>> list(td.saving.state.optimizer_state(optimizer, {"w": w}))
        ['@optimizer/iterations', '@optimizer/learning_rate', '@optimizer/w/momentum']
    """
    found: dict[str, Variable] = {}
    for key, value in vars(optimizer).items():
        if isinstance(value, Variable) and all(value is not other for other in found.values()):
            found[_free(OPTIMIZER + key.lstrip("_"), found)] = value
    for name, weight in names.items():
        slots = optimizer._slots.get(id(weight))
        for part in () if slots is None else (slots.state, slots.own):
            for key, value in part.items():
                found[_free(f"{OPTIMIZER}{name}/{key}", found)] = value
    return found


def bind(variable: Variable, array: np.ndarray[Any, Any]) -> None:
    """Let a variable hold an array that nobody else has, without a copy where its backend takes the host's arrays."""
    assigned_now(variable, variable.backend.from_host(array.astype(variable.dtype, copy=False)))


def on_host(variable: Variable) -> np.ndarray[Any, Any]:
    """Return what a variable holds as a host array that is not to be written on, without a copy where it is one."""
    return variable.data if isinstance(variable.data, np.ndarray) else variable.numpy()


def _tree(layer: Layer) -> Iterator[tuple[str, _Parts]]:
    """Yield each layer inside with the beginning of its variables' names, depth first, each once."""
    seen: set[int] = set()
    pending: list[tuple[str, Layer]] = [("", layer)]
    while pending:
        path, each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        parts = each._parts()
        yield path, parts
        inside = list(parts.layers.values())
        names = of_siblings([(type(child).__name__, child.name) for child in inside])
        pending.extend((f"{path}{name}/", child) for name, child in reversed([*zip(names, inside, strict=True)]))


def of_siblings(layers: list[tuple[str, str]]) -> list[str]:
    """Return what the layers of one layer are called, from the name of each one's class and its own.

    Example:
        >>> td.saving.state.of_siblings([("Dense", "dense_4"), ("Dense", "dense_7"), ("Dense", "last")])
        ['dense', 'dense_1', 'last']
    """
    found: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for class_name, name in layers:
        automatic = snake_case(class_name)
        base = automatic if re.fullmatch(rf"{re.escape(automatic)}(_\d+)?", name) else name
        # "@" begins the names of what is no weight.
        base = base.lstrip("@") or "layer"
        numbers[base], free = _numbered(base, found, numbers.get(base, 0))
        found[free] = None
    return list(found)


def _free(name: str, taken: dict[str, Any]) -> str:
    return _numbered(name, taken, 0)[1]


def _numbered(name: str, taken: dict[str, Any], number: int) -> tuple[int, str]:
    """Return the first name with a number, from the given one on, that is free, and the number after that."""
    while (new := f"{name}_{number}" if number else name) in taken:
        number += 1
    return number + 1, new
