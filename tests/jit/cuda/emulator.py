"""A GPU that is none: compiles kernels as they stand by g++, and runs each thread of a launch as a fiber on the host.

What it shows: that the text is C++ but for a few words of CUDA, that all threads of a block meet at each barrier, what
the kernel computes, and that this does not depend on the order in which threads and blocks happen to be run.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tinygrad_dnn.folders import user_cache
from tinygrad_dnn.jit.cuda.launches import Kernel

COMPILER = shutil.which("g++")
REASON = "kernels are emulated by what g++ makes of them, and there is no g++"

ORDERS = ("forwards", "backwards", "mixed")
"""The orders in which threads and blocks can be run."""

# What kernels are compiled with, as short as can be: it is read anew for each program. No header, above all not that of
# the functions of mathematics, which takes longer than a program.
_HEAD = r"""
#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(...)
#define HALF_CONVERSIONS
#define __ldg(place) (*(place))
#define memcpy __builtin_memcpy
struct Three { unsigned int x, y, z; };
extern "C" {
extern Three emulated_threadIdx, emulated_blockIdx, emulated_blockDim, emulated_gridDim;
extern unsigned long long emulated_passed[];
void emulated_barrier();
#define TWICE(name) float name##f(float); double name(double);
TWICE(exp) TWICE(expm1) TWICE(log) TWICE(log1p) TWICE(sin) TWICE(cos) TWICE(tanh) TWICE(erf) TWICE(sqrt) TWICE(floor)
TWICE(fabs)
#define OF_TWO(name) float name##f(float, float); double name(double, double);
OF_TWO(pow) OF_TWO(fmod) OF_TWO(copysign)
}
#define threadIdx emulated_threadIdx
#define blockIdx emulated_blockIdx
#define blockDim emulated_blockDim
#define gridDim emulated_gridDim
#define __syncthreads emulated_barrier

static inline float half_to_float(unsigned short x) { _Float16 y; memcpy(&y, &x, 2); return (float)y; }
static inline unsigned short float_to_half(float x)
{
    _Float16 y = (_Float16)x;
    unsigned short z;
    memcpy(&z, &y, 2);
    return z;
}
static inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static inline double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)(((unsigned __int128)x * y) >> 64);
}
template <typename T> static inline T __shfl_xor_sync(unsigned int, T value, int other)
{
    const int own = (int)threadIdx.x;
    memcpy(&emulated_passed[own], &value, sizeof value);
    __syncthreads();
    T result;
    memcpy(&result, &emulated_passed[own ^ other], sizeof result);
    __syncthreads();
    return result;
}
"""

# A fiber has a stack of its own, and gives the processor to the scheduler at a barrier: so it keeps its variables. It
# is made once, for the threads of that number of all blocks. From then on it is entered and left by jumps, since to
# change a context asks the system. What lies in a block's memory is static: one block is run after the other.
_RUNNER = r"""
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>
struct Three { unsigned int x, y, z; };
enum { STACK = 65536, MOST = 1024, READY = 0, WAITING = 1, DONE = 2 };
extern "C" {
Three emulated_threadIdx, emulated_blockIdx, emulated_blockDim, emulated_gridDim;
unsigned long long emulated_passed[MOST];
}
static jmp_buf scheduler, places[MOST];
static ucontext_t contexts[MOST];
static char* stacks;
static int states[MOST], is_made[MOST], current, is_fiber;
static void (*body)(const void*);
static const void* given;
static int problem;

