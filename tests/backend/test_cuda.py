"""A GPU as compiled programs need it: without one, CuPy replaced by a stand-in; what CuPy itself has, where it is."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.backend.test_cublas import Library
from tinygrad_dnn.backend import cuda
from tinygrad_dnn.backend.cublas import FUNCTIONS
from tinygrad_dnn.backend.cuda import CudaDevice, current_device

# -- a stand-in --------------------------------------------------------------------------------------------------------


class Kernel(NamedTuple):
    """A kernel's text."""

    name: str
    source: str
    threads: int


class Pointer:
    """Memory on the stand-in's device."""

    def __init__(self, memory: Any, offset: int) -> None:
        self.mem, self.offset = memory, offset
        self.ptr = memory.ptr + offset
        self.device_id = memory.device

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.mem, self.offset + offset)

    def copy_from_device_async(self, source: Pointer, nbytes: int) -> None:
        """Note the copy."""
        self.mem.cupy.told.append(("copy", self.ptr, source.ptr, nbytes))


class Array:
    """An array of the stand-in."""

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, data: Pointer, strides: tuple[int, ...] | None = None
    ) -> None:
        self.shape, self.dtype, self.data = shape, np.dtype(dtype), data
        plain = np.empty(shape, dtype).strides
        self.strides = plain if strides is None else strides
        self.nbytes = int(np.prod(shape)) * self.dtype.itemsize
        self.flags = SimpleNamespace(c_contiguous=self.strides == plain)


class Stream:
    """A stream that captures."""

    def __init__(self, cupy: Any, ptr: int, non_blocking: bool = False) -> None:
        self._cupy, self.ptr, self.non_blocking = cupy, ptr, non_blocking
        self.mode: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    __hash__ = None  # type: ignore[assignment]

    def __enter__(self) -> Stream:
        self._cupy.streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._cupy.streams.pop() is self

    def begin_capture(self, mode: int) -> None:
        """Begin to capture."""
        assert self.non_blocking
        assert self._cupy.streams[-1] is self
        self.mode = mode
        self._cupy.told.append("begin")

    def end_capture(self) -> Any:
        """End it."""
        assert self.mode is not None
        self.mode = None
        self._cupy.told.append("end")
        if self._cupy.invalid:
            raise RuntimeError("the capture was invalidated")
        return SimpleNamespace(launch=lambda: self._cupy.told.append("graph"))

    def record(self) -> Any:
        """Return what happens when all is done that was asked for so far."""
        return ("so far", self.ptr)

    def wait_event(self, event: Any) -> None:
        """Note that what follows comes after something."""
        self._cupy.told.append(("after", event, self.ptr))

    def synchronize(self) -> None:
        """Note the wait."""
        self._cupy.told.append(("wait", self.ptr))


class Cupy:
    """What ``CudaDevice`` uses of CuPy."""

    ndarray = Array

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.invalid = False
        self.number = 0
        self.made = 0
        self.allocator: Callable[[int], Pointer] | None = None
        self.streams = [Stream(self, 0)]
        self.there = Stream(self, 9)
        self.refused: str | None = None
        self.freed: list[int] = []
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(getDevice=lambda: self.number, streamCaptureModeRelaxed=2, streamPerThread=2),
            get_current_stream=lambda number=0: self.there if number else self.streams[-1],
            Device=lambda number: contextlib.nullcontext(self.told.append(f"on {number}")),
            Stream=lambda non_blocking: Stream(self, 77, non_blocking),
            Memory=self.memory, MemoryPointer=Pointer, MemoryPool=self.pool, using_allocator=self.using_allocator,
        )  # fmt: skip

    def memory(self, nbytes: int) -> Any:
        """Return new memory."""
        self.made += 1
        cupy, ptr = self, self.made << 32

        class Memory:
            """Notes that it is freed."""

            device = self.number

            def __init__(self) -> None:
                self.cupy, self.ptr, self.nbytes = cupy, ptr, nbytes

            def __del__(self, ptr: int = ptr) -> None:
                cupy.freed.append(ptr)

        return Memory()

    def pool(self, allocate: Callable[[int], Pointer]) -> Any:
        """Return a pool that keeps nothing."""
        return SimpleNamespace(malloc=allocate)

    @contextlib.contextmanager
    def using_allocator(self, allocate: Callable[[int], Pointer]) -> Iterator[None]:
        """Allocate by something else."""
        self.allocator, before = allocate, self.allocator
        try:
            yield
        finally:
            self.allocator = before

    def empty(self, shape: Any, dtype: Any) -> Array:
        """Return a new array."""
        shape = (shape,) if isinstance(shape, int) else shape
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pointer = Pointer(self.memory(nbytes), 0) if self.allocator is None else self.allocator(nbytes)
        return Array(shape, dtype, pointer)

    def copyto(self, target: Array, source: Array) -> None:
        """Note a copy by a kernel."""
        self.told.append(("copyto", target.data.ptr, source.data.ptr))

    def RawKernel(self, source: str, name: str) -> Any:  # noqa: N802
        """Compile."""
        if self.refused is not None:
            raise ValueError(self.refused)

        def launch(grid: Any, block: Any, arguments: Any) -> None:
            (given,) = arguments
            assert given.size == 1  # else CuPy refuses it
            place = given.__array_interface__["data"][0]
            self.told.append((name, grid, block, ctypes.string_at(place, given.nbytes)))

        self.told.append(("compiled", name))
        return SimpleNamespace(kernel=launch)


