"""What this installation can do, and why it cannot do what it cannot: what `tinygrad-dnn doctor` tells."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dnn import backend, plugins, registry
from tinygrad_dnn.backend import probing
from tinygrad_dnn.datasets import _files
from tinygrad_dnn.jit.native import cache

_OPTIONAL = {
    "llvmlite": "steps of training as machine code; pip install 'tinygrad-dnn[jit]'",
    "matplotlib": "pictures; pip install 'tinygrad-dnn[plot]'",
    "pooch": "downloads of data sets; pip install 'tinygrad-dnn[data]'",
    "tensorboardX": "the callback TensorBoard; pip install 'tinygrad-dnn[tensorboard]'",
    "onnx": "export to ONNX; pip install 'tinygrad-dnn[onnx]'",
}
_PREFIX = "TINYGRAD_DNN"


def examine() -> dict[str, Any]:
    """Return what is found, in lists and dicts as JSON has them; this looks for plugins and imports them.

    Example:
        >>> from tinygrad_dnn.diagnostics import installation
        >>> installation.examine()["package"]["version"] == td.__version__
        True
    """
    report = plugins.report()
    version = registry.layers.origin("inputlayer").version  # of what is built in, the package's own
    return {
        "package": {"version": version, "folder": str(Path(__file__).parents[1])},
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "machine": {"system": platform.platform(), "cores": _cores()},
        "numpy": {"version": np.__version__, "blas": _blas()},
        "gpu": probing.probe().report,
        "backends": {name: reason or "works" for name, reason in backend.available().items()},
        "optional": {name: _version(name) or f"not installed: {what}" for name, what in _OPTIONAL.items()},
        "plugins": {
            "used": [
                {"plugin": str(plugin), "names": [f"{each.kind} {each.name}" for each in plugin.registered]}
                for plugin in report.loaded
            ],
            "failed": [str(plugin) for plugin in report.failed],
            "switched off": [str(plugin) for plugin in report.skipped],
            "in conflict": [str(conflict) for conflict in report.conflicts],
        },
        "environment": {key: value for key, value in sorted(os.environ.items()) if key.startswith(_PREFIX)},
        "folders": _folders(),
    }


def show(found: dict[str, Any]) -> None:
    """Print what ``examine`` found as a table.

    Example:
        >>> from tinygrad_dnn.diagnostics import installation
        >>> installation.show({"numpy": {"version": "2.1.2"}})
        <BLANKLINE>
         numpy  version  2.1.2
        <BLANKLINE>
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False)
    for column in ({"style": "bold", "no_wrap": True}, {"no_wrap": True}, {"overflow": "fold"}):
        table.add_column(**column)
    for topic, said in found.items():
        lines = list(_lines(said)) or [("", "none")]
        for place, (key, text) in enumerate(lines):
            table.add_row(*map(Text, ("" if place else topic, key, text)))
    console = Console()
    console.print()
    console.print(table)
    console.print()


def _lines(said: Any, key: str = "") -> Any:
    """Yield lines of a key and a text."""
    if isinstance(said, dict) and set(said) == {"plugin", "names"}:
        yield key, f"{said['plugin']}: {', '.join(said['names']) or 'registers nothing'}"
    elif isinstance(said, dict):
        for name, part in said.items():
            yield from _lines(part, name)
    elif isinstance(said, list):
        for place, part in enumerate(said):
            yield from _lines(part, "" if place else key)
    else:
        yield key, str(said)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _blas() -> list[str]:
    """Return a sentence for each BLAS that this process has loaded."""
    import threadpoolctl

    return [
        f"{each['internal_api']} {each['version']}, {each['num_threads']} threads, for {each.get('architecture', '?')}"
        for each in threadpoolctl.threadpool_info()
        if each["user_api"] == "blas"
    ] or ["none that tells of itself"]


def _version(module: str) -> str:
    """Return a package's version, or an empty text where it cannot be imported."""
    try:
        return str(getattr(importlib.import_module(module), "__version__", "installed"))
    except ImportError:
        return ""


def _folders() -> dict[str, str]:
    """Return where files are kept, and how much they take."""
    data, code = _files.data_folder(), cache.folder()
    return {
        "data sets": _with_size(data, without=code),
        "machine code": "none is kept" if code is None else _with_size(code),
    }


def _with_size(folder: Path, without: Path | None = None) -> str:
    if not folder.is_dir():
        return f"{folder} (not made yet)"
    files = [file for file in folder.rglob("*") if file.is_file() and (without is None or without not in file.parents)]
    return f"{folder} ({sum(file.stat().st_size for file in files) / 2**20:,.1f} MiB in {len(files)} files)"
