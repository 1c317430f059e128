"""Choosing a backend and a device: as a statement, as a block, by the environment, per thread; their memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn.backend as backends
from tinygrad_dnn.backend import numpy as numpy_backend
from tinygrad_dnn.backend.cupy import CupyBackend
from tinygrad_dnn.backend.numpy import NumpyBackend

ROOT = Path(__file__).resolve().parents[2]


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Run ``function`` in a fresh thread, so that what it chooses stays there, and return its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_use_as_a_block() -> None:
    before = backends.current()
    with backends.use("strict") as chosen:
        assert chosen is backends.current() is backends.get("strict")
        with backends.use("numpy"):
            assert backends.current().name == "numpy"
        assert backends.current().name == "strict"
    assert backends.current() is before


def test_use_as_a_block_ends_with_an_error() -> None:
    before = backends.current()
    with pytest.raises(ZeroDivisionError), backends.use("strict"):
        raise ZeroDivisionError
    assert backends.current() is before


def test_use_as_a_statement_holds_for_the_thread_alone() -> None:
    before = backends.current()

    def choose() -> str:
        backends.use("strict")
        return backends.current().name

    assert in_a_thread(choose) == "strict"
    assert backends.current() is before


def test_threads_switch_independently() -> None:
    wrong: list[str] = []

    def switch(first: str, second: str) -> None:
        for _ in range(5_000):
            with backends.use(first):
                with backends.use(second):
                    if backends.current().name != second:
                        wrong.append(second)
                if backends.current().name != first:
                    wrong.append(first)

    names = ("numpy", "strict")
    threads = [threading.Thread(target=switch, args=(names[i % 2], names[i // 2 % 2])) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("value", "name"), [(None, "numpy"), ("", "numpy"), ("strict", "strict")])
def test_the_environment_names_the_first_backend(monkeypatch: pytest.MonkeyPatch, value: str | None, name: str) -> None:
    monkeypatch.delenv("TINYGRAD_DNN_BACKEND", raising=False)
    if value is not None:
        monkeypatch.setenv("TINYGRAD_DNN_BACKEND", value)
    assert in_a_thread(lambda: backends.current().name) == name


def test_an_unknown_name_in_the_environment_says_so() -> None:
    code = "import tinygrad_dnn.backend as b\nb.current()"
    env = os.environ | {"TINYGRAD_DNN_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, text=True, capture_output=True, check=False)
    assert "ValueError: unknown backend 'torch': choose one of 'numpy', 'cupy', 'strict'" in done.stderr


def test_unknown_names() -> None:
    for call in (backends.get, backends.use):
        with pytest.raises(ValueError, match="unknown backend 'jax': choose one of 'numpy', 'cupy', 'strict'"):
            call("jax")


def test_of_tells_whose_an_array_is() -> None:
    strict = backends.get("strict")
    assert backends.of(strict.ones(2)) is strict
    assert backends.of(np.ones(2)) is backends.get("numpy")
    assert backends.of(np.ma.ones(2)) is backends.get("numpy")
    for thing in ([1.0], 1.0, np.float32(1), None):
        assert backends.of(thing) is None


def test_numpy_alone_is_imported() -> None:
    code = "import sys, tinygrad_dnn.backend as b; b.get('numpy'); print([m for m in sys.modules if 'backend' in m])"
    env = {key: value for key, value in os.environ.items() if key != "TINYGRAD_DNN_BACKEND"}
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=env, text=True)
    assert "tinygrad_dnn.backend.numpy" in loaded
    assert "strict" not in loaded
    assert "cupy" not in loaded


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module forget, for one test, what it has loaded and what has failed."""
    monkeypatch.setattr(backends, "_loaded", {"numpy": backends.get("numpy")})
    monkeypatch.setattr(backends, "_by_array_type", dict(backends._by_array_type))
    monkeypatch.setattr(backends, "_failures", {})


@pytest.mark.usefixtures("forgetful")
def test_a_missing_library_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    before = backends.current()
    for call in (backends.get, backends.use):
        with pytest.raises(RuntimeError, match=r"backend 'cupy' cannot be used here .*pip install") as caught:
            call("cupy")
        assert isinstance(caught.value.__cause__, ImportError)
    assert backends.current() is before
    assert "ModuleNotFoundError" in str(backends.available()["cupy"])
    assert backends.available()["numpy"] is None
    assert backends.available()["strict"] is None


@pytest.mark.usefixtures("forgetful")
def test_a_failure_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def broken(self: CupyBackend) -> None:
        attempts.append(self)
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(CupyBackend, "__init__", broken)
    for _ in range(3):
        with pytest.raises(
            RuntimeError,
            match=r"\(OSError: libcuda\.so\.1: cannot open shared object file\): `tinygrad-dnn doctor` tells",
        ):
            backends.get("cupy")
    assert len(attempts) == 1


def test_floatx_belongs_to_the_thread() -> None:
    before = backends.floatx()

    def choose() -> str:
        backends.set_floatx("float64")
        return backends.floatx()

    assert in_a_thread(choose) == "float64"
    assert backends.floatx() == before
    for dtype in ("float16", "int32", "double"):
        with pytest.raises(ValueError, match="set_floatx takes 'float32' or 'float64'"):
            backends.set_floatx(dtype)


