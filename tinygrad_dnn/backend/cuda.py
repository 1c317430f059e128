"""An NVIDIA GPU as compiled programs need it: CuPy's kernels, memory and CUDA graphs, and cuBLAS beside it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn.backend.cublas import KINDS, Cublas
from tinygrad_dnn.backend.devices import Array, Device, Graph, Kernel

_devices: dict[tuple[int, int], CudaDevice] = {}
_lock = threading.Lock()
_nothing = contextlib.nullcontext()


def current_device(cupy: Any) -> CudaDevice:
    """Return the GPU that is CuPy's current one in this thread.

    Args:
        cupy: The module.
    """
    key = id(cupy), cupy.cuda.runtime.getDevice()
    found = _devices.get(key)
    if found is None:
        with _lock:
            found = _devices.get(key) or _devices.setdefault(key, CudaDevice(cupy, key[1]))
    return found


class CudaDevice(Device):
    """One GPU of CuPy's, asked for everything on the stream that is CuPy's current one.

    Written from the documentation and source of CuPy and CUDA, and not yet run on a GPU: the tests put stand-ins in
    the places of CuPy and cuBLAS, and compare the calls with CuPy's wheel and cuBLAS's header where these are there.

    Args:
        cupy: The module.
        number: Which GPU.
    """

    def __init__(self, cupy: Any, number: int) -> None:
        self.number = number
        self._cupy = cupy
        self._array_type = cupy.ndarray
        self._kernels: dict[str, tuple[Any, tuple[int]]] = {}
        self._cublas: Cublas | None = None
        self._capture_stream: Any = None
        self._last_stream: Any = None
        self._last_end: Any = None
        self._turns = threading.RLock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        # Programs share the workspace of cuBLAS, and the arrays of Tensors. Streams know nothing of each other.
        with self._turns:
            stream = self._cupy.cuda.get_current_stream()
            if self._last_end is not None:
                stream.wait_event(self._last_end)
            elif self._last_stream is not None and stream != self._last_stream:
                stream.wait_event(self._last_stream.record())
            self._last_stream, self._last_end = stream, None
            try:
                yield
            finally:
                # The default stream of each thread has one name in all of them: no other thread can ask for its end.
                if stream.ptr == self._cupy.cuda.runtime.streamPerThread:
                    self._last_end = stream.record()

    def load(self, kernels: Sequence[Kernel]) -> list[Any]:
        return [self._loaded(kernel) for kernel in kernels]

    def _loaded(self, kernel: Kernel) -> tuple[Any, tuple[int]]:
        found = self._kernels.get(kernel.name)
        if found is None:
            try:
                # CuPy keeps what it compiles among the user's files, for later processes.
                function = self._cupy.RawKernel(kernel.source, kernel.name).kernel
            except Exception as error:
                raise RuntimeError(f"the kernel {kernel.name} cannot be compiled: {error}") from error
            found = self._kernels[kernel.name] = function, (kernel.threads,)
        return found

    def launch(self, kernel: Any, blocks: int, arguments: bytes) -> None:
        function, threads = kernel
        # CuPy passes a NumPy array of one element by value, whatever the element is.
        function((blocks,), threads, (np.frombuffer(arguments, f"V{len(arguments)}"),))

    def product(
        self, dtype: np.dtype[Any], addresses: tuple[int, int, int], transposed: tuple[bool, bool],
        lengths: tuple[int, int, int], leading: tuple[int, int, int], count: int = 1,
        distances: tuple[int, int, int] = (0, 0, 0),
    ) -> None:  # fmt: skip
        if self._cublas is None:
            # As CuPy reads it: its own products and these round alike.
            tf32 = int(os.environ.get("CUPY_TF32", "0")) > 0
            self._cublas = Cublas(_library(self._cupy), self.empty, self.address, tf32)
        stream = self._cupy.cuda.get_current_stream().ptr
        self._cublas.product(stream, dtype, addresses, transposed, lengths, leading, count, distances)

    def empty(self, nbytes: int) -> Array:
        return self._cupy.empty(nbytes, np.uint8)

    def address(self, array: Array) -> int:
        place: int = array.data.ptr
        return place

    def seen(
        self, array: Array, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...]
    ) -> Array:  # fmt: skip
        return self._array_type(shape, dtype, array.data + offset, strides)

    def copy(self, target: Array, source: Array) -> None:
        with self._beside(source.data.device_id):
            self._copy(target, source)

    def _copy(self, target: Array, source: Array) -> None:
        if target.flags.c_contiguous and source.flags.c_contiguous:
            target.data.copy_from_device_async(source.data, target.nbytes)
        else:
            self._cupy.copyto(target, source)

    def _beside(self, number: int) -> contextlib.AbstractContextManager[None]:
        """Return a context for reading an array of some GPU."""
        return _nothing if number == self.number else self._after_and_before(number)

    @contextlib.contextmanager
    def _after_and_before(self, number: int) -> Iterator[None]:
        """Read what another GPU has written so far, before it writes on: its streams know nothing of this one's."""
        cuda = self._cupy.cuda
        here, there = cuda.get_current_stream(), cuda.get_current_stream(number)
        with cuda.Device(number):
            written = there.record()
        here.wait_event(written)
        yield
        read = here.record()
        with cuda.Device(number):
            there.wait_event(read)

    def call(self, function: Callable[..., Array], given: Sequence[Any], target: Array) -> None:
        result = function(*given)
        refuse_unlike(target, result)
        self.copy(target, result)

    def functions(self, backend: Any) -> Any:
        return _Functions(backend, self)

    def matmul(self, x: Array, y: Array, out: Array | None = None) -> Array:
        """Multiply matrices, or stacks of them, as CuPy's function does, by a handle that may be captured.

        Args:
            x: Of shape (..., n, k).
            y: Of shape (..., k, m).
            out: Where the result is to be; by default in a new array.
        """
        cupy = self._cupy
        if x.dtype != y.dtype or x.dtype.name not in KINDS or min(x.ndim, y.ndim) < 2:
            return cupy.matmul(x, y, out=out)
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        shape = (*batch, x.shape[-2], y.shape[-1])
        if out is None or out.dtype != x.dtype or not self.is_plain(out):
            made = self.matmul(x, y, cupy.empty(shape, x.dtype))
            if out is None:
                return made
            cupy.copyto(out, made)
            return out
        count, inner = int(np.prod(batch, dtype=np.int64)), x.shape[-1]
        if not inner:
            out.fill(0)
        elif out.size:
            left, right = self._matrix(x, batch), self._matrix(y, batch)
            places = self.address(left.array), self.address(right.array), self.address(out)
            self.product(
                x.dtype, places, (left.transposed, right.transposed), (*shape[-2:], inner),
                (left.leading, right.leading, shape[-1]), count,
                (left.distance, right.distance, shape[-2] * shape[-1]),
            )  # fmt: skip
        return out

    def _matrix(self, x: Array, batch: tuple[int, ...]) -> _Matrix:
        """Return how a matrix lies, or a stack of them; a copy that lies together if need be."""
        rows, columns = x.shape[-2:]
        if x.ndim == 2 or x.size == rows * columns:
            down, right = (step // x.itemsize for step in x.strides[-2:])
            if (right == 1 or columns == 1) and (down >= columns or rows == 1):
                return _Matrix(x, False, max(down, columns), 0)
            if (down == 1 or rows == 1) and (right >= rows or columns == 1):
                return _Matrix(x, True, max(right, rows), 0)
            return _Matrix(self._cupy.ascontiguousarray(x), False, columns, 0)
        stack = self._cupy.ascontiguousarray(self._cupy.broadcast_to(x, (*batch, rows, columns)))
        return _Matrix(stack, False, columns, rows * columns)

    def is_plain(self, array: Array) -> bool:
        return bool(array.flags.c_contiguous and array.data.device_id == self.number)

    def references(self, arrays: Sequence[Array]) -> list[int]:
        # A view that a method of the array made holds the array. Others, as_strided's among them, hold the pointer to
        # its memory, and what begins elsewhere in the memory without being a view holds the memory alone.
        count = sys.getrefcount
        return [count(array) + count(array.data) + count(array.data.mem) for array in arrays]

    def capture(self, work: Callable[[], None]) -> Graph:
        cuda = self._cupy.cuda
        memory: list[Any] = []

        def allocate(nbytes: int) -> Any:
            # What is allocated in a capture is free when that is over, to everybody but the graph. So it comes from a
            # pool that nobody else has, and no piece of it goes back, not even when memory runs out.
            block = cuda.Memory(nbytes)
            memory.append(block)
            return cuda.MemoryPointer(block, 0)

        pool = cuda.MemoryPool(allocate)
        if self._capture_stream is None:
            self._capture_stream = cuda.Stream(non_blocking=True)
        stream, self._capture_stream = self._capture_stream, None
        with self._turns, stream, cuda.using_allocator(pool.malloc):
            # Relaxed: the pool may grow, and other threads may do what they like.
            stream.begin_capture(cuda.runtime.streamCaptureModeRelaxed)
            try:
                work()
            except BaseException:
                with contextlib.suppress(Exception):
                    stream.end_capture()
                raise
            graph = _CudaGraph(stream.end_capture(), memory)
            self._capture_stream = stream  # where nothing has gone wrong
            return graph

    def synchronize(self) -> None:
        self._cupy.cuda.get_current_stream().synchronize()


class _Matrix(NamedTuple):
    """A matrix, or a stack of them, as cuBLAS takes it: see ``Device.product``."""

    array: Array
    transposed: bool
    leading: int
    distance: int


class _Functions:
    """A backend's functions with products that may be captured."""

    def __init__(self, backend: Any, device: CudaDevice) -> None:
        self._backend = backend
        self.matmul = device.matmul

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _CudaGraph(Graph):
    """CuPy's graph, with the memory that was allocated in its capture."""

    def __init__(self, graph: Any, memory: list[Any]) -> None:
        self._graph = graph
        self._memory = memory

    def launch(self) -> None:
        self._graph.launch()  # on the current stream


def refuse_unlike(target: Array, result: Array) -> None:
    """Refuse a result that does not fit where it is to go.

    Raises:
        ValueError: It has another shape or dtype.
    """
    if result.shape != target.shape or result.dtype != target.dtype:
        raise ValueError(
            f"a primitive gave {result.dtype.name}{list(result.shape)}, and "
            f"{target.dtype.name}{list(target.shape)} when the program was recorded."
        )


def _library(cupy: Any) -> Any:
    """Return the cuBLAS that CuPy uses itself.

    Raises:
        RuntimeError: It is not found.
    """
    try:
        place = cupy.cuda.cublas.__file__  # to ask for it brings in what it is linked to, from wheels too
    except ImportError as error:
        raise RuntimeError(f"CuPy does not find cuBLAS ({error}): install CuPy with its extra [ctk]") from error
    # On Linux functions are found through a library that is linked to theirs, under Windows in theirs alone.
    for name in (place, "cublas64_13.dll", "cublas64_12.dll"):
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(name)
            if hasattr(library, "cublasCreate_v2"):
                return library
    raise RuntimeError(f"cuBLAS is not found through {place}: install CuPy with its extra [ctk]")
