"""What is installed and what became of it, in lists and dicts as JSON has them."""

from __future__ import annotations

import difflib
import inspect
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinygrad_dnn import plugins, registry
from tinygrad_dnn.discovery import CHOICE, Plugin, Report
from tinygrad_dnn.registration import Entry, Kind, normalized

_VARIABLES = (CHOICE, plugins.STRICT)


def listing(kind: Kind | None = None) -> dict[str, Any]:
    """Return every registered name with where it came from, and the plugins that are not used.

    Args:
        kind: Leave out all but this one.

    Example:
        >>> from tinygrad_dnn.commands import finding, packages
        >>> finding.listing(packages.kind_of("loss"))["names"][0]["distribution"]
        'tinygrad-dnn'
    """
    report = _report()
    return {
        "names": [_row(entry, names) for entry, names in _entries(kind)],
        "failed": [_plugin(each) for each in report.failed],
        "switched off": [{**_plugin(each), "how": _how_off()} for each in report.skipped],
        "in conflict": _conflicts(report),
    }


def showing(name: str) -> dict[str, Any]:
    """Return what a name stands for, in every kind that has it, and what a distribution of that name brings.

    Raises:
        ValueError: There is neither.

    Example:
        >>> from tinygrad_dnn.commands import finding
        >>> [each["kind"] for each in finding.showing("relu")["names"]]
        ['activations', 'layers']
    """
    report = _report()
    owner, _, key = name.lower().rpartition(":")
    entries = list(_entries())
    found = [{**_row(e, names), **_details(e)} for e, names in entries if key in names and e.is_of(owner)]
    parts = {"used": report.loaded, "failed": report.failed, "switched off": report.skipped}
    distributions = [
        {**_plugin(each), "state": state, "registered": [f"{o.kind} {o.name}" for o in each.registered]}
        for state, each_of in parts.items()
        for each in each_of
        if each.distribution == normalized(name)
    ]
    if not found and not distributions:
        known = {key for _, names in entries for key in names}
        near = " or ".join(map(repr, difflib.get_close_matches(key, sorted(known | _distributions(report)))))
        hint = f"did you mean {near}?" if near else "tinygrad-dnn plugins list shows all."
        raise ValueError(f"nothing here is called {name!r}: {hint}")
    return {"names": found, "plugins": distributions}


def diagnosing() -> dict[str, Any]:
    """Return the state of each installed plugin, what is wrong, and what to do about it.

    Example:
        >>> from tinygrad_dnn.commands import finding
        >>> finding.diagnosing()["problems"]
        []
    """
    broken = list(_broken_builtins())
    try:
        report = _report()
    except plugins.BuiltinError:  # a plugin needs them: none can be told of
        report = Report()
    return {
        "plugins": [
            *({**_plugin(each), "state": "used", "registered": len(each.registered)} for each in report.loaded),
            *({**_plugin(each), "state": "failed", "line": _line(each), "help": _help(each)} for each in report.failed),
            *({**_plugin(each), "state": "switched off", "how": _how_off()} for each in report.skipped),
        ],
        "in conflict": _conflicts(report),
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "problems": [*broken, *report.problems],
    }


def _report() -> Report:
    with warnings.catch_warnings():  # what is warned of is told
        warnings.simplefilter("ignore", plugins.PluginWarning)
        return plugins.report()


def _entries(kind: Kind | None = None) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    for names in registry.REGISTRIES:
        if kind is None or names.kind == kind.plural:
            yield from names.catalogue().items()


def _broken_builtins() -> Iterator[str]:
    for names in registry.REGISTRIES:
        try:
            names.builtins()
        except plugins.BuiltinError as error:
            yield str(error)


def _row(entry: Entry, names: tuple[str, ...]) -> dict[str, Any]:
    return {**entry.origin.row, "aliases": list(names[1:]), "module": entry.origin.module}


def _details(entry: Entry) -> dict[str, str]:
    try:
        signature = str(inspect.signature(entry.obj))
    except (TypeError, ValueError):  # of what is written in C
        signature = "(...)"
    documented = inspect.getdoc(entry.obj) or ""
    return {"signature": signature, "summary": " ".join(documented.partition("\n\n")[0].split())}


def _plugin(plugin: Plugin) -> dict[str, Any]:
    fields = ("distribution", "version", "entry_point", "target", "reason")
    return {field: getattr(plugin, field) for field in fields}


def _distributions(report: Report) -> set[str]:
    return {each.distribution for each in (*report.loaded, *report.failed, *report.skipped)}


def _conflicts(report: Report) -> list[dict[str, Any]]:
    return [
        {"kind": each.kind, "name": each.name, "owners": list(each.owners), "ask for": list(each.ways)}
        for each in report.conflicts
    ]


def _how_off() -> str:
    return f"{CHOICE}={os.environ.get(CHOICE, '')!r}"


def _line(plugin: Plugin) -> str:
    """Return the last line of a traceback that is not this package's or Python's own: where the plugin went wrong."""
    places = [line.strip() for line in plugin.traceback.splitlines() if line.lstrip().startswith("File ")]
    own = (f'File "{Path(registry.__file__).parent}{os.sep}', 'File "<frozen ')
    return next((place for place in reversed(places) if not place.startswith(own)), "")


def _help(plugin: Plugin) -> str:
    name = plugin.distribution
    if not plugin.entry_point and not plugin.version:
        return f"pip install {name.partition(':')[0]}, or take it out of {CHOICE}"
    return f"pip install --upgrade {name}, or leave it out: {CHOICE}=-{name}"
