"""What surrounds a layer's build and its call: a build leaves no trace if it fails, a call tells the layers inside."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tinygrad_dnn.graph import modes, no_grad
from tinygrad_dnn.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_dnn.layers.base import Layer


class _Outermost(threading.local):
    """What the outermost layer call of a thread says to the layers inside: the training mode, and their losses."""

    depth: int = 0
    training: bool | None = None
    dropping: bool = False

    def __init__(self) -> None:
        self.losses: list[Tensor] = []


outermost = _Outermost()
modes.append(lambda: (outermost.training, outermost.dropping, outermost.depth > 0))


@contextmanager
def dropping() -> Iterator[None]:
    """Let the dropout layers, those whose class says ``is_dropout``, act as in training, whatever the others do.

    Example:
        >>> model = td.models.Sequential([td.layers.Dropout(0.5), td.layers.BatchNormalization()])
        >>> with td.layers.surroundings.dropping():
        ...     bool((model(np.ones((1, 100))) == 0).any())
        True
    """
    before = outermost.dropping
    outermost.dropping = True
    try:
        yield
    finally:
        outermost.dropping = before


def building(build: Callable[..., None]) -> Callable[..., None]:
    """Let a class's own ``build`` also mark the layer as built, whoever calls it; one that fails leaves no trace."""

    @functools.wraps(build)
    def wrapped(self: Layer, input_shape: Any = None) -> None:
        if self._in_build:  # a class's build calls its base's
            build(self, input_shape)
            return
        attributes, weights = dict(self.__dict__), list(self._added_weights)
        self._in_build = True
        try:
            with no_grad():
                build(self, input_shape)
        except BaseException:
            # A second attempt would add its weights to those of the first.
            self.__dict__.clear()
            self.__dict__.update(attributes)
            self._added_weights[:] = weights
            raise
        self._in_build = False
        self._mark_built(input_shape)

    return wrapped