@pytest.fixture
def cupy() -> Cupy:
    return Cupy()


@pytest.fixture
def device(cupy: Cupy) -> CudaDevice:
    return CudaDevice(cupy, 0)


KERNEL = Kernel("f", 'extern "C" __global__ void f(Rows rows) {}', 128)


def test_there_is_one_device_of_each_number(cupy: Cupy) -> None:
    first = current_device(cupy)
    assert current_device(cupy) is first
    assert first.number == 0
    cupy.number = 1
    second = current_device(cupy)
    assert second is not first
    assert second.number == 1
    assert current_device(Cupy()) is not first


def test_kernels_are_compiled_once(device: CudaDevice, cupy: Cupy) -> None:
    other = KERNEL._replace(name="g", threads=64)
    first, second, third = device.load([KERNEL, other, KERNEL])
    assert first is third
    assert device.load([other]) == [second]
    assert cupy.told == [("compiled", "f"), ("compiled", "g")]


def test_what_cannot_be_compiled_is_an_error_in_the_compilers_words(device: CudaDevice, cupy: Cupy) -> None:
    cupy.refused = 'line 3: "Rows" is undefined'
    with pytest.raises(RuntimeError, match=r'the kernel f cannot be compiled: line 3: "Rows" is undefined'):
        device.load([KERNEL])
    cupy.refused = None
    assert device.load([KERNEL])


def test_a_structure_is_passed_by_value(device: CudaDevice, cupy: Cupy) -> None:
    (kernel,) = device.load([KERNEL])
    arguments = struct.pack("<3q", 2**40, -1, 7)
    device.launch(kernel, 5, arguments)
    assert cupy.told[-1] == ("f", (5,), (128,), arguments)


def test_arrays_are_seen_in_memory_that_they_keep(device: CudaDevice, cupy: Cupy) -> None:
    block = device.empty(64)
    start = device.address(block)
    seen = device.seen(block, 16, (2, 3), np.dtype("f4"), (4, 8))
    assert (seen.shape, seen.dtype, seen.strides, seen.data.ptr) == ((2, 3), np.float32, (4, 8), start + 16)
    del block
    assert not cupy.freed
    del seen
    assert cupy.freed == [start]


def test_what_lies_together_is_copied_as_memory(device: CudaDevice, cupy: Cupy) -> None:
    x, y = device.empty(24), device.empty(24)
    device.copy(x, y)
    assert cupy.told == [("copy", x.data.ptr, y.data.ptr, 24)]
    turned = device.seen(y, 0, (2, 3), np.dtype("f4"), (4, 8))
    device.copy(device.seen(x, 0, (2, 3), np.dtype("f4"), (12, 4)), turned)
    assert cupy.told[1:] == [("copyto", x.data.ptr, y.data.ptr)]
    assert not device.is_plain(turned)


def test_a_copy_from_another_gpu_comes_after_what_wrote_it_and_before_what_writes_next(
    device: CudaDevice, cupy: Cupy
) -> None:
    target = device.empty(8)
    cupy.number = 1
    source = cupy.empty(8, "u1")
    device.copy(target, source)
    there, back = ["on 1", ("after", ("so far", 9), 0)], ["on 1", ("after", ("so far", 0), 9)]
    assert cupy.told == [*there, ("copy", target.data.ptr, source.data.ptr, 8), *back]


