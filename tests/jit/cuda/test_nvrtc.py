"""Kernels' texts for the real compiler: NVIDIA's, which needs neither a card nor a driver."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.running import Emulated
from tests.jit.cuda.test_lowering import DTYPES
from tests.jit.random_programs import RandomFunction
from tests.jit.training_steps import MODELS, Step
from tests.ops.samples import SAMPLES
from tinygrad_dnn.jit.cuda.launches import Kernel
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

pytestmark = pytest.mark.usefixtures("on_numpy")


def _library() -> Path | None:
    """Return where the compiler is, if a wheel has brought it."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return None
    folders = [*(found.submodule_search_locations or [])] if found is not None else []
    files = [path for folder in folders for path in Path(folder, "lib").glob("libnvrtc.so*")]
    return min(files, default=None)


LIBRARY = _library()
needs_nvrtc = pytest.mark.skipif(LIBRARY is None or sys.platform != "linux", reason="no wheel of NVRTC is installed")


def compile_for(kernels: Iterable[Kernel], architecture: str) -> str:
    """Return what NVRTC makes of kernels, all at once."""
    texts = [f"namespace {x.name}_space {{\n{x.source}}}" for x in {x.name: x for x in kernels}.values()]
    library = ctypes.CDLL(str(LIBRARY))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert not library.nvrtcCreateProgram(ctypes.byref(program), "\n".join(texts).encode(), b"kernels", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
    failed = library.nvrtcCompileProgram(program, 1, options)
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert not failed, log.value.decode()[:4000]
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    library.nvrtcGetPTX(program, text)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return text.value.decode()


def _kernels_of_primitives(dtype: str) -> list[Kernel]:
    found = []
    for sample in SAMPLES:
        if sample.arrays:
            arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.arrays]
            program = record(lambda given, sample=sample: sample(*given) * 1, [td.tensor(x) for x in arrays]).program  # type: ignore[misc]
            found += [x.kernel for x in Emulated(simplify(program)).launches]
    return found


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_primitive(dtype: str) -> None:
    text = compile_for(_kernels_of_primitives(dtype), "compute_80")
    assert text.count(".entry") > 50


@needs_nvrtc
def test_casts() -> None:
    numbers = np.ones((3, 3))
    kernels = []
    dtypes = [*DTYPES, *["bfloat16"] * bool(importlib.util.find_spec("ml_dtypes"))]
    for dtype in dtypes:
        given = td.cast(td.tensor(numbers), dtype)
        program = record(lambda x: [td.cast(x[0], to) for to in dtypes], [given]).program
        kernels += [x.kernel for x in Emulated(simplify(program)).launches]
    compile_for(kernels, "compute_80")


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["compute_52", "compute_75", "compute_90"])
def test_training_steps(architecture: str) -> None:
    kernels = [x.kernel for name in MODELS
               for x in Emulated(Step(MODELS[name], td.optimizers.Nadam, "float32").program).launches]  # fmt: skip
    text = compile_for(kernels, architecture)
    # Nothing is kept outside of registers, but for sines and cosines of large numbers.
    if architecture != "compute_52":  # which copies the arguments
        assert text.count(".local .align") <= _with_sines(kernels)


def _with_sines(kernels: list[Kernel]) -> int:
    return len({x.name for x in kernels if "sinf(" in x.source or "cosf(" in x.source})


@needs_nvrtc
def test_random_programs() -> None:
    programs = [simplify(RandomFunction(seed, 20, "float32").program()) for seed in range(30)]
    compile_for([launch.kernel for x in programs for launch in Emulated(x).launches], "compute_80")
