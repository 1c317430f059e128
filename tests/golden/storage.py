"""Writes and reads a set of golden values: a JSON file of cases and an .npz file of their arrays, NumPy alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Golden:
    """One set of golden values.

    ``meta`` says what made it (versions, backend), ``inputs`` holds what the cases share, and ``cases`` maps a
    name to a dictionary: plain entries (configuration, numbers, notes) and NumPy arrays side by side.
    """

    meta: dict[str, Any]
    inputs: dict[str, Any]
    cases: dict[str, dict[str, Any]]


def load(topic: str, folder: Path = DATA) -> Golden:
    """Read ``<topic>.json`` and, where there is one, ``<topic>.npz``."""
    golden = Golden(**json.loads((folder / f"{topic}.json").read_text()))
    arrays = folder / f"{topic}.npz"
    if arrays.exists():
        with np.load(arrays, allow_pickle=False) as stored:
            for key in stored.files:
                owner, field = key.split("/", 1)
                (golden.inputs if owner == "inputs" else golden.cases[owner])[field] = stored[key]
    return golden


def save(
    topic: str,
    meta: dict[str, Any],
    inputs: dict[str, Any],
    cases: dict[str, dict[str, Any]],
    folder: Path = DATA,
) -> int:
    """Write the set, arrays apart from the rest, and return the number of bytes written."""
    arrays: dict[str, np.ndarray] = {}

    def without_arrays(owner: str, entries: dict[str, Any]) -> dict[str, Any]:
        for field, value in entries.items():
            if isinstance(value, np.ndarray):
                arrays[f"{owner}/{field}"] = value
        return {field: value for field, value in entries.items() if not isinstance(value, np.ndarray)}

    document = {
        "meta": meta,
        "inputs": without_arrays("inputs", inputs),
        "cases": {name: without_arrays(name, entries) for name, entries in cases.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / f"{topic}.json"
    text.write_text(_compact(document) + "\n")
    size = text.stat().st_size
    if arrays:
        packed = folder / f"{topic}.npz"
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        size += packed.stat().st_size
    return size


def _compact(document: dict[str, Any]) -> str:
    """One line a case, so that a difference between two versions of the file can be read."""
    lines = []
    for section, entries in document.items():
        inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        lines.append(f"{json.dumps(section)}: {{\n{inner}\n}}")
    return "{\n" + ",\n".join(lines) + "\n}"