def test_arrays_of_other_gpus_are_not_for_kernels(device: CudaDevice, cupy: Cupy) -> None:
    cupy.number = 1
    assert not device.is_plain(cupy.empty(3, "f4"))


def test_a_primitive_s_result_is_copied(device: CudaDevice, cupy: Cupy) -> None:
    target, made = cupy.empty((2,), "f4"), cupy.empty((2,), "f4")
    device.call(lambda x, y: made if (x, y) == (target, 3) else None, [target, 3], target)
    assert cupy.told == [("copy", target.data.ptr, made.data.ptr, 8)]
    with pytest.raises(ValueError, match=r"a primitive gave int32\[3\], and float32\[2\] when"):
        device.call(lambda: cupy.empty((3,), "i4"), [], target)


def test_waiting_is_for_the_current_stream(device: CudaDevice, cupy: Cupy) -> None:
    device.synchronize()
    assert cupy.told == [("wait", 0)]


def test_runs_follow_each_other_on_whatever_stream(device: CudaDevice, cupy: Cupy) -> None:
    for _ in range(2):
        with device.turn():
            cupy.told.append("run")
    for _ in range(2):
        with Stream(cupy, 5), device.turn():  # CuPy may make several objects of one stream
            cupy.told.append("run")
    with device.turn():
        cupy.told.append("run")
    on_another = [("after", ("so far", 0), 5), "run", "run"]
    assert cupy.told == ["run", "run", *on_another, ("after", ("so far", 5), 0), "run"]


def test_the_default_stream_of_each_thread_is_another_one_in_each(device: CudaDevice, cupy: Cupy) -> None:
    # Both are called 2, and only the thread itself can ask for the end of what it has asked for.
    with Stream(cupy, 2):
        for _ in range(2):
            with device.turn():
                cupy.told.append("run")
                cupy.streams[-1].record = lambda: "the end"  # type: ignore[method-assign]
    with device.turn():
        cupy.told.append("run")
    with device.turn():
        cupy.told.append("run")
    assert cupy.told == ["run", ("after", "the end", 2), "run", ("after", "the end", 0), "run", "run"]


def test_one_thread_at_a_time_runs(device: CudaDevice) -> None:
    with device.turn(), ThreadPoolExecutor(1) as others:
        assert not others.submit(device._turns.acquire, False).result()


# -- captures ----------------------------------------------------------------------------------------------------------


def test_a_capture_has_its_own_stream_and_memory(device: CudaDevice, cupy: Cupy) -> None:
    modes = []

    def work() -> None:
        stream = cupy.cuda.get_current_stream()
        modes.append((stream.non_blocking, stream.mode, cupy.allocator is not None))
        cupy.empty(8, "f4")  # is free again at once, to CuPy

    graph = device.capture(work)
    assert modes == [(True, 2, True)]
    assert cupy.told == ["begin", "end"]
    assert cupy.allocator is None
    assert cupy.cuda.get_current_stream().ptr == 0
    assert not cupy.freed  # the graph still writes there
    graph.launch()
    assert cupy.told[2:] == ["graph"]
    del graph
    assert len(cupy.freed) == 1


@pytest.mark.parametrize("invalid", [False, True])
@pytest.mark.parametrize("error", [ValueError("no such luck"), KeyboardInterrupt()])
def test_an_error_ends_the_capture(device: CudaDevice, cupy: Cupy, error: BaseException, invalid: bool) -> None:
    cupy.invalid = invalid

    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        device.capture(work)
    assert cupy.told == ["begin", "end"]
    assert cupy.allocator is None
    assert cupy.cuda.get_current_stream().ptr == 0
    cupy.invalid = False
    device.capture(lambda: None).launch()  # the next one is not disturbed
    assert cupy.told[2:] == ["begin", "end", "graph"]


def test_a_capture_that_the_driver_refuses_is_an_error(device: CudaDevice, cupy: Cupy) -> None:
    cupy.invalid = True
    with pytest.raises(RuntimeError, match="invalidated"):
        device.capture(lambda: None)


