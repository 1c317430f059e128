"""What the strict double pretends about its device: memory that is poisoned, layouts that vary, and captures."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import numpy as np

DTYPES = frozenset("?bBhHiIlLqQefd")
"""The character codes of the element types that the package and CuPy share."""

VARIED_SIZE = 1 << 14
"""Results up to this size vary in layout: larger ones would cost time and find no other mistake."""


class Device(threading.local):
    """What this thread has asked of the pretended device, and what a capture refuses it.

    Attributes:
        host_syncs: How often the host has waited for the device.
        capturing: Whether a capture is going on.
        allowed: What the capture lets pass: any of "allocation" and "matmul".
    """

    host_syncs: int = 0
    capturing: bool = False
    allowed: frozenset[str] = frozenset()

    def wait(self, what: str) -> None:
        """Count a wait of the host for the device; a capture refuses it."""
        if self.capturing:
            raise RuntimeError(f"{what} waits for the device, which a capture does not allow")
        self.host_syncs += 1

    def refuse(self, what: str, kind: str) -> None:
        """Refuse ``what``, of this kind, inside a capture that does not allow the kind."""
        if self.capturing and kind not in self.allowed:
            raise RuntimeError(f"{what} inside a capture: allow it there with capture(allow=({kind!r},))")


device = Device()


def _poison(code: str) -> Any:
    dtype = np.dtype(code)
    if dtype.kind == "f":
        return np.nan
    return True if dtype.kind == "b" else int.from_bytes(b"\xa5" * dtype.itemsize, "little", signed=dtype.kind == "i")


POISON = {code: _poison(code) for code in DTYPES} | {"E": np.nan}
"""What fills memory that was never written or is freed: NaN, or the byte A5 repeated."""


class Pool:
    """How many bytes the buffers of all threads have, and the most that they had.

    Attributes:
        used: The bytes of the buffers that there are.
        peak: The most that ``used`` has been since ``restart``.
    """

    def __init__(self) -> None:
        # A buffer may be freed by a garbage collection that begins while this thread counts another one.
        self._lock = threading.RLock()
        self.used = 0
        self.peak = 0

    def count(self, nbytes: int) -> None:
        """Count a buffer that is made, or a negative number for one that is freed."""
        with self._lock:
            self.used += nbytes
            self.peak = max(self.peak, self.used)

    def restart(self) -> None:
        """Begin to count the peak anew."""
        with self._lock:
            self.peak = self.used


pool = Pool()


class Buffer:
    """One allocation, shared by an array and its views, and poisoned when the last of them is gone.

    A host array that should have been a copy, but shares this memory, then turns to NaN.
    """

    __slots__ = ("owner", "root")

    def __init__(self, owner: np.ndarray) -> None:
        self.owner = owner
        self.root = root_of(owner)
        pool.count(owner.nbytes)

    def __del__(self, poison: dict[str, Any] = POISON, pool: Pool = pool) -> None:
        self.owner.fill(poison[self.owner.dtype.char])
        pool.count(-self.owner.nbytes)


def root_of(array: Any) -> Any:
    """Return the object that owns the memory an array is a view of."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def layout(seed: int, shape: tuple[int, ...]) -> Any:
    """Return the layout, "C" or "F", that an operation gives to a result of a shape.

    It depends on nothing else, so that the same operations repeated give the same bits.
    """
    return "F" if (seed + sum(shape)) & 1 else "C"


def varied(seed: int, data: Any) -> Any:
    """Return ``data`` in the layout chosen for it."""
    if data.ndim < 2 or data.size > VARIED_SIZE:
        return data
    return np.array(data, order=layout(seed, data.shape))


def settled(data: np.ndarray) -> np.ndarray:
    """Undo ``varied``: sums and products must not round differently because the layout was changed."""
    return data if data.size > VARIED_SIZE or data.flags.c_contiguous else np.ascontiguousarray(data)


def seed_of(name: str) -> int:
    """Return the number that an operation's name gives to ``layout``."""
    return zlib.crc32(name.encode())


def supported(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` as an object and in the machine's byte order, if device arrays can have it."""
    found: np.dtype[Any] = np.dtype(dtype)
    if found.char not in DTYPES and found.name != "bfloat16":
        raise TypeError(f"the strict backend has no arrays of {found}: take a float, an integer or bool")
    return found.newbyteorder("=")


def converted(data: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return a copy in another element type.

    A float that the integer type cannot hold becomes the nearest that it can, and NaN becomes 0, as a GPU's
    conversion does; NumPy's gives something else, so code that depends on it shows.
    """
    if data.dtype.kind != "f" or dtype.kind not in "iu":
        return data.astype(dtype)
    limits = np.iinfo(dtype)
    number = np.where(np.isnan(data), 0, data)
    with np.errstate(invalid="ignore", over="ignore"):  # a bound may overflow float16, and compares right all the same
        result = np.asarray(number.astype(dtype))
        result[number >= float(limits.max)] = limits.max
        result[number <= float(limits.min)] = limits.min
    return result
