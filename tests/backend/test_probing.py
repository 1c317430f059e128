"""What is in the way of a GPU: each reason with what helps, and how libcuda, NVML and CuPy are asked, on stand-ins."""

# ruff: noqa: N802  # the libraries' own names
from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn import backend
from tinygrad_dnn.backend import probing
from tinygrad_dnn.backend.findings import NO_DEVICE, VISIBLE, Cupy, Device, Driver, Findings, Wheel

CUDA12, CUDA13 = Wheel("cupy-cuda12x", "14.2.0"), Wheel("cupy-cuda13x", "14.2.0")
H100 = Device("NVIDIA H100 80GB HBM3", (9, 0), 85_000_000_000)
NONE = Driver(reason="libcuda.so.1: cannot open shared object file")
WORKING = Driver(13000, "580.65.06", present=1, devices=(H100,))
HIDDEN = Driver(13000, "580.65.06", NO_DEVICE, "CUDA_ERROR_NO_DEVICE (100)", present=2)
ALL = Cupy("14.2.0", "", {"runtime": "12.9", "NVRTC": "12.9", "cuBLAS": "12.9.3"})
INSTALL12, INSTALL13 = 'pip install "tinygrad-dnn[cuda12]"', 'pip install "tinygrad-dnn[cuda13]"'


def findings(
    *wheels: Wheel, driver: Driver = WORKING, cupy: Cupy | None = ALL, visible: str | None = None
) -> Findings:
    return Findings(wheels, driver, cupy, visible)


# -- Reasons and what helps --------------------------------------------------------------------------------------------

