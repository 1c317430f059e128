"""The measurement of plugin discovery: it finds the plugins that it writes, and times each part."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType


def test_each_part_is_measured(load: Callable[[str], ModuleType]) -> None:
    found = load("plugin_discovery").measure(count=3, rounds=1)
    assert list(found) == ["none installed", "all installed", "imports alone", "added"]
    for part in ("none installed", "all installed", "imports alone"):
        least, median = found[part]
        assert 0 < least <= median
