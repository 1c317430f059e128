"""The CuPy backend: without a GPU, its random kernel emulated and CuPy replaced by a stand-in; with one, CuPy itself.

What the strict double and CuPy must have in common is tested in test_strict*.py, on both where there is a GPU.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import re
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
import tinygrad_dnn.backend as backends
from tinygrad_dnn.backend.base import CUDA, philox_uniform
from tinygrad_dnn.backend.cupy import PHILOX_SOURCE, SCATTER_SOURCE, CupyBackend
from tinygrad_dnn.backend.special import erf
from tinygrad_dnn.backend.strict_table import CONSTANTS, SIGNATURES, UFUNCS

# -- the kernel, emulated from its own source --------------------------------------------------------------------------

MASK = 2**64 - 1
OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Mult: lambda a, b: a * b,
    ast.BitXor: lambda a, b: a ^ b,
    ast.RShift: lambda a, b: a >> b,
    ast.Div: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


class Device:
    """Evaluate the kernel's statements on 64-bit unsigned integers, as the source spells them."""

    def __init__(self, **names: Any) -> None:
        self.names = names

    def run(self, statements: list[tuple[str, str]]) -> None:
        for target, expression in statements:
            value = self.value(expression) & MASK
            if match := re.fullmatch(r"(\w+)\[(\d)\]", target):
                self.names[match[1]][int(match[2])] = value
            else:
                self.names[target] = value

    def value(self, expression: str) -> int:
        plain = re.sub(r"\((?:unsigned )?(?:long long|int|float|double)\)|(?<=[0-9A-F])ULL\b", "", expression)
        return self._value(ast.parse(plain, mode="eval").body)

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.names[node.id]
        if isinstance(node, ast.Subscript):
            return int(self._value(node.value)[self._value(node.slice)]) & MASK
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](self._value(node.left), self._value(node.right))
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        assert node.func.id == "__umul64hi"
        a, b = (self._value(argument) for argument in node.args)
        return int(a * b >> 64)


def body_of(function: str) -> str:
    """Return the text between a function's outer braces."""
    match = re.search(rf"{function}\(.*?\)\n\{{\n(.*?)\n\}}\n", PHILOX_SOURCE, re.DOTALL)
    assert match
    return match[1]


