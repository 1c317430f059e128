"""What an array backend is: NumPy's functions by attribute, and the few operations in which array libraries differ."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn.backend.devices import Device

Array = Any
"""An array of whichever library the backend stands for; no common base class exists that a type checker could use."""


class Memory(NamedTuple):
    """How much memory a backend has, in bytes; None where nobody can say.

    Attributes:
        used: What arrays hold now.
        held: What was taken from the system or the device for arrays, used or waiting to be used again.
        peak: The most that ``held`` has been: on a device since the last ``free_memory``, else since the process began.
        free: What the system or the device still has to give.
        total: What it has in all.

    Example:
        >>> memory = td.backend.memory("strict")
        >>> memory.used <= memory.held <= memory.peak
        True
    """

    used: int | None
    held: int | None
    peak: int | None
    free: int | None
    total: int | None


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

    def send(self, array: np.ndarray) -> Callable[[], Array]:
        """Begin to bring ``array`` over, beside what the device is doing; return what gives the array where it is due.

        The caller may write on ``array`` at once. Nothing waits for the device, unless so many are under way that the
        host's memory would fill with them.
        """
        brought = self.from_host(array)
        return lambda: brought

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

    # -- devices and their memory ----------------------------------------------------------------------------------

    def device_count(self) -> int:
        """Return how many devices there are; they are numbered from 0."""
        return 1

    def current_device(self) -> int:
        """Return the number of the device on which this thread makes arrays."""
        return 0

    @abstractmethod
    def choose_device(self, number: int) -> None:
        """Let this thread make its arrays on another device from now on; the number is one of those there are."""

    def device_of(self, array: Array) -> int:
        """Return the number of the device on which an array of this backend lies."""
        return 0

    @property
    def device(self) -> Device | None:
        """What compiled programs run on, this thread's current device; None where they run on the host."""
        return None

    @abstractmethod
    def memory(self) -> Memory:
        """Return how much memory there is on this thread's device, and how much of it arrays have."""

    @abstractmethod
    def free_memory(self) -> None:
        """Give back to the system or the device what is held and not used."""

    # -- arrays of other libraries ---------------------------------------------------------------------------------

    def from_device(self, foreign: Any) -> Array:
        """Return an array of another library, which lies in a GPU's memory, as one of this backend, without a copy.

        Args:
            foreign: What has ``__dlpack__`` and ``__dlpack_device__``, or ``__cuda_array_interface__``.

        Raises:
            TypeError: This backend does not reach that memory.
            BufferError: The other library does not give the array away.
        """
        raise TypeError(
            f"a {type(foreign).__module__}.{type(foreign).__qualname__} lies in a GPU's memory, which backend "
            f"{self.name!r} does not reach: choose td.backend.use('cupy'), or bring it to the host first, as "
            "PyTorch's .cpu() does"
        )

    def products_of(self, multiplications: int) -> contextlib.AbstractContextManager[object]:
        """Return a context suited to matrix products of at most so many scalar multiplications each."""
        return contextlib.nullcontext()


HOST = (1, 3, 11)
"""What ``__dlpack_device__`` calls the host's memory (DLPack 1.1): ``kDLCPU``, ``kDLCUDAHost`` and ``kDLROCMHost``."""

CUDA = (2, 13)
"""What it calls a CUDA device's: ``kDLCUDA``, and ``kDLCUDAManaged``, which the host reaches too."""


def memory_of(foreign: Any) -> str | None:
    """Return where an array of another library lies: "host", "cuda", "elsewhere"; None for what is no such array.

    Example:
        >>> td.backend.base.memory_of(np.zeros(2)), td.backend.base.memory_of([0.0, 0.0])
        ('host', None)
    """
    kind = type(foreign)
    if hasattr(kind, "__dlpack_device__") and hasattr(kind, "__dlpack__"):
        device = int(foreign.__dlpack_device__()[0])
        return "host" if device in HOST else "cuda" if device in CUDA else "elsewhere"
    # Looked up on the object: PyTorch's property of the class raises on a tensor of the host's.
    return "cuda" if hasattr(foreign, "__cuda_array_interface__") else None


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
