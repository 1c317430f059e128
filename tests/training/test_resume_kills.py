"""A training whose process is killed at random moments goes on, to the bit, and never loses its last backup."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinygrad_dnn.callbacks.backup import read_state

ROOT = Path(__file__).parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.training.killed", *arguments]
    environment = {**os.environ, "TINYGRAD_DNN_BACKEND": "numpy"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def last_line(process: subprocess.Popen[str], first: str = "") -> str:
    """Wait for the end of a training, and return what it ends with."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return (first + output).splitlines()[-1]


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.heavy)])
def test_killed_at_random_moments(tmp_path: Path, kills: int) -> None:
    expected = last_line(start())
    assert expected.startswith("ended ")
    draw = random.Random(kills)
    number = trainings = in_writing = 0
    while number < kills:
        trainings += 1
        folder = tmp_path / str(trainings)
        backups = 0
        while True:
            process = start(str(folder))
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first in ("going\n", "over\n")  # a last run may have no step to make
            time.sleep(draw.uniform(0, 0.3))
            if number == kills or process.poll() is not None:
                break
            process.kill()
            is_over = "over" in process.communicate()[0]
            number += 1
            in_writing += any(folder.glob(".tinygrad_dnn-*.tmp"))
            before, backups = backups, 0
            for backup in folder.glob("backup-*"):
                read_state(backup)  # each one is whole
                backups += 1
            assert backups >= min(before, 2) or is_over
        assert last_line(process, first) == expected
        assert not folder.exists()
    print(f"{number} kills, {in_writing} of them while a backup was written, {trainings} trainings")
