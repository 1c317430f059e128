"""What explain tells: the program before and after, the kernels and who shares them, and the buffers."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_dnn as td


def told(jitted: td.jit.Jitted) -> str:
    """Return how the only program is run."""
    text = jitted.explain()
    return text[text.index("run ") :]


def test_numpy_calls_and_their_buffers() -> None:
    with td.backend.use("numpy"):
        w = td.Variable(np.zeros(100), dtype="float32", name="w")
        jitted = td.jit(lambda x: w.assign(w + td.exp(x)) * 2.0)
        jitted(td.ones(100))
    assert re.fullmatch(
        r"run as \d NumPy calls\n"
        r"buffers: temporary values share [\d,]+ bytes\n"
        r"  updated: 1 array of 400 bytes: w\n"
        r"  given: 1 array of 400 bytes\n"
        r"  returned in new arrays: 1 array of 400 bytes",
        told(jitted),
    )


def test_other_backends_run_primitive_by_primitive() -> None:
    jitted = td.jit(lambda x: x * 2)
    with td.backend.use("strict"):
        jitted(td.ones(3))
    assert told(jitted) == "run primitive by primitive"


def test_what_cannot_be_a_program_says_so() -> None:
    jitted = td.jit(lambda x: x * x.item())
    with pytest.warns(UserWarning, match="looked at"):
        jitted(td.tensor(2.0))
    assert jitted.explain() == "-- call 1\nruns operation by operation"


def test_kernels_tell_who_shares_them() -> None:
    pytest.importorskip("llvmlite")

    def function(x: td.Tensor, y: td.Tensor) -> list[td.Tensor]:
        return [td.exp(x) * 2, td.exp(y) * 2, x @ y, td.sum(x)]

    with td.backend.use("numpy"):
        jitted = td.jit.jit(function, native=True)
        jitted(td.ones((4, 4)), td.zeros((4, 4)))
        jitted(td.ones((4, 4)), td.zeros((4, 4)))
    text = told(jitted)
    assert re.match(r"run as machine code: 3 loops of 2 kernels, 1 product\n", text)
    assert "kernel 1    loop [4, 4]: exp, multiply" in text
    assert re.search(r"kernel \d is used 2 times: by \d, \d", text)
    assert "buffers: temporary values share" in text
    assert "given: 2 arrays of 128 bytes" in text


def test_what_is_called_is_named() -> None:
    pytest.importorskip("llvmlite")
    with td.backend.use("numpy"):
        jitted = td.jit.jit(lambda x: x @ x, native=True)
        jitted(td.ones((4, 4), "int64"))  # BLAS multiplies no integers
    assert "run as machine code: 0 loops of 0 kernels, 1 call" in told(jitted)
    assert "called from Python: matmul" in told(jitted)


def test_long_lists_are_cut() -> None:
    with td.backend.use("numpy"):
        weights = [td.Variable(0.0, name=f"w{i}") for i in range(8)]
        jitted = td.jit(lambda x: [w.assign(w + x) for w in weights])
        jitted(td.tensor(1.0))
    assert "updated: 8 arrays of 32 bytes: w0, w1, w2, w3, w4, w5 and 2 more" in told(jitted)
