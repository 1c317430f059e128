"""The emulator itself: threads meet at barriers, keep what they have there, and those that do not are found."""

from __future__ import annotations

import numpy as np
import pytest

from tests.jit.cuda.emulator import ORDERS, Compiled, compile_all
from tinygrad_dnn.jit.cuda.launches import Kernel

pytestmark = pytest.mark.usefixtures("emulated")


def compiled(body: str, threads: int = 64) -> Compiled:
    """Return a kernel with one argument, an array of integers ``x``."""
    text = f"""
struct Rows {{ long long x[1]; }};
extern "C" __global__ void KERNEL(const Rows table)
{{
    int* const x = (int*)table.x[0];
    const int t = (int)threadIdx.x, block = (int)blockIdx.x;
    {body}
}}
"""
    return compile_all([Kernel.of(text, threads)])[0]


def launched(kernel: Compiled, blocks: int, order: str = "forwards") -> list[int]:
    x = np.full(blocks * kernel.kernel.threads, -1, np.int32)
    kernel.launch(blocks, np.array([x.ctypes.data], np.int64).tobytes(), order)
    return [int(number) for number in x]


REVERSED = """
    __shared__ int all[64];
    for (int i = 0; i < 3; ++i) {
        const int own = i * 1000 + block * 100 + t;
        all[t] = own;
        __syncthreads();
        const int other = all[63 - t];
        __syncthreads();
        x[block * 64 + t] = own == i * 1000 + block * 100 + t ? other : -2;
    }
"""


@pytest.mark.parametrize("order", ORDERS)
def test_all_threads_of_a_block_meet_and_keep_their_variables(order: str) -> None:
    kernel = compiled(REVERSED)
    for _ in range(2):
        expected = [2000 + block * 100 + 63 - t for block in range(3) for t in range(64)]
        assert launched(kernel, 3, order) == expected


@pytest.mark.parametrize("order", ORDERS)
def test_threads_read_each_others_registers(order: str) -> None:
    kernel = compiled("x[block * 64 + t] = __shfl_xor_sync(0xFFFFFFFFu, t * t, 5);")
    assert launched(kernel, 1, order) == [(t ^ 5) ** 2 for t in range(64)]


@pytest.mark.parametrize("order", ORDERS)
def test_a_barrier_that_some_threads_pass_by_is_found_and_others_go_on_as_before(order: str) -> None:
    with pytest.raises(AssertionError, match="some threads of a block wait at a barrier that others have passed by"):
        launched(compiled("if (t < 40) __syncthreads(); x[t] = t;"), 1, order)
    assert launched(compiled(REVERSED), 1, order) == [2063 - t for t in range(64)]


def test_what_no_compiler_takes_is_told_in_its_words() -> None:
    with pytest.raises(AssertionError, match=r"error: .*nothing_of_the_kind"):
        compiled("x[t] = nothing_of_the_kind;")


def test_a_read_of_what_another_thread_has_yet_to_write_depends_on_the_order() -> None:
    kernel = compiled("x[t] = t ? x[t - 1] + 1 : 0;")
    assert launched(kernel, 1, "forwards") != launched(kernel, 1, "backwards")
