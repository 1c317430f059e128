"""The strict backend: a test double over NumPy that refuses and hides what CuPy refuses and hides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from tinygrad_dnn.backend import special
from tinygrad_dnn.backend.base import Array, Backend, Memory, philox_uniform
from tinygrad_dnn.backend.numpy import NumpyBackend
from tinygrad_dnn.backend.strict_array import StrictArray, array_data, fresh, operand_data
from tinygrad_dnn.backend.strict_functions import SPECIAL, checked, elementwise
from tinygrad_dnn.backend.strict_memory import converted, device, pool, seed_of, supported, varied
from tinygrad_dnn.backend.strict_table import CONSTANTS, SIGNATURES, UFUNCS

__all__ = ["StrictArray", "StrictBackend"]

_ADDED_ATOMICALLY = frozenset("iIlLqQefd")
_UNIFORM = seed_of("uniform")
_ERF = seed_of("erf")


class StrictBackend(Backend):
    """NumPy made to behave as CuPy does where the two differ, for tests; it is not a GPU.

    - Nothing comes to the host by itself, and nothing goes to the device by itself: NumPy arrays, NumPy scalars and
      lists are refused as operands, and NumPy's functions refuse its arrays.
    - A function or an argument that CuPy is not known to have is missing.
    - Reductions give 0-d arrays; index arrays out of range wrap; a repeated index keeps another value than NumPy's.
    - Memory never written, and memory freed, holds NaN (integers: the byte A5 repeated).
    - Results of two axes and more come in C or in Fortran order, by function and shape: code must not depend on it.
    - ``host_syncs`` counts the waits for the device, and ``capture`` refuses what a CUDA graph's capture refuses.

    It is more severe than CuPy in this: CuPy takes NumPy scalars as operands, and NumPy's functions (slowly) on its
    arrays, and its ``asarray`` takes host arrays.

    Example:
        >>> strict = td.backend.get("strict")
        >>> x = strict.from_host(np.array([1.0, 2.0]))
        >>> strict.to_host(x + 1)
        array([2., 3.])
        >>> x + np.array([1.0, 2.0])
        Traceback (most recent call last):
            ...
        TypeError: __add__ of the strict backend was given a NumPy array, ...
    """

    name = "strict"
    array_type = StrictArray

    def __getattr__(self, name: str) -> Any:
        if name in UFUNCS:
            function = elementwise(name, getattr(np, name))
        elif name in SIGNATURES:
            function = checked(name)
        elif name in SPECIAL:
            function = SPECIAL[name]
        elif name in CONSTANTS:
            function = getattr(np, name)
        else:
            raise AttributeError(
                f"the strict backend has no {name!r}: it is not known to exist in CuPy; if it does, add it, with the "
                "arguments that CuPy has, to strict_table.py"
            )
        self.__dict__[name] = function
        return function

    @property
    def host_syncs(self) -> int:
        """How often the host has waited for the device in this thread: to_host, item, bool, float, int, repr, masks.

        Example:
            >>> strict = td.backend.get("strict")
            >>> before = strict.host_syncs
            >>> strict.asarray(2.0).item()
            2.0
            >>> strict.host_syncs - before
            1
        """
        return device.host_syncs

    @contextmanager
    def capture(self, allow: Iterable[str] = ()) -> Iterator[None]:
        """Behave inside a ``with`` block, in this thread, as in the capture of a CUDA graph.

        Host copies, ``item``, truth values and whatever else waits for the device raise RuntimeError; so do a call of
        ``matmul``, whose cuBLAS handle CuPy does not let into a capture, and any allocation, also a hidden one.

        Args:
            allow: "allocation" for the first call of a step, which makes its buffers; "matmul" for a step whose
                products go through a cuBLAS handle of its own.

        Raises:
            ValueError: ``allow`` names something else.

        Example:
            >>> strict = td.backend.get("strict")
            >>> x = strict.ones(2)
            >>> with strict.capture():
            ...     y = strict.add(x, 1, out=x)
            >>> with strict.capture():
            ...     y = strict.add(x, 1)
            Traceback (most recent call last):
                ...
            RuntimeError: memory was allocated inside a capture: allow it there with capture(allow=('allocation',))
        """
        allowed = frozenset(allow)
        if unknown := allowed - {"allocation", "matmul"}:
            raise ValueError(f"capture allows 'allocation' and 'matmul', not {sorted(unknown)}")
        before = device.capturing, device.allowed
        device.capturing, device.allowed = True, allowed
        try:
            yield
        finally:
            device.capturing, device.allowed = before

    def from_host(self, array: np.ndarray) -> Array:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"from_host takes a NumPy array, not {type(array).__name__}")
        if device.capturing:
            raise RuntimeError("from_host brings an array to the device, which a capture does not allow")
        return fresh(np.array(array, supported(array.dtype), order="F" if array.flags.fnc else "C"))

    def to_host(self, array: Array) -> np.ndarray:
        device.wait("to_host")
        return np.array(array_data("to_host", array), order="C")

    def scatter_add(self, target: Array, index: Any, values: Array) -> Array:
        data = array_data("scatter_add", target)
        places, by_arrays = target._index(index)
        if by_arrays and data.dtype.char not in _ADDED_ATOMICALLY:
            raise TypeError(f"scatter_add does not add to {data.dtype}: CuPy has no atomic addition for it")
        if by_arrays and data.dtype.kind == "f":
            device.refuse("scatter_add sorted the indices, to add in their order,", "allocation")
        new = operand_data("scatter_add", values)
        if isinstance(new, np.ndarray) and new.dtype != data.dtype:
            device.refuse("scatter_add copied the values for their dtype", "allocation")
            new = converted(new, data.dtype)
        np.add.at(data, places, new)
        return target

    def uniform(self, state: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        words = array_data("uniform", state)
        if words.dtype != np.int64 or words.shape != (3,):
            raise TypeError(f"uniform takes a state of three int64, not {words.dtype} of shape {words.shape}")
        return fresh(varied(_UNIFORM, philox_uniform(words, shape, supported(dtype))))

    def erf(self, x: Array) -> Array:
        return fresh(varied(_ERF, special.erf(array_data("erf", x))))

    def products_of(self, multiplications: int) -> AbstractContextManager[object]:
        """Suit the BLAS that computes for it, as the NumPy backend does."""
        return NumpyBackend().products_of(multiplications)

    def synchronize(self) -> None:
        """Count a wait; the pretended device is never behind."""
        device.wait("synchronize")

    def choose_device(self, number: int) -> None:
        """The pretended device is the only one."""

    def memory(self) -> Memory:
        """Return how much its arrays hold, and the most that they held since the last ``free_memory``."""
        return Memory(pool.used, pool.used, pool.peak, None, None)

    def free_memory(self) -> None:
        """Begin to count the peak anew; it keeps no memory that is not used."""
        pool.restart()
