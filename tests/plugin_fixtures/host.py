"""A plugin host of its own for a test, and plugins that are installed for it in a temporary folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinygrad_dnn.plugins import Host
from tinygrad_dnn.registry import KINDS, Registry


def make_host() -> SimpleNamespace:
    """Return fresh registries by kind, with small built-ins, and their ``host``.

    Activations, initializers, optimizers and metrics have built-ins; of losses and constraints they fail,
    of the other kinds they are missing.
    """
    rows = [replace(kind, module=f"tests.plugin_fixtures.builtin_{kind.plural}") for kind in KINDS]
    registries = {row.plural: Registry(row) for row in rows}
    host = Host(registries.values())
    for registry in registries.values():
        registry._host = host
    return SimpleNamespace(host=host, **registries)


class Imports:
    """Finds modules in folders that are not on the path, where no distribution is looked for."""

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, self.folders) if path is None else None


def only_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder to install plugins in, where no other distribution is seen; then forget their modules."""
    before = set(sys.modules)
    elsewhere = [path for path in sys.path if "-packages" not in path]
    packages = [path for path in sys.path if "-packages" in path]
    monkeypatch.setattr(sys, "path", [str(folder), *elsewhere])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Imports(packages)])
    monkeypatch.delenv("TINYGRAD_DNN_PLUGINS", raising=False)
    monkeypatch.delenv("TINYGRAD_DNN_PLUGINS_STRICT", raising=False)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def install(
    folder: Path,
    name: str,
    source: str,
    *,
    version: str = "1.0",
    entry_points: dict[str, str] | str | None = None,
    module: str | None = None,
) -> None:
    """Put a distribution's module and metadata in ``folder``, as pip would.

    Args:
        folder: A folder on ``sys.path``.
        name: The distribution's name.
        source: The module's text; ``hookimpl`` is imported for it.
        version: The distribution's version.
        entry_points: Target by entry point, or the whole text of entry_points.txt; by default the module, as "main".
        module: The module's name; by default made from the distribution's.
    """
    module = module or name.replace("-", "_").lower()
    if entry_points is None:
        entry_points = {"main": module}
    if isinstance(entry_points, dict):
        lines = [f"{key} = {target}" for key, target in entry_points.items()]
        entry_points = "\n".join(["[tinygrad_dnn]", *lines, ""])
    (folder / f"{module}.py").write_text(
        f"from tinygrad_dnn.hookspecs import hookimpl\n{source}\n", encoding="utf-8"
    )
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    importlib.invalidate_caches()


def activation(name: str, before: str = "") -> str:
    """Return the source of a good plugin with one activation, and with something to run at its import."""
    return f"""{before}
def {name}(x):
    return x


@hookimpl
def register_activations(register):
    register({name})
"""
