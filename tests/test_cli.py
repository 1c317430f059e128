"""The command tinygrad-dnn: each of its commands, its help, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import cli
from tinygrad_dnn.exercise import networks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    model = td.Sequential([td.layers.Dense(1, input_shape=(3,), name="last")])
    model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_inspect(file: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["inspect", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "last/kernel" in out
    assert "4 parameters" in out
    assert not err


def test_inspect_as_json(file: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["inspect", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["parameters"] == 4
    assert said["layers"][0]["class_name"] == "Dense"
    assert said["weights"]["last/kernel"] == {"dtype": "float32", "shape": [3, 1], "nbytes": 12}


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_an_error_is_one_sentence_and_status_2(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    assert cli.main(["inspect", str(tmp_path / "file")]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("tinygrad-dnn: ")
    assert str(tmp_path / "file") in err
    assert err.count("\n") == 1


def test_doctor(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_DATA", "/nowhere/at/all")
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in (td.__version__, np.__version__, "cupy", "llvmlite", "plugins", "/nowhere/at/all", "not made yet"):
        assert part in out, part
    assert cli.main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["package"]["version"] == td.__version__
    assert said["backends"]["numpy"] == "works"
    assert set(said["plugins"]) == {"used", "failed", "switched off", "in conflict"}
    assert said["environment"]["TINYGRAD_DNN_DATA"] == "/nowhere/at/all"


def test_exercise(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = td.datasets.sample.load_data
    monkeypatch.setattr(td.datasets.sample, "load_data", lambda: tuple((x[:240], y[:240]) for x, y in whole()))
    monkeypatch.setattr(networks, "HIDDEN_LAYERS", 2)
    options = ["--variants", "elu", "--epochs", "1", "--verbose", "0", "--out", str(tmp_path / "results")]
    assert cli.main(["exercise", *options]) == 0
    assert json.loads((tmp_path / "results" / "results.json").read_text())["results"]["elu"]["epochs"] == 1
    assert "ELU, He" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["inspect"], ["doctor"], ["exercise"]])
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 8


@pytest.mark.parametrize("command", [[], ["nothing"], ["inspect"], ["exercise", "--epochs", "0"]])
def test_a_wrong_command_is_refused(command: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    assert stop.value.code == 2
    assert "usage: tinygrad-dnn" in capsys.readouterr().err


def test_as_a_module_and_into_a_pipe_that_closes(file: Path) -> None:
    run = [sys.executable, "-m", "tinygrad_dnn"]
    done = subprocess.run([*run, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tinygrad-dnn {td.__version__}\n"
    done = subprocess.run([*run, "inspect", "nowhere"], capture_output=True, text=True, check=False)
    said = f"tinygrad-dnn: nowhere: there is no such file in {os.getcwd()!r}: check its path.\n"
    assert (done.returncode, done.stderr) == (2, said)
