"""A plugin host of its own for a test, and plugins that are installed for it in a temporary folder."""

from __future__ import annotations

import importlib
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from tinygrad_dnn.plugins import Host
from tinygrad_dnn.registry import KINDS, Registry


def make_host() -> SimpleNamespace:
    """Return fresh registries by kind, with small built-ins, and their ``host``.

    Activations, initializers, optimizers and metrics have built-ins; those of losses fail, the others' are missing.
    """
    rows = [replace(kind, module=f"tests.plugin_fixtures.builtin_{kind.plural}") for kind in KINDS]
    registries = {row.plural: Registry(row) for row in rows}
    host = Host(registries.values())
    for registry in registries.values():
        registry._host = host
    return SimpleNamespace(host=host, **registries)


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
        f"from tinygrad_dnn.hookspecs import hookimpl\n{textwrap.dedent(source)}", encoding="utf-8"
    )
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    importlib.invalidate_caches()


def activation(name: str) -> str:
    """Return the source of a good plugin with one activation."""
    return f"""
    def {name}(x):
        return x

    @hookimpl
    def register_activations(register):
        register({name})
    """
