"""Drawing what was measured on logarithmic axes: points for what is apart, lines for what grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from peers import CONTESTANTS, Contestant
from report import Measured
from turns import Row

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen
from matplotlib import ticker

# Okabe and Ito's colours, which colour-blind readers tell apart; ours are blues, and a grey for the machine.
COLOURS = {
    "ours": "#0072b2", "ours_numpy": "#56b4e9", "ours_replay": "#56b4e9", "ours_eager": "#a6cfe8",
    "ours_step": "#004466", "ours_cpu": "#999999", "torch": "#d55e00", "torch_compile": "#e69f00",
    "torch_graph": "#882255", "jax": "#009e73", "keras_jax": "#cc79a7", "thinc": "#882255", "roofline": "#999999",
}  # fmt: skip
GROWTH = {"depth": "hidden layers", "batch": "samples a batch", "crossover": "units a layer"}
AT_MOST = 4  # groups of points in a panel that can still be read


def draw(
    measured: Measured, titles: dict[str, str], path: Path, contestants: dict[str, Contestant] = CONTESTANTS
) -> None:
    """Draw a panel for each section but the machine's, for one of several units a panel a unit."""
    panels: list[tuple[str, str, list[Row]]] = []
    for section, rows in measured.items():
        if section == "machine":
            continue
        for unit in dict.fromkeys(row.unit for row in rows):
            chosen = [row for row in rows if row.unit == unit]
            for start in range(0, len(chosen), len(chosen) if section in GROWTH else AT_MOST):
                panels.append((section, unit, chosen if section in GROWTH else chosen[start : start + AT_MOST]))
    if not panels:
        return
    columns = 2 if len(panels) > 1 else 1
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(8 * columns, 3.6 * lines + 1), squeeze=False)
    shown: dict[str, Any] = {}
    for place, ax in enumerate(axes.flat):
        if place >= len(panels):
            ax.axis("off")
            continue
        section, unit, rows = panels[place]
        handles = _lines(ax, section, rows) if section in GROWTH and len(rows) > 1 else _points(ax, rows)
        shown.update(handles)
        ax.set_title(titles[section], fontsize=10, loc="left")
        ax.set_ylabel({"ms": "milliseconds", "s": "seconds", "µs": "microseconds"}.get(unit, unit))
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
        ax.grid(alpha=0.3)
    present = [name for name in contestants if name in shown]
    figure.legend(
        [shown[name] for name in present], [contestants[name].title for name in present],
        loc="lower center", ncols=4 if columns == 1 else 5, fontsize=10,
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.9 / (3.6 * lines + 1), 1, 1))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _points(ax: Any, rows: list[Row]) -> dict[str, Any]:
    present = [name for name in COLOURS if any(row.median(name) is not None for row in rows)]
    width = 0.7 / len(present)
    handles = {}
    for place, name in enumerate(present):
        heights = [row.median(name) for row in rows]
        at = [group + (place - (len(present) - 1) / 2) * width for group in range(len(rows))]
        known = [(x, height) for x, height in zip(at, heights, strict=True) if height is not None]
        (handles[name],) = ax.plot(*zip(*known, strict=True), "o", markersize=9, color=COLOURS[name])
    ax.set_xticks(range(len(rows)), [row.title.replace(", ", ",\n", 1) for row in rows], fontsize=9)
    ax.set_xlim(-0.5, len(rows) - 0.5)
    return handles


def _lines(ax: Any, section: str, rows: list[Row]) -> dict[str, Any]:
    handles = {}
    for name in COLOURS:
        points = [(int(row.title.split()[-1]), row.median(name)) for row in rows]
        known = [point for point in points if point[1] is not None]
        if known:
            (handles[name],) = ax.plot(*zip(*known, strict=True), marker="o", color=COLOURS[name])
    ax.set_xscale("log")
    values = [int(row.title.split()[-1]) for row in rows]
    ax.set_xticks(values, [str(value) for value in values])
    ax.minorticks_off()
    ax.set_xlabel(GROWTH[section])
    return handles
