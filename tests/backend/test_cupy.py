"""The CuPy backend: without a GPU, its random kernel emulated and CuPy replaced by a stand-in; with one, CuPy itself.

What the strict double and CuPy must have in common is tested in test_strict*.py, on both where there is a GPU.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn.backend as backends
from tinygrad_dnn.backend.base import philox_uniform
from tinygrad_dnn.backend.cupy import PHILOX_SOURCE, CupyBackend
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


class StandInArray:
    """Enough of cupy.ndarray for the backend's own lines."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.dtype, self.shape, self.size = array.dtype, array.shape, array.size

    def get(self) -> np.ndarray:
        return self.array.copy()

    def astype(self, dtype: Any, copy: bool = True) -> StandInArray:
        return StandInArray(self.array.astype(dtype, copy=copy))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put modules that look like cupy and cupyx in their place."""
    calls: list[str] = []
    cupy, cupyx, special = ModuleType("cupy"), ModuleType("cupyx"), ModuleType("cupyx.scipy.special")
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, deviceSynchronize=lambda: calls.append("synchronize"))
    cupy.__dict__.update(
        __version__="14.2.0",
        ndarray=StandInArray,
        cuda=SimpleNamespace(runtime=runtime),
        RawKernel=StandInKernel,
        asarray=lambda a: StandInArray(a.copy()),
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
    assert xp.scatter_add(x, np.array([0, 0]), 1.0) is x
    np.testing.assert_array_equal(xp.to_host(x), [2, 0, 0])
    for dtype in (np.float16, np.float32, np.float64):
        halves = xp.erf(xp.from_host(np.array([0.5], dtype)))
        assert halves.dtype == dtype
        np.testing.assert_array_equal(xp.to_host(halves), erf(np.array([0.5], dtype)))
    xp.synchronize()
    assert stand_in.calls == ["synchronize"]
    for missing in ("no_such_function", "_hidden"):
        assert not hasattr(xp, missing)
    assert not hasattr(CupyBackend.__new__(CupyBackend), "exp_")


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
