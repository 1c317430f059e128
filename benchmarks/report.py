"""Writing what was measured: tables on the terminal, and everything as JSON."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from peers import CONTESTANTS, Contestant
from turns import Row, Turns

Measured = dict[str, list[Row]]  # by section
AT_MOST = 5  # columns of a table that a terminal of a hundred characters can show
WIDTH = 120  # of a file, which tells none


def number(value: float) -> str:
    """Return a value with three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def cell(row: Row, contestant: str) -> str:
    """Return a contestant's median, and how many times that ours is."""
    median = row.median(contestant)
    if median is None:
        return "-"
    ratios = row.ratios(contestant)
    beside = "" if contestant == "ours" or not ratios else f"{statistics.median(ratios):.2f} x"
    return f"{number(median)} {beside:>7}"


def print_tables(
    measured: Measured, titles: dict[str, str], contestants: dict[str, Contestant] = CONTESTANTS
) -> None:
    """Print tables for each section: a line a contestant, a column for what was measured, at most five."""
    from rich.console import Console
    from rich.table import Table

    console = Console() if Console().is_terminal else Console(width=WIDTH)
    for section, rows in measured.items():
        pieces = -(-len(rows) // AT_MOST)
        size = -(-len(rows) // pieces)
        for start in range(0, len(rows), size):
            shown = rows[start : start + size]
            table = Table(title="" if start else titles[section], title_justify="left")
            table.add_column("", no_wrap=True)
            for row in shown:
                table.add_column(f"{row.title} ({row.unit})", justify="right", max_width=18)
            for name, contestant in contestants.items():
                if any(row.median(name) is not None for row in shown):
                    table.add_row(contestant.title, *(cell(row, name) for row in shown))
            console.print(table)
    if any(row.ratios(name) for rows in measured.values() for row in rows for name in row.values if name != "ours"):
        console.print(
            "Beside a median: how many times that ours in fit takes, the median of the ratios of each round (under 1: "
            "ours is quicker, or smaller).",
            highlight=False,
        )


def write_json(measured: Measured, turns: Turns, facts: dict[str, Any], path: Path) -> None:
    """Write all values, medians and ratios, with the machine and the versions."""
    results = {
        section: [
            {
                "title": row.title,
                "unit": row.unit,
                "values": row.values,
                "medians": {name: row.median(name) for name in row.values},
                "ours_times": {name: statistics.median(row.ratios(name)) for name in row.values if row.ratios(name)},
            }
            for row in rows
        ]
        for section, rows in measured.items()
    }
    content = {**facts, "contestants": turns.about, "notes": turns.notes, "results": results}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
