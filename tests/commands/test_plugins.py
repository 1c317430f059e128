"""The command tinygrad-dnn plugins: what it lists, shows, diagnoses, checks and writes, as tables and as JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinygrad_dnn as td
from tests.plugin_fixtures.host import activation, install, only_site
from tinygrad_dnn import cli, plugins

BENT = activation("bent").replace("return x", '"""Return x, bent.\n\n    Not very.\n    """\n    return x')


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install for the process's own host: two plugins in conflict, a broken one, and one that is switched off."""
    folder = only_site(tmp_path, monkeypatch)
    site = next(folder)
    install(site, "dist-a", BENT.replace("(bent)", "(bent, aliases=('curved',))"), version="1.5")
    install(site, "dist-b", activation("twice") + "    register(lambda x: 2 * x, name='bent')\n")
    install(site, "dist-broken", "import a_library_that_is_not_there")
    install(site, "dist-off", activation("off"))
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "-dist-off")
    monkeypatch.setenv("COLUMNS", "200")
    plugins.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what it tells it does not warn of as well
        yield site
    plugins.reset()
    next(folder, None)


def said(capsys: pytest.CaptureFixture, *arguments: str, status: int = 0) -> str:
    assert cli.main(["plugins", *arguments]) == status
    out, err = capsys.readouterr()
    assert not err
    return out


def as_json(capsys: pytest.CaptureFixture, *arguments: str, status: int = 0) -> Any:
    return json.loads(said(capsys, *arguments, "--json", status=status))


def test_list(site: Path, capsys: pytest.CaptureFixture) -> None:
    assert said(capsys, "list", "activation").splitlines()[0].split() == ["kind", "from", "names"]
    out = said(capsys, "list")
    assert f"tinygrad-dnn {td.__version__}" in out
    for told in (
        r"dist-a 1.5",
        "dist-b 1.0",
        "dist-broken 1.0",
        "ModuleNotFoundError: No module named 'a_library_that_is_not_there'",
        "dist-off 1.0",
        "TINYGRAD_DNN_PLUGINS='-dist-off'",
        "in conflict: activations bent of dist-a and dist-b; ask for dist-a:bent or dist-b:bent",
    ):
        assert told in out, told


def test_list_as_json(site: Path, capsys: pytest.CaptureFixture) -> None:
    found = as_json(capsys, "list")
    assert {row["kind"] for row in found["names"]} == {names.kind for names in td.registry.REGISTRIES}
    ours = [row for row in found["names"] if row["distribution"] != "tinygrad-dnn"]
    assert [(row["name"], row["distribution"]) for row in ours] == [
        ("bent", "dist-a"), ("bent", "dist-b"), ("twice", "dist-b")
    ]  # fmt: skip
    assert ours[0] == {
        "name": "bent", "kind": "activations", "distribution": "dist-a", "version": "1.5", "entry_point": "main",
        "aliases": ["curved"], "module": "dist_a",
    }  # fmt: skip
    assert [each["distribution"] for each in found["failed"]] == ["dist-broken"]
    assert found["switched off"][0]["how"] == "TINYGRAD_DNN_PLUGINS='-dist-off'"
    (conflict,) = found["in conflict"]
    assert (conflict["kind"], conflict["name"], conflict["owners"]) == ("activations", "bent", ["dist-a", "dist-b"])
    assert conflict["ask for"] == ["dist-a:bent", "dist-b:bent"]
    assert {row["kind"] for row in as_json(capsys, "list", "losses")["names"]} == {"losses"}


def test_list_where_nothing_is_installed(
    site: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "")
    for info in site.glob("*.dist-info"):
        info.rename(site / info.name.replace(".", "_"))
    plugins.reset()
    assert said(capsys, "list").splitlines()[-1] == "no plugins are installed"


def test_show_name(site: Path, capsys: pytest.CaptureFixture) -> None:
    out = said(capsys, "show", "Curved")
    for told in ("bent", "curved", "dist-a 1.5, entry point main", "dist_a", "bent(x)", "Return x, bent."):
        assert told in out, told
    assert "dist-b" not in out
    assert [each["distribution"] for each in as_json(capsys, "show", "bent")["names"]] == ["dist-a", "dist-b"]
    assert [each["distribution"] for each in as_json(capsys, "show", "dist-b:bent")["names"]] == ["dist-b"]
    assert [each["kind"] for each in as_json(capsys, "show", "relu")["names"]] == ["activations", "layers"]


def test_show_distribution(site: Path, capsys: pytest.CaptureFixture) -> None:
    (used,) = as_json(capsys, "show", "Dist_B")["plugins"]
    assert (used["state"], used["registered"]) == ("used", ["activations twice", "activations bent"])
    assert "failed: ModuleNotFoundError" in said(capsys, "show", "dist-broken")
    assert "switched off" in said(capsys, "show", "dist-off")


def test_show_unknown(site: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["plugins", "show", "dist-brokn"]) == 2
    assert "nothing here is called 'dist-brokn': did you mean 'dist-broken'" in capsys.readouterr().err
    assert cli.main(["plugins", "show", "qqqqqq"]) == 2
    assert "tinygrad-dnn plugins list shows all." in capsys.readouterr().err


