"""The NumPy backend: arrays in the host's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn.backend.base import Array, Backend, philox_uniform


class NumpyBackend(Backend):
    """NumPy's own functions; the only backend whose arrays are the host's."""

    name = "numpy"
    array_type = np.ndarray

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        self.__dict__[name] = function  # the next look-up is an ordinary attribute
        return function

    def from_host(self, array: np.ndarray) -> Array:
        return array

    def to_host(self, array: Array) -> np.ndarray:
        return np.array(array, order="C")

    def scatter_add(self, target: Array, index: Any, values: Array) -> Array:
        np.add.at(target, index, values)
        return target

    def uniform(self, state: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return philox_uniform(state, shape, dtype)

    def synchronize(self) -> None:
        """NumPy has finished when its call returns."""