static void leave() { if (!_setjmp(places[current])) _longjmp(scheduler, 1); }
static void live() { for (;;) { body(given); states[current] = DONE; leave(); } }
static __attribute__((noinline)) void enter(int number)
{
    current = number;
    if (_setjmp(scheduler)) return;
    if (is_made[number]) _longjmp(places[number], 1);
    is_made[number] = 1;
    getcontext(&contexts[number]);
    contexts[number].uc_stack.ss_sp = stacks + (size_t)number * STACK;
    contexts[number].uc_stack.ss_size = STACK;
    contexts[number].uc_link = 0;
    makecontext(&contexts[number], live, 0);
    setcontext(&contexts[number]);
}
extern "C" void emulated_barrier()
{
    if (!is_fiber) { problem = 2; return; }
    states[current] = WAITING;
    leave();
}

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
    for (unsigned int i = 0; i < threads; ++i) states[i] = READY;
    for (;;) {
        unsigned int done = 0, waiting = 0;
        for (unsigned int i = 0; i < threads; ++i) {
            const unsigned int number = placed(i, threads, order);
            if (states[number] != DONE) {
                emulated_threadIdx.x = number;
                enter((int)number);
            }
            done += states[number] == DONE;
            waiting += states[number] == WAITING;
        }
        if (done == threads) return;
        if (waiting != threads) {
            problem = 1;
            for (unsigned int i = 0; i < threads; ++i) is_made[i] = 0;  // they are in the midst of something
            return;
        }
    }
}

extern "C" int run(void (*kernel)(const void*), const void* arguments, unsigned int blocks, unsigned int threads,
                   int barriers, int order)
{
    if (threads > MOST) return 3;
    body = kernel; given = arguments; problem = 0; is_fiber = barriers;
    emulated_blockDim = {threads, 1, 1}; emulated_gridDim = {blocks, 1, 1}; emulated_threadIdx = {0, 0, 0};
    if (barriers && !stacks) stacks = (char*)malloc((size_t)MOST * STACK);
    for (unsigned int i = 0; i < blocks && !problem; ++i) {
        emulated_blockIdx = {placed(i, blocks, order), 0, 0};
        if (barriers) { run_fibers(threads, order); continue; }
        for (unsigned int j = 0; j < threads; ++j) {
            emulated_threadIdx.x = placed(j, threads, order);
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

_COMMAND = ["-x", "c++", "-std=c++17", "-O1", "-ffp-contract=off", "-fno-exceptions", "-w", "-shared", "-fPIC"]

# Libraries that no test has needed for so long are removed.
_KEPT_SECONDS = 14 * 24 * 3600

_CALLER = 'extern "C" void call_{name}(const void* x) {{ {space}::{name}(*(const {space}::Rows*)x); }}'


class Compiled:
    """A kernel that can be launched.

    Attributes:
        kernel: The kernel.
    """

    def __init__(self, kernel: Kernel, library: ctypes.CDLL) -> None:
        self.kernel = kernel
        self._run = _runner().run
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
    _runner()  # whose functions the kernels call
    text = [_HEAD]
    for kernel in kernels:
        space = f"space_{kernel.name}"
        text += [f"namespace {space} {{", kernel.source, "}", _CALLER.format(name=kernel.name, space=space)]
    return ctypes.CDLL(str(_compiled_text("\n".join(text))))


@functools.cache
def _runner() -> ctypes.CDLL:
    return ctypes.CDLL(str(_compiled_text(_RUNNER)), mode=ctypes.RTLD_GLOBAL)


def _compiled_text(text: str) -> Path:
    """Return the library of a text, which is compiled if it was not lately, here or in another process."""
    assert COMPILER is not None, REASON
    key = hashlib.sha256("\n".join([*_COMMAND, _version(), text]).encode()).hexdigest()[:32]
    target = _folder() / f"{key}.so"
    if target.exists():
        with contextlib.suppress(OSError):
            os.utime(target)
        return target
    with tempfile.TemporaryDirectory(dir=_folder()) as place:
        made = Path(place, "made.so")
        command = [COMPILER, *_COMMAND, "-", "-o", str(made)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]
        return made.replace(target)  # whole or not at all, whoever else does the same


@functools.cache
def _version() -> str:
    return subprocess.run([str(COMPILER), "--version"], capture_output=True, text=True, check=True).stdout


@functools.cache
def _folder() -> Path:
    """Return where libraries are kept: among the user's caches, if something can be written there."""
    try:
        folder = user_cache() / "emulated"
        folder.mkdir(parents=True, exist_ok=True)
        old = time.time() - _KEPT_SECONDS
        for path in folder.glob("*.so"):
            if path.stat().st_mtime < old:
                path.unlink()
    except (OSError, RuntimeError):  # no home, a disk that is full, another process that clears up too
        return Path(_temporary().name)
    return folder


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tinygrad_dnn_emulated_")
