"""Which arrays a Tensor holds: NumPy's, CuPy's, or the strict test double's, chosen per thread."""

from __future__ import annotations

import importlib
import os
import threading
from types import TracebackType

import numpy as np

from tinygrad_dnn.backend.base import Array, Backend, Memory
from tinygrad_dnn.backend.numpy import NumpyBackend

__all__ = [
    "Array",
    "Backend",
    "Memory",
    "available",
    "current",
    "device",
    "floatx",
    "free_memory",
    "get",
    "memory",
    "of",
    "set_floatx",
    "use",
]

_CLASSES = {
    "numpy": ("tinygrad_dnn.backend.numpy", "NumpyBackend"),
    "cupy": ("tinygrad_dnn.backend.cupy", "CupyBackend"),
    "strict": ("tinygrad_dnn.backend.strict", "StrictBackend"),
}
_numpy = NumpyBackend()
_loaded: dict[str, Backend] = {"numpy": _numpy}
_by_array_type: dict[type, Backend] = {np.ndarray: _numpy}
_failures: dict[str, Exception] = {}


class _ThreadState(threading.local):
    backend: Backend | None = None
    floatx: str = "float32"  # the name alone: a dtype takes a microsecond to tell its name


_state = _ThreadState()


def get(name: str) -> Backend:
    """Return the backend called ``name``, loading its library at the first call.

    Args:
        name: "numpy", "cupy" or "strict".

    Raises:
        ValueError: No backend has that name.
        RuntimeError: Its library cannot be used here; the message says why, and the reason is remembered.

    Example:
        >>> td.backend.get("numpy").name
        'numpy'
    """
    if name in _loaded:
        return _loaded[name]
    if name not in _CLASSES:
        raise ValueError(f"unknown backend {name!r}: choose one of {', '.join(map(repr, _CLASSES))}.")
    if name not in _failures:
        module, class_name = _CLASSES[name]
        try:
            backend: Backend = getattr(importlib.import_module(module), class_name)()
        except Exception as error:  # a broken driver raises other things than ImportError
            _failures[name] = error
        else:
            # Of two threads that load it at once, the first one's object is everybody's.
            backend = _loaded.setdefault(name, backend)
            _by_array_type[backend.array_type] = backend
            return backend
    reason = _failures[name]
    hint = ""
    if name == "cupy":
        hint = (
            'pip install "tinygrad-dnn[cuda12]" or "tinygrad-dnn[cuda13]" on a machine with an NVIDIA driver, or '
            if isinstance(reason, ImportError)
            else "`tinygrad-dnn doctor` tells what would help, or "
        )
    raise RuntimeError(
        f"backend {name!r} cannot be used here ({type(reason).__name__}: {reason}): {hint}go on with backend 'numpy'."
    ) from reason


def available() -> dict[str, str | None]:
    """Return each backend's name with None where it works, else the reason why it does not.

    Example:
        >>> td.backend.available()["numpy"] is None
        True
    """
    report: dict[str, str | None] = {}
    for name in _CLASSES:
        try:
            get(name)
            report[name] = None
        except RuntimeError as error:
            report[name] = str(error)
    return report


def current() -> Backend:
    """Return this thread's backend: the one last chosen by ``use``, else ``TINYGRAD_DNN_BACKEND``, else NumPy.

    Example:
        >>> with td.backend.use("numpy"):
        ...     td.backend.current().name
        'numpy'
    """
    if _state.backend is None:
        _state.backend = get(os.environ.get("TINYGRAD_DNN_BACKEND") or "numpy")
    return _state.backend


def of(array: Array) -> Backend | None:
    """Return the backend whose array ``array`` is, or None.

    Example:
        >>> td.backend.of(np.zeros(2)).name
        'numpy'
        >>> td.backend.of([0, 0]) is None
        True
    """
    backend = _by_array_type.get(type(array))
    if backend is None:
        for array_type, candidate in _by_array_type.items():
            if isinstance(array, array_type):
                return candidate
    return backend


class use:
    """Make new Tensors of this thread live on the named backend, from now on or inside a ``with`` block.

    Args:
        name: "numpy", "cupy" or "strict".

    Raises:
        ValueError: No backend has that name.
        RuntimeError: Its library cannot be used here.

    Example:
        >>> with td.backend.use("strict"):
        ...     td.zeros((2,)).backend.name
        'strict'
    """

    def __init__(self, name: str) -> None:
        self._backend = get(name)
        self._previous = [_state.backend]
        _state.backend = self._backend

    def __enter__(self) -> Backend:
        # Made in one place and entered in another, or entered twice: it counts from here again.
        if _state.backend is not self._backend:
            self._previous.append(_state.backend)
            _state.backend = self._backend
        return self._backend

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _state.backend = self._previous.pop()


