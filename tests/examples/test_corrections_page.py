"""docs/corrections.md and the lessons that it names: one section a number, and a correction for each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "corrections.md").read_text(encoding="utf-8")
SECTIONS = {int(number): text for number, text in re.findall(r"^## (\d+)\. (.*?)(?=^## |\Z)", PAGE, re.M | re.S)}


def numbers(script: str) -> set[int]:
    """Return the numbers that a script's corrections begin with."""
    tree = ast.parse((ROOT / "examples" / script).read_text(encoding="utf-8"))
    docstrings = [ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {int(found[1]) for text in docstrings if (found := re.match(r"(\d+)\. ", text))}


def test_each_number_has_what_is_said_right_and_measured_and_where() -> None:
    assert list(SECTIONS) == list(range(1, 14))
    for text in SECTIONS.values():
        positions = [text.index(part) for part in ("**Said.**", "**Right.**", "**Measured.**", "Shown by", "Source:")]
        assert positions == sorted(positions)


def test_each_number_is_corrected_by_the_scripts_that_its_section_names() -> None:
    for number, text in SECTIONS.items():
        shown = text[text.index("Shown by") :]
        scripts = re.findall(r"`(\w+\.py)`", shown)
        assert all((ROOT / "examples" / script).exists() for script in scripts)
        assert any(number in numbers(script) for script in scripts if script.startswith("corrections_"))


def test_the_table_tells_what_each_script_corrects() -> None:
    table = dict(re.findall(r"^\| \[(\w+\.py)\]\(\S+\) \| (.*) \|$", PAGE, re.M))
    assert set(table) == {path.name for path in (ROOT / "examples").glob("corrections_*.py")}
    for script, told in table.items():
        assert {int(number) for number in told.split(", ")} == numbers(script)
