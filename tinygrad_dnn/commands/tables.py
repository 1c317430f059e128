"""Tables of what is installed and of what a check gave, on a terminal or into a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_listing(found: dict[str, Any]) -> None:
    """Print the names of each kind by where they came from, and what is not used.

    Example:
        >>> from tinygrad_dnn.commands import tables
        >>> tables.show_listing({"names": [], "failed": [], "switched off": [], "in conflict": []})
        no plugins are installed
    """
    console = Console()
    rows = []
    by_kind = [list(each) for _, each in groupby(found["names"], key=lambda each: each["kind"])]
    for names in by_kind:
        # The built-ins first; the sort keeps the order of names.
        for (distribution, version), each in _by_distribution(names):
            rows.append((names[0]["kind"], f"{distribution} {version}".strip(), ", ".join(row["name"] for row in each)))
    if rows:
        console.print(_table(("kind", "from", "names"), rows, once=0))
    _show_unused(console, found)
    if not (any(row["distribution"] != "tinygrad-dnn" for row in found["names"]) or _unused(found)):
        console.print("no plugins are installed")


def show_one(found: dict[str, Any]) -> None:
    """Print all that is known of a name.

    Example:
        >>> from tinygrad_dnn.commands import finding, tables
        >>> tables.show_one({"names": [], "plugins": []})
    """
    console = Console()
    for place, each in enumerate((*found["names"], *found["plugins"])):
        if place:
            console.print()
        heading, rows = _of_plugin(each) if "state" in each else _of_name(each)
        console.print(_table(heading, rows))



def show_diagnosis(found: dict[str, Any]) -> None:
    """Print the state of each plugin, and then each problem with what helps.

    Example:
        >>> from tinygrad_dnn.commands import tables
        >>> tables.show_diagnosis({"plugins": [], "in conflict": [], "environment": {}, "problems": []})
        no plugins are installed
        <BLANKLINE>
        no problems
    """
    console = Console()
    rows = [
        (f"{each['distribution']} {each['version']}".strip(), each["entry_point"], each["state"], _told(each))
        for each in found["plugins"]
    ]
    console.print(_table(("plugin", "entry point", "state", "what"), rows) if rows else "no plugins are installed")
    for each in found["plugins"]:
        if each["state"] == "failed":
            told = (f"\n{each['distribution']}: {each['reason']}", each["line"], each["help"])
            console.print(Text("\n  ".join(filter(None, told))), soft_wrap=True)  # whole, to be copied
    _print_lines(console, map(_conflict, found["in conflict"]))
    _print_lines(console, (f"{name}={value!r}" for name, value in found["environment"].items()))
    console.print()
    problems = len(found["problems"])
    console.print("no problems" if not problems else f"{problems} problem{'s' if problems > 1 else ''}")


def show_checks(distribution: str, outcomes: Sequence[dict[str, str]]) -> None:
    """Print what came of the conformance kit's checks: a row for each object, then what failed.

    Example:
        >>> from tinygrad_dnn.commands import tables
        >>> tables.show_checks("dist", [])
        dist registers nothing: there is nothing to check
    """
    console = Console()
    if not outcomes:
        console.print(Text(f"{distribution} registers nothing: there is nothing to check"))
        return
    rows = []
    for (kind, name), each in groupby(outcomes, key=lambda outcome: (outcome["kind"], outcome["name"])):
        said = [outcome["outcome"] for outcome in each]
        rows.append((kind, name, *(str(said.count(what)) for what in ("passed", "failed", "skipped"))))
    console.print(_table(("kind", "name", "passed", "failed", "skipped"), rows))
    failed = (each for each in outcomes if each["outcome"] == "failed")
    _print_lines(console, (f"{each['kind']} {each['name']}, {each['check']}: {each['message']}" for each in failed))


def _of_name(each: dict[str, Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    version = f" {each['version']}" if each["version"] else ""
    entry = f", entry point {each['entry_point']}" if each["distribution"] not in ("tinygrad-dnn", "local") else ""
    return ("name", each["name"]), [
        ("kind", each["kind"]),
        ("aliases", ", ".join(each["aliases"]) or "none"),
        ("from", f"{each['distribution']}{version}{entry}"),
        ("defined in", each["module"]),
        ("called as", each["name"] + each["signature"]),
        ("what it is", each["summary"] or "it does not say"),
    ]


def _of_plugin(each: dict[str, Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    return ("plugin", each["distribution"]), [
        ("version", each["version"]),
        ("entry point", f"{each['entry_point']} = {each['target']}" if each["entry_point"] else "none"),
        ("state", each["state"] + (f": {each['reason']}" if each["reason"] else "")),
        ("registers", ", ".join(each["registered"]) or "nothing"),
    ]


def _by_distribution(names: list[dict[str, Any]]) -> Iterable[tuple[tuple[str, str], list[dict[str, Any]]]]:
    def source(row: dict[str, Any]) -> tuple[str, str]:
        return row["distribution"], row["version"]

    ordered = sorted(names, key=lambda row: (row["distribution"] != "tinygrad-dnn", *source(row)))
    return [(key, list(each)) for key, each in groupby(ordered, key=source)]


def _unused(found: dict[str, Any]) -> bool:
    return any(found[part] for part in ("failed", "switched off", "in conflict"))


def _show_unused(console: Console, found: dict[str, Any]) -> None:
    rows = [
        (state, f"{each['distribution']} {each['version']}".strip(), each.get("how") or each["reason"])
        for state in ("failed", "switched off")
        for each in found[state]
    ]
    if rows:
        console.print()
        console.print(_table(("not used", "plugin", "why"), rows, once=0))
    _print_lines(console, map(_conflict, found["in conflict"]))


def _print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines, with an empty one before them where there are any."""
    for place, line in enumerate(lines):
        console.print(Text(line if place else f"\n{line}"), soft_wrap=True)


def _conflict(each: dict[str, Any]) -> str:
    ways = " or ".join(each["ask for"])
    return f"in conflict: {each['kind']} {each['name']} of {' and '.join(each['owners'])}; ask for {ways}"


def _told(plugin: dict[str, Any]) -> str:
    if plugin["state"] == "used":
        return f"registers {plugin['registered']} name{'s' if plugin['registered'] != 1 else ''}"
    if plugin["state"] == "switched off":
        return f"by {plugin['how']}"
    return "see below"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], once: int | None = None) -> Table:
    """Return a table; the column ``once`` says what it says once for all rows that follow one another."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(Text(heading), overflow="fold", no_wrap=place == 0)
    before = None
    for row in rows:
        cells = [Text("" if place == once and cell == before else cell) for place, cell in enumerate(row)]
        table.add_row(*cells)
        before = None if once is None else row[once]
    return table
