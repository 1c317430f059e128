"""The probe that measures beside PyTorch and JAX: benchmarks/gpu.py in a process of its own, and its targets."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.gpu_check.figures import Figure

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
WHAT = "steps beside PyTorch and JAX"
SECTIONS = "exercise,wide,kernels"
NEEDED = {"torch": "PyTorch", "torch_compile": "torch.compile", "jax": "JAX"}


def beside_peers(peer_pythons: Sequence[str] = (), arguments: Sequence[str] = ()) -> Iterator[Figure]:
    """Measure training steps beside the peers on the same card in one run, and compare with the targets.

    Args:
        peer_pythons: Interpreters that have PyTorch or JAX.
        arguments: More of the benchmark's own.
    """
    if not SCRIPT.exists():
        yield Figure(WHAT, skipped="benchmarks/ is missing: it is in the repository, not in the source archive")
        return
    with tempfile.TemporaryDirectory() as folder:
        options = [part for python in peer_pythons for part in ("--peer-python", python)]
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--quick", "--only", SECTIONS, "--out", folder, *options, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        results = Path(folder) / "gpu.json"
        if not results.exists():
            said = done.stdout.strip().splitlines() or ["nothing"]
            yield Figure(WHAT, f"it ended with {done.returncode}: {said[-1]}", equal="measured")
            return
        yield from _told(json.loads(results.read_text(encoding="utf-8")))


def _told(found: dict[str, Any]) -> Iterator[Figure]:
    rows = [row for section in ("exercise", "wide") for row in found["results"].get(section, [])]
    for row in rows:
        for name, median in row["medians"].items():
            if median is not None:
                yield Figure(f"{row['title']}: {name}", median, "ms")
    for target in found["targets"]:
        yield Figure(target["what"], target["value"], most=target["bound"])
    if not any("kernels" in target["what"] for target in found["targets"]):
        why = next((note for note in found["notes"] if ": kernels" in note), "they were not measured")
        yield Figure("steps beside their kernels' own times", skipped=why)
    measured = {name for row in rows for name, median in row["medians"].items() if median is not None}
    for name, title in NEEDED.items():
        if name not in measured:
            why = next((note for note in found["notes"] if title.lower() in note.lower()), "it was not measured")
            yield Figure(f"beside {title}", skipped=why)
    if "ours" not in measured:
        why = next((note for note in found["notes"] if note.startswith("ours")), "it was not measured")
        yield Figure("ours", why, equal="measured")
