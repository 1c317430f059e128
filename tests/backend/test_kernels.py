"""The kernels that GPUs run, compiled as they stand: for the host, where they must give NumPy's bits, and by NVRTC.

No GPU is needed: a few lines in front of the source say what a host's compiler does not know of CUDA.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.backend.base import philox_uniform
from tinygrad_dnn.backend.cupy import _THREADS, PHILOX_SOURCE, SCATTER_SOURCE, CupyBackend

COMPILER = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
GUARD = 64
KINDS = ["float32", "float64"]
STATES = [[0, 0, 0], [42, 7, 2**40], [-1, 2**63 - 1, -5], [2**62, 2**32 + 3, 1]]

CUDA_FOR_A_HOST = r"""
struct Three { unsigned int x, y, z; };
static thread_local Three blockIdx, blockDim, threadIdx;
#define __device__ static
#define __global__
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
"""

LAUNCHES = r"""
#define LAUNCH(name, type) \
extern "C" void launch_##name(unsigned int first, unsigned int last, unsigned int threads, \
                              const long long* state, type* out, long long count) \
{ \
    blockDim.x = threads; \
    for (blockIdx.x = first; blockIdx.x < last; ++blockIdx.x) \
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) philox_uniform_##name(state, out, count); \
}
LAUNCH(float32, float)
LAUNCH(float64, double)

#define ADD(name, type) \
extern "C" void launch_add_##name(unsigned int last, unsigned int threads, const long long* order, \
                                  const long long* places, const type* values, type* target, long long count) \
{ \
    blockDim.x = threads; \
    for (blockIdx.x = 0; blockIdx.x < last; ++blockIdx.x) \
        for (threadIdx.x = threads; threadIdx.x-- > 0;) scatter_add_##name(order, places, values, target, count); \
}
ADD(float32, float)
ADD(float64, double)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kernels as functions of the host, thread after thread."""
    if COMPILER is None:
        pytest.skip("no C++ compiler is installed")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "kernels.cpp").write_text(CUDA_FOR_A_HOST + PHILOX_SOURCE + SCATTER_SOURCE + LAUNCHES)
    command = [COMPILER, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "kernels.cpp", "-o", "kernels.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(Path(folder) / "kernels.so"))


def launch(compiled: Any, kind: str, words: list[int], out: int, count: int, blocks: range) -> None:
    state = np.array(words, np.int64)
    function = getattr(compiled, f"launch_{kind}")
    function(
        ctypes.c_uint(blocks.start), ctypes.c_uint(blocks.stop), ctypes.c_uint(_THREADS),
        ctypes.c_void_p(state.ctypes.data), ctypes.c_void_p(out), ctypes.c_longlong(count),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", STATES, ids=str)
@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 9, 257, 8 * _THREADS - 1, 8 * _THREADS + 1, 20_000])
def test_the_source_gives_numpys_bits_and_writes_nothing_else(
    compiled: Any, kind: str, words: list[int], count: int
) -> None:
    out = np.full(count + GUARD, -1.0, kind)
    blocks = -(-count // (32 // out.itemsize * _THREADS))
    launch(compiled, kind, words, out.ctypes.data, count, range(blocks + 1))
    assert out[:count].tobytes() == philox_uniform(np.array(words), (count,), np.dtype(kind)).tobytes()
    assert (out[count:] == -1.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_what_32_bits_count(compiled: Any, kind: str) -> None:
    """Of an array of 2**34 numbers the block that holds the last ones: it is written where it belongs."""
    out = np.full(8 * _THREADS, -1.0, kind)
    per_thread = 32 // out.itemsize
    per_block = per_thread * _THREADS
    block = 2**34 // per_block
    count = block * per_block + 5
    far = out.ctypes.data - block * per_block * out.itemsize
    launch(compiled, kind, [3, 4, 5], far, count, range(block, block + 1))
    bits = np.random.Philox(key=np.array([3, 4], np.uint64), counter=np.array([0, 0, 5, 0], np.uint64))
    bits.advance(block * _THREADS)
    raw = bits.random_raw(8)
    if kind == "float32":
        expected = (raw.astype("<u8").view("<u4") >> np.uint32(8)).astype("float32") * np.float32(2.0**-24)
    else:
        expected = (raw >> np.uint64(11)) * 2.0**-53
    assert out[:5].tobytes() == expected[:5].tobytes()
    assert (out[5:] == -1.0).all()


class OnHost:
    """What the backend asks of CuPy to scatter, from NumPy; CuPy's sort is stable."""

    arange, broadcast_to, asarray, ascontiguousarray = np.arange, np.broadcast_to, np.asarray, np.ascontiguousarray

    @staticmethod
    def argsort(a: np.ndarray) -> np.ndarray:
        return np.argsort(a, kind="stable")


