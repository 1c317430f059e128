"""The NumPy backend: arrays in the host's memory."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dnn.backend import special
from tinygrad_dnn.backend.base import Array, Backend, Memory, philox_uniform

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

    def choose_device(self, number: int) -> None:
        """The host is the only one."""

    def free_memory(self) -> None:
        """NumPy gives back what its arrays no longer use."""

    def memory(self) -> Memory:
        """Return what the operating system says of the process and the machine: NumPy does not count its arrays."""
        pages, page = _pages(), _configured("SC_PAGE_SIZE")
        held = None if pages is None or page is None else pages * page
        free, total = (_configured(f"SC_{name}_PAGES") for name in ("AVPHYS", "PHYS"))
        return Memory(
            None,
            held,
            _peak(),
            None if free is None or page is None else free * page,
            None if total is None or page is None else total * page,
        )

    def products_of(self, multiplications: int) -> contextlib.AbstractContextManager[object]:
        """Keep the BLAS to one thread where the products are too small to be worth more, for the whole process."""
        if multiplications >= _WORTH_THREADS:
            return contextlib.nullcontext()
        limits: contextlib.AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
        return limits


def _pages() -> int | None:
    """Return how many pages of memory the process has, where Linux says it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _configured(name: str) -> int | None:
    """Return what the system is configured to, where it knows the name."""
    try:
        return os.sysconf(name)
    except (AttributeError, OSError, ValueError):
        return None


def _peak() -> int | None:
    """Return the most memory that the process has had, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # elsewhere it counts kibibytes


@functools.cache
def _thread_pools() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()
