"""What was found of a GPU: wheels, driver, libraries, devices; and what is in the way, with what would help."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

__all__ = ["Cupy", "Device", "Driver", "Findings", "Problem", "Wheel"]

NEEDED = 14  # CuPy's major version
EXTRAS = (13, 12)  # the CUDA versions that an extra of this package is for, newest first
# The oldest driver for each of them, by NVIDIA's release notes of CUDA: on Linux, and within a few numbers on Windows.
RELEASES = {12: "525", 13: "580"}
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Results of cuInit, by cuda.h.
NO_DEVICE = 100
ADVICE = {
    100: "see whether nvidia-smi lists the GPU; a container must be started with it, as in: docker run --gpus all",
    803: "restart the machine: the driver was updated and its kernel module is still the old one",
    804: "take the CUDA compatibility libraries off LD_LIBRARY_PATH: this GPU needs the driver's own libcuda",
}
SAYS_WHAT_IS_WRONG = "see whether nvidia-smi works: it says what is wrong with the driver; restarting may mend it"


class Wheel(NamedTuple):
    """A distribution that brings CuPy.

    Args:
        distribution: Its name, as pip has it.
        version: Its version.

    Example:
        >>> from tinygrad_dnn.backend.findings import Wheel
        >>> Wheel("cupy-cuda12x", "14.2.0").cuda
        12
    """

    distribution: str
    version: str

    @property
    def cuda(self) -> int | None:
        """The major version of CUDA that it is built for, None where its name does not say."""
        match = re.fullmatch(r"cupy-cuda(\d\d)(\d|x)", self.distribution)
        return int(match[1]) if match else None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Device(NamedTuple):
    """A GPU that the driver shows to this process.

    Args:
        name: As NVIDIA has it.
        capability: The compute capability, major and minor.
        memory: Bytes.
        free: Bytes of it that nobody uses, None where that is unknown: without a working CuPy nothing can ask.

    Example:
        >>> from tinygrad_dnn.backend.findings import Device
        >>> str(Device("H100", (9, 0), 80 * 2**30, None))
        'H100, compute capability 9.0, 80.0 GiB'
    """

    name: str
    capability: tuple[int, int]
    memory: int
    free: int | None = None

    def __str__(self) -> str:
        free = "" if self.free is None else f", {self.free / 2**30:.1f} GiB free"
        major, minor = self.capability
        return f"{self.name}, compute capability {major}.{minor}, {self.memory / 2**30:.1f} GiB{free}"


class Driver(NamedTuple):
    """The NVIDIA driver.

    Args:
        cuda: The newest CUDA that it can run, as 1000 * major + 10 * minor; None without a driver.
        release: Its own version, as "580.65.06"; empty where NVML does not tell.
        failure: What cuInit answered, 0 if it works.
        reason: Why it cannot be used, in the system's or the driver's words; empty if it works.
        present: How many GPUs NVML counts, those that are hidden from this process too; None where it does not tell.
        devices: Those that this process may use.

    Example:
        >>> from tinygrad_dnn.backend.findings import Driver
        >>> str(Driver(13000, "580.65.06"))
        '580.65.06, up to CUDA 13.0'
    """

    cuda: int | None = None
    release: str = ""
    failure: int = 0
    reason: str = ""
    present: int | None = None
    devices: tuple[Device, ...] = ()

    def __str__(self) -> str:
        if self.cuda is None:
            return f"none: {self.reason}"
        said = f"{self.release or 'release unknown'}, up to CUDA {version_of(self.cuda)}"
        return f"{said}; {self.reason}" if self.reason else said


class Cupy(NamedTuple):
    """What the installed CuPy says of itself and of CUDA's libraries.

    Args:
        version: Its own; empty where it cannot be imported.
        failure: Why it cannot be imported, or why the backend on it does not work; empty if it does.
        libraries: The version of "runtime", "NVRTC" and "cuBLAS".
        missing: Why one of them cannot be loaded.

    Example:
        >>> from tinygrad_dnn.backend.findings import Cupy
        >>> Cupy("14.2.0", libraries={"runtime": "12.9"}).missing
        {}
    """

    version: str = ""
    failure: str = ""
    libraries: dict[str, str] = {}  # noqa: RUF012  # of a tuple: nobody writes on it
    missing: dict[str, str] = {}  # noqa: RUF012


class Problem(NamedTuple):
    """Why there is no GPU to be used, and what would help.

    Args:
        reason: In one sentence.
        help: What to do; where pip is to do it, a command line.

    Example:
        >>> from tinygrad_dnn.backend.findings import Problem
        >>> Problem("CuPy is not installed.", 'pip install "tinygrad-dnn[cuda12]"').help
        'pip install "tinygrad-dnn[cuda12]"'
    """

    reason: str
    help: str


class Findings(NamedTuple):
    """All that was found, and what follows from it.

    Args:
        wheels: The distributions that bring CuPy; more than one write over each other's files.
        driver: The NVIDIA driver.
        cupy: What CuPy says; None where it is not installed.
        visible: The variable CUDA_VISIBLE_DEVICES, None where it is not set.

    Example:
        >>> from tinygrad_dnn.backend.findings import Driver, Findings
        >>> found = Findings((), Driver(reason="libcuda.so.1 is not there"), None, None)
        >>> found.problem.reason
        'This machine has neither an NVIDIA driver (libcuda.so.1 is not there) nor CuPy.'
    """

    wheels: tuple[Wheel, ...]
    driver: Driver
    cupy: Cupy | None
    visible: str | None

    @property
    def problem(self) -> Problem | None:
        """The first thing that is in the way, in the order in which one would mend them; None if nothing is."""
        for look in (_two_wheels, _no_driver, _no_device, _too_old_a_driver, _no_cupy, _no_library, _no_backend):
            problem = look(self)
            if problem is not None:
                return problem
        return None

    @property
    def missing_extra(self) -> str:
        """The extra of this package that would bring a CuPy for the driver that is there; empty if none is needed."""
        if self.wheels or self.driver.cuda is None or self.driver.cuda // 1000 < min(EXTRAS):
            return ""
        return _extra(self.driver)

    @property
    def report(self) -> dict[str, Any]:
        """What `tinygrad-dnn doctor` tells, in lists and dicts as JSON has them."""
        cupy = self.cupy or Cupy()
        problem = self.problem
        return {
            "wheel": [str(wheel) for wheel in self.wheels] or "none",
            "driver": str(self.driver),
            **{f"CUDA {name}": version for name, version in cupy.libraries.items()},
            **{f"CUDA {name}": f"cannot be loaded: {reason}" for name, reason in cupy.missing.items()},
            "devices": [str(device) for device in self.driver.devices] or "none",
            **({} if self.visible is None else {VISIBLE: self.visible}),
            "usable": "yes" if problem is None else f"no: {problem.reason}",
            **({} if problem is None else {"help": problem.help}),
        }


def version_of(number: int) -> str:
    """Return a version of CUDA as it is written, of a number as its functions give it.

    Example:
        >>> from tinygrad_dnn.backend.findings import version_of
        >>> version_of(12090)
        '12.9'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