@pytest.fixture
def scattering(compiled: Any) -> CupyBackend:
    """The backend with NumPy in the place of CuPy, and with its own kernel."""

    def kernel(kind: str) -> Any:
        def run(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            order, places, values, target, count = arguments
            assert order.dtype == places.dtype == np.int64
            assert values.dtype == target.dtype == kind
            assert all(a.flags.c_contiguous for a in arguments[:4])
            assert order.size == places.size == values.size == count <= grid[0] * block[0] < count + block[0]
            getattr(compiled, f"launch_add_{kind}")(
                ctypes.c_uint(grid[0]), ctypes.c_uint(block[0]),
                *(ctypes.c_void_p(a.ctypes.data) for a in arguments[:4]), ctypes.c_longlong(count),
            )  # fmt: skip

        return run

    xp = CupyBackend.__new__(CupyBackend)
    xp.__dict__.update(
        array_type=np.ndarray,
        _cupy=OnHost,
        _scatter={kind: kernel(kind) for kind in KINDS},
        _add_atomically=lambda target, index, values: np.add.at(target, index, values),
    )
    return xp


RNG = np.random.default_rng(8)
INDICES: dict[str, tuple[tuple[int, ...], Any]] = {
    "one": ((7,), RNG.integers(-7, 7, 5000)),
    "rows": ((9, 4), RNG.integers(0, 9, 300)),
    "columns": ((4, 9), (slice(None), RNG.integers(0, 9, (20, 10)))),
    "pairs": ((6, 5), (RNG.integers(0, 6, 400), RNG.integers(0, 5, 400))),
    "apart": ((3, 4, 5), (RNG.integers(0, 3, (7, 1)), slice(1, 3), RNG.integers(0, 5, 6))),
    "mask": ((5, 4), RNG.integers(0, 2, (5, 4)).astype(bool)),
    "none": ((5, 4), np.zeros((0,), int)),
    "one place": ((1,), np.zeros((6, 2), int)),
    "slices": ((6, 5), (slice(None, None, -2), 3)),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("kind", INDICES)
def test_sums_are_numpys_to_the_bit_whatever_comes_first(scattering: CupyBackend, kind: str, dtype: str) -> None:
    shape, index = INDICES[kind]
    values = (RNG.normal(size=np.zeros(shape)[index].shape) * 100).astype(dtype)
    for start in (np.zeros(shape, dtype), np.asfortranarray(RNG.normal(size=shape).astype(dtype))):
        target, expected = start.copy("K"), start.astype("float32") if dtype == "float16" else start.copy()
        assert scattering.scatter_add(target, index, values) is target
        np.add.at(expected, index, values)
        assert target.dtype == dtype
        assert target.tobytes() == expected.astype(dtype).tobytes()
    spread = np.zeros((2, *shape), dtype)
    scattering.scatter_add(spread[1, ...], index, 1.0 if dtype != "int32" else 1)
    assert spread.sum() == values.size
    assert not spread[0].any()


@pytest.mark.parametrize("source", [PHILOX_SOURCE, SCATTER_SOURCE], ids=["philox_uniform", "scatter_add"])
@pytest.mark.parametrize("architecture", ["compute_75", "sm_80", "sm_90"])
def test_nvrtc_compiles_it(source: str, architecture: str) -> None:
    """By NVIDIA's own compiler, which needs no driver: to PTX, and to the machine code of two cards."""
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed", exc_type=ImportError)
    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"CuPy finds no NVRTC: {error}")
    program = nvrtc.createProgram(source, "kernels.cu", [], [])
    try:
        nvrtc.compileProgram(program, [f"--gpu-architecture={architecture}", "--std=c++17"])
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert not nvrtc.getProgramLog(program).strip("\0\n"), "a warning"
    code = nvrtc.getPTX(program) if architecture.startswith("compute") else nvrtc.getCUBIN(program)
    text = code if isinstance(code, bytes) else code.encode()
    for kind in KINDS:
        assert re.search(rf"(philox_uniform|scatter_add)_{kind}".encode(), text)
