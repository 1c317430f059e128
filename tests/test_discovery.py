"""Discovery: what is installed, in which order, and which of it the user wants."""

from __future__ import annotations

import importlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.plugin_fixtures.host import activation, install, make_host, only_site
from tinygrad_dnn.plugins import PluginWarning
from tinygrad_dnn.registry import UnknownNameError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from only_site(tmp_path, monkeypatch)


@pytest.fixture
def kinds(site: Path) -> SimpleNamespace:
    return make_host()


@pytest.mark.parametrize("backwards", [False, True])
def test_order_does_not_depend_on_the_path(site: Path, kinds: SimpleNamespace, backwards: bool) -> None:
    names = ["dist-c", "Dist_B", "dist.a"]
    folders = [site / name for name in names]
    for folder, name in zip(folders, names, strict=True):
        folder.mkdir()
        module = name.replace("-", "_").replace(".", "_").lower()
        targets = {"z": module, "b": f"{module}_too", "a": f"{module}_too"}
        install(folder, name, activation("bent"), entry_points=targets, module=module)
        (folder / f"{module}_too.py").write_text("1 / 0", encoding="utf-8")
    for folder in folders[:: -1 if backwards else 1]:
        sys.path.insert(0, str(folder))
    with pytest.warns(PluginWarning):
        report = kinds.host.discover()
    assert [plugin.distribution for plugin in report.loaded] == ["dist-a", "dist-b", "dist-c"]
    assert [plugin.entry_point for plugin in report.failed] == ["a", "b"] * 3
    assert report.conflicts[0].owners == ("dist-a", "dist-b", "dist-c")


def test_distribution_installed_twice_counts_once(site: Path, kinds: SimpleNamespace) -> None:
    for version in ("1.0", "2.0"):
        folder = site / version
        folder.mkdir()
        install(folder, "dist", activation("bent"), version=version, entry_points={version: "dist"})
        sys.path.insert(0, str(folder))
    assert kinds.activations.get("bent").__tinygrad_dnn_origin__.version == "2.0"
    assert [plugin.version for plugin in kinds.host.report().loaded] == ["2.0"]


