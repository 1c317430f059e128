"""Which plugins are installed, which of them the user wants, and what became of each."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinygrad_dnn.hookspecs import PROJECT
from tinygrad_dnn.registration import Origin, normalized

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["Conflict", "Plugin", "Report"]

CHOICE = "TINYGRAD_DNN_PLUGINS"
_TARGET = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\])?")
_FIELD = re.compile(r"^(Name|Version)[ \t]*:[ \t]*(.*?)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Plugin:
    """One installed plugin, that is one entry point, and what became of it.

    Args:
        distribution: The normalized name of the distribution that brings it.
        version: The distribution's version.
        entry_point: The entry point's name.
        target: What the entry point names, ``"module"`` or ``"module:object"``.
        registered: What it registered.
        reason: Why it is not used; empty where it is.
        traceback: The traceback behind that reason, if there is one.

    Example:
        >>> print(td.plugins.Plugin("tinygrad-dnn-mish", "1.0", "mish", "tinygrad_dnn_mish"))
        tinygrad-dnn-mish 1.0 (entry point mish = tinygrad_dnn_mish)
    """

    distribution: str
    version: str
    entry_point: str = ""
    target: str = ""
    registered: tuple[Origin, ...] = ()
    reason: str = ""
    traceback: str = ""

    @property
    def names(self) -> tuple[str, str]:
        """What ``TINYGRAD_DNN_PLUGINS`` may call it: the distribution, or that and the entry point."""
        return self.distribution, f"{self.distribution}:{self.entry_point}"

    def __str__(self) -> str:
        where = f" (entry point {self.entry_point} = {self.target})" if self.entry_point else ""
        return f"{self.distribution} {self.version}".strip() + where + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Conflict:
    """A name that several plugins claim; asking for it is an error, asking for ``distribution:name`` is not.

    Args:
        kind: The kind's plural.
        name: The name.
        owners: The distributions that claim it, in order.
        ways: How to ask for each, in the same order: by names that mean nothing else.

    Example:
        >>> print(td.plugins.Conflict("activations", "mish", ("tinygrad-dnn-a", "tinygrad-dnn-b")))
        activations: 'mish' is claimed by tinygrad-dnn-a and tinygrad-dnn-b
    """

    kind: str
    name: str
    owners: tuple[str, ...]
    ways: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.name!r} is claimed by {' and '.join(self.owners)}"


@dataclass(frozen=True)
class Report:
    """What discovery found: the plugins that are used, those that failed, those switched off, and conflicts.

    Args:
        loaded: The plugins in use, sorted by distribution and entry point.
        failed: The plugins left out because something is wrong with them.
        skipped: The plugins that ``TINYGRAD_DNN_PLUGINS`` switches off.
        conflicts: The names that several plugins claim.

    Example:
        >>> td.plugins.Report().problems
        ()
    """

    loaded: tuple[Plugin, ...] = ()
    failed: tuple[Plugin, ...] = ()
    skipped: tuple[Plugin, ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each failure and each conflict."""
        return tuple(map(str, (*self.failed, *self.conflicts)))

    def __str__(self) -> str:
        lines = [
            f"{plugin}: {', '.join(f'{each.kind} {each.name}' for each in plugin.registered) or 'nothing'}"
            for plugin in self.loaded
        ]
        groups = {"loaded": lines, "failed": self.failed, "switched off": self.skipped, "conflict": self.conflicts}
        return "\n".join(f"{group}: {line}" for group, found in groups.items() for line in found) or "no plugins"


