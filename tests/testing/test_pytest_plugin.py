"""pytest --tinygrad-dnn-plugins: items for what is installed, and nothing at all where it is not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).resolve().parents[2]
SOURCE = '''
import tinygrad_dnn as td

def bent(x):
    return (td.sqrt(x * x + 1.0) - 1.0) / 2.0 + x

def unguarded(x):
    return td.exp(x) - 1.0

class Needs(td.regularizers.Regularizer):
    def __init__(self, width):
        self.width = width
    def __call__(self, w):
        return self.width * (w * w).sum()

@td.hookimpl
def register_activations(register):
    register(bent)
    register(unguarded)

@td.hookimpl
def register_regularizers(register):
    register(Needs)
'''


def install(folder: Path, name: str, source: str) -> None:
    """Write a distribution as an installer leaves it: a module and its metadata."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    metadata = folder / f"{module}-1.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[tinygrad_dnn]\nmain = {module}\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with two plugins, of which one cannot be imported, and with one test of somebody's own."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "demo-bent", SOURCE)
    install(folder, "demo-broken", "import no_such_module\n")
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    return folder


def run(site: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest in the folder above; return its status and what it wrote."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("TINYGRAD_DNN", "PYTEST"))}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # where the package is installed, it would be there twice
    env["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
    command = [sys.executable, "-m", "pytest", "-p", "pytest_tinygrad_dnn", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=site.parent, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_plugin_is_checked_and_one_that_fails_to_load_is_told(site: Path) -> None:
    status, text = run(site, "--tinygrad-dnn-plugins", "-v", "-rs")
    assert status == 1
    assert "test_own.py::test_own PASSED" in text
    assert "tinygrad-dnn-plugins::activation-bent-gradients PASSED" in text
    assert "tinygrad-dnn-plugins::activation-unguarded-finite_values FAILED" in text
    assert (
        "activation 'unguarded' of demo-bent 1.5: check finite_values: its value is inf at 1000; expected a finite "
        "number: guard the input of exp and the like, not their output."
    ) in text
    assert "tinygrad-dnn-plugins::plugins-demo-broken:main-loads FAILED" in text
    assert "ModuleNotFoundError: No module named 'no_such_module'" in text
    assert "it needs the arguments width and declares no samples of them" in text
    assert "2 failed" in text
    assert "Traceback" not in text


def test_one_distribution_and_k_choose(site: Path) -> None:
    status, text = run(site, "--tinygrad-dnn-plugins=demo-bent", "-q", "-k", "bent-jit or bent-gradients")
    assert status == 0, text
    assert "2 passed" in text


def test_an_unknown_distribution_is_an_error(site: Path) -> None:
    status, text = run(site, "--tinygrad-dnn-plugins=demo-absent")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "--tinygrad-dnn-plugins: demo-absent registers nothing" in text


def test_it_imports_nothing_of_the_package_where_it_is_not_asked_for(site: Path) -> None:
    (site.parent / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n    assert not {'tinygrad_dnn', 'numpy'} & set(sys.modules)\n", encoding="utf-8"
    )
    status, text = run(site, "-q")
    assert status == 0, text
    assert "1 passed" in text


def test_the_entry_point_is_declared() -> None:
    project = ProjectMetadata(str(ROOT), PluginManager()).core
    assert project.entry_points["pytest11"] == {"tinygrad_dnn": "pytest_tinygrad_dnn"}