class device:
    """Make this thread's new Tensors live on one of its backend's devices, from now on or inside a ``with`` block.

    Only CuPy may have several. An operation runs on the thread's device, and its Tensors should live there:
    ``tensor.to("cupy:1")`` and ``model.to("cupy:1")`` bring them.

    Args:
        number: Which device, counted from 0.

    Raises:
        ValueError: The backend has no device of that number.

    Example:
        >>> with td.backend.device(0):
        ...     x = td.zeros((2,))
    """

    def __init__(self, number: int) -> None:
        self._backend = current()
        self._number = _device_number(self._backend, number)
        self._previous = [self._backend.current_device()]
        self._backend.choose_device(self._number)

    def __enter__(self) -> int:
        # As for use: made in one place and entered in another, it counts from here again.
        if self._backend.current_device() != self._number:
            self._previous.append(self._backend.current_device())
            self._backend.choose_device(self._number)
        return self._number

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backend.choose_device(self._previous.pop())


def _device_number(backend: Backend, number: object) -> int:
    count = backend.device_count()
    if not isinstance(number, (int, np.integer)) or isinstance(number, bool) or not 0 <= number < count:
        numbers = "the device 0 alone" if count == 1 else f"the devices 0 to {count - 1}"
        raise ValueError(f"backend {backend.name!r} has {numbers}, and none is numbered {number!r}.")
    return int(number)


def placed(where: str) -> tuple[Backend, int | None]:
    """Return the backend and the device that a text names: "numpy", "cupy", "cupy:1"; None for any device.

    Raises:
        ValueError: No backend has that name, or it has no such device.
        RuntimeError: Its library cannot be used here.

    Example:
        >>> backend, number = td.backend.placed("numpy:0")
        >>> backend.name, number
        ('numpy', 0)
    """
    name, colon, number = where.partition(":") if isinstance(where, str) else (where, "", "")
    backend = get(name)
    return backend, _device_number(backend, int(number) if number.isdecimal() else number) if colon else None


def moved(array: Array, backend: Backend, number: int | None = None) -> Array:
    """Return an array on another backend or device; itself if it is there already.

    Args:
        array: An array of any backend.
        backend: Where it shall be.
        number: On which of its devices; None for this thread's, or, of an array that is on the backend, the one it has.

    Example:
        >>> td.backend.moved(np.zeros(2), td.backend.get("strict")).shape
        (2,)
    """
    source = of(array)
    assert source is not None
    if source is backend and (number is None or backend.device_of(array) == number):
        return array
    before = backend.current_device()
    if number is not None:
        backend.choose_device(number)
    try:
        # Between two devices of one backend its copy goes past the host.
        return array.copy() if source is backend else backend.from_host(source.to_host(array))
    finally:
        backend.choose_device(before)


def memory(name: str | None = None) -> Memory:
    """Return how much memory a backend has, on this thread's device, and how much of it arrays hold.

    Args:
        name: "numpy", "cupy" or "strict"; by default the thread's backend.

    Returns:
        A ``Memory`` of bytes: on CuPy what its pool says, of the strict double its arrays, of NumPy what the system
        says of the whole process; None where nobody can say.

    Raises:
        ValueError: No backend has that name.
        RuntimeError: Its library cannot be used here.

    Example:
        >>> strict = td.backend.get("strict")
        >>> before = td.backend.memory("strict").used
        >>> x = strict.zeros(1000, dtype="float32")
        >>> td.backend.memory("strict").used - before
        4000
    """
    return (current() if name is None else get(name)).memory()


def free_memory(name: str | None = None) -> None:
    """Give back what a backend holds and does not use, as before another program is to use the GPU.

    Args:
        name: "numpy", "cupy" or "strict"; by default the thread's backend.

    Raises:
        ValueError: No backend has that name.
        RuntimeError: Its library cannot be used here.

    Example:
        >>> td.backend.free_memory("strict")
        >>> memory = td.backend.memory("strict")
        >>> memory.peak == memory.used
        True
    """
    (current() if name is None else get(name)).free_memory()


def floatx() -> str:
    """Return the name of the floating-point type that this thread gives to new Tensors and weights.

    Example:
        >>> td.backend.floatx()
        'float32'
    """
    return _state.floatx


def set_floatx(dtype: str) -> None:
    """Set the floating-point type of this thread's new Tensors and weights.

    Args:
        dtype: "float32" or "float64"; "float16" is for storage and refused here.

    Raises:
        ValueError: Another type was named.

    Example:
        >>> td.backend.set_floatx("float32")
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"set_floatx takes 'float32' or 'float64', not {dtype!r}.")
    _state.floatx = str(dtype)