def statements(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^ *(?:const )?(?:unsigned long long )?(\w+(?:\[\d\])?) = (.+);$", text, re.MULTILINE)


BODY = body_of("philox4x64_10")
BEFORE, LOOP, AFTER = (statements(text) for text in re.split(r"\n    for [^\n]*\{|\n    \}", BODY))


def philox4x64_10(state: np.ndarray, block: int) -> list[int]:
    """Run the kernel's device function."""
    assert "for (int round = 0; round < 10; ++round) {" in BODY
    device = Device(state=state, block=block, word=[0] * 4)
    device.run(BEFORE)
    for _ in range(10):
        device.run(LOOP)
    device.run(AFTER)
    words: list[int] = device.names["word"]
    return words


def test_the_whole_device_function_is_emulated() -> None:
    assert (len(BEFORE), len(LOOP), len(AFTER)) == (10, 10, 4)
    assert BODY.count(";") == 24 + 2


def test_kernel_gives_the_known_answer() -> None:
    # Random123's published answer for counter 0 and key 0; the kernel counts blocks from 1.
    words = philox4x64_10(np.zeros(3, np.int64), -1)
    assert words == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


class StandInKernel:
    """Launch a kernel of the source, thread by thread; its few lines around the device function are written out."""

    def __init__(self, code: str, name: str) -> None:
        if code == SCATTER_SOURCE:  # run as it stands in test_kernels.py
            return
        assert code == PHILOX_SOURCE
        self.body = body_of(name)
        self.dtype = np.dtype(name.removeprefix("philox_uniform_"))

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
        state, out, count = (getattr(argument, "array", argument) for argument in arguments)
        assert state.flags.c_contiguous
        assert out.flags.c_contiguous
        assert type(count) is np.int64
        per_block = 32 // self.dtype.itemsize
        assert f"first = block * {per_block};" in self.body
        assert f"for (int i = 0; i < {per_block} && first + i < count; ++i)" in self.body
        flat = out.reshape(-1)
        written = np.zeros(flat.size, int)
        assert (grid[0] - 1) * block[0] * per_block < count <= grid[0] * block[0] * per_block
        for thread in range(math.ceil(count / per_block)):
            words = philox4x64_10(state, thread)
            for i in range(min(per_block, count - thread * per_block)):
                flat[thread * per_block + i] = self.element(words, i)
                written[thread * per_block + i] += 1
        assert (written == 1).all()

    def element(self, words: list[int], i: int) -> float:
        device = Device(word=words, i=i)
        if self.dtype == np.float32:
            (half,) = re.findall(r"unsigned int half = \(unsigned int\)(.*);", self.body)
            bits = device.value(half) & 0xFFFFFFFF
            factor = re.search(r"= \(float\)\(half >> 8\) \* (.*)f;", self.body)
            shifted = bits >> 8
        else:
            factor = re.search(r"= \(double\)\(word\[i\] >> 11\) \* (.*);", self.body)
            shifted = words[i] >> 11
        assert factor
        return self.dtype.type(shifted) * self.dtype.type(factor[1])  # type: ignore[no-any-return]


class Cuda:
    """Two devices, and a pool of memory for each."""

    current = 0

    def __init__(self, number: int | None = None) -> None:
        self.number = Cuda.current if number is None else number
        self.mem_info = (10_000 - self.number, 80_000)

    def use(self) -> None:
        Cuda.current = self.number

    class Pool:
        """What is asked of CuPy's."""

        freed = 0

        def used_bytes(self) -> int:
            return 100 + Cuda.current

        def total_bytes(self) -> int:
            return 300 + Cuda.current

        def free_all_blocks(self) -> None:
            self.freed += 1


class StandInArray:
    """Enough of cupy.ndarray for the backend's own lines."""

    def __init__(self, array: np.ndarray, number: int = 0) -> None:
        self.array = array
        self.dtype, self.shape, self.size = array.dtype, array.shape, array.size
        self.device = SimpleNamespace(id=number)

    def copy(self) -> StandInArray:
        return StandInArray(self.array.copy(), Cuda.current)

    def get(self) -> np.ndarray:
        return self.array.copy()

    def astype(self, dtype: Any, copy: bool = True) -> StandInArray:
        return StandInArray(self.array.astype(dtype, copy=copy))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put modules that look like cupy and cupyx in their place."""
    calls: list[str] = []
    monkeypatch.setattr(Cuda, "current", 0)
    pool, pinned = Cuda.Pool(), Cuda.Pool()
    cupy, cupyx, special = ModuleType("cupy"), ModuleType("cupyx"), ModuleType("cupyx.scipy.special")
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 2,
        getDevice=lambda: Cuda.current,
        deviceSynchronize=lambda: calls.append("synchronize"),
    )

    def from_dlpack(foreign: Any) -> StandInArray:
        assert foreign.__dlpack_device__()[0] in CUDA
        return StandInArray(np.from_dlpack(foreign.array), foreign.__dlpack_device__()[1])

    cupy.__dict__.update(
        __version__="14.2.0",
        ndarray=StandInArray,
        cuda=SimpleNamespace(runtime=runtime, Device=Cuda),
        get_default_memory_pool=lambda: pool,
        get_default_pinned_memory_pool=lambda: pinned,
        from_dlpack=from_dlpack,
        RawKernel=StandInKernel,
        asarray=lambda a: StandInArray(np.array(getattr(a, "host", a)), Cuda.current),
        empty=lambda shape, dtype: StandInArray(np.empty(shape, dtype)),
        ascontiguousarray=lambda a: StandInArray(np.ascontiguousarray(a.array)),
        exp=lambda a: StandInArray(np.exp(a.array)),
        calls=calls,
    )
    cupyx.__dict__["scatter_add"] = lambda a, index, v: np.add.at(a.array, index, v)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    # CuPy's erf, too, has no float16 of its own.
    special.__dict__["erf"] = lambda a: StandInArray(erf(a.array.astype(np.result_type(a.dtype, np.float32))))
    monkeypatch.setitem(sys.modules, "cupyx", cupyx)
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", special)
    return cupy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 3), (2, 4), (257,)])
def test_kernels_give_numpys_bits(stand_in: Any, shape: tuple[int, ...], dtype: type) -> None:
    xp = CupyBackend()
    for words in ([0, 0, 0], [42, 7, 2**40], [-1, 2**63 - 1, -5]):
        state = np.array(words, np.int64)
        drawn = xp.uniform(xp.from_host(state), shape, np.dtype(dtype))
        expected = philox_uniform(state, shape, np.dtype(dtype))
        assert drawn.array.dtype == dtype
        np.testing.assert_array_equal(xp.to_host(drawn), expected)


def test_uniform_of_odd_cases(stand_in: Any) -> None:
    xp = CupyBackend()
    state = xp.from_host(np.arange(3))
    assert xp.uniform(state, (0, 3), np.dtype(np.float32)).shape == (0, 3)
    halves = xp.uniform(state, (9,), np.dtype(np.float16))
    np.testing.assert_array_equal(xp.to_host(halves), philox_uniform(np.arange(3), (9,), np.dtype(np.float16)))
    strided = StandInArray(np.array([5, 0, 6, 0, 7, 0])[::2])
    np.testing.assert_array_equal(
        xp.to_host(xp.uniform(strided, (9,), np.dtype(np.float32))),
        philox_uniform(np.array([5, 6, 7]), (9,), np.dtype(np.float32)),
    )
    for bad in (np.zeros(3), np.zeros(4, np.int64)):
        with pytest.raises(TypeError, match="three int64"):
            xp.uniform(xp.from_host(bad), (2,), np.dtype(np.float32))


# -- the rest of the class, on the stand-in ----------------------------------------------------------------------------


def test_the_backend_passes_on_to_cupy(stand_in: Any) -> None:
    xp = CupyBackend()
    assert xp.array_type is StandInArray
    x = xp.from_host(np.zeros(3))
    np.testing.assert_array_equal(xp.to_host(xp.exp(x)), np.ones(3))
    assert xp.exp is stand_in.exp
    counts = xp.from_host(np.zeros(3, int))
    assert xp.scatter_add(counts, np.array([0, 0]), 1) is counts
    np.testing.assert_array_equal(xp.to_host(counts), [2, 0, 0])
    for dtype in (np.float16, np.float32, np.float64):
        halves = xp.erf(xp.from_host(np.array([0.5], dtype)))
        assert halves.dtype == dtype
        np.testing.assert_array_equal(xp.to_host(halves), erf(np.array([0.5], dtype)))
    xp.synchronize()
    assert stand_in.calls == ["synchronize"]
    for missing in ("no_such_function", "_hidden"):
        assert not hasattr(xp, missing)
    assert not hasattr(CupyBackend.__new__(CupyBackend), "exp_")


SOME = [1.0, -1.0, 0.1, -0.1, 0.0, 7.0, -7.5, 1e6, 3.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8"])
@pytest.mark.parametrize("name", ["remainder", "floor_divide"])
def test_division_with_rest_is_numpys(name: str, dtype: str) -> None:
    xp = CupyBackend.__new__(CupyBackend)
    xp._cupy = np
    with np.errstate(all="ignore"):
        x, y = (a.astype(dtype) for a in np.meshgrid(SOME, SOME))
        for a, b in ((x, y), (x, 3), (x, y[:1]), (2, y), (x[0], y[:, :1])):
            made, expected = getattr(xp, name)(a, b), getattr(np, name)(a, b)
            assert made.dtype == expected.dtype
            np.testing.assert_array_equal(made, expected)
        if name == "remainder" and dtype[0] == "f":  # what CuPy's own would give
            assert not np.array_equal(x - np.floor(x / y) * y, np.remainder(x, y), equal_nan=True)


def test_devices_and_memory(stand_in: Any) -> None:
    xp = CupyBackend()
    assert (xp.device_count(), xp.current_device()) == (2, 0)
    x = xp.from_host(np.zeros(3))
    xp.choose_device(1)
    assert (xp.current_device(), xp.device_of(x), xp.device_of(xp.from_host(np.zeros(3)))) == (1, 0, 1)
    assert xp.memory() == (101, 301, 301, 9_999, 80_000)
    xp.choose_device(0)
    assert xp.memory() == (100, 300, 300, 10_000, 80_000)
    xp.free_memory()
    assert (stand_in.get_default_memory_pool().freed, stand_in.get_default_pinned_memory_pool().freed) == (1, 1)


class OnCuda:
    """An array of another library on the second GPU."""

    def __init__(self) -> None:
        self.array = np.arange(3.0)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA[0], 1

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("CuPy calls it")


class WithInterface:
    """An array such as Numba's, which knows no DLPack."""

    def __init__(self) -> None:
        self.host = np.arange(3.0)
        self.__cuda_array_interface__ = {"shape": (3,), "typestr": "<f8", "data": (0, False), "version": 3}


@pytest.fixture
def on_cupy(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> CupyBackend:
    """Let this thread use the backend on the stand-in."""
    xp = CupyBackend()
    monkeypatch.setattr(backends, "_loaded", backends._loaded | {"cupy": xp})
    monkeypatch.setattr(backends, "_by_array_type", {**backends._by_array_type, StandInArray: xp})
    monkeypatch.setattr(backends._state, "backend", xp)
    return xp


@pytest.mark.parametrize("kind", [OnCuda, WithInterface])
def test_a_gpus_array_comes_in_without_the_host(on_cupy: CupyBackend, kind: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(StandInArray, "get", None)  # a copy to the host would call it
    foreign = kind()
    shared = td.from_dlpack(foreign)
    assert shared.backend is on_cupy
    if kind is OnCuda:
        assert np.shares_memory(shared.data.array, foreign.array)
        assert on_cupy.device_of(shared.data) == 1
    copied = td.tensor(foreign, dtype="float32")
    assert (copied.dtype, copied.data.array.tolist()) == (np.float32, [0.0, 1.0, 2.0])
    assert not np.shares_memory(copied.data.array, foreign.__dict__.get("array", foreign.__dict__.get("host")))
    assert copied.to("cupy") is copied
    again = td.tensor(copied)
    assert again.data.array is not copied.data.array


def test_a_hosts_array_is_brought_to_the_gpu(on_cupy: CupyBackend) -> None:
    x = td.from_dlpack(np.arange(3.0))
    assert (x.backend, x.tolist()) == (on_cupy, [0.0, 1.0, 2.0])


def test_between_two_gpus(on_cupy: CupyBackend) -> None:
    x = td.tensor([1.0, 2.0])
    there = x.to("cupy:1")
    assert (on_cupy.device_of(x.data), on_cupy.device_of(there.data), on_cupy.current_device()) == (0, 1, 0)
    assert there.to("cupy") is there
    assert there.to("cupy:1") is there
    assert there.to("numpy").tolist() == [1.0, 2.0]
    with td.backend.device(1):
        assert on_cupy.device_of(td.tensor([1.0]).data) == 1
    assert on_cupy.current_device() == 0


def no_driver() -> int:
    raise OSError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


@pytest.mark.parametrize(
    ("version", "count", "message"),
    [
        ("13.6.0", lambda: 1, r"CuPy 13\.6\.0 is installed and 14 or later is needed"),
        ("14.2.0", lambda: 0, r"CuPy 14\.2\.0 is installed but the driver shows no NVIDIA GPU"),
        ("15.0.0a1", no_driver, r"cannot reach an NVIDIA GPU: cudaErrorInsufficientDriver"),
    ],
)
def test_what_does_not_work_is_told(stand_in: Any, version: str, count: Callable[[], int], message: str) -> None:
    stand_in.__version__ = version
    stand_in.cuda.runtime.getDeviceCount = count
    with pytest.raises(RuntimeError, match=message):
        CupyBackend()


# -- CuPy itself -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cupy() -> Any:
    return pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)


@pytest.mark.gpu
def test_cupy_has_what_the_double_says_it_has(cupy: Any) -> None:
    missing = [name for name in UFUNCS | CONSTANTS | SIGNATURES.keys() if not hasattr(cupy, name)]
    assert not missing
    assert not [name for name in UFUNCS if not isinstance(getattr(cupy, name), cupy.ufunc)]
    for name, text in SIGNATURES.items():
        by_name = set(text.rpartition("/")[2].split()) - {"A", "S", "*"}
        assert by_name <= inspect.signature(getattr(cupy, name)).parameters.keys(), name


@pytest.mark.gpu
def test_uniform_follows_its_state_on_the_device() -> None:
    try:
        xp = backends.get("cupy")
    except RuntimeError as error:
        pytest.skip(str(error))
    state = xp.from_host(np.array([1, 2, 3]))
    for step in range(3, 6):
        expected = philox_uniform(np.array([1, 2, step]), (100_003,), np.dtype(np.float32))
        assert xp.to_host(xp.uniform(state, (100_003,), np.dtype(np.float32))).tobytes() == expected.tobytes()
        state[2] += 1


def test_what_is_sent_ahead_and_what_is_large_goes_by_the_sender(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def arrived(array: np.ndarray) -> StandInArray:
        stand_in.calls.append(array.nbytes)
        return StandInArray(array.copy())

    sender = SimpleNamespace(bring=arrived, send=lambda array: functools.partial(arrived, array))
    monkeypatch.setattr("tinygrad_dnn.backend.cupy.current_sender", lambda cupy: sender)
    monkeypatch.setattr("tinygrad_dnn.backend.cupy.PIECE", 64)
    xp, short, large = CupyBackend(), np.arange(8.0), np.arange(9.0)
    np.testing.assert_array_equal(xp.to_host(xp.from_host(short)), short)
    assert stand_in.calls == []
    np.testing.assert_array_equal(xp.to_host(xp.from_host(large)), large)
    np.testing.assert_array_equal(xp.to_host(xp.send(short)()), short)
    assert stand_in.calls == [large.nbytes, short.nbytes]
