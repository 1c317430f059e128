"""docs/plugins/tutorial.md is the code of the packages that it tells of, and what it says can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tinygrad_dnn as td
from tests.plugin_packages.packages import PACKAGES, ROOT, in_this_process
from tinygrad_dnn.registration import KINDS

PAGE = (ROOT / "docs" / "plugins" / "tutorial.md").read_text(encoding="utf-8")
# A block of code, and the file that the line before it names, if any.
BLOCK = re.compile(r"(?:^`(?P<file>\S+)`\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(found["file"], found["language"], found["code"]) for found in BLOCK.finditer(PAGE)]
FROM_FILES = [(file, code) for file, _, code in BLOCKS if file]
NUMBERED = [f"{i}-{Path(file).name}" for i, (file, _) in enumerate(FROM_FILES)]
TO_RUN = [code for file, language, code in BLOCKS if not file and language == "python"]


def test_the_page_has_its_blocks() -> None:
    assert PAGE.count("```") == 2 * (len(BLOCKS) + 1)  # one is a folder's tree
    assert len(FROM_FILES) == 8
    assert len(TO_RUN) == 2


@pytest.mark.parametrize(("file", "code"), FROM_FILES, ids=NUMBERED)
def test_block_stands_in_its_file(file: str, code: str) -> None:
    assert code in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", ["pyproject.toml", "tinygrad_dnn_bent_identity.py", "tests/test_bent_identity.py"])
def test_nothing_of_the_activation_is_left_out(file: str) -> None:
    path = f"plugins/tinygrad-dnn-bent-identity/{file}"
    shown = "\n\n\n".join(code.rstrip("\n") for named, code in FROM_FILES if named == path)
    assert shown + "\n" == (ROOT / path).read_text(encoding="utf-8")


def test_what_is_to_be_run_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [PACKAGES["tinygrad-dnn-ademamix"], PACKAGES["tinygrad-dnn-bent-identity"]]
    with in_this_process(tmp_path, chosen):
        for code in TO_RUN:
            exec(compile(code, "tutorial.md", "exec"), {})  # noqa: S102  # the page's own lines
    told = " ".join(PAGE.split())
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "bent" in line]
    assert f"`{line}`" in told


def test_tree_and_table_name_what_there_is() -> None:
    (tree,) = re.findall(r"^```\n(tinygrad.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    top, *names = [line.split()[0] for line in tree.splitlines()]
    assert all((ROOT / "plugins" / top / name).exists() for name in names)
    assert set(re.findall(r"`(tinygrad-dnn-[\w-]+)`", PAGE)) - {"tinygrad-dnn-"} == set(PACKAGES)
    for kind in KINDS:
        assert f"`{kind.hook}`" in PAGE
        assert callable(getattr(td.hookspecs, kind.hook))
