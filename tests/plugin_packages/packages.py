"""The packages in plugins/, and how a test has them installed: really, or by metadata that points at their sources."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tinygrad_dnn as td

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"


class Package(NamedTuple):
    """One folder of plugins/."""

    folder: Path
    project: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def entry_points(self) -> dict[str, str]:
        return dict(self.project["entry-points"]["tinygrad_dnn"])

    @property
    def modules(self) -> set[str]:
        return {target.partition(":")[0] for target in self.entry_points.values()}


def read(folder: Path) -> Package:
    return Package(folder, tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"])


PACKAGES = {package.name: package for package in map(read, sorted(PLUGINS.glob("*/")))}


def metadata(site: Path, packages: Iterable[Package]) -> list[str]:
    """Write each package's metadata into a folder; return what must be on the path beside it."""
    for package in packages:
        info = site / f"{package.name.replace('-', '_')}-{package.project['version']}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.project['version']}\n"
        (info / "METADATA").write_text(about, encoding="utf-8")
        lines = [f"{name} = {target}" for name, target in package.entry_points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[tinygrad_dnn]", *lines, ""]), encoding="utf-8")
    return [str(package.folder) for package in packages]


@contextmanager
def in_this_process(site: Path, packages: Iterable[Package]) -> Iterator[None]:
    """Have packages installed, and no others, while a ``with`` block lasts."""
    chosen = list(packages)
    with pytest.MonkeyPatch.context() as patch:
        for path in [*metadata(site, chosen), str(site)]:
            patch.syspath_prepend(path)
        patch.setenv("TINYGRAD_DNN_PLUGINS", ",".join(package.name for package in chosen))
        patch.delenv("TINYGRAD_DNN_PLUGINS_STRICT", raising=False)
        importlib.invalidate_caches()
        td.plugins.reset()
        try:
            yield
        finally:
            td.plugins.reset()
            ours = tuple(name for package in chosen for name in package.modules)
            for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
                del sys.modules[name]


def python(path: Iterable[str | Path], *arguments: str, **environment: str) -> str:
    """Run Python with more on its path, beside the tests' own environment; return what it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TINYGRAD_DNN_PLUGINS")}
    more = os.pathsep.join([*map(str, path), str(ROOT)])
    env = kept | {"PYTHONPATH": more, "PYTHONDONTWRITEBYTECODE": "1"} | environment
    done = subprocess.run([sys.executable, *arguments], env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout
