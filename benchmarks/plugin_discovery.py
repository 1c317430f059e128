"""Time what many installed plugins add to the first look-up that needs them, beyond importing their modules.

Distributions as pip leaves them are written into a temporary folder. Fresh processes take turns: one looks up a name
without these plugins, one with them, one only imports their modules. What is read is the second time less the other
two; the first holds what discovery costs anyway, pluggy's import included. On a busy machine read the least of each.

  python benchmarks/plugin_discovery.py --plugins 100 --rounds 15
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOOK_UP = """
import time
import tinygrad_dnn as td
td.activations.get("relu")
started = time.perf_counter()
found = "plugin_{last}" in td.registry.activations
print((time.perf_counter() - started) * 1e3, found)
"""
IMPORT = """
import importlib, time
from tinygrad_dnn import hookspecs
started = time.perf_counter()
for number in range({count}):
    importlib.import_module(f"tinygrad_dnn_plugin_{{number}}")
print((time.perf_counter() - started) * 1e3, True)
"""
MODULE = """
from tinygrad_dnn.hookspecs import hookimpl


def plugin_{number}(x):
    return x


@hookimpl
def register_activations(register):
    register(plugin_{number})
"""


def write_plugins(folder: Path, count: int) -> None:
    """Write distributions of one activation each."""
    for number in range(count):
        module = f"tinygrad_dnn_plugin_{number}"
        (folder / f"{module}.py").write_text(MODULE.format(number=number), encoding="utf-8")
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: tinygrad-dnn-plugin-{number}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[tinygrad_dnn]\nplugin = {module}\n", encoding="utf-8")


def milliseconds(program: str, folder: Path, expected: bool) -> float:
    """Run a program where the folder's distributions are installed; return the time that it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TINYGRAD_DNN")}
    env = kept | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    said = subprocess.run([sys.executable, "-c", program], env=env, cwd=folder, text=True, capture_output=True)
    if said.returncode:
        raise RuntimeError(said.stderr)
    time, found = said.stdout.split()
    if found != str(expected):
        raise RuntimeError(f"the plugins were {'not ' if expected else ''}found: is TINYGRAD_DNN_PLUGINS set?")
    return float(time)


def measure(count: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the least and the median milliseconds of each part, and of what the plugins add beyond their import."""
    look_up, imports = LOOK_UP.format(last=count - 1), IMPORT.format(count=count)
    times: dict[str, list[float]] = {"none installed": [], "all installed": [], "imports alone": []}
    with tempfile.TemporaryDirectory() as name:
        full, empty = Path(name) / "full", Path(name) / "empty"
        full.mkdir()
        empty.mkdir()
        write_plugins(full, count)
        milliseconds(look_up, full, True)  # the modules' bytecode is written once
        for _ in range(rounds):
            times["none installed"].append(milliseconds(look_up, empty, False))
            times["all installed"].append(milliseconds(look_up, full, True))
            times["imports alone"].append(milliseconds(imports, full, True))
    added = [with_all - without - importing for without, with_all, importing in zip(*times.values(), strict=True)]
    least = {key: min(values) for key, values in times.items()}
    found = {key: (least[key], statistics.median(values)) for key, values in times.items()}
    beyond = least["all installed"] - least["none installed"] - least["imports alone"]
    return found | {"added": (beyond, statistics.median(added))}


def main() -> None:
    """Print the parts in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=100, metavar="N", help="how many distributions (100)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="how often each takes its turn (15)")
    options = parser.parse_args()
    print(f"{'ms':15} {'least':>7} {'median':>7}")
    for key, (least, median) in measure(options.plugins, options.rounds).items():
        print(f"{key:15} {least:7.1f} {median:7.1f}")


if __name__ == "__main__":
    main()
