"""What a file says of the layers that are made from it, so that making them draws no weights and computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dnn.tensor import Variable, assigned_now

if TYPE_CHECKING:
    from tinygrad_dnn.layers.base import Layer


class Restoring:
    """How much a file holds, and which shapes it says that its layers give.

    Layers that are made while it lasts get weights that take no memory, since the file's values are to come; so a
    file that speaks of a great layer, and does not hold its weights, costs nothing.

    Args:
        nbytes: The bytes of all weights that the file holds.

    Example:
        >>> with td.layers.restoring.while_restoring(td.layers.restoring.Restoring(1000)):
        ...     dense = td.layers.Dense(10**9, input_shape=(10**9,), name="great")
        ...     dense.build((None, 10**9))
        Traceback (most recent call last):
        ValueError: layer 'great': its weight 'kernel' of shape (1000000000, 1000000000) ...
    """

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes
        self._shapes: dict[int, list[tuple[Any, Any]]] = {}
        self._layers: list[Layer] = []

    def says(self, layer: Layer, shapes: list[tuple[Any, Any]]) -> None:
        """Keep what a layer gives for inputs of each shape."""
        self._shapes[id(layer)] = shapes
        self._layers.append(layer)  # so that the id stays its own

    def output_shape(self, layer: Layer, input_shape: Any) -> Any:
        """Return the shape that a layer gives for inputs of a shape, or None for a layer that the file does not know.

        Raises:
            ValueError: The file knows the layer, and not for that shape.
        """
        if id(layer) not in self._shapes:
            return None
        for given, made in self._shapes[id(layer)]:
            if given == input_shape:
                return made
        raise ValueError(f"layer {layer.name!r}: what it gives for inputs of shape {input_shape} is not said.")

    def stretch(self, weight: Variable, shape: tuple[int, ...]) -> None:
        """Give a weight its shape, without memory for it.

        Raises:
            ValueError: The file does not hold as much.
        """
        needed = math.prod(shape) * weight.dtype.itemsize
        if needed > self._left:
            owner, _, name = weight.path.rpartition("/")
            raise ValueError(
                f"layer {owner!r}: its weight {name!r} of shape {shape} takes {needed:,} bytes, and of those that are "
                f"there, {self._left:,} are left."
            )
        self._left -= needed
        host = np.broadcast_to(np.zeros((), weight.dtype), shape)
        assigned_now(weight, weight.backend.from_host(host))


_NOW: ContextVar[Restoring | None] = ContextVar("restoring", default=None)
restoring_now = _NOW.get


@contextmanager
def while_restoring(restoring: Restoring) -> Iterator[None]:
    """Let the layers that this thread makes in a ``with`` block be those of a file."""
    token = _NOW.set(restoring)
    try:
        yield
    finally:
        _NOW.reset(token)
