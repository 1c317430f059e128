"""A GPU that is none: compiles kernels as they stand by g++, and runs each thread of a launch as a fiber on the host.

What it shows: that the text is C++ but for a few words of CUDA, that all threads of a block meet at each barrier, what
the kernel computes, and that this does not depend on the order in which threads and blocks happen to be run.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tinygrad_dnn.jit.cuda.launches import Kernel

COMPILER = shutil.which("g++")
REASON = "kernels are emulated by what g++ makes of them, and there is no g++"

ORDERS = ("forwards", "backwards", "mixed")
"""The orders in which threads and blocks can be run."""

# A fiber is a context of its own, which gives the processor to the scheduler at a barrier and so keeps its variables.
# What lies in a block's memory is static: one block is run after the other.
_HEAD = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(...)
#define HALF_CONVERSIONS
#define __ldg(place) (*(place))
struct Three { unsigned int x, y, z; };
static Three threadIdx, blockIdx, blockDim, gridDim;

static float half_to_float(unsigned short x) { _Float16 y; memcpy(&y, &x, 2); return (float)y; }
static unsigned short float_to_half(float x)
{
    _Float16 y = (_Float16)x;
    unsigned short z;
    memcpy(&z, &y, 2);
    return z;
}
static inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static inline double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)(((unsigned __int128)x * y) >> 64);
}

enum { STACK = 65536, MOST = 1024, READY = 0, WAITING = 1, DONE = 2 };
static ucontext_t scheduler, fibers[MOST];
static char* stacks;
static int states[MOST], current;
static void (*body)(const void*);
static const void* given;
static int problem;

static void __syncthreads()
{
    if (!stacks) { problem = 2; return; }
    states[current] = WAITING;
    swapcontext(&fibers[current], &scheduler);
}
static unsigned long long passed[MOST];
template <typename T> static T __shfl_xor_sync(unsigned int, T value, int other)
{
    const int own = (int)threadIdx.x;
    memcpy(&passed[own], &value, sizeof value);
    __syncthreads();
    T result;
    memcpy(&result, &passed[own ^ other], sizeof result);
    __syncthreads();
    return result;
}
static void entered() { body(given); states[current] = DONE; swapcontext(&fibers[current], &scheduler); }

static unsigned int placed(unsigned int number, unsigned int count, int order)
{
    if (order == 0) return number;
    if (order == 1) return count - 1 - number;
    unsigned int step = 7919;  // a prime; where it divides the count, another one
    if (count % step == 0) step = 7907;
    return (unsigned int)((unsigned long long)number * step % count);
}

static void run_fibers(unsigned int threads, int order)
{
    for (unsigned int i = 0; i < threads; ++i) {
        getcontext(&fibers[i]);
        fibers[i].uc_stack.ss_sp = stacks + (size_t)i * STACK;
        fibers[i].uc_stack.ss_size = STACK;
        fibers[i].uc_link = 0;
        makecontext(&fibers[i], entered, 0);
        states[i] = READY;
    }
    for (;;) {
        unsigned int done = 0, waiting = 0;
        for (unsigned int i = 0; i < threads; ++i) {
            current = (int)placed(i, threads, order);
            threadIdx.x = (unsigned int)current;
            swapcontext(&scheduler, &fibers[current]);
            done += states[current] == DONE;
            waiting += states[current] == WAITING;
        }
        if (done == threads) return;
        if (waiting != threads) { problem = 1; return; }
    }
}

extern "C" int run(void (*kernel)(const void*), const void* arguments, unsigned int blocks, unsigned int threads,
                   int barriers, int order)
{
    if (threads > MOST) return 3;
    body = kernel; given = arguments; problem = 0;
    blockDim = {threads, 1, 1}; gridDim = {blocks, 1, 1};
    if (barriers && !stacks) stacks = (char*)malloc((size_t)MOST * STACK);
    for (unsigned int i = 0; i < blocks && !problem; ++i) {
        blockIdx = {placed(i, blocks, order), 0, 0};
        if (barriers) { run_fibers(threads, order); continue; }
        for (unsigned int j = 0; j < threads; ++j) {
            threadIdx = {placed(j, threads, order), 0, 0};
            kernel(arguments);
        }
    }
    return problem;
}
"""

_PROBLEMS = {
    1: "some threads of a block wait at a barrier that others have passed by",
    2: "a barrier is reached that the kernel's own text does not have",
    3: "a block has more than 1,024 threads",
}

_CALLER = 'extern "C" void call_{name}(const void* x) {{ {space}::{name}(*(const {space}::Rows*)x); }}'


class Compiled:
    """A kernel that can be launched.

    Attributes:
        kernel: The kernel.
    """

    def __init__(self, kernel: Kernel, library: ctypes.CDLL) -> None:
        self.kernel = kernel
        self._run = library.run
        self._function = ctypes.cast(getattr(library, f"call_{kernel.name}"), ctypes.c_void_p)
        self._barriers = "__syncthreads" in kernel.source or "__shfl" in kernel.source

    def launch(self, blocks: int, arguments: bytes, order: str = "forwards") -> None:
        """Run all threads; the arguments are the bytes of the kernel's structure.

        Raises:
            AssertionError: The kernel does what a GPU must not be given.
        """
        assert blocks > 0
        problem = self._run(
            self._function, arguments, ctypes.c_uint(blocks), ctypes.c_uint(self.kernel.threads),
            int(self._barriers), ORDERS.index(order),
        )  # fmt: skip
        assert not problem, f"{self.kernel.name}: {_PROBLEMS[problem]}"


_compiled: dict[str, Compiled] = {}


def compile_all(kernels: Iterable[Kernel]) -> list[Compiled]:
    """Return kernels as functions of the host; those that are new are compiled at once.

    Raises:
        AssertionError: The compiler refuses a text.
    """
    wanted = list(kernels)
    new = {x.name: x for x in wanted if x.name not in _compiled}
    if new:
        library = _library(tuple(new.values()))
        _compiled.update({name: Compiled(kernel, library) for name, kernel in new.items()})
    for kernel in wanted:
        assert _compiled[kernel.name].kernel == kernel  # equal names mean equal kernels
    return [_compiled[x.name] for x in wanted]


def _library(kernels: tuple[Kernel, ...]) -> ctypes.CDLL:
    assert COMPILER is not None, REASON
    text = [_HEAD]
    for kernel in kernels:
        space = f"space_{kernel.name}"
        text += [f"namespace {space} {{", kernel.source, "}", _CALLER.format(name=kernel.name, space=space)]
    folder = _folder()
    stem = f"{kernels[0].name}_{len(kernels)}"
    source, target = Path(folder.name, f"{stem}.cpp"), Path(folder.name, f"{stem}.so")
    source.write_text("\n".join(text))
    command = [COMPILER, "-x", "c++", "-std=c++17", "-O1", "-ffp-contract=off", "-w", "-shared", "-fPIC"]
    done = subprocess.run([*command, str(source), "-o", str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(target))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tinygrad_dnn_emulated_")
