"""What there is of a GPU: asks pip, the NVIDIA driver and CuPy, without a device being needed for any of it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.backend.findings import VISIBLE, Cupy, Device, Driver, Findings, Wheel, version_of

__all__ = ["probe"]

# Attributes of a device, by cuda.h.
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
WINDOWS = sys.platform == "win32"
LIBCUDA, NVML = ("nvcuda.dll", "nvml.dll") if WINDOWS else ("libcuda.so.1", "libnvidia-ml.so.1")


def probe() -> Findings:
    """Look for all that a GPU needs; where nothing is in the way, CuPy makes a context and runs a small trial.

    Example:
        >>> from tinygrad_dnn.backend import probing
        >>> found = probing.probe()
        >>> found.problem is None or bool(found.problem.reason and found.problem.help)
        True
    """
    wheels = _wheels()
    found = Findings(wheels, _driver(), _cupy() if wheels else None, os.environ.get(VISIBLE))
    if found.problem is not None or found.cupy is None:
        return found
    try:
        free = _trial()
    except Exception as error:  # of the driver, of the compiler, of memory that others use
        cause = error.__cause__ or error  # what the backend refuses, it refuses for a reason
        return found._replace(cupy=found.cupy._replace(failure=f"{type(cause).__name__}: {_first_line(cause)}"))
    devices = tuple(each._replace(free=left) for each, left in zip(found.driver.devices, free, strict=False))
    return found._replace(driver=found.driver._replace(devices=devices))


def _wheels() -> tuple[Wheel, ...]:
    """Return the distributions that bring CuPy, by name, each once however often the path has it."""
    found: dict[str, Wheel] = {}
    for each in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"] or "").lower()
        if re.fullmatch(r"cupy(-cuda\d+x?|-rocm-.+|-core)?", name):
            found.setdefault(name, Wheel(name, each.version))
    # The distributor's "cupy" for conda holds nothing but the need for "cupy-core".
    if "cupy-core" in found:
        found.pop("cupy", None)
    return tuple(found[name] for name in sorted(found))


def _library(name: str) -> Any:
    return ctypes.CDLL(name)


def _driver() -> Driver:
    """Ask libcuda and NVML; neither makes a context or takes memory on a device."""
    try:
        cuda = _library(LIBCUDA)
    except OSError as error:
        return Driver(reason=str(error))
    number = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    release, present = _nvml()
    found = Driver(number.value, release, cuda.cuInit(0), present=present)
    if found.failure:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(found.failure, ctypes.byref(name))
        return found._replace(reason=(name.value or b"an error without a name").decode() + f" ({found.failure})")
    cuda.cuDeviceGetCount(ctypes.byref(number))
    return found._replace(devices=tuple(_device(cuda, place) for place in range(number.value)))


def _device(cuda: Any, place: int) -> Device:
    handle, number, memory, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(handle), place)
    cuda.cuDeviceGetName(name, len(name), handle)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    capability = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        capability.append(number.value)
    return Device(name.value.decode(errors="replace"), (capability[0], capability[1]), memory.value)


def _nvml() -> tuple[str, int | None]:
    """Return the driver's release and how many GPUs the machine has, as far as NVML tells."""
    try:
        nvml = _library(NVML)
    except OSError:
        return "", None
    if nvml.nvmlInit_v2():
        return "", None
    release, count = ctypes.create_string_buffer(80), ctypes.c_uint()
    failed = nvml.nvmlSystemGetDriverVersion(release, ctypes.c_uint(len(release)))
    unknown = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    nvml.nvmlShutdown()
    return "" if failed else release.value.decode(errors="replace"), None if unknown else count.value


def _cupy() -> Cupy:
    """Ask CuPy for its version and for its libraries', which it looks for in wheels, in CUDA_PATH and elsewhere."""
    with warnings.catch_warnings():  # of two distributions it warns; that is told anyway
        warnings.simplefilter("ignore")
        try:
            cupy = importlib.import_module("cupy")
        except Exception as error:  # a half-removed wheel raises other things than ImportError
            return Cupy(failure=_first_line(error))
        libraries: dict[str, str] = {}
        missing: dict[str, str] = {}
        asked: dict[str, Callable[[], str]] = {
            "runtime": lambda: version_of(cupy.cuda.runtime.runtimeGetVersion()),
            "NVRTC": lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
            "cuBLAS": lambda: _cublas_version(cupy.cuda),
        }
        for name, ask in asked.items():
            try:
                libraries[name] = ask()
            except Exception as error:
                missing[name] = _first_line(error)
    return Cupy(cupy.__version__, "", libraries, missing)


def _cublas_version(cuda: Any) -> str:
    """Return cuBLAS's version by its own function, since CuPy's needs a handle and so a device."""
    cuda.cublas.__name__  # noqa: B018  # to ask for the module is to load the library, wherever it is
    major = cuda.runtime.runtimeGetVersion() // 1000
    library = _library(f"cublas64_{major}.dll" if WINDOWS else f"libcublas.so.{major}")
    number = ctypes.c_int()
    parts = []
    for which in range(3):  # MAJOR_VERSION, MINOR_VERSION and PATCH_LEVEL, by library_types.h
        library.cublasGetProperty(which, ctypes.byref(number))
        parts.append(str(number.value))
    return ".".join(parts)


def _trial() -> list[int | None]:
    """Let the backend run a kernel that it compiles and a product on the first GPU; return the free bytes of each.

    Raises:
        RuntimeError: The backend refuses, or a result is wrong.
    """
    xp: Any = backend.get("cupy")
    x = xp.from_host(np.arange(6, dtype=np.float32).reshape(2, 3))
    found = xp.to_host(xp.matmul(xp.add(x, x), x.T))
    if found.tolist() != [[10.0, 28.0], [28.0, 100.0]]:
        raise RuntimeError(f"a sum and a product of small integers gave {found.tolist()}")
    cuda = importlib.import_module("cupy").cuda
    free: list[int | None] = []
    for place in range(cuda.runtime.getDeviceCount()):
        left = None
        with contextlib.suppress(Exception), cuda.Device(place):  # one that others use up must not hide the rest
            left = cuda.runtime.memGetInfo()[0]
        free.append(left)
    return free


def _first_line(error: BaseException) -> str:
    """Return an error in one line; CuPy's own run over a screen and frame what they say in rows of signs."""
    lines = (line.strip(" =*-") for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
