"""The command tinygrad-dnn compare: its table, its JSON, its picture, its files, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinygrad_dnn as td
from tests.comparing.small import arguments
from tests.plugin_packages.packages import PACKAGES, in_this_process
from tinygrad_dnn import cli


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked = arguments(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return ["--network", str(asked["network"]), "--dataset", str(asked["dataset"]), "--budget", "2epochs", "--seeds",
            "3", "--rates", "0.01,0.1", "--trials", "3", "--tuning-seeds", "1", "--workers", "0",
            "--out", "out"]  # fmt: skip


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "site").mkdir()
    with in_this_process(tmp_path / "site", [PACKAGES["tinygrad-dnn-torch"]]):
        yield


def test_table_and_files(options: list[str], packages: None, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["compare", "--optimizers", "adam,torch.nadam,sgd(momentum=0.9)", *options]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["rank", "optimizer", "test", "accuracy", "learning", "rate", "s", "a", "run", "from"]
    assert {line.split()[1] for line in lines[1:4]} == {"adam", "torch.nadam", "sgd(momentum=0.9)"}
    assert "tinygrad-dnn-torch 0.1.0" in out
    assert "±" in lines[1]
    assert lines[-1] == "see out/manifest.json and curves.png"
    assert Path("out/curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(err.splitlines()) == 1 + 3 * (3 + 3)
    assert err.splitlines()[1].startswith("[1/18] adam, trial, learning rate 0.01, seed 42: validation loss ")
    assert cli.main(["compare", "--optimizers", "adam,torch.nadam,sgd(momentum=0.9)", *options]) == 0
    again = capsys.readouterr()
    assert again.out == out
    assert len(again.err.splitlines()) == 1, "all was done before"


def test_a_picture_that_cannot_be_written_costs_no_table(options: list[str], capsys: pytest.CaptureFixture) -> None:
    Path("out/curves.png").mkdir(parents=True)
    assert cli.main(["compare", "--optimizers", "sgd", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[1] == "sgd"
    assert lines[-1].startswith("see out/manifest.json; there is no picture: ")
    assert "curves.png" in lines[-1]


def test_few_seeds_for_many_are_told(options: list[str], capsys: pytest.CaptureFixture) -> None:
    names = "adam,sgd,lion,nadam"
    assert cli.main(["compare", "--optimizers", names, *options]) == 0
    told = "with 6 pairs and 3 seeds a difference counts from 11 of its standard errors on, with 10 seeds from 3.4 on"
    assert told in capsys.readouterr().out
    assert cli.main(["compare", "--optimizers", "adam,sgd", *options]) == 0
    assert "standard errors" not in capsys.readouterr().out
    assert cli.main(["compare", "--optimizers", "adam,sgd", *options, "--seeds", "2"]) == 0
    assert "with 1 pair and 2 seeds a difference counts from 13 of its standard errors on" in capsys.readouterr().out


def test_json(options: list[str], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["compare", "--activations", "relu,elu", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("out/manifest.json").read_text())


def test_what_a_plugin_prints_is_no_part_of_the_manifest(options: list[str], capsys: pytest.CaptureFixture) -> None:
    @td.registry.optimizers.register
    class Talks(td.optimizers.SGD):
        def update(self, param: Any, grad: Any, state: Any, learning_rate: Any) -> Any:
            print("one more step")
            return super().update(param, grad, state, learning_rate)

    try:
        assert cli.main(["compare", "--optimizers", "talks", *options, "--json"]) == 0
    finally:
        td.plugins.reset()
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["rank"] == 1
    assert "one more step" in err


def test_remarks(options: list[str], capsys: pytest.CaptureFixture) -> None:
    @td.registry.optimizers.register
    class Raises(td.optimizers.SGD):
        def update(self, param: Any, grad: Any, state: Any, learning_rate: Any) -> Any:
            raise OSError("no such [bold]device[/bold]")

    try:
        assert cli.main(["compare", "--optimizers", "raises,sgd", *options]) == 0
        out = capsys.readouterr().out
        assert cli.main(["compare", "--optimizers", "raises", *options]) == 1
        alone = capsys.readouterr().out
    finally:
        td.plugins.reset()
    told = "not ranked: raises: OSError: no such [bold]device[/bold]"
    assert told in out.splitlines()
    assert told in alone.splitlines()
    assert "sgd: the best of the learning rates tried lies at their edge" in out


def test_trials_that_failed_are_told(options: list[str], capsys: pytest.CaptureFixture) -> None:
    @td.registry.optimizers.register
    class Delicate(td.optimizers.SGD):
        def __init__(self, learning_rate: float = 0.01) -> None:
            if learning_rate > 0.05:
                raise OSError("too hot")
            super().__init__(learning_rate)

    try:
        assert cli.main(["compare", "--optimizers", "delicate", *options]) == 0
    finally:
        td.plugins.reset()
    told = "delicate: 1 of 3 trainings of its trials failed, whose learning rates are out: OSError: too hot"
    assert told in capsys.readouterr().out.splitlines()


def test_all_and_what_it_leaves_out(options: list[str], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["compare", "--schedulers", "all", *options]) == 0
    out = capsys.readouterr().out
    assert "left out: exponentialdecay: exponentialdecay needs decay_rate: give it arguments, as" in out
    assert "onecycle" in out
    assert "none" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--optimizers", "nadm"], "'nadm' is not a known optimizer. Did you mean 'nadam'"),
        (["--optimizers", "sgd,sgd"], "'sgd' is there twice"),
        (["--optimizers", ","], "there is nothing to compare"),
        (["--optimizers", "sgd(0.9)"], "the arguments of 'sgd(0.9)' cannot be read"),
        (["--optimizers", "sgd", "--budget", "60s"], "'60s' is a time"),
        (["--optimizers", "sgd", "--budget", "many"], "'many' is no budget"),
        (["--optimizers", "sgd", "--network", "sellu"], "did you mean 'selu'?"),
        (["--optimizers", "sgd", "--dataset", "cifar100"], "did you mean 'cifar10'?"),
        (["--optimizers", "sgd", "--trials", "1"], "trials must be an integer in [2, 14], not 1"),
        (["--optimizers", "sgd", "--rates", "0,1"], "each rate must be a number above 0"),
        (["--optimizers", "sgd", "--out", "three.npz"], "there is a file in its place"),
        (["--activations", "relu(x=1)"], "relu"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    options: list[str], capsys: pytest.CaptureFixture, arguments: list[str], told: str
) -> None:
    assert cli.main(["compare", *options, *arguments]) == (1 if "x=1" in arguments[-1] else 2)
    out, err = capsys.readouterr()
    if "x=1" in arguments[-1]:  # known only when it is called: a candidate that fails
        assert "not ranked: relu(x=1): TypeError" in out
        return
    assert not out
    assert err.startswith("tinygrad-dnn: ")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["--optimizers"], ["--optimizers", "sgd", "--activations", "relu"],
                  ["--optimizers", "sgd", "--seeds", "0"], ["--optimizers", "sgd", "--rates", "high"],
                  ["--optimizers", "sgd", "--workers", "-1"]],
)  # fmt: skip
def test_a_wrong_command_is_refused(capsys: pytest.CaptureFixture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", *arguments])
    assert stop.value.code == 2
    assert "usage: tinygrad-dnn compare" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for part in ("--optimizers all", "[[layers]]", "95 %", "Ctrl-C", "default 10epochs", "--json"):
        assert part in out, part


def test_an_interruption_is_told(options: list[str], capsys: pytest.CaptureFixture) -> None:
    @td.registry.optimizers.register
    class Interrupted(td.optimizers.SGD):
        def update(self, param: Any, grad: Any, state: Any, learning_rate: Any) -> Any:
            raise KeyboardInterrupt

    try:
        assert cli.main(["compare", "--optimizers", "sgd,interrupted", *options]) == 130
    finally:
        td.plugins.reset()
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "interrupted: 6 of 12 trainings are in out; the same command goes on from there."
