"""What an array backend is: NumPy's functions by attribute, and the few operations in which array libraries differ."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

Array = Any
"""An array of whichever library the backend stands for; no common base class exists that a type checker could use."""


class Backend(ABC):
    """One array library behind one object.

    ``backend.exp``, ``backend.matmul`` and so on are the library's own functions under NumPy's names; the methods
    below are what the libraries do differently. A primitive's forward function receives the backend as ``xp``.

    Attributes:
        name: What ``tinygrad_dnn.backend.use`` calls it.
        array_type: The class of its arrays; ``backend.of`` finds the backend of an array by it.
    """

    name: str
    array_type: type

    @abstractmethod
    def from_host(self, array: np.ndarray) -> Array:
        """Return ``array`` as an array of this backend; it may share the host array's memory."""

    @abstractmethod
    def to_host(self, array: Array) -> np.ndarray:
        """Return a copy of ``array`` on the host that the caller may write on; this waits for the device."""

    @abstractmethod
    def scatter_add(self, target: Array, index: Any, values: Array) -> Array:
        """Add ``values`` into ``target`` at ``index`` in place, repeated indices counting each time; return it."""

    @abstractmethod
    def uniform(self, state: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Draw uniform numbers in [0, 1) from the counter-based generator whose ``state`` is (seed, stream, step).

        The bits are those of Philox4x64-10 with key (seed, stream) and counter (block, 0, step, 0), block counting
        from 1 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), and are the same on every
        backend: float32 takes the upper 24 bits of each 32-bit half, low half first, float64 the upper 53 bits.
        """

    @abstractmethod
    def erf(self, x: Array) -> Array:
        """Return the error function of floating-point numbers, in their own dtype."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything asked of the device is done."""

    def products_of(self, multiplications: int) -> contextlib.AbstractContextManager[object]:
        """Return a context suited to matrix products of at most so many scalar multiplications each."""
        return contextlib.nullcontext()


def philox_uniform(state: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Draw on the host what ``Backend.uniform`` promises."""
    seed, stream, step = (int(word) % 2**64 for word in state)
    bits = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=np.array([0, 0, step, 0], np.uint64))
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == np.float64:
        return ((bits.random_raw(count) >> np.uint64(11)) * 2.0**-53).reshape(shape)
    # "<u8" fixes which half of a word comes first, whatever the machine's byte order.
    halves = bits.random_raw((count + 1) // 2).astype("<u8", copy=False).view("<u4")[:count]
    return ((halves >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).astype(dtype, copy=False).reshape(shape)