def test_products_go_to_a_handle_of_our_own_on_the_current_stream(
    device: CudaDevice, cupy: Cupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = []

    class Cublas:
        """Notes what it is made with, and the stream of each product."""

        def __init__(self, library: Any, empty: Any, address: Any, tf32: bool) -> None:
            assert library == "cuBLAS"
            assert address(empty(16))
            self.tf32 = tf32
            streams.append(("new", tf32))

        def product(self, stream: int, *_: Any) -> None:
            streams.append(("product", stream))

    monkeypatch.setattr(cuda, "Cublas", Cublas)
    monkeypatch.setattr(cuda, "_library", lambda given: "cuBLAS" if given is cupy else None)
    monkeypatch.setenv("CUPY_TF32", "1")

    def multiply() -> None:
        device.product(np.dtype("f4"), (1, 2, 3), (False, False), (1, 1, 1), (1, 1, 1))

    multiply()
    device.capture(multiply)
    monkeypatch.delenv("CUPY_TF32")
    other = CudaDevice(cupy, 0)
    other.product(np.dtype("f4"), (1, 2, 3), (False, False), (1, 1, 1), (1, 1, 1))
    assert streams == [("new", True), ("product", 0), ("product", 77), ("new", False), ("product", 0)]


class Hosted(np.ndarray):
    """An array of the host that has what cuBLAS is told of one of CuPy's."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        """Where it is."""
        return SimpleNamespace(ptr=self.__array_interface__["data"][0], device_id=0)


def _stacks() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    for left, right in [((), ()), ((2,), (2,)), ((3, 2), (2,)), ((), (3,)), ((1,), (3,)), ((2, 1), (1, 3)), ((0,), ())]:
        yield (*left, 4, 5), (*right, 5, 6)
    yield from [((1, 5), (5, 1)), ((4, 1), (1, 6)), ((4, 0), (0, 6)), ((0, 5), (5, 6))]


@pytest.mark.parametrize("shapes", [*_stacks()])
@pytest.mark.parametrize("layout", ["plain", "turned", "every second"])
@pytest.mark.parametrize("out", ["none", "plain", "turned"])
def test_a_product_that_may_be_captured_is_the_one_of_numpy(
    monkeypatch: pytest.MonkeyPatch, shapes: tuple[tuple[int, ...], tuple[int, ...]], layout: str, out: str
) -> None:
    host = SimpleNamespace(
        ndarray=Hosted, copyto=np.copyto, ascontiguousarray=lambda x: np.ascontiguousarray(x).view(Hosted),
        broadcast_to=functools.partial(np.broadcast_to, subok=True),
        empty=lambda shape, dtype: np.full(shape, 77, dtype).view(Hosted),
        cuda=SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0)),
    )  # fmt: skip
    monkeypatch.setattr(cuda, "_library", lambda _: Library())
    device = CudaDevice(host, 0)
    generator = np.random.default_rng(0)
    given = []
    for shape in shapes:
        x = generator.normal(size=(*shape[:-2], shape[-2] * 2, shape[-1] * 2)).astype(np.float32).view(Hosted)
        if layout == "every second":
            x = x[..., ::2, ::2]
        elif layout == "plain":
            x = x[..., : shape[-2], : shape[-1]]
        else:
            x = np.ascontiguousarray(x[..., : shape[-2], : shape[-1]].swapaxes(-1, -2)).view(Hosted).swapaxes(-1, -2)
        given.append(x)
    expected = np.matmul(*(np.asarray(x, np.float64) for x in given))
    target = None
    if out != "none":
        target = np.full(expected.shape, 7, np.float32, order="C" if out == "plain" else "F").view(Hosted)
    found = device.functions(host).matmul(*given, out=target)
    assert found.dtype == np.float32
    assert target is None or found is target
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_products_that_cublas_has_not_are_cupys() -> None:
    asked = []
    host = SimpleNamespace(ndarray=Hosted, matmul=lambda x, y, out: asked.append((x.dtype, y.dtype, x.ndim)) or out)
    device = CudaDevice(host, 0)
    integers, floats = np.ones((2, 2), np.int32).view(Hosted), np.ones((2, 2), np.float32).view(Hosted)
    for x, y in [(integers, integers), (integers, floats), (floats[0], floats)]:
        assert device.matmul(x, y) is None
    assert len(asked) == 3
    assert device.functions(host).ndarray is Hosted  # and all else is the backend's


# -- CuPy itself -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Any:
    return pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)


def test_cupy_has_what_is_used(real: Any) -> None:
    names = [
        "ndarray", "empty", "copyto", "matmul", "ascontiguousarray", "broadcast_to", "RawKernel",
        "cuda.runtime.getDevice", "cuda.runtime.streamCaptureModeRelaxed", "cuda.runtime.streamPerThread",
        "cuda.Device",
        "cuda.get_current_stream", "cuda.Stream.begin_capture", "cuda.Stream.end_capture", "cuda.Stream.synchronize",
        "cuda.Stream.record", "cuda.Stream.wait_event",
        "cuda.Stream.ptr", "cuda.Memory", "cuda.MemoryPointer.copy_from_device_async", "cuda.MemoryPool.malloc",
        "cuda.using_allocator", "cuda.Graph.launch", "RawKernel.kernel", "ndarray.data",
        "ndarray.flags", "ndarray.nbytes", "cuda.MemoryPointer.ptr", "cuda.MemoryPointer.device_id",
        "cuda.MemoryPointer.mem",
    ]  # fmt: skip
    for name in names:
        found = real
        for part in name.split("."):
            if name != "cuda.Stream.ptr":  # which the constructor sets, and that needs a GPU
                found = getattr(found, part)
    assert "non_blocking" in real.cuda.Stream.__init__.__doc__ or "non_blocking" in real.cuda.Stream.__doc__


VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "a part": lambda cupy, x: x[1:],
    "an element": lambda cupy, x: x[0, 0],
    "ravel": lambda cupy, x: x.ravel(),
    "reshape": lambda cupy, x: x.reshape(8, 4),
    "turned": lambda cupy, x: x.T,
    "another dtype": lambda cupy, x: x.view(np.int32),
    "repeated": lambda cupy, x: cupy.broadcast_to(x, (3, 4, 8)),
    "as_strided": lambda cupy, x: cupy.lib.stride_tricks.as_strided(x, (2, 2), (4, 4)),
    "an array of its memory": lambda cupy, x: cupy.ndarray((2,), np.float32, x.data),
    "an array further on in its memory": lambda cupy, x: cupy.ndarray((2,), np.float32, x.data + 4),
    "its memory": lambda cupy, x: x.data.mem,
    "itself": lambda cupy, x: x,
}


@pytest.mark.parametrize("name", VIEWS)
def test_who_else_has_an_array_or_its_memory_is_seen(real: Any, name: str) -> None:
    device = CudaDevice(real, 0)
    memory = np.zeros(128, np.uint8)  # which no function looks at: a GPU's would do as well
    block = real.cuda.UnownedMemory(memory.ctypes.data, memory.nbytes, memory, 0)
    pointer = real.cuda.MemoryPointer(block, 0)
    del block
    array = device.seen(real.ndarray((128,), np.uint8, pointer), 0, (4, 8), np.dtype(np.float32), (32, 4))
    del pointer
    alone = device.references([array])
    view = VIEWS[name](real, array)
    assert device.references([array]) > alone
    del view
    assert device.references([array]) == alone


def test_cublas_is_found_through_cupy(real: Any) -> None:
    try:
        library = cuda._library(real)
    except RuntimeError as error:
        pytest.skip(str(error))
    for name in FUNCTIONS:
        assert getattr(library, name)
    library.cublasGetStatusString.restype = ctypes.c_char_p
    assert library.cublasGetStatusString(0)


def test_where_there_is_no_cublas_an_error_says_what_to_install() -> None:
    class Cuda:
        """Has no cuBLAS."""

        @property
        def cublas(self) -> Any:
            raise ImportError("libcublas.so.12: cannot open shared object file")

    with pytest.raises(RuntimeError, match=r"libcublas\.so\.12.*install CuPy with its extra \[ctk\]"):
        cuda._library(SimpleNamespace(cuda=Cuda()))
    lacking = SimpleNamespace(cuda=SimpleNamespace(cublas=SimpleNamespace(__file__="/nowhere/cublas.so")))
    with pytest.raises(RuntimeError, match=r"cuBLAS is not found through /nowhere/cublas\.so: install"):
        cuda._library(lacking)
