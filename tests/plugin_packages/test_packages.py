"""Each package in plugins/ is complete by itself, and its own tests pass where it is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tinygrad_dnn as td
from tests.plugin_packages.packages import PACKAGES, ROOT, Package, in_this_process, metadata, python
from tinygrad_dnn.registry import REGISTRIES

EVERY = pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
# What each brings, by kind.
BRINGS = {
    "tinygrad-dnn-ademamix": {"optimizers": 1},
    "tinygrad-dnn-bent-identity": {"activations": 1},
    "tinygrad-dnn-lsuv": {"initializers": 1, "callbacks": 1},
    "tinygrad-dnn-mlflow": {"callbacks": 1},
    "tinygrad-dnn-spectral-norm": {"regularizers": 1},
    "tinygrad-dnn-torch": {
        "activations": 1, "initializers": 8, "optimizers": 9, "schedulers": 8, "layers": 5, "callbacks": 1,
    },
    "tinygrad-dnn-wsd": {"schedulers": 1},
}  # fmt: skip


def test_every_package_is_known_here() -> None:
    assert set(BRINGS) == set(PACKAGES)


@EVERY
def test_what_a_package_is_made_of(package: Package) -> None:
    assert package.folder.name == package.name
    assert package.project["license"] == "MIT"
    assert package.project["license-files"] == ["LICENSE"]
    assert (package.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert package.project["requires-python"] == ">=3.11"
    assert package.project["dependencies"][0] == "tinygrad-dnn"
    readme = (package.folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {package.name}\n")
    assert f"    pip install ./plugins/{package.name}\n" in readme
    assert len(readme.splitlines()) <= 60
    assert list((package.folder / "tests").glob("test_*.py"))


@EVERY
def test_what_a_package_registers(package: Package, tmp_path: Path) -> None:
    with in_this_process(tmp_path, [package]):
        built_in = {registry.kind: set(registry._load()) for registry in REGISTRIES}
        (plugin,) = td.plugins.discover(strict=True).loaded
        assert (plugin.distribution, plugin.version) == (package.name, package.project["version"])
        counted: dict[str, int] = {}
        for origin in plugin.registered:
            assert origin.name not in built_in[origin.kind]
            counted[origin.kind] = counted.get(origin.kind, 0) + 1
        assert counted == BRINGS[package.name]


def test_their_own_tests_and_examples_pass(tmp_path: Path) -> None:
    chosen = list(PACKAGES.values())
    path = [tmp_path, *metadata(tmp_path, chosen)]
    empty = tmp_path / "pytest.ini"  # not the configuration of the repository around them
    empty.write_text("[pytest]\n", encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-c", str(empty), "--import-mode=importlib", "--doctest-modules"]
    # MLflow itself is not among what this repository is tested with; a stand-in is.
    left_out = [f"--ignore={PACKAGES['tinygrad-dnn-mlflow'].folder / 'tests' / 'test_with_mlflow.py'}"]
    told = python(path, "-m", "pytest", *options, *left_out, *(str(package.folder) for package in chosen))
    counts = re.search(r"(\d+) passed", told.splitlines()[-1])
    assert counts, told
    assert int(counts[1]) > 180
    assert "skipped" not in told.splitlines()[-1]
