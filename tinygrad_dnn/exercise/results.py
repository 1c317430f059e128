"""What the exercise shows of its runs: a table, results.json and a picture of the learning curves."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dnn
from tinygrad_dnn.saving import replace


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print what the variants reached, side by side."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="The exercise", title_justify="left")
    table.add_column("variant", no_wrap=True)
    for heading in ("best validation accuracy", "at epoch", "epochs run", "seconds an epoch"):
        table.add_column(heading, justify="right", max_width=13)
    for name, run in results.items():
        table.add_row(
            f"{name}: {run['title']}", f"{run['best_val_accuracy']:.1%}", str(run["best_epoch"]), str(run["epochs"]),
            f"{run['seconds_per_epoch']:.2f}",
        )  # fmt: skip
    Console().print(table)


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw each variant's loss and accuracy, on the training and the validation images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(results), figsize=(3.6 * len(results), 6), sharey="row", squeeze=False)
    for column, run in enumerate(results.values()):
        for row, key in enumerate(("loss", "accuracy")):
            ax = axes[row, column]
            epochs = range(1, run["epochs"] + 1)
            marker = "." if run["epochs"] < 5 else None  # a single epoch would draw no line
            ax.plot(epochs, run["history"][key], marker=marker, label="training")
            ax.plot(epochs, run["history"][f"val_{key}"], marker=marker, label="validation")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(alpha=0.3)
        axes[0, column].set_title(f"{run['title']}\nlearning rate {run['learning_rate']:g}")
        axes[1, column].plot(run["best_epoch"], run["best_val_accuracy"], "k.", label="best")
        axes[1, column].set_xlabel("epoch")
    # One bad first epoch would press all curves into the lower edge.
    losses = [v for run in results.values() for k in ("loss", "val_loss") for v in run["history"][k]]
    axes[0, 0].set_ylim(0, min(max(losses), 3.0) * 1.05)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy")
    axes[1, -1].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def peak_memory_mib() -> float | None:
    """Return the most memory this process has held, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write(results: dict[str, dict[str, Any]], options: argparse.Namespace, seconds: float) -> None:
    """Write results.json, print the table, and draw the picture, in that order: what can be made again comes last."""
    peak_mib = peak_memory_mib()
    package = tinygrad_dnn.__version__
    manifest = {
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "tinygrad_dnn": package},
        "machine": platform.platform(),
        "seconds": seconds,
        "peak_memory_mib": peak_mib,
        "results": results,
    }
    replace(options.out / "results.json", [json.dumps(manifest, indent=1).encode("utf-8"), b"\n"])
    print_table(results)
    try:
        draw(results, options.out / "learning_curves.png")
        shown = "learning_curves.png"
    except ImportError:
        shown = "results.json; for a picture, too, pip install 'tinygrad-dnn[plot]'"
    memory = "" if peak_mib is None else f", peak memory {peak_mib:.0f} MiB"
    print(f"{seconds:.0f} s in all{memory}; see {options.out}/{shown}")