# -- devices and memory ------------------------------------------------------------------------------------------------


class Several(NumpyBackend):
    """A backend of three devices."""

    name = "several"

    def __init__(self) -> None:
        self.chosen = 0
        self.log: list[int] = []

    def device_count(self) -> int:
        return 3

    def current_device(self) -> int:
        return self.chosen

    def choose_device(self, number: int) -> None:
        self.chosen = number

    def device_of(self, array: Any) -> int:
        return int(array.ravel()[0])

    def from_host(self, array: np.ndarray) -> Any:
        self.log.append(self.chosen)
        return array


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch, forgetful: None) -> Several:
    """Let there be a backend of three devices, and this thread use it."""
    backend = Several()
    monkeypatch.setitem(backends._loaded, "several", backend)
    monkeypatch.setattr(backends._state, "backend", backend)
    return backend


def test_device_as_a_block_and_as_a_statement(several: Several) -> None:
    with backends.device(2) as number:
        assert (number, several.chosen) == (2, 2)
        with backends.device(1):
            assert several.chosen == 1
        assert several.chosen == 2
    assert several.chosen == 0
    with pytest.raises(ZeroDivisionError), backends.device(1):
        raise ZeroDivisionError
    assert several.chosen == 0
    backends.device(np.int64(2))
    assert several.chosen == 2
    made = backends.device(1)
    backends.device(0)
    with made:
        assert several.chosen == 1
    assert several.chosen == 0


def test_a_device_block_ends_on_the_backend_it_began_on(several: Several) -> None:
    with backends.device(2):
        backends.use("numpy")
    assert several.chosen == 0


@pytest.mark.parametrize("number", [3, -1, 1.0, True, "1", None])
def test_there_is_no_such_device(several: Several, number: Any) -> None:
    with pytest.raises(ValueError, match=r"^backend 'several' has the devices 0 to 2, and none is numbered "):
        backends.device(number)
    assert several.chosen == 0


@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_one_device(name: str) -> None:
    with backends.use(name), backends.device(0) as number:
        assert number == backends.current().current_device() == backends.current().device_of(backends.current().ones(1))
        with pytest.raises(ValueError, match=rf"^backend '{name}' has the device 0 alone, and none is numbered 1\.$"):
            backends.device(1)


def test_places_are_backends_and_devices(several: Several) -> None:
    assert backends.placed("several") == (several, None)
    assert backends.placed("several:2") == (several, 2)
    for where, message in {
        "several:3": "none is numbered 3",
        "several:-1": "none is numbered '-1'",
        "several:": "none is numbered ''",
        "numpy:1": "'numpy' has the device 0 alone",
        "cuda:0": "unknown backend 'cuda'",
    }.items():
        with pytest.raises(ValueError, match=message):
            backends.placed(where)


def test_moved_between_backends_and_devices(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.array([1])
    monkeypatch.setitem(backends._by_array_type, np.ndarray, several)
    assert backends.moved(array, several) is array
    assert backends.moved(array, several, 1) is array
    assert backends.moved(array, several, 2) is not array
    there = backends.get("strict").from_host(array)
    backends.moved(there, several, 2)
    backends.moved(there, several)
    assert several.log == [2, 0], "made on the device that is named, else on the thread's"
    assert several.chosen == 0

    def full(array: np.ndarray) -> Any:
        raise MemoryError

    monkeypatch.setattr(several, "from_host", full)
    with pytest.raises(MemoryError):
        backends.moved(there, several, 2)
    assert several.chosen == 0


def test_memory_of_numpy_is_the_process() -> None:
    memory = backends.memory("numpy")
    assert memory.used is None
    if sys.platform == "linux":
        assert 10**7 < memory.held <= memory.total  # type: ignore[operator]
        assert 10**7 < memory.peak <= memory.total  # type: ignore[operator]
        assert 0 < memory.free < memory.total  # type: ignore[operator]
        kept = np.ones(10**7)
        assert backends.memory("numpy").held - memory.held > 7 * 10**7  # type: ignore[operator]
        del kept
    backends.free_memory("numpy")


def test_memory_where_the_system_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_backend, "Path", lambda name: Path("no such file"))
    monkeypatch.setattr(os, "sysconf", lambda name: int("undefined"))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert set(backends.memory("numpy")) == {None}


def test_memory_of_the_double_is_what_its_arrays_hold() -> None:
    with backends.use("strict"):
        gc.collect()  # what other tests have left is not to be freed in between
        backends.free_memory()
        before = backends.memory()
        x = backends.current().zeros((10, 10), dtype="float32")
        y = x[2:]
        assert backends.memory().used - before.used == 400  # type: ignore[operator]
        del x
        assert backends.memory().used - before.used == 400, "a view holds it"  # type: ignore[operator]
        del y
        after = backends.memory()
        assert (after.used, after.held, after.peak) == (before.used, before.used, before.used + 400)  # type: ignore[operator]
        backends.free_memory()
        assert backends.memory().peak == before.used
        with pytest.raises(ValueError, match="unknown backend 'cuda'"):
            backends.memory("cuda")
