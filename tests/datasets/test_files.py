"""Where the data folder is on each platform, and what a checked file must be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.datasets.server import published
from tinygrad_dnn.datasets._files import DatasetError, check_content, data_folder

CONTENT = bytes(range(256)) * 20


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/tinygrad_dnn"),
        ("linux", {"XDG_CACHE_HOME": "/fast/cache"}, "/fast/cache/tinygrad_dnn"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/tinygrad_dnn"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/ada/.cache/tinygrad_dnn"),
        ("darwin", {"XDG_CACHE_HOME": "/fast/cache"}, "/home/ada/Library/Caches/tinygrad_dnn"),
        ("win32", {}, "/home/ada/AppData/Local/tinygrad_dnn"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/tinygrad_dnn"),
        ("linux", {"TINYGRAD_DNN_DATA": ""}, "/home/ada/.cache/tinygrad_dnn"),
        ("linux", {"TINYGRAD_DNN_DATA": "/data", "XDG_CACHE_HOME": "/fast/cache"}, "/data"),
        ("linux", {"TINYGRAD_DNN_DATA": "~/data"}, "/home/ada/data"),
        ("win32", {"TINYGRAD_DNN_DATA": "/data"}, "/data"),
    ],
)
def test_data_folder(platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "TINYGRAD_DNN_DATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert data_folder() == Path(expected)


def test_relative_data_folder_is_seen_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_DNN_DATA", "data")
    assert data_folder() == tmp_path / "data"


def test_right_content_is_left_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(CONTENT)
    with path.open("rb") as opened:
        check_content(opened, path, published(CONTENT), "replace it")
        assert opened.read() == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"\0", CONTENT[:-1] + b"\0"])
def test_other_content_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with path.open("rb") as opened, pytest.raises(DatasetError) as caught:
        check_content(opened, path, published(CONTENT), "replace it")
    came, expected = (
        (f"{len(content):,} bytes", "5,120")
        if len(content) != len(CONTENT)
        else (published(content).sha256, published(CONTENT).sha256)
    )
    assert str(path) in str(caught.value)
    assert came in str(caught.value)
    assert f"expected {expected}: replace it." in str(caught.value)
