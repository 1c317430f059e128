"""Choosing a backend: as a statement, as a block, by the environment, per thread; and what fails is remembered."""

from __future__ import annotations

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
from tinygrad_dnn.backend.cupy import CupyBackend

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
        with pytest.raises(RuntimeError, match=r"OSError: libcuda\.so\.1: cannot open shared object file"):
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
