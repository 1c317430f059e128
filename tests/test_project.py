"""The repository as a whole: what it declares, what importing it costs, and that its files are in order."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import tinygrad_dnn as td

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinygrad_dnn"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules() -> list[ModuleType]:
    """Import every module of the package; none may need an optional library for that."""
    names = [info.name for info in pkgutil.walk_packages([str(PACKAGE)], "tinygrad_dnn.")]
    return [td, *(importlib.import_module(name) for name in names if not name.endswith(".__main__"))]


def public_objects() -> dict[str, object]:
    """Return the classes and functions in the ``__all__`` of the package's modules, by their full names."""
    found: dict[str, object] = {}
    for module in modules():
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            ours = getattr(thing, "__module__", "").startswith("tinygrad_dnn")
            if ours and (inspect.isclass(thing) or inspect.isroutine(thing)):
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return found


def test_version_has_one_source() -> None:
    assert ProjectMetadata(str(ROOT), PluginManager()).version == td.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", td.__version__)


def test_import_brings_neither_plugins_nor_optional_libraries() -> None:
    code = "import sys, numpy; old = set(sys.modules); import tinygrad_dnn; print(*set(sys.modules) - old)"
    env = {key: value for key, value in os.environ.items() if not key.startswith("TINYGRAD_DNN")}
    brought = set(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=env, text=True).split())
    assert "tinygrad_dnn" in brought
    heavy = {"cupy", "importlib.metadata", "matplotlib", "pluggy", "pooch", "rich", "safetensors", "tensorboardX"}
    assert not brought & heavy


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "the file must begin with a docstring"
    assert docstring.splitlines()[0].endswith("."), "the docstring's first line must be a sentence"


def test_public_objects_are_documented_with_an_example() -> None:
    objects = public_objects()
    assert "tinygrad_dnn.tensor.Tensor" in objects
    # An abstract class has no object to show.
    concrete = {name: thing for name, thing in objects.items() if not inspect.isabstract(thing)}
    assert not [name for name, thing in concrete.items() if ">>> " not in (inspect.getdoc(thing) or "")]


def test_public_methods_are_documented() -> None:
    methods = {
        f"{owner}.{name}": getattr(thing, name)  # getdoc then finds the docstring of an overridden method
        for owner, thing in public_objects().items()
        if inspect.isclass(thing)
        for name, method in vars(thing).items()
        if not name.startswith("_") and (inspect.isroutine(method) or isinstance(method, property))
    }
    assert "tinygrad_dnn.tensor.Tensor.backward" in methods
    assert not [name for name, method in methods.items() if not inspect.getdoc(method)]


def test_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(ROOT) for path in PACKAGE.rglob("*") if path.is_file()}
    caches = {path for path in files if any(part.startswith((".", "__pycache__")) for part in path.parts)}
    assert held == {path.as_posix() for path in files - caches} | {"pytest_tinygrad_dnn.py"}
    assert "tinygrad_dnn/py.typed" in held


def test_dependencies_are_the_declared_few() -> None:
    names = {re.match(r"[\w-]+", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    assert names == {"numpy", "pluggy", "rich", "threadpoolctl"}


def test_direction_of_imports_knows_no_exception() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    assert not [contract["name"] for contract in contracts if "ignore_imports" in contract]


def test_readme_names_the_two_commands_first() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    exercise, test, pip = (readme.index(text) for text in ("make exercise", "make test", "pip install"))
    assert max(exercise, test) < pip
    assert "@@" not in readme, "a placeholder was left"


def test_make_help_tells_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (help .*)$", makefile, re.MULTILINE)[1].split()) - {"help"}
    told = set(re.findall(r"^\t@echo 'make (\S+)", makefile, re.MULTILINE))
    assert told == targets
    assert {"exercise", "test", "test-all", "check"} <= targets


def test_ci_checks_and_then_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    made = re.findall(r"^make --no-print-directory ([a-z]\S+)", text, re.MULTILINE)
    assert sorted(made) == ["check", "soak", "test"]