# -- What is in the way ------------------------------------------------------------------------------------------------


def _two_wheels(found: Findings) -> Problem | None:
    if len(found.wheels) < 2:
        return None
    names = " ".join(wheel.distribution for wheel in found.wheels)
    return Problem(
        f"{len(found.wheels)} distributions of CuPy are installed ({', '.join(map(str, found.wheels))}), and they have "
        "written over each other's files.",
        f"pip uninstall --yes {names} && {_install(found.driver)}",
    )


def _no_driver(found: Findings) -> Problem | None:
    if found.driver.cuda is not None:
        return None
    if found.wheels:
        wheel = found.wheels[0]
        advice = "install NVIDIA's driver" + (f", {RELEASES[wheel.cuda]} or newer" if wheel.cuda in RELEASES else "")
        reason = f"{wheel} is installed but this machine has no NVIDIA driver ({found.driver.reason})."
        return Problem(reason, f"{advice}; without an NVIDIA GPU, go on with backend 'numpy'")
    return Problem(
        f"This machine has neither an NVIDIA driver ({found.driver.reason}) nor CuPy.",
        f"with an NVIDIA GPU: install its driver, {RELEASES[EXTRAS[0]]} or newer, then {_install(found.driver)}; "
        "without one, go on with backend 'numpy'",
    )


