"""The command tinygrad-dnn doctor: what it tells of a GPU, as a table and as JSON, whatever is in the way of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_dnn import cli
from tinygrad_dnn.backend import probing
from tinygrad_dnn.backend.findings import Cupy, Device, Driver, Findings, Wheel

WHEEL, OTHER = Wheel("cupy-cuda12x", "14.2.0"), Wheel("cupy-cuda13x", "14.2.0")
CUPY = Cupy("14.2.0", "", {"runtime": "12.9", "NVRTC": "12.9", "cuBLAS": "12.9.3"})
CARD = Device("NVIDIA H100", (9, 0), 80 * 2**30, 70 * 2**30)
FOUND = {
    "all is well": Findings((WHEEL,), Driver(12080, "570.86", devices=(CARD, CARD)), CUPY, None),
    "two wheels": Findings((WHEEL, OTHER), Driver(13000, "580.65", devices=(CARD,)), CUPY, None),
    "no driver": Findings((WHEEL,), Driver(reason="libcuda.so.1: cannot open"), CUPY, None),
    "hidden": Findings((WHEEL,), Driver(13000, "580.65", 100, "CUDA_ERROR_NO_DEVICE (100)", 1), CUPY, ""),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_gpu_is_told_of(case: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "probe", lambda: FOUND[case])
    monkeypatch.setenv("COLUMNS", "400")
    assert cli.main(["doctor"]) == 0
    table = capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["gpu"]
    assert said == FOUND[case].report
    assert said["wheel"] == [str(wheel) for wheel in FOUND[case].wheels]
    assert ("help" in said) == (case != "all is well")
    for told in said.values():
        for line in [told] if isinstance(told, str) else told:
            assert line in table, line


@pytest.mark.parametrize("chosen", ["cupy", "no-such-backend"])
def test_it_examines_an_installation_that_cannot_start(chosen: str) -> None:
    # What TINYGRAD_DNN_BACKEND asks for is not to be had: that is what the command is called for.
    if chosen == "cupy" and probing.probe().problem is None:
        pytest.skip("there is a GPU here")
    run = [sys.executable, "-m", "tinygrad_dnn", "doctor", "--json"]
    env = {**os.environ, "TINYGRAD_DNN_BACKEND": chosen, "TINYGRAD_DNN_CACHE": "off"}
    done = subprocess.run(run, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["environment"]["TINYGRAD_DNN_BACKEND"] == chosen
    assert said["gpu"]["usable"].startswith("no: ") or chosen != "cupy"
