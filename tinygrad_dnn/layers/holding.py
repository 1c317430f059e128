"""What a layer holds: weights, layers inside, random streams; and the tree that these make."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.layers.surroundings import outermost
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.tensor import TensorLike, Variable, as_tensor

if TYPE_CHECKING:
    from tinygrad_dnn.layers.base import Layer

# Layers' random streams are numbered from here, so that none is ever that of an initializer of the same seed.
_FIRST_STREAM = 2**32

# The types of most attributes, which hold neither weights nor layers; a step asks for them all.
_PLAIN = frozenset({type(None), bool, int, float, str, types.FunctionType})
# Attributes that hold Tensors or layers of others.
_NOT_OWN = frozenset({"_losses", "_drawn"})


class _Parts(NamedTuple):
    """What belongs to a layer, by identity, so that each counts once."""

    weights: dict[int, Variable]
    layers: dict[int, Layer]
    generators: dict[int, SeedGenerator]

    def collect(self, value: Any) -> None:
        """Add a value, or what a list, tuple or dict holds."""
        if isinstance(value, Variable):
            self.weights.setdefault(id(value), value)
        elif isinstance(value, Holder):
            self.layers.setdefault(id(value), cast("Layer", value))
        elif isinstance(value, SeedGenerator):
            self.generators.setdefault(id(value), value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self.collect(item)
        elif isinstance(value, dict):
            for item in value.values():
                self.collect(item)


class Holder:
    """Base of ``Layer``: what is set as an attribute, or inside a list, tuple or dict that is one, belongs to it.

    Example:
        >>> dense = td.layers.Dense(2, input_shape=(3,))
        >>> isinstance(dense, td.layers.holding.Holder)
        True
    """

    name: str
    built: bool
    _trainable: bool

    # What changes from step to step without changing what is computed.
    _unwatched: ClassVar[frozenset[str]] = frozenset({"_drawn"})

    def _parts(self) -> _Parts:
        """Return the weights, layers and random streams among this layer's attributes, in the order they were set."""
        parts = _Parts({}, {}, {})
        for key, value in self.__dict__.items():
            if type(value) not in _PLAIN and key not in _NOT_OWN:
                parts.collect(value)
        return parts

    def _flatten(self, trainable: bool = False) -> Iterator[tuple[Layer, _Parts]]:
        """Yield this layer and all inside it with their parts, depth first, each once; or none inside a frozen one."""
        seen: set[int] = set()
        stack = [cast("Layer", self)]
        while stack:
            layer = stack.pop()
            if id(layer) not in seen and (layer._trainable or not trainable):
                seen.add(id(layer))
                parts = layer._parts()
                yield layer, parts
                stack.extend(reversed(parts.layers.values()))

    @property
    def weights(self) -> list[Variable]:
        """All its weights, those of each layer together: first the trainable ones, then the others."""
        found: dict[int, Variable] = {}
        for _, parts in self._flatten():
            for weight in sorted(parts.weights.values(), key=lambda w: not w.trainable):
                found.setdefault(id(weight), weight)
        return list(found.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that an optimizer may change: the trainable ones outside of frozen layers."""
        found: dict[int, Variable] = {}
        for _, parts in self._flatten(trainable=True):
            found.update((key, weight) for key, weight in parts.weights.items() if weight.trainable)
        return list(found.values())

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that no optimizer may change: running statistics, and all of a frozen layer."""
        trainable = {id(w) for w in self.trainable_weights}
        return [w for w in self.weights if id(w) not in trainable]

    @property
    def variables(self) -> list[Variable]:
        """``weights``, by Keras's other name; so are the two that follow."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """``trainable_weights``."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """``non_trainable_weights``."""
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change its weights; setting it sets it for every layer inside, too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer, _ in self._flatten():
            layer._trainable = bool(value)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights as NumPy arrays, in the order of ``weights``."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[TensorLike]) -> None:
        """Set all weights from arrays in the order of ``weights``.

        Raises:
            ValueError: Their number or a shape differs; no weight is changed then.
        """
        own = self.weights
        if len(weights) != len(own):
            hint = "" if self.built else "; it is not built yet, so call it or its build(input_shape) first"
            raise ValueError(f"{self.name!r} has {len(own)} weights and was given {len(weights)}{hint}.")
        new = [as_tensor(value) for value in weights]
        for weight, value in zip(own, new, strict=True):
            if weight.shape != value.shape:
                raise ValueError(f"weight {weight.path!r} has shape {weight.shape} and was given {value.shape}.")
        for weight, value in zip(own, new, strict=True):
            weight.assign(ops.cast(value, weight.dtype))

    def count_params(self) -> int:
        """Return how many numbers its weights hold.

        Raises:
            ValueError: It is not built yet.
        """
        if not self.built:
            raise ValueError(f"{self.name!r} has no weights yet: call it on data, or its build(input_shape), first.")
        return sum(w.size for w in self.weights)

    def _number_streams(self) -> None:
        """Give each random stream inside a number by its place, so that creation order does not change the masks.

        One that has a number keeps it, and goes on, unless another one inside has it too: the layers may be part of
        another model, whose streams must stay distinct.
        """
        if outermost.depth:
            return  # a model inside the one that is being called, which has numbered them all: they must stay distinct
        kept: set[int] = set()
        waiting = []
        for _, parts in self._flatten():
            for generator in parts.generators.values():
                if generator.number is None or generator.number in kept:
                    waiting.append(generator)
                else:
                    kept.add(generator.number)
        free = (number for number in itertools.count(_FIRST_STREAM) if number not in kept)
        for generator, number in zip(waiting, free, strict=False):
            generator.restart(number)
