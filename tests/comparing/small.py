"""A comparison that takes a moment: three classes of four numbers, in a file, and a network of one hidden layer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

NETWORK = """
[[layers]]
class_name = "Dense"
config = { units = 8, activation = "elu", kernel_initializer = "he_normal" }

[[layers]]
class_name = "Dense"
config = { units = 3, activation = "softmax" }
"""


def arguments(folder: Path, network: str = NETWORK) -> dict[str, Any]:
    """Write the data and the network into a folder; return the arguments of ``compare`` for them."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 4))
    arrays = {}
    for part, count in (("train", 96), ("valid", 30), ("test", 60)):
        y = rng.integers(0, 3, count)
        arrays[f"x_{part}"] = (centres[y] + 0.6 * rng.standard_normal((count, 4))).astype("float32")
        arrays[f"y_{part}"] = y
    np.savez(folder / "three.npz", **arrays)
    (folder / "small.toml").write_text(network, encoding="utf-8")
    return {
        "network": folder / "small.toml", "dataset": folder / "three.npz", "budget": "3epochs", "seeds": 3,
        "rates": [1e-2, 1e-1], "trials": 4, "tuning_seeds": 1, "workers": 0,
    }  # fmt: skip


def without_times(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest without the times that trainings took, the only numbers in it that differ between runs."""
    said = copy.deepcopy(manifest)
    for result in said["results"]:
        del result["seconds_a_run"]
        trials = (training for trial in result["trials"] for training in trial["trainings"])
        for training in (*trials, *result["runs"]):
            del training["seconds"]
    return said