def installed() -> list[tuple[Plugin, EntryPoint | None]]:
    """Return each installed plugin with its entry point, in an order that does not depend on ``sys.path``.

    Where a distribution's metadata is broken, there is None for the entry point, and the plugin has the reason.
    As for ``import``, the first distribution of a name counts, and alone.
    """
    from importlib import metadata  # slow to import, and not needed while built-ins answer

    # The empty entry, which stands for the current folder, would be listed anew at each search.
    path = list(dict.fromkeys(entry or os.curdir for entry in sys.path))
    first: dict[str, Distribution] = {}
    for distribution in metadata.distributions(path=path):
        # All of the environment comes by here: only what is ours is worth parsing, and may be complained of.
        if _mentions_project(distribution):
            name = _fields(distribution).get("name", "")
            first.setdefault(normalized(name) if name else _nameless(distribution), distribution)
    found: list[tuple[Plugin, EntryPoint | None]] = []
    for name, distribution in sorted(first.items(), key=lambda item: item[0]):
        # What shadows a plugin may itself be none.
        found += _entry_points(next(iter(metadata.distributions(name=name, path=path)), distribution))
    return found


@dataclass(frozen=True)
class Choice:
    """Which plugins the user wants: all, or those listed, less those listed with a minus before them.

    Args:
        wanted: What is listed without a minus; None where nothing is, and then all are wanted.
        unwanted: What is listed with one.
    """

    wanted: frozenset[str] | None = None
    unwanted: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All that is listed."""
        return (self.wanted or frozenset()) | self.unwanted

    def takes(self, plugin: Plugin) -> bool:
        """Whether a plugin is wanted."""
        if not self.unwanted.isdisjoint(plugin.names):
            return False
        return self.wanted is None or not self.wanted.isdisjoint(plugin.names)


def chosen() -> Choice:
    """Return what ``TINYGRAD_DNN_PLUGINS`` says."""
    text = os.environ.get(CHOICE)
    if text is None:
        return Choice()
    parts = [each.strip() for each in text.split(",") if each.strip()]
    unwanted = frozenset(_as_name(each[1:]) for each in parts if each.startswith("-"))
    wanted = frozenset(_as_name(each) for each in parts if not each.startswith("-"))
    return Choice(wanted if wanted or not unwanted else None, unwanted)


def _as_name(text: str) -> str:
    distribution, colon, entry_point = text.partition(":")
    return normalized(distribution.strip()) + colon + entry_point


def _mentions_project(distribution: Distribution) -> bool:
    try:
        return PROJECT in (distribution.read_text("entry_points.txt") or "")
    except UnicodeDecodeError:
        return normalized(PROJECT) in normalized(_fields(distribution).get("name", ""))


def _fields(distribution: Distribution) -> dict[str, str]:
    """Return the name and the version in a distribution's metadata, as far as they can be read.

    Parsing all of it, with the page that it describes itself by, would take most of discovery's time.
    """
    with contextlib.suppress(Exception):  # what reads it belongs to whoever installed it
        for file in ("METADATA", "PKG-INFO", ""):
            if text := distribution.read_text(file):
                return {key.lower(): value for key, value in reversed(_FIELD.findall(text.partition("\n\n")[0]))}
    return {}


def _nameless(distribution: Distribution) -> str:
    return f"a distribution in {distribution.locate_file('')}"


def _entry_points(distribution: Distribution) -> list[tuple[Plugin, EntryPoint | None]]:
    """Return one distribution's plugins, sorted."""
    fields = _fields(distribution)
    name = normalized(fields.get("name", ""))
    version = fields.get("version") or "unknown"
    if not name:
        return [(Plugin(_nameless(distribution), version, reason="its metadata has no name"), None)]
    try:
        ours = [each for each in distribution.entry_points if each.group == PROJECT]
    except Exception as error:
        return [(Plugin(name, version, reason=f"its entry_points.txt cannot be read ({error})"), None)]
    ours.sort(key=lambda each: (each.name, each.value))
    reason = "what it names is not of the form 'module' or 'module:object'"
    return [
        (Plugin(name, version, each.name, each.value), each)
        if _TARGET.fullmatch(each.value)
        else (Plugin(name, version, each.name, each.value, reason=reason), None)
        for each in ours
    ]