def test_shadowed_distribution_does_not_count(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"))
    (site / "new").mkdir()
    install(site / "new", "dist", "", version="2.0", entry_points={})  # no plugin any more
    (site / "new" / "dist-2.0.dist-info" / "entry_points.txt").unlink()
    sys.path.insert(0, str(site / "new"))
    assert "bent" not in kinds.activations
    assert kinds.host.report().failed == ()


def test_distribution_in_a_wheel_on_the_path(site: Path, kinds: SimpleNamespace) -> None:
    (site / "made").mkdir()
    install(site / "made", "dist", activation("bent"), version="3.1")
    with zipfile.ZipFile(site / "dist-3.1-py3-none-any.whl", "w") as wheel:
        for file in (site / "made").rglob("*"):
            if file.is_file():
                wheel.write(file, file.relative_to(site / "made"))
    sys.path.insert(0, str(site / "dist-3.1-py3-none-any.whl"))
    assert kinds.activations.get("bent")(3) == 3
    assert kinds.activations.origin("bent").version == "3.1"


def test_distribution_as_older_tools_install_it(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"))
    info = site / "dist-1.0.dist-info"
    (info / "METADATA").rename(info / "PKG-INFO")
    info.rename(site / "dist.egg-info")
    assert kinds.activations.get("bent")(3) == 3
    assert kinds.activations.origin("bent").distribution == "dist"


def test_distribution_in_the_current_folder(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = site / "here"
    here.mkdir()
    install(here, "dist", activation("bent"))
    monkeypatch.chdir(here)
    sys.path.insert(0, "")
    assert kinds.activations.get("bent")(3) == 3
    assert kinds.host.report().problems == ()


def test_page_of_a_distribution_is_not_taken_for_its_name(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"))
    page = "metadata-version: 2.1\nNAME:  Dist \nversion:\t2.5\nName: other\n\nName: page\nVersion: 9\n"
    (site / "dist-1.0.dist-info" / "METADATA").write_text(page, encoding="utf-8")
    (plugin,) = kinds.host.discover(strict=True).loaded
    assert (plugin.distribution, plugin.version) == ("dist", "2.5")


# The user's choice


@pytest.mark.parametrize(
    ("choice", "imported"),
    [
        (None, {"dist_a", "dist_b", "dist_b_too", "dist_c"}),
        ("", set()),
        (" , ", set()),
        ("dist-a", {"dist_a"}),
        ("Dist.C,dist_a", {"dist_a", "dist_c"}),
        (" dist-b , ", {"dist_b", "dist_b_too"}),
        ("dist-b:two,dist-c:main", {"dist_b_too", "dist_c"}),
        ("-dist-b", {"dist_a", "dist_c"}),
        (" -Dist_A , -dist.c ", {"dist_b", "dist_b_too"}),
        ("-dist-b:one", {"dist_a", "dist_b_too", "dist_c"}),
        ("dist-a,dist-b,-dist-b:two", {"dist_a", "dist_b"}),
        ("dist-a,-dist-a", set()),
    ],
)
def test_environment_chooses_plugins_and_the_rest_is_not_imported(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, choice: str | None, imported: set[str]
) -> None:
    install(site, "dist-a", activation("a"))
    install(site, "dist-b", activation("b"), entry_points={"one": "dist_b", "two": "dist_b_too"})
    text = (site / "dist_b.py").read_text(encoding="utf-8")
    (site / "dist_b_too.py").write_text(text.replace("def b(", "def b2(").replace("(b)", "(b2)"), encoding="utf-8")
    install(site, "dist-c", activation("c"))
    if choice is not None:
        monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", choice)
    names = {"dist_a": "a", "dist_b": "b", "dist_b_too": "b2", "dist_c": "c"}
    builtins = {"elu", "hard_tanh", "leaky_relu", "leakyrelu", "relu"}
    assert set(kinds.activations.names()) == builtins | {names[module] for module in imported}
    assert {module for module in names if module in sys.modules} == imported
    report = kinds.host.report()
    assert len(report.skipped) == 4 - len(imported)
    assert report.failed == ()
    if "dist_c" not in imported:
        with pytest.raises(UnknownNameError, match=r"Not loaded: .*dist-c 1\.0 .*: TINYGRAD_DNN_PLUGINS switches it"):
            kinds.activations.get("c")


def test_choice_of_what_is_not_installed_is_told(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dist-a", activation("a"))
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "dist-a,dist-a:other,dist-b,-dist-c")
    with pytest.warns(PluginWarning, match="TINYGRAD_DNN_PLUGINS names it, and no such plugin is installed"):
        assert kinds.activations.get("a")
    assert [plugin.distribution for plugin in kinds.host.report().failed] == ["dist-a:other", "dist-b", "dist-c"]


def test_broken_plugin_switched_off_is_not_complained_of(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dist-a", "1 / 0")
    install(site, "dist-b", "", entry_points="[tinygrad_dnn]\nmain\n")
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "")
    assert kinds.host.discover(strict=True).problems == ()


# Metadata


@pytest.mark.parametrize("broken", ["entry_points.txt", "METADATA", "no METADATA", "encoding", "version"])
def test_broken_metadata_harms_nobody(site: Path, kinds: SimpleNamespace, broken: str) -> None:
    install(site, "tinygrad-dnn-a", activation("first"))
    install(site, "tinygrad-dnn-broken", activation("fine"))
    info = site / "tinygrad_dnn_broken-1.0.dist-info"
    if broken == "entry_points.txt":
        (info / "entry_points.txt").write_text("[tinygrad_dnn]\nmain\n", encoding="utf-8")
        name, version, reason = "tinygrad-dnn-broken", "1.0", "its entry_points.txt cannot be read"
    elif broken == "encoding":
        (info / "entry_points.txt").write_bytes(b"[tinygrad_dnn]\nm\xe4in = m\xe4in\n")
        name, version, reason = "tinygrad-dnn-broken", "1.0", "its entry_points.txt cannot be read"
    elif broken == "version":
        (info / "METADATA").write_text("Name: tinygrad-dnn-broken\n", encoding="utf-8")
        (site / "tinygrad_dnn_broken.py").write_text("1 / 0", encoding="utf-8")
        name, version, reason = "tinygrad-dnn-broken", "unknown", "ZeroDivisionError"
    else:
        (info / "METADATA").unlink()
        name, version, reason = f"a distribution in {site}", "unknown", "its metadata has no name"
        if broken == "METADATA":
            (info / "METADATA").write_text("Version: 1.0\n", encoding="utf-8")
            version = "1.0"
    importlib.invalidate_caches()
    with pytest.warns(PluginWarning, match=reason):
        assert kinds.activations.get("first")
    (failed,) = kinds.host.report().failed
    assert (failed.distribution, failed.version) == (name, version)
    assert reason in failed.reason
    assert kinds.activations.get("relu")


def test_unreadable_metadata_of_others_is_nothing_to_us(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "other", "", entry_points="[tool]\nmain\n")
    install(site, "encoded", "")
    (site / "encoded-1.0.dist-info" / "entry_points.txt").write_bytes(b"[tool]\nm\xe4in = m\xe4in\n")
    assert kinds.host.discover(strict=True).loaded == ()
