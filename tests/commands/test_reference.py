"""docs/plugins: the reference of the hooks says what the hooks are, and its examples are plugins that work."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinygrad_dnn as td
from tests.plugin_fixtures.host import install, only_site
from tinygrad_dnn import cli, hookspecs, plugins
from tinygrad_dnn.registration import KINDS
from tinygrad_dnn.testing import conformance

DOCS = Path(__file__).resolve().parents[2] / "docs" / "plugins"
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
CHAPTERS = dict(re.findall(r"^### (register_\w+)\n(.*?)(?=^##)", REFERENCE, re.MULTILINE | re.DOTALL))
HOOKS = {kind.hook: kind for kind in KINDS}


def signature_of(function: object) -> str:
    """Return a function's signature as a reader writes it: without self, and types by their own names."""
    return re.sub(r"self, |[\"']", "", str(inspect.signature(function)))


def code_of(chapter: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = only_site(tmp_path, monkeypatch)
    yield next(folder)
    plugins.reset()
    next(folder, None)


def test_each_hook_has_its_chapter_in_order() -> None:
    specs = [name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "tinygrad_dnn_spec")]
    assert list(CHAPTERS) == specs == list(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_chapter_says_the_signature_and_what_is_needed(hook: str) -> None:
    chapter = CHAPTERS[hook]
    assert code_of(chapter)[0].strip() == hook + signature_of(getattr(hookspecs, hook))
    text = " ".join(chapter.split())
    assert f"Needs {HOOKS[hook].needs}" in text
    for method in HOOKS[hook].methods:
        assert method == "__call__" or f" {method}" in text or f"`{method}(" in text


def test_register_is_described_exactly() -> None:
    assert f"register{signature_of(hookspecs.Register.__call__)}" in REFERENCE
    arguments = re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE)
    assert arguments == list(inspect.signature(hookspecs.Register.__call__).parameters)[1:]


@pytest.mark.parametrize("hook", HOOKS)
def test_example_is_a_plugin_that_passes_the_kit(site: Path, hook: str) -> None:
    (example,) = code_of(CHAPTERS[hook])[1:]
    install(site, "dist", f"import tinygrad_dnn as td\n{example}")
    plugins.reset()
    (plugin,) = plugins.discover(strict=True).loaded
    assert [origin.kind for origin in plugin.registered] == [HOOKS[hook].plural]
    report = conformance.run("dist")
    assert len(report.outcomes) >= 5
    assert report.ok, str(report)


def test_variables_and_functions_that_are_named_exist() -> None:
    assert set(re.findall(r"TINYGRAD_DNN_[A-Z_]+", REFERENCE)) == {"TINYGRAD_DNN_PLUGINS", plugins.STRICT}
    for name in re.findall(r"`(td\.[\w.]+)", REFERENCE):
        if "KIND" not in name:
            eval(name, {"td": td})  # noqa: S307  # names of the reference, not of anybody's file


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    text = " ".join(page.read_text(encoding="utf-8").split())
    pattern = r"tinygrad-dnn plugins ((?:new|list|show|doctor|check)\b[^`#]*?)(?=[`#]| pip| python)"
    for command in re.findall(pattern, text):
        cli._parser().parse_args(["plugins", *shlex.split(command)])
