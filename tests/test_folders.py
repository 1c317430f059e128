"""Where the package's caches are on each platform."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinygrad_dnn.folders import user_cache


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/tinygrad_dnn"),
        ("linux", {"XDG_CACHE_HOME": "/fast/cache"}, "/fast/cache/tinygrad_dnn"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/tinygrad_dnn"),
        ("darwin", {"XDG_CACHE_HOME": "/fast/cache"}, "/home/ada/Library/Caches/tinygrad_dnn"),
        ("win32", {}, "/home/ada/AppData/Local/tinygrad_dnn"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/tinygrad_dnn"),
    ],
)
def test_user_cache(platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert user_cache() == Path(expected)
