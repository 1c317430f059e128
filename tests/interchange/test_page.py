"""The page on interchange: its examples run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "interchange.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
NEEDS = ("onnxruntime", "onnx", "keras")


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    missing = {name for name in NEEDS if importlib.util.find_spec(name) is None}
    run = 0
    for block in BLOCKS:
        if not any(f"import {name}\n" in block or f"export.{name}(" in block for name in missing):
            exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102
            run += 1
    assert len(BLOCKS) == 4
    assert run >= 1