REASONS = {
    "no wheel, no driver": (
        findings(driver=NONE, cupy=None),
        "neither an NVIDIA driver (libcuda.so.1: cannot open shared object file) nor CuPy",
        f"install its driver, 580 or newer, then {INSTALL13}; without one, go on with backend 'numpy'",
    ),
    "no wheel, a new driver": (findings(cupy=None), "CuPy is not installed", INSTALL13),
    "no wheel, an older driver": (
        findings(cupy=None, driver=WORKING._replace(cuda=12040)), "CuPy is not installed", INSTALL12
    ),
    "a wheel, no driver": (
        findings(CUDA12, driver=NONE),
        "cupy-cuda12x 14.2.0 is installed but this machine has no NVIDIA driver (libcuda.so.1: cannot open",
        "install NVIDIA's driver, 525 or newer",
    ),
    "two wheels": (
        findings(CUDA12, CUDA13),
        "2 distributions of CuPy are installed (cupy-cuda12x 14.2.0, cupy-cuda13x 14.2.0), and they have written over",
        f"pip uninstall --yes cupy-cuda12x cupy-cuda13x && {INSTALL13}",
    ),
    "two wheels, an older driver": (
        findings(CUDA12, CUDA13, driver=WORKING._replace(cuda=12080)),
        "2 distributions of CuPy are installed",
        f"pip uninstall --yes cupy-cuda12x cupy-cuda13x && {INSTALL12}",
    ),
    "a driver older than the wheel's CUDA": (
        findings(CUDA13, driver=WORKING._replace(cuda=12040, release="550.54.15")),
        "cupy-cuda13x 14.2.0 is built for CUDA 13, and the NVIDIA driver (550.54.15, up to CUDA 12.4) is too old",
        f"pip uninstall --yes cupy-cuda13x && {INSTALL12}; or install NVIDIA's driver 580 or newer",
    ),
    "a driver older than any wheel's CUDA": (
        findings(CUDA12, driver=WORKING._replace(cuda=11040, release="470.256.02")),
        "The NVIDIA driver (470.256.02, up to CUDA 11.4) is too old: CuPy 14 needs one for CUDA 12 or newer",
        "install NVIDIA's driver 525 or newer",
    ),
    "CUDA_VISIBLE_DEVICES is empty": (
        findings(CUDA13, driver=HIDDEN, visible=""),
        "CUDA_VISIBLE_DEVICES is '', which hides all 2 GPUs of this machine",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    "CUDA_VISIBLE_DEVICES names another": (
        findings(CUDA13, driver=HIDDEN._replace(present=1), visible="7"),
        "CUDA_VISIBLE_DEVICES is '7', which hides this machine's GPU",
        "as in CUDA_VISIBLE_DEVICES=0",
    ),
    "CUDA_VISIBLE_DEVICES without NVML": (
        findings(CUDA13, driver=HIDDEN._replace(present=None), visible="-1"),
        "CUDA_VISIBLE_DEVICES is '-1', which hides every GPU",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    "no device": (
        findings(CUDA13, driver=HIDDEN._replace(present=None)),
        "The NVIDIA driver (580.65.06, up to CUDA 13.0; CUDA_ERROR_NO_DEVICE (100)) shows no GPU to this process",
        "docker run --gpus all",
    ),
    "the driver was updated": (
        findings(CUDA13, driver=Driver(13000, "", 803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)")),
        "cuInit failed with CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)",
        "restart the machine",
    ),
    "the driver fails otherwise, whatever is visible": (
        findings(CUDA13, driver=Driver(13000, "", 999, "CUDA_ERROR_UNKNOWN (999)"), visible="0"),
        "cuInit failed with CUDA_ERROR_UNKNOWN (999)",
        "nvidia-smi",
    ),
    "no cuBLAS": (
        findings(CUDA12, cupy=ALL._replace(missing={"cuBLAS": 'Failure finding "libcublasLt.so.12"'})),
        """cupy-cuda12x 14.2.0 is installed but cannot load CUDA's cuBLAS (Failure finding "libcublasLt.so.12")""",
        INSTALL12,
    ),
    "no NVRTC": (
        findings(CUDA13, cupy=ALL._replace(missing={"NVRTC": "not found"})), "cannot load CUDA's NVRTC", INSTALL13
    ),
    "CuPy cannot be imported": (
        findings(CUDA12, cupy=Cupy(failure="cannot import name 'ndarray'")),
        "cupy-cuda12x 14.2.0 is installed but cannot be imported (cannot import name 'ndarray')",
        f"pip uninstall --yes cupy-cuda12x && {INSTALL13}",
    ),
    "CuPy is old": (
        findings(Wheel("cupy-cuda12x", "13.6.0"), cupy=ALL._replace(version="13.6.0")),
        "cupy-cuda12x 13.6.0 is installed and CuPy 14 or newer is needed",
        f"pip uninstall --yes cupy-cuda12x && {INSTALL13}",
    ),
    "the trial fails": (
        findings(CUDA12, cupy=ALL._replace(failure="OutOfMemoryError: out of memory")),
        "a trial on the GPU failed (OutOfMemoryError: out of memory)",
        "nvidia-smi",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("found", "reason", "help"), REASONS.values(), ids=REASONS)
def test_reason_and_what_helps(found: Findings, reason: str, help: str) -> None:
    problem = found.problem
    assert problem is not None
    assert reason in problem.reason
    assert problem.reason.endswith(".")
    assert help in problem.help
    assert found.report["usable"] == f"no: {problem.reason}"
    assert found.report["help"] == problem.help


@pytest.mark.parametrize("wheel", [CUDA12, CUDA13, Wheel("cupy", "14.2.0"), Wheel("cupy-core", "14.2.0")])
def test_nothing_is_in_the_way(wheel: Wheel) -> None:
    found = findings(wheel, visible="0")
    assert found.problem is None
    assert found.report == {
        "wheel": [str(wheel)],
        "driver": "580.65.06, up to CUDA 13.0",
        "CUDA runtime": "12.9",
        "CUDA NVRTC": "12.9",
        "CUDA cuBLAS": "12.9.3",
        "devices": ["NVIDIA H100 80GB HBM3, compute capability 9.0, 79.2 GiB"],
        "CUDA_VISIBLE_DEVICES": "0",
        "usable": "yes",
    }


def test_a_newer_driver_runs_an_older_wheel() -> None:
    assert findings(CUDA12, driver=WORKING._replace(cuda=14010)).problem is None
    assert findings(cupy=None, driver=WORKING._replace(cuda=14010)).report["help"] == INSTALL13


def test_a_wheel_tells_its_cuda() -> None:
    versions = {name: Wheel(name, "1").cuda for name in ("cupy-cuda11x", "cupy-cuda102", "cupy-cuda12x", "cupy")}
    assert versions == {"cupy-cuda11x": 11, "cupy-cuda102": 10, "cupy-cuda12x": 12, "cupy": None}


# -- Asking libcuda and NVML -------------------------------------------------------------------------------------------


class StandInCuda:
    """libcuda of a machine with two GPUs, or one whose cuInit fails."""

    def __init__(self, failure: int = 0) -> None:
        self.failure = failure

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12040
        return 0

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self.failure

    def cuGetErrorName(self, code: int, name: Any) -> int:
        name._obj.value = {100: b"CUDA_ERROR_NO_DEVICE"}.get(code)
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, handle: Any, place: int) -> int:
        handle._obj.value = 10 + place
        return 0

    def cuDeviceGetName(self, name: Any, length: int, handle: Any) -> int:
        name.value = f"card {handle.value}".encode()
        assert length == len(name)
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, handle: Any) -> int:
        memory._obj.value = handle.value * 2**30
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:
        value._obj.value = {75: 8, 76: handle.value - 4}[attribute]
        return 0


class StandInNvml:
    """NVML, or one that does not start, as in a container that was not given it."""

    def __init__(self, failure: int = 0) -> None:
        self.failure = failure

    def nvmlInit_v2(self) -> int:
        return self.failure

    def nvmlShutdown(self) -> int:
        return 0

    def nvmlSystemGetDriverVersion(self, version: Any, length: Any) -> int:
        assert length.value == len(version)
        version.value = b"550.54.15"
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 3
        return 0


def libraries(monkeypatch: pytest.MonkeyPatch, **found: Any) -> None:
    """Let the loader find only these."""

    def load(name: str) -> Any:
        for part, library in found.items():
            if part in name:
                return library
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(probing, "_library", load)


CUDA, NVML = ("nvcuda", "nvml") if probing.WINDOWS else ("libcuda", "libnvidia")


def test_driver_and_devices_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries(monkeypatch, **{CUDA: StandInCuda(), NVML: StandInNvml()})
    assert probing._driver() == Driver(
        12040, "550.54.15", 0, "", 3, (Device("card 10", (8, 6), 10 * 2**30), Device("card 11", (8, 7), 11 * 2**30))
    )


@pytest.mark.parametrize("nvml", [{}, {NVML: StandInNvml(failure=9)}])
def test_a_driver_without_nvml(nvml: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    libraries(monkeypatch, **{CUDA: StandInCuda()}, **nvml)
    found = probing._driver()
    assert (found.release, found.present, len(found.devices)) == ("", None, 2)
    assert str(found) == "release unknown, up to CUDA 12.4"


@pytest.mark.parametrize(
    ("code", "reason"), [(100, "CUDA_ERROR_NO_DEVICE (100)"), (12345, "an error without a name (12345)")]
)
def test_a_driver_that_does_not_start(code: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries(monkeypatch, **{CUDA: StandInCuda(failure=code), NVML: StandInNvml()})
    assert probing._driver() == Driver(12040, "550.54.15", code, reason, 3)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries(monkeypatch)
    found = probing._driver()
    assert found.cuda is None
    assert "cannot open shared object file" in str(found)


# -- Asking pip and CuPy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["numpy", "cupy-cuda12x", "cupyx-tools", "cupy-xarray"], ["cupy-cuda12x"]),
        (["cupy_cuda13x", "CuPy-CUDA12x", "cupy-cuda13x"], ["cupy-cuda12x", "cupy-cuda13x"]),
        (["cupy", "cupy-core"], ["cupy-core"]),
        (["cupy", "cupy-cuda12x", "cupy-rocm-7-0"], ["cupy", "cupy-cuda12x", "cupy-rocm-7-0"]),
        ([], []),
    ],
)
def test_wheels_are_found(names: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [SimpleNamespace(metadata={"Name": name}, version="14.2.0") for name in names]
    # One whose metadata is gone, as an interrupted installation leaves it.
    found.append(SimpleNamespace(metadata={"Name": None}, version=None))
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)
    assert [wheel.distribution for wheel in probing._wheels()] == expected


class StandInCublas:
    def cublasGetProperty(self, which: int, value: Any) -> int:
        value._obj.value = (12, 9, 3)[which]
        return 0


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put a module that looks like CuPy in its place, and a library that looks like cuBLAS."""
    module = ModuleType("cupy")
    module.__dict__.update(
        __version__="14.2.0",
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(
                runtimeGetVersion=lambda: 12090, getDeviceCount=lambda: 2, memGetInfo=lambda: (2**30, 2**31)
            ),
            nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
            cublas=ModuleType("cupy_backends.cuda.libs.cublas"),
            Device=lambda place: _Card(place),
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    libraries(monkeypatch, cublas=StandInCublas())
    return module


class _Card:
    """A device that can be made current, but for the second one, which others have used up."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __enter__(self) -> None:
        if self.place:
            raise RuntimeError("out of memory")

    def __exit__(self, *error: object) -> None: ...


def test_cupys_libraries_are_asked_for(cupy: ModuleType) -> None:
    assert probing._cupy() == ALL


def test_what_cupy_cannot_load_is_told(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_nvrtc() -> None:
        raise RuntimeError('\n===\nFailure finding "libnvrtc.so.12"\n  No such file\n===\n')

    del cupy.cuda.cublas
    cupy.cuda.nvrtc.getVersion = no_nvrtc
    found = probing._cupy()
    assert found.libraries == {"runtime": "12.9"}
    assert found.missing["NVRTC"] == 'Failure finding "libnvrtc.so.12"'
    assert "cublas" in found.missing["cuBLAS"]


def test_a_cupy_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    found = probing._cupy()
    assert found.version == ""
    assert "cupy" in found.failure


# -- All of it ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def works(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return what makes a probe find all it needs, with the given backend to try."""
    monkeypatch.setattr(probing, "_wheels", lambda: (CUDA12,))
    driver = WORKING._replace(devices=(H100, H100))
    monkeypatch.setattr(probing, "_driver", lambda: driver)
    monkeypatch.delenv(VISIBLE, raising=False)

    def using(xp: Any) -> None:
        monkeypatch.setattr(backend, "get", lambda name: xp if name == "cupy" else None)

    return using


def test_a_gpu_that_works_is_tried_and_its_memory_told(works: Callable[[Any], None]) -> None:
    numpy = backend.get("numpy")
    works(numpy)
    found = probing.probe()
    assert found.problem is None
    assert [device.free for device in found.driver.devices] == [2**30, None]
    assert found.report["devices"][0].endswith("79.2 GiB, 1.0 GiB free")
    assert found.report["devices"][1].endswith("79.2 GiB")


def test_a_gpu_that_computes_nonsense_is_told(works: Callable[[Any], None]) -> None:
    works(SimpleNamespace(from_host=np.asarray, to_host=np.asarray, add=np.add, matmul=lambda a, b: (a @ b) + 1))
    problem = probing.probe().problem
    assert problem is not None
    assert "a sum and a product of small integers gave [[11.0, 29.0], [29.0, 101.0]]" in problem.reason


def test_what_the_backend_refuses_is_told(works: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise RuntimeError("cupy.exp is not there")

    works(None)
    monkeypatch.setattr(backend, "get", refuse)
    problem = probing.probe().problem
    assert problem is not None
    assert "a trial on the GPU failed (RuntimeError: cupy.exp is not there)" in problem.reason


def test_nothing_is_tried_where_something_is_in_the_way(
    works: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    works(None)
    monkeypatch.setattr(probing, "_driver", lambda: HIDDEN)
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.setattr(probing, "_trial", lambda: pytest.fail("a trial needs a device"))
    found = probing.probe()
    assert found.visible == ""
    assert found.problem is not None


def test_this_machine_is_probed() -> None:
    found = probing.probe()
    assert (found.problem is None) == (found.report["usable"] == "yes")
    assert (found.problem is None) == (backend.available()["cupy"] is None)


@pytest.mark.gpu
def test_the_gpu_is_found() -> None:
    reason = backend.available()["cupy"]
    if reason is not None:
        pytest.skip(reason)
    found = probing.probe()
    assert found.problem is None
    assert all(device.free for device in found.driver.devices)