def test_doctor_tells_what_is_wrong_and_what_helps(site: Path, capsys: pytest.CaptureFixture) -> None:
    out = said(capsys, "doctor", status=1)
    for told in (
        "registers 1 name", "registers 2 names", "ModuleNotFoundError", f"{site}/dist_broken.py", "line 2",
        "pip install --upgrade dist-broken, or leave it out: TINYGRAD_DNN_PLUGINS=-dist-broken",
        "by TINYGRAD_DNN_PLUGINS='-dist-off'", "in conflict: activations bent", "2 problems",
    ):  # fmt: skip
        assert told in out, told
    found = as_json(capsys, "doctor", status=1)
    assert [each["state"] for each in found["plugins"]] == ["used", "used", "failed", "switched off"]
    assert found["environment"] == {"TINYGRAD_DNN_PLUGINS": "-dist-off"}
    assert len(found["problems"]) == 2


@pytest.mark.parametrize(
    ("source", "number"),
    [
        (activation("bent").replace("(bent)", "(3)"), 9),
        ("import no_such_library", 2),
        ("@hookimpl\ndef register_activations(register):\n    register(len, name='relu')", 4),
    ],
)
def test_doctor_names_the_line_of_the_plugin(
    site: Path, capsys: pytest.CaptureFixture, source: str, number: int
) -> None:
    install(site, "dist-wrong", source)
    plugins.reset()
    (wrong,) = [each for each in as_json(capsys, "doctor", status=1)["plugins"] if each["distribution"] == "dist-wrong"]
    assert wrong["line"].startswith(f'File "{site}/dist_wrong.py", line {number}, in ')


def test_doctor_tells_the_same_when_strict(
    site: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS_STRICT", "1")
    assert len(as_json(capsys, "doctor", status=1)["problems"]) == 2
    assert as_json(capsys, "show", "bent")["names"]
    assert as_json(capsys, "list")["in conflict"]


def test_doctor_without_problems(site: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "dist-a")
    plugins.reset()
    assert said(capsys, "doctor").splitlines()[-1] == "no problems"
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "dist-a,dist-z:main")
    plugins.reset()
    assert "pip install dist-z, or take it out of TINYGRAD_DNN_PLUGINS" in said(capsys, "doctor", status=1)


@pytest.mark.parametrize("kind", ["losses", "activations"])
def test_doctor_tells_of_builtins_that_cannot_be_loaded(
    site: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    registry = getattr(td.registry, kind)
    load_builtins = plugins.HOST.load_builtins

    def loads_all_but_one(asked: td.registry.Registry) -> None:
        if asked is registry:
            raise plugins.BuiltinError(f"the built-in {kind} cannot be loaded: OSError: the disk is gone")
        load_builtins(asked)

    monkeypatch.setattr(registry, "builtin", None)
    monkeypatch.setattr(plugins.HOST, "load_builtins", loads_all_but_one)
    found = as_json(capsys, "doctor", status=1)
    assert found["problems"][0] == f"the built-in {kind} cannot be loaded: OSError: the disk is gone"
    assert bool(found["plugins"]) == (kind == "losses"), "the plugins here bring activations"


def test_new(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = said(capsys, "new", "optimizer", "SignSGD")
    assert "pip install --editable ./tinygrad-dnn-sign-sgd\n" in out
    assert (tmp_path / "tinygrad-dnn-sign-sgd" / "tinygrad_dnn_sign_sgd.py").is_file()
    assert f"pip install --editable {tmp_path / 'other'}\n" in said(
        capsys, "new", "losses", "huge", "--folder", str(tmp_path / "other")
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new", "optimiser", "sign"), "'optimiser' is no kind of plugin: did you mean 'optimizer'?"),
        (("new", "optimizer", "nadam"), "'nadam' is a built-in optimizer's name"),
        (("new", "optimizer", "Nadam2!"), "'Nadam2!' cannot be a plugin's name"),
        (("new", "loss", "mine", "--folder", "."), ". is there already and is not empty"),
        (("list", "things"), "'things' is no kind of plugin: choose one of activation, initializer"),
        (("check", "dist-unheard-of"), "nothing here is called 'dist-unheard-of'"),
        (("check", "relu"), "relu cannot be checked, it is no distribution of plugins"),
        (("check", "dist-broken"), "dist-broken cannot be checked, it is failed: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    site: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(site)
    assert cli.main(["plugins", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("tinygrad-dnn: ")
    assert told in err
    assert err.count("\n") == 1


def test_check(site: Path, capsys: pytest.CaptureFixture) -> None:
    install(site, "dist-wrong", activation("wrong").replace("return x", "return 2 / (1 - x * x)"))
    plugins.reset()
    table = said(capsys, "check", "dist-a").splitlines()
    assert table[0].split() == ["kind", "name", "passed", "failed", "skipped"]
    assert table[1].split()[:2] == ["activations", "bent"]
    assert int(table[1].split()[2]) >= 5
    assert table[1].split()[3] == "0"
    wrong = as_json(capsys, "check", "Dist_Wrong", status=1)
    assert {each["name"] for each in wrong} == {"wrong"}
    assert any(each["outcome"] == "failed" for each in wrong)
    assert "activations wrong, " in said(capsys, "check", "dist-wrong", status=1)
    assert {each["name"] for each in as_json(capsys, "check", "dist-b", "--names", "twice")} == {"twice"}


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["doctor"], ["new"], ["check"]])
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["plugins", *command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 8
