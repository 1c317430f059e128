"""A process killed at random moments while it saves: the file holds a whole model, the last one confirmed or the next.

Trainings with their backups are killed in tests/training/test_resume_kills.py.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.saving import killed

ROOT = Path(__file__).parents[2]


def kill_one(way: str, file: Path, delay: float) -> tuple[int, int]:
    """Let a process save until it is killed, so long after its first save; return its first and last confirmed one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.saving.killed", way, str(file)],
        cwd=ROOT, env={**os.environ, "TINYGRAD_DNN_BACKEND": "numpy"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(delay)
    process.kill()
    output, errors = process.communicate(timeout=60)
    assert first.endswith("\n"), errors
    return int(first), int((first + output).split()[-1])


@pytest.mark.parametrize("kills", [9, pytest.param(201, marks=pytest.mark.heavy)])
def test_killed_while_saving(tmp_path: Path, kills: int) -> None:
    draw = random.Random(kills)
    in_writing = saves = 0
    held = dict.fromkeys(killed.WAYS, 0)
    for number in range(kills):
        way = list(killed.WAYS)[number % len(killed.WAYS)]
        folder = tmp_path / way
        folder.mkdir(exist_ok=True)
        file = folder / "model.safetensors"
        first, confirmed = kill_one(way, file, draw.uniform(0, 0.1))
        assert first == held[way] + 1  # the next process found the model that was there
        held[way] = killed.number_in(way, file)
        assert confirmed <= held[way] <= confirmed + 1
        saves += held[way] - first + 1
        left = [path for path in folder.iterdir() if path != file]
        in_writing += bool(left)
        assert all(path.name.startswith(".tinygrad_dnn-") and path.suffix == ".tmp" for path in left)
        for path in left:
            path.unlink()
    print(f"{kills} kills, {in_writing} of them while a file was written, among {saves} saves")
    assert in_writing or kills < 100, "no kill met a file half written: the test shows nothing"
