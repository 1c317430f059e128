"""What the environment's variables say, and that the page of the documentation names them all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_dnn import environment

ROOT = Path(__file__).parents[1]
NAME = "TINYGRAD_DNN_A_TEST"


@pytest.mark.parametrize("said", ["1", "true", "True", "YES", "on", " 1 "])
def test_yes(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(NAME, said)
    assert environment.flag(NAME)


@pytest.mark.parametrize("said", ["", "0", "false", "FALSE", "no", "Off", " "])
def test_no(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(NAME, said)
    assert not environment.flag(NAME)


@pytest.mark.parametrize("said", ["2", "maybe", "y", "None", "-1"])
def test_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(NAME, said)
    with pytest.raises(ValueError, match=f"the environment variable {NAME} must be 1, true, .* not '{said}'"):
        environment.flag(NAME)


@pytest.mark.parametrize(
    ("said", "expected"), [("", set()), ("jit", {"jit"}), (" nans , JIT", {"jit", "nans"}), ("jit,", {"jit"})]
)
def test_words(monkeypatch: pytest.MonkeyPatch, said: str, expected: set[str]) -> None:
    monkeypatch.setenv(NAME, said)
    assert environment.words(NAME, ("jit", "nans")) == expected
    monkeypatch.delenv(NAME)
    assert environment.words(NAME, ("jit", "nans")) == set()


def test_a_word_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "jit,nan")
    with pytest.raises(ValueError, match=f"{NAME} must be jit or nans, or several with commas between, not 'jit,nan'"):
        environment.words(NAME, ("jit", "nans"))


def test_a_misspelt_wish_for_checks_is_not_passed_over() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tinygrad_dnn"], env={**os.environ, environment.DEBUG: "nan"},
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "TINYGRAD_DNN_DEBUG must be jit or nans" in done.stderr.splitlines()[-1]


def test_the_page_names_every_variable_that_the_package_reads() -> None:
    sources = [*ROOT.glob("tinygrad_dnn/**/*.py"), ROOT / "pytest_tinygrad_dnn.py"]
    read = {name for path in sources for name in re.findall(r"TINYGRAD_DNN_[A-Z_]*[A-Z]", path.read_text("utf-8"))}
    page = (ROOT / "docs" / "environment.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == read