def _no_device(found: Findings) -> Problem | None:
    driver = found.driver
    if driver.devices:
        return None
    if driver.failure in (0, NO_DEVICE) and found.visible is not None:
        hidden = "every GPU" if driver.present is None else f"all {driver.present} GPUs of this machine"
        if driver.present == 1:
            hidden = "this machine's GPU"
        return Problem(
            f"{VISIBLE} is {found.visible!r}, which hides {hidden} from this process.",
            f"unset {VISIBLE}, or set it to a number that nvidia-smi lists, as in {VISIBLE}=0",
        )
    if driver.failure in (0, NO_DEVICE):
        return Problem(f"The NVIDIA driver ({driver}) shows no GPU to this process.", ADVICE[NO_DEVICE])
    advice = ADVICE.get(driver.failure, SAYS_WHAT_IS_WRONG)
    return Problem(f"The NVIDIA driver cannot be used: cuInit failed with {driver.reason}.", advice)


def _too_old_a_driver(found: Findings) -> Problem | None:
    driver = found.driver
    assert driver.cuda is not None
    if driver.cuda // 1000 < min(EXTRAS):
        return Problem(
            f"The NVIDIA driver ({driver}) is too old: CuPy {NEEDED} needs one for CUDA {min(EXTRAS)} or newer.",
            f"install NVIDIA's driver {RELEASES[min(EXTRAS)]} or newer",
        )
    for wheel in found.wheels:
        if wheel.cuda is not None and wheel.cuda > driver.cuda // 1000:
            return Problem(
                f"{wheel} is built for CUDA {wheel.cuda}, and the NVIDIA driver ({driver}) is too old for it.",
                f"pip uninstall --yes {wheel.distribution} && {_install(driver)}; or install NVIDIA's driver "
                f"{RELEASES.get(wheel.cuda, 'of that CUDA')} or newer",
            )
    return None


def _no_cupy(found: Findings) -> Problem | None:
    install = _install(found.driver, found.wheels)
    if found.cupy is None:
        return Problem("CuPy is not installed.", install)
    wheel = found.wheels[0]
    again = f"pip uninstall --yes {wheel.distribution} && {_install(found.driver)}"
    if not found.cupy.version:
        return Problem(f"{wheel} is installed but cannot be imported ({found.cupy.failure}).", again)
    if int(found.cupy.version.partition(".")[0]) < NEEDED:
        return Problem(f"{wheel} is installed and CuPy {NEEDED} or newer is needed.", again)
    return None


def _no_library(found: Findings) -> Problem | None:
    assert found.cupy is not None
    for name, reason in found.cupy.missing.items():
        return Problem(
            f"{found.wheels[0]} is installed but cannot load CUDA's {name} ({reason}).",
            _install(found.driver, found.wheels),  # the extra brings CUDA's libraries along
        )
    return None


def _no_backend(found: Findings) -> Problem | None:
    assert found.cupy is not None
    if not found.cupy.failure:
        return None
    return Problem(f"{found.wheels[0]} is installed but a trial on the GPU failed ({found.cupy.failure}).",
                   SAYS_WHAT_IS_WRONG)  # fmt: skip


def _install(driver: Driver, wheels: tuple[Wheel, ...] = ()) -> str:
    """Return the line that installs what suits a driver, or the one wheel that is there and only lacks libraries."""
    return f'pip install "tinygrad-dnn[{_extra(driver, wheels)}]"'


def _extra(driver: Driver, wheels: tuple[Wheel, ...] = ()) -> str:
    fitting = [wheel.cuda for wheel in wheels if wheel.cuda in EXTRAS]
    newest = EXTRAS[0] if driver.cuda is None else driver.cuda // 1000
    return f"cuda{fitting[0] if fitting else next((each for each in EXTRAS if each <= newest), EXTRAS[-1])}"
