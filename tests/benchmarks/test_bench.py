"""The command: its options, and the tables, the picture and the JSON that it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    "arguments", [["--only", "exercize"], ["--contestants", "tensorflow"], ["--rounds", "0"], ["--threads", "two"]]
)
def test_what_no_run_could_use_is_refused(load: Load, arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("bench").parse(arguments)
    assert arguments[1] in capsys.readouterr().err


def test_quick_measures_less(load: Load) -> None:
    bench = load("bench")
    quick, whole = bench.parse(["--quick"]), bench.parse([])
    assert quick.rounds < whole.rounds
    assert bench.parse(["--quick", "--rounds", "7"]).rounds == 7
    assert list(bench.chosen_cases(quick)) == list(bench.chosen_cases(whole))
    counts = [sum(map(len, bench.chosen_cases(options).values())) for options in (quick, whole)]
    assert counts[0] < counts[1]
    assert list(bench.chosen_cases(bench.parse(["--only", "batch,start"]))) == ["batch", "start"]


def test_a_run_leaves_tables_a_picture_and_json(
    load: Load, turns: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bench = load("bench")
    monkeypatch.setattr(bench, "installed", lambda pythons, names: dict.fromkeys(names[:-1], turns.sys.executable))
    out = tmp_path / "results"
    arguments = ["--quick", "--only", "depth,inference,start", "--contestants", "ours,jax,torch", "--out", str(out)]
    assert bench.main([*arguments, "--rounds", "2"]) == 0
    printed = capsys.readouterr().out
    for text in ("Growth with depth", "jax.jit step", "0.25 x", "PyTorch eager: not measured (torch is not installed)"):
        assert text in printed
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "results.json").read_text())
    assert {"processor", "load_before", "load_after"} <= set(found["machine"])
    assert (found["rounds"], found["quick"]) == (2, True)
    deepest = found["results"]["depth"][-1]
    assert deepest["values"] == {"ours": [2.0, 4.0], "jax": [8.0, None]}
    assert deepest["medians"] == {"ours": 3.0, "jax": 8.0}
    assert deepest["ours_times"]["jax"] == 0.25
    assert any("MemoryError" in note for note in found["notes"])


def test_an_interrupted_run_keeps_what_is_finished(
    load: Load, turns: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bench = load("bench")
    measure = turns.Turns.measure

    def interrupted(self: object, case: object) -> object:
        if case.key == "depth 20":
            raise KeyboardInterrupt
        return measure(self, case)

    monkeypatch.setattr(turns.Turns, "measure", interrupted)
    arguments = ["--quick", "--only", "depth,start", "--contestants", "ours", "--out", str(tmp_path), "--rounds", "1"]
    assert bench.main(arguments) == 0
    assert "interrupted" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [row["title"] for row in results["depth"]] == ["depth 5"]
    assert "start" not in results


def test_numbers_have_three_digits(load: Load) -> None:
    number = load("report").number
    assert [number(value) for value in (0.01234, 0.5, 1.0, 12.345, 123.4, 4321.0)] == [
        "0.0123", "0.500", "1.00", "12.3", "123", "4321",
    ]  # fmt: skip


def test_help_tells_what_is_measured(load: Load, capsys: pytest.CaptureFixture) -> None:
    bench = load("bench")
    with pytest.raises(SystemExit, match="0"):
        bench.main(["--help"])
    told = capsys.readouterr().out
    assert "choose kernels" in told
    assert all(section in told for section in bench.SECTIONS)
