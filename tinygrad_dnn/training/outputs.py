"""The outputs of many batches, joined on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import nested, ops
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.tensor import Tensor

# Bytes that wait to be fetched: fetching each batch would wait for the device at each, and all would fill it.
_WAITING = 2**26


class Outputs:
    """What a model has returned for one batch after another: Tensors, or several in a list, tuple or dict.

    They stay where they are until they are many, and then come to the host together.

    Args:
        name: What errors call the model.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: list[Any] = []
        self._bytes = 0
        self._fetched: list[Any] = []

    def add(self, outputs: Any) -> None:
        """Add those of the next batch.

        Raises:
            TypeError: They are no Tensors.
        """
        for part in (outputs,) if isinstance(outputs, Tensor) else nested.leaves(outputs):
            if not isinstance(part, Tensor):
                raise TypeError(f"predict: model {self._name!r} must return Tensors, not {type(part).__name__}.")
            self._bytes += part.data.nbytes
        self._waiting.append(outputs)
        if self._bytes >= _WAITING:
            self._fetch()

    def joined(self) -> Any:
        """Return all in the order in which they came, as NumPy arrays."""
        if self._waiting:
            self._fetch()
        if len(self._fetched) == 1:
            return self._fetched[0]
        return nested.map_leaves(lambda *parts: np.concatenate(parts), *self._fetched)

    def _fetch(self) -> None:
        with no_grad():
            self._fetched.append(nested.map_leaves(lambda *parts: ops.concatenate(parts).numpy(), *self._waiting))
        self._waiting, self._bytes = [], 0
