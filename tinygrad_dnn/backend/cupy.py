"""The CuPy backend: arrays in an NVIDIA GPU's memory."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.backend.base import Array, Backend, Memory
from tinygrad_dnn.backend.cuda import CudaDevice, current_device
from tinygrad_dnn.backend.sending import PIECE, current_sender

__all__ = ["CupyBackend"]

_THREADS = 256

# One thread fills one block: the four words that Philox4x64-10 gives for one counter. M0, M1, W0, W1 are named as in
# the paper that base.Backend.uniform cites. The state is read from device memory: a captured graph may replay it.
PHILOX_SOURCE = r"""
__device__ void philox4x64_10(const long long* state, unsigned long long block, unsigned long long* word)
{
    const unsigned long long M0 = 0xD2E7470EE14C6C93ULL;
    const unsigned long long M1 = 0xCA5A826395121157ULL;
    const unsigned long long W0 = 0x9E3779B97F4A7C15ULL;
    const unsigned long long W1 = 0xBB67AE8584CAA73BULL;
    unsigned long long k0 = (unsigned long long)state[0];
    unsigned long long k1 = (unsigned long long)state[1];
    unsigned long long c0 = block + 1;
    unsigned long long c1 = 0;
    unsigned long long c2 = (unsigned long long)state[2];
    unsigned long long c3 = 0;
    for (int round = 0; round < 10; ++round) {
        unsigned long long high0 = __umul64hi(M0, c0);
        unsigned long long low0 = M0 * c0;
        unsigned long long high1 = __umul64hi(M1, c2);
        unsigned long long low1 = M1 * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 = k0 + W0;
        k1 = k1 + W1;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

extern "C" __global__ void philox_uniform_float32(const long long* state, float* out, long long count)
{
    long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long first = block * 8;
    if (first >= count) return;
    unsigned long long word[4];
    philox4x64_10(state, block, word);
    for (int i = 0; i < 8 && first + i < count; ++i) {
        unsigned int half = (unsigned int)(word[i / 2] >> (i % 2 * 32));
        out[first + i] = (float)(half >> 8) * 5.9604644775390625e-8f;
    }
}

extern "C" __global__ void philox_uniform_float64(const long long* state, double* out, long long count)
{
    long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long first = block * 4;
    if (first >= count) return;
    unsigned long long word[4];
    philox4x64_10(state, block, word);
    for (int i = 0; i < 4 && first + i < count; ++i) {
        out[first + i] = (double)(word[i] >> 11) * 1.1102230246251565e-16;
    }
}
"""


# What goes to one place is added by one thread, in order, as NumPy does it: atomic additions would round otherwise in
# every run. The order is that of a stable sort by places.
SCATTER_SOURCE = r"""
template <typename T>
__device__ void scatter_add(
    const long long* order, const long long* places, const T* values, T* target, long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    long long place = places[order[i]];
    if (i > 0 && places[order[i - 1]] == place) return;
    T total = target[place];
    for (; i < count && places[order[i]] == place; ++i) total += values[order[i]];
    target[place] = total;
}

extern "C" __global__ void scatter_add_float32(
    const long long* order, const long long* places, const float* values, float* target, long long count)
{
    scatter_add(order, places, values, target, count);
}

extern "C" __global__ void scatter_add_float64(
    const long long* order, const long long* places, const double* values, double* target, long long count)
{
    scatter_add(order, places, values, target, count);
}
"""


class CupyBackend(Backend):
    """CuPy's own functions, of version 14 or later.

    Written from CuPy's documentation and source, and not yet run on a GPU: the tests compile its kernels for the host
    and by NVRTC, look up in CuPy all that is asked of it, and put a stand-in in CuPy's place; everything above this
    class is tested on the strict double.

    Sums do not depend on chance: what is added to one place is added in order, and not by atomic additions of floats.

    Raises:
        ImportError: CuPy is not installed, or does not find its CUDA libraries.
        RuntimeError: CuPy is older than 14, or finds no NVIDIA GPU.

    Example:
        >>> reason = td.backend.available()["cupy"]  # None where CuPy and a GPU are there
        >>> reason is None or "backend 'cupy' cannot be used here" in reason
        True
    """

    name = "cupy"

    def __init__(self) -> None:
        self._cupy = cupy = importlib.import_module("cupy")
        version = cupy.__version__
        if int(version.partition(".")[0]) < 14:
            # Before 14 a Python number could widen the array beside it, and every dtype here would be another.
            raise RuntimeError(f"CuPy {version} is installed and 14 or later is needed")
        try:
            devices = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # CUDARuntimeError: no device, no driver, or one too old
            raise RuntimeError(f"CuPy {version} is installed but cannot reach an NVIDIA GPU: {error}") from error
        if not devices:
            raise RuntimeError(f"CuPy {version} is installed but the driver shows no NVIDIA GPU")
        self.array_type = cupy.ndarray
        self._add_atomically = importlib.import_module("cupyx").scatter_add
        names = ("float32", "float64")  # compiled at the first call
        self._philox = {name: cupy.RawKernel(PHILOX_SOURCE, f"philox_uniform_{name}") for name in names}
        self._scatter = {name: cupy.RawKernel(SCATTER_SOURCE, f"scatter_add_{name}") for name in names}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # copy and pickle ask before there is a _cupy to look in
        function = getattr(self._cupy, name)
        self.__dict__[name] = function
        return function

    def from_host(self, array: np.ndarray) -> Array:
        if array.nbytes > PIECE:
            return current_sender(self._cupy).bring(array)
        # CuPy first copies pageable memory aside, so the caller may write on it at once, and nothing waits.
        return self._cupy.asarray(array)

    def send(self, array: np.ndarray) -> Callable[[], Array]:
        return current_sender(self._cupy).send(array)

    def to_host(self, array: Array) -> np.ndarray:
        host: np.ndarray = array.get()
        return host

    def scatter_add(self, target: Array, index: Any, values: Array) -> Array:
        if target.dtype.kind not in "fV":  # whose sums do not depend on the order; "V" is bfloat16
            self._add_atomically(target, index, values)
            return target
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(part, self.array_type) for part in parts):
            view = target[index]  # which has each place once
            view += values
            return target
        cupy, dtype = self._cupy, np.dtype(np.float64 if target.dtype.itemsize == 8 else np.float32)
        places = cupy.arange(target.size).reshape(target.shape)[index]
        given = cupy.broadcast_to(cupy.asarray(values, dtype), places.shape)
        flat, sums = places.ravel(), cupy.ascontiguousarray(target, dtype)
        if flat.size:
            arguments = (cupy.argsort(flat), flat, cupy.ascontiguousarray(given), sums, np.int64(flat.size))
            self._scatter[dtype.name]((-(-flat.size // _THREADS),), (_THREADS,), arguments)
        if sums is not target:
            target[...] = sums
        return target

    def uniform(self, state: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if state.dtype != np.int64 or state.shape != (3,):
            raise TypeError(f"uniform takes a state of three int64, not {state.dtype} of shape {state.shape}")
        drawn = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        out = self._cupy.empty(shape, drawn)
        if out.size:
            per_thread = 32 // drawn.itemsize
            threads = -(-out.size // per_thread)
            # A raw kernel takes no account of strides.
            arguments = (self._cupy.ascontiguousarray(state), out, np.int64(out.size))
            self._philox[drawn.name]((-(-threads // _THREADS),), (_THREADS,), arguments)
        return out.astype(dtype, copy=False)

    def erf(self, x: Array) -> Array:
        # Imported when first needed: cupyx.scipy is large. Its erf has no float16 of its own and answers in float32.
        return importlib.import_module("cupyx.scipy.special").erf(x).astype(x.dtype, copy=False)

    def remainder(self, x: Array, y: Array) -> Array:
        """Return what the division leaves, with the divisor's sign and exact, as NumPy's is."""
        if not _is_floating(x, y):
            return self._cupy.remainder(x, y)
        # CuPy's own is x - floor(x / y) * y: it rounds where x is many times y, and is NaN where y is infinite.
        rest = self._cupy.fmod(x, y)
        return self._cupy.where(_is_of_other_sign(rest, y), rest + y, rest)

    def floor_divide(self, x: Array, y: Array) -> Array:
        """Return the greatest integer not above the exact quotient, as NumPy's is."""
        if not _is_floating(x, y):
            return self._cupy.floor_divide(x, y)
        # For the same reason: what falls just short of an integer must not round to it.
        rest = self._cupy.fmod(x, y)
        whole = self._cupy.rint((x - rest) / y) - _is_of_other_sign(rest, y)
        return self._cupy.where(self._cupy.equal(y, 0), self._cupy.divide(x, y), whole)

    def synchronize(self) -> None:
        self._cupy.cuda.runtime.deviceSynchronize()

    # -- devices and their memory ----------------------------------------------------------------------------------

    def device_count(self) -> int:
        return int(self._cupy.cuda.runtime.getDeviceCount())

    def current_device(self) -> int:
        return int(self._cupy.cuda.runtime.getDevice())

    @property
    def device(self) -> CudaDevice:
        return current_device(self._cupy)

    def choose_device(self, number: int) -> None:
        self._cupy.cuda.Device(number).use()  # CUDA keeps one for each thread

    def device_of(self, array: Array) -> int:
        return int(array.device.id)

    def memory(self) -> Memory:
        """Return what CuPy's pool for this thread's device says of itself, and CUDA of the device."""
        pool = self._cupy.get_default_memory_pool()
        free, total = self._cupy.cuda.Device().mem_info
        held = int(pool.total_bytes())
        # The pool keeps what it once took until free_memory, or until the device has no more to give.
        return Memory(int(pool.used_bytes()), held, held, int(free), int(total))

    def free_memory(self) -> None:
        """Give back what the pools hold unused, on this thread's device and of the host's page-locked memory."""
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    # -- arrays of other libraries ---------------------------------------------------------------------------------

    def from_device(self, foreign: Any) -> Array:
        # from_dlpack gives the other library this thread's stream, and so nothing is read before it is computed.
        if hasattr(foreign, "__dlpack_device__"):
            return self._cupy.from_dlpack(foreign)
        return self._cupy.asarray(foreign)


def _is_floating(*operands: Any) -> bool:
    return any(isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind in "fV") for x in operands)


def _is_of_other_sign(rest: Array, y: Array) -> Array:
    return (rest != 0) & ((rest < 0) != (y < 0))
