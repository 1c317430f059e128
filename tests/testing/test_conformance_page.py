"""docs/plugins/conformance.md says what the kit checks: its tables are made of the checks' own docstrings."""

from __future__ import annotations

import re
from pathlib import Path

import tinygrad_dnn as td
from tinygrad_dnn.testing import conformance

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "plugins" / "conformance.md").read_text(encoding="utf-8")


def test_the_page_has_the_tables() -> None:
    assert PAGE.endswith(conformance.table.as_markdown()), "write table.as_markdown() at the page's end"
    assert conformance.table.claims_as_markdown() in PAGE


def test_each_check_says_in_a_sentence_what_it_asserts() -> None:
    for checks in conformance.CHECKS.values():
        for check in checks:
            assert re.fullmatch(r"[A-Za-z].{40,180}\.", check.summary), f"{check.name}: {check.summary}"
            assert "|" not in check.summary


def test_the_page_names_what_there_is() -> None:
    for name in re.findall(r"td\.testing\.(\w+)", PAGE):
        assert name == "check_" or hasattr(td.testing, name)
    assert "--tinygrad-dnn-plugins" in PAGE
