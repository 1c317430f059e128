"""A device that is none, for the strict backend: kernels by the emulator, products by NumPy, and graphs by recording.

A graph of it knows addresses only, as a graph of CUDA does: what has moved or is gone by the time of a launch shows.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.jit.cuda.emulator import compile_all
from tinygrad_dnn.backend import strict_memory
from tinygrad_dnn.backend.devices import Array, Device, Graph, Kernel
from tinygrad_dnn.backend.strict import StrictArray, StrictBackend
from tinygrad_dnn.backend.strict_array import adopt, fresh

_ALIGNMENT = 256


class Somewhere:
    """An array by its address, which does not keep it alive."""

    def __init__(self, array: Array) -> None:
        data = array._data
        self.address = data.__array_interface__["data"][0]
        self.shape, self.dtype, self.strides = data.shape, data.dtype, data.strides

    def array(self) -> np.ndarray:
        """Return the array, if it is still there."""
        return _at(self.address, self.shape, self.dtype, self.strides)


class _Unowned:
    """Stands for the memory of an array that has none of its own, and shares it with its views."""

    def __init__(self, array: np.ndarray) -> None:
        self.root = strict_memory.root_of(array)


def _at(address: int, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None = None) -> np.ndarray:
    """Return the array at an address."""
    dtype = np.dtype(dtype)
    if not math.prod(shape):
        return np.empty(shape, dtype)
    if strides is None:
        strides = tuple(dtype.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))
    ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    low = sum(x for x in ends if x < 0)
    length = sum(x for x in ends if x > 0) - low + dtype.itemsize
    memory = np.frombuffer((ctypes.c_char * length).from_address(address + low), np.uint8)
    return np.ndarray(shape, dtype, memory, -low, strides)


def _unowned(array: np.ndarray) -> StrictArray:
    found = StrictArray.__new__(StrictArray)
    found._data = array
    found._buffer = _Unowned(array)  # type: ignore[assignment]
    return found


class _Functions:
    """The strict backend's functions, with products that a capture allows."""

    def __init__(self, backend: StrictBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def matmul(self, *given: Any, **options: Any) -> Array:
        """Multiply."""
        captures = strict_memory.device.capturing
        rules = self._backend.capture(allow=("allocation", "matmul")) if captures else contextlib.nullcontext()
        with rules:
            return self._backend.matmul(*given, **options)


class EmulatedGraph(Graph):
    """What was recorded in a capture."""

    def __init__(self, device: EmulatedDevice, work: list[Callable[[], None]]) -> None:
        self._device = device
        self.work = work

    def launch(self) -> None:
        self._device.done["graph"] += 1
        for step in self.work:
            step()


class EmulatedDevice(Device):
    """A device of the strict backend.

    Attributes:
        done: How often each thing was asked for outside of a capture.
        order: In which order the threads of a kernel are run, see the emulator.
        refuses: What a capture refuses, with this text; None if nothing but what the strict backend does.
        fails: What is raised instead of the next launch outside of a capture.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        backend = td.backend.get("strict")
        assert isinstance(backend, StrictBackend)
        self.backend = backend
        self.done: Counter[str] = Counter()
        self.order = "forwards"
        self.refuses: str | None = None
        self.fails: Exception | None = None
        self._recorded: list[Callable[[], None]] | None = None

    def load(self, kernels: Sequence[Kernel]) -> list[Any]:
        return list(compile_all(kernels)) if kernels else []  # type: ignore[arg-type]

    def launch(self, kernel: Any, blocks: int, arguments: bytes) -> None:
        assert type(blocks) is int
        assert type(arguments) is bytes
        assert 0 < len(arguments) <= 4096
        if self.fails is not None and self._recorded is None:
            error, self.fails = self.fails, None
            raise error
        self._ask("launch", lambda: kernel.launch(blocks, arguments, self.order))

    def product(
        self, dtype: np.dtype[Any], addresses: tuple[int, int, int], transposed: tuple[bool, bool],
        lengths: tuple[int, int, int], leading: tuple[int, int, int], count: int = 1,
        distances: tuple[int, int, int] = (0, 0, 0),
    ) -> None:  # fmt: skip
        rows, columns, inner = lengths
        left = (inner, rows) if transposed[0] else (rows, inner)
        right = (columns, inner) if transposed[1] else (inner, columns)
        given = [*zip(addresses, (left, right, (rows, columns)), leading, distances, strict=True)]

        def multiply() -> None:
            size = dtype.itemsize
            x, y, z = (
                _at(place, (count, *shape), dtype, (far * size, row * size, size))
                for place, shape, row, far in given
            )
            x, y = (a.swapaxes(1, 2) if flag else a for a, flag in zip((x, y), transposed, strict=True))
            wide = np.float32 if size == 2 else dtype
            z[:] = np.matmul(x.astype(wide), y.astype(wide))

        self._ask("product", multiply)

    def empty(self, nbytes: int) -> Array:
        owner = fresh(np.full(nbytes + _ALIGNMENT, 0xA5, np.uint8))
        start = -self.address(owner) % _ALIGNMENT
        return owner[start : start + nbytes]

    def address(self, array: Array) -> int:
        return int(array._data.__array_interface__["data"][0])

    def seen(
        self, array: Array, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...]
    ) -> Array:  # fmt: skip
        assert array.flags.c_contiguous
        return adopt(np.ndarray(shape, dtype, array._data.reshape(-1).view(np.uint8), offset, strides), array)

    def copy(self, target: Array, source: Array) -> None:
        assert target.shape == source.shape
        assert target.dtype == source.dtype
        self._copy(Somewhere(target), Somewhere(source))

    def _copy(self, target: Somewhere, source: Somewhere) -> None:
        self._ask("copy", lambda: np.copyto(target.array(), source.array()))

    def functions(self, backend: Any) -> Any:
        return _Functions(self.backend)

    def call(self, function: Callable[..., Array], given: Sequence[Any], target: Array) -> None:
        places = [Somewhere(x) if type(x) is StrictArray else x for x in given]
        place = Somewhere(target)

        def result() -> Array:
            found = function(*(_unowned(x.array()) if type(x) is Somewhere else x for x in places))
            if found.shape != place.shape or found.dtype != place.dtype:
                raise ValueError(f"{found.dtype.name}{list(found.shape)} came")
            return found

        def run() -> None:
            with self._graphs_rules() if self._recorded is not None else contextlib.nullcontext():
                found = result()  # its memory is poisoned when nobody holds it
                np.copyto(place.array(), found._data)

        if self._recorded is not None:
            with self._graphs_rules():
                result()
        self._ask("call", run)

    def is_plain(self, array: Array) -> bool:
        return array.flags.c_contiguous

    def references(self, arrays: Sequence[Array]) -> list[int]:
        return [sys.getrefcount(array) + sys.getrefcount(array._buffer) for array in arrays]

    def capture(self, work: Callable[[], None]) -> Graph:
        assert self._recorded is None
        recorded = self._recorded = []
        try:
            with self.backend.capture():
                work()
                if self.refuses is not None:
                    raise RuntimeError(self.refuses)
        finally:
            self._recorded = None
        return EmulatedGraph(self, recorded)

    def synchronize(self) -> None:
        self.backend.synchronize()

    def _graphs_rules(self) -> contextlib.AbstractContextManager[None]:
        return self.backend.capture(allow=("allocation",))

    def _ask(self, name: str, work: Callable[[], None]) -> None:
        if self._recorded is not None:
            self._recorded.append(work)
        else:
            self.done[name] += 1
            work()


@contextlib.contextmanager
def emulated(device: EmulatedDevice | None = None) -> Iterator[EmulatedDevice]:
    """Let the strict backend have a device, and be this thread's, inside a ``with`` block."""
    device = EmulatedDevice() if device is None else device
    assert "device" not in vars(StrictBackend)
    StrictBackend.device = device  # type: ignore[assignment]
    try:
        with td.backend.use("strict"):
            yield device
    finally:
        del StrictBackend.device
