"""The NumPy backend: arrays in the host's memory."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np

from tinygrad_dnn.backend import special
from tinygrad_dnn.backend.base import Array, Backend, philox_uniform

# Below this, a second BLAS thread gains a few per cent on an idle machine and costs a factor of seven on a busy one,
# where each product waits for a thread that is not running (a step of 20 layers of 100 units, batch 32, two cores).
_WORTH_THREADS = 2**26


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

    def erf(self, x: Array) -> Array:
        return special.erf(x)

    def synchronize(self) -> None:
        """NumPy has finished when its call returns."""

    def products_of(self, multiplications: int) -> contextlib.AbstractContextManager[object]:
        """Keep the BLAS to one thread where the products are too small to be worth more, for the whole process."""
        if multiplications >= _WORTH_THREADS:
            return contextlib.nullcontext()
        limits: contextlib.AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
        return limits


@functools.cache
def _thread_pools() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()
