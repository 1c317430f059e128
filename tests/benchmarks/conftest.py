"""What the tests of the benchmarks share: how to import them, and a worker that only pretends to work."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# The source archive comes without the benchmarks, and has nothing to test here.
collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_*.py"]

# Answers as the real one does, each contestant in a way of its own: ours takes 2 ms, PyTorch 4, JAX 8.
WORKER = '''
import json, sys, time
name, case, threads = sys.argv[1:]
if name == "keras_jax":
    sys.exit("Traceback\\nImportError: no backend")
if name == "thinc":
    print(json.dumps({"absent": True}))
    sys.exit()
warned = ["it runs operation by operation"] if name in ("ours", "torch") else []
print(json.dumps({"peak_mib": 100.0, "versions": {"numpy": "2"}, "native": False, "warnings": warned}), flush=True)
for number, line in enumerate(sys.stdin):
    if name == "jax" and number == 1:
        sys.exit("MemoryError: too much")
    print({"ours": 2.0, "torch": 4.0, "jax": 8.0}.get(name, 1.0) * (number + 1), flush=True)
'''


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Yield what imports a module of the benchmarks by its name, from the folder that Python puts first."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if (BENCHMARKS / f"{name.replace('.', '/')}.py").exists() or name == "peers":
            del sys.modules[name]


@pytest.fixture
def turns(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the module ``turns`` with a worker that only pretends to work."""
    module = load("turns")
    script = tmp_path / "pretending.py"
    script.write_text(WORKER)
    monkeypatch.setattr(module, "WORKER", script)
    return module
