"""Processes: the numbers do not depend on how many there are, a death is told and stops nobody, none is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.comparing.small import arguments, without_times
from tests.plugin_fixtures.host import install
from tests.plugin_packages.packages import PACKAGES, ROOT, in_this_process
from tinygrad_dnn.comparing import Comparison, compare
from tinygrad_dnn.comparing.running import Job

DEADLY = """
import os
import tinygrad_dnn as td

class Deadly(td.optimizers.SGD):
    def update(self, param, grad, state, learning_rate):
        os._exit(3)

@hookimpl
def register_optimizers(register):
    register(Deadly)
"""


def test_numbers_do_not_depend_on_workers_and_a_death_stops_nobody(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    asked = arguments(tmp_path) | {"rates": [0.1], "trials": 2}
    with in_this_process(site, [PACKAGES["tinygrad-dnn-torch"]]), pytest.MonkeyPatch.context() as patch:
        install(site, "dist-deadly", DEADLY)
        patch.setenv("TINYGRAD_DNN_PLUGINS", "tinygrad-dnn-torch,dist-deadly")
        alone = compare("optimizers", ["adam", "torch.nadam"], **asked).manifest()
        found = compare("optimizers", ["adam", "deadly", "torch.nadam"], **asked | {"workers": 2}).manifest()
        dead = next(each for each in found["results"] if each["candidate"] == "deadly")
        assert dead["reason"].startswith("the process that ran it died")
        living = [each for each in found["results"] if each is not dead]
        assert without_times({"results": living}) == without_times({"results": alone["results"]})
        assert found["differences"] == alone["differences"]
        assert not multiprocessing.active_children()
    sys.modules.pop("dist_deadly", None)


def test_a_process_that_dies_between_two_trainings_loses_none(tmp_path: Path) -> None:
    asked = arguments(tmp_path) | {"rates": [0.1], "trials": 1, "seeds": 2, "workers": 1}

    def kill(comparison: Comparison, job: Job | None, result: object, recalled: bool) -> None:
        if job is not None and not job.tested:
            for process in multiprocessing.active_children():
                process.kill()
                process.join()
            time.sleep(0.5)  # until the pool knows

    found = compare("optimizers", ["adam"], **asked, progress=kill)
    assert (found.done, found.total, len(found.standings)) == (3, 3, 1)


UNGUARDED = """
from tinygrad_dnn import comparing
comparing.compare("optimizers", ["sgd"], budget="1steps", samples=32, workers=1)
"""


def test_a_program_without_its_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(UNGUARDED, encoding="utf-8")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, str(script)], env=env, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 1
    assert "RuntimeError: compare: the processes that train cannot be started" in done.stderr.splitlines()[-1]


COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tinygrad_dnn import cli
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
"""


def _gone(group: int) -> bool:
    """Tell whether no process of a group is left, within ten seconds: Python's own helper ends a little later."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
def test_ctrl_c(tmp_path: Path) -> None:
    """As a terminal does it: to the command and to its workers at once."""
    asked = arguments(tmp_path)
    script, out = tmp_path / "command.py", tmp_path / "out"
    script.write_text(COMMAND, encoding="utf-8")
    options = [
        "--optimizers", "adam", "--network", str(asked["network"]), "--dataset", str(asked["dataset"]),
        "--budget", "500000steps", "--tuning-budget", "1steps", "--tuning-seeds", "1", "--rates", "0.1",
        "--trials", "1", "--workers", "2", "--out", str(out),
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, str(script), "compare", *options], env=env, text=True, cwd=tmp_path, start_new_session=True,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as command:  # fmt: skip
        try:
            while command.poll() is None and not [*out.rglob("runs/*/*.json")]:
                time.sleep(0.05)
            time.sleep(0.2)
            os.killpg(command.pid, signal.SIGINT)
            stdout, stderr = command.communicate(timeout=60)
            assert _gone(command.pid)
        finally:
            if command.poll() is None:
                os.killpg(command.pid, signal.SIGKILL)
    assert command.returncode == 130
    assert not stdout
    told = f"interrupted: 1 of 6 trainings are in {out}; the same command goes on from there."
    assert stderr.splitlines()[-1] == told
    assert "Traceback" not in stderr
