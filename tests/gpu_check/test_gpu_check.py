"""make gpu-check without a GPU: its table and file, what fails it, how it runs tests and the benchmark."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gpu_check import __main__ as command
from tests.gpu_check import peers
from tests.gpu_check.figures import FAILED, NOT_RUN, PASSED, TOLD, Figure, collected
from tinygrad_dnn.backend import probing
from tinygrad_dnn.backend.findings import Cupy, Device, Driver, Findings, Wheel

CARD = Device("NVIDIA H100", (9, 0), 80 * 2**30, 70 * 2**30)
WHEEL = Wheel("cupy-cuda12x", "14.2.0")
THERE = Findings((WHEEL,), Driver(12080, "570.86", devices=(CARD,)), Cupy("14.2.0"), None)
NOWHERE = Findings((), Driver(reason="libcuda.so.1: cannot open"), None, None)

# -- Figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "bound", "state"),
    [
        (Figure("x", 3.0, "ms"), "", TOLD),
        (Figure("x", 3.0, most=3), "<= 3", PASSED),
        (Figure("x", 3.1, most=3), "<= 3", FAILED),
        (Figure("x", float("nan"), most=3), "<= 3", FAILED),
        (Figure("x", 0, least=1), ">= 1", FAILED),
        (Figure("x", 2, least=1, most=3), ">= 1 and <= 3", PASSED),
        (Figure("x", float("nan"), least=1), ">= 1", FAILED),
        (Figure("x", "none", equal="none"), "none", PASSED),
        (Figure("x", "sum", equal="none"), "none", FAILED),
        (Figure("x", most=3, skipped="there is no such thing"), "<= 3", NOT_RUN),
    ],
)
def test_what_becomes_of_a_figure(figure: Figure, bound: str, state: str) -> None:
    assert (figure.bound, figure.state) == (bound, state)
    told = figure.as_dict()
    assert told["state"] == state
    assert ("why" in told) == (state == NOT_RUN)


def test_a_probe_that_raises_fails_and_keeps_what_it_had() -> None:
    def probe(number: int) -> Iterator[Figure]:
        yield Figure("x", number)
        raise MemoryError("out of\n memory")

    first, failed = collected(probe, 3)
    assert first == Figure("x", 3)
    assert (failed.state, failed.value) == (FAILED, "MemoryError: out of memory")


def test_what_is_warned_of_fails_a_probe() -> None:
    def probe(text: str) -> Iterator[Figure]:
        warnings.warn(text, stacklevel=1)
        yield Figure("x", 1, most=1)

    assert [figure.state for figure in collected(probe, "somebody else's")] == [PASSED]
    assert [figure.state for figure in collected(probe, "td.jit: it runs launch by launch")] == [PASSED, FAILED]


# -- The command -------------------------------------------------------------------------------------------------------


def test_without_a_gpu_it_says_why_in_one_sentence_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(probing, "probe", lambda: NOWHERE)
    monkeypatch.setattr(command, "check", lambda options: pytest.fail("it did something"))
    assert command.main(["--out", str(tmp_path / "file.json")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("gpu-check: nothing was checked: This machine has neither an NVIDIA driver")
    assert out.count("\n") == 1
    assert not err
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_cannot_be_used_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(probing, "probe", lambda: THERE._replace(wheels=(), cupy=None))
    assert command.main([]) == 1
    assert "nothing was checked: CuPy is not installed. What helps: pip install" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "extra"),
    [
        (NOWHERE, ""),
        (THERE, ""),
        (Findings((), Driver(13000), None, None), "cuda13"),
        (Findings((), Driver(12040), None, None), "cuda12"),
        (Findings((), Driver(11080), None, None), ""),
    ],
)
def test_make_is_told_what_to_install(
    found: Findings, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(probing, "probe", lambda: found)
    assert command.main(["--extra"]) == 0
    assert capsys.readouterr().out.strip() == extra


@pytest.mark.parametrize("fails", [False, True])
def test_with_a_gpu_all_is_told_and_written(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(probing, "probe", lambda: THERE)
    asked: list[Any] = []
    monkeypatch.setattr(
        command, "run_tests", lambda *o, **e: asked.append((o, e)) or [Figure("tests marked gpu: passed", 7, least=1)]
    )

    def probe(card: Any) -> Iterator[Figure]:
        yield Figure("error [relative]", 2e-5 if fails else 1e-7, most=1e-5)
        yield Figure("beside JAX", skipped="JAX is not installed")

    monkeypatch.setattr(command, "PROBES", dict.fromkeys(command.PROBES, ("", probe)))
    monkeypatch.setattr(command, "beside_peers", lambda pythons: probe(pythons))
    out = tmp_path / "new" / "file.json"
    assert command.main(["--whole-suite", "--out", str(out)]) == fails
    said = capsys.readouterr().out
    for text in ("NVIDIA H100, compute capability 9.0", "570.86, up to CUDA 12.8", "cupy-cuda12x 14.2.0", "JAX is not",
                 "error [relative]", "<= 1e-05", "8 failed" if fails else "all passed"):  # fmt: skip
        assert text in said, text
    for number, title in command.TITLES.items():
        assert title in said, number
    assert asked == [(("-m", "gpu"), {}), (("-m", "not heavy"), {"TINYGRAD_DNN_BACKEND": "cupy"})]
    found = json.loads(out.read_text())
    assert found["passed"] is not fails
    assert found["gpu"]["usable"] == "yes"
    assert list(found["parts"]) == ["tests", "1", "2", "3", "4", "5", "6", "7", "8"]
    assert found["parts"]["3"]["figures"][1] == {
        "what": "beside JAX", "value": "", "unit": "", "bound": "", "state": "not run", "why": "JAX is not installed"
    }  # fmt: skip


def test_an_interrupted_check_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(card: Any) -> Iterator[Figure]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(command, "PROBES", {"1": ("", interrupted)})
    found = command.check(command.parse(["--only", "1,2"]))
    assert [figure.state for figures in found.values() for figure in figures] == [FAILED]


def test_what_it_does_not_know_is_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.parse(["--only", "9"])
    assert "'9' is not there; choose among tests, 1, 2" in capsys.readouterr().err


# -- Tests in a process of their own -----------------------------------------------------------------------------------

TESTS = """
import os
import pytest
def test_passes(): assert "TINYGRAD_DNN_BACKEND" not in os.environ or os.environ["TINYGRAD_DNN_BACKEND"] == "cupy"
@pytest.mark.skip(reason="no second GPU")
def test_skipped(): pass
"""
FAILS = '\ndef test_fails(): assert 1 == 2, "the card\\n is wrong"\n'


@pytest.mark.parametrize("fails", [False, True])
def test_tests_are_counted_and_named(fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_BACKEND", "strict")
    (tmp_path / "test_some.py").write_text(TESTS + (FAILS if fails else ""))
    (tmp_path / "none.ini").write_text("[pytest]\n")
    found = command.run_tests("-c", str(tmp_path / "none.ini"), "--rootdir", str(tmp_path), str(tmp_path))
    assert found[:2] == [
        Figure("tests marked gpu: passed", 1, least=1), Figure("tests marked gpu: failed", int(fails), most=0)
    ]  # fmt: skip
    assert found[-1] == Figure("skipped: test_some.test_skipped", skipped="no second GPU")
    assert (found[2].what, found[2].state) == ("failed: test_some.test_fails", FAILED) or not fails
    assert "the card is wrong" in found[2].value or not fails


def test_tests_that_cannot_run_fail(tmp_path: Path) -> None:
    (figure,) = command.run_tests("--no-such-option", str(tmp_path))
    assert figure.state == FAILED
    assert "pytest ended with 4" in figure.value
    (tmp_path / "nothing").mkdir()
    (tmp_path / "none.ini").write_text("[pytest]\n")
    counted = command.run_tests("-c", str(tmp_path / "none.ini"), "--rootdir", str(tmp_path), str(tmp_path / "nothing"))
    assert counted[0].state == FAILED, "no test that ran is no success"


# -- The benchmark in a process of its own -----------------------------------------------------------------------------


@pytest.mark.skipif(not peers.SCRIPT.exists(), reason="the source archive comes without the benchmarks")
def test_the_benchmark_is_run_and_its_targets_told() -> None:
    rehearsal = ("--device", "cpu", "--only", "exercise", "--rounds", "1", "--contestants", "ours,jax")
    found = {figure.what: figure for figure in peers.beside_peers([sys.executable], rehearsal)}
    assert found["elu, batch 32: ours"].state == TOLD
    assert found["elu, batch 32: ours"].value > 0
    for title in ("JAX", "PyTorch", "torch.compile"):
        assert found[f"beside {title}"].state == NOT_RUN
    assert "jax" in found["beside JAX"].skipped


def test_the_benchmarks_figures_are_told() -> None:
    row = {"title": "elu, batch 32", "medians": {"ours": 0.2, "torch": 1.0, "jax": None}}
    found = {
        "results": {"exercise": [row]},
        "targets": [{"what": "ours, times the best", "value": 1.2, "bound": 1.0, "passed": False}],
        "notes": [
            "ours, step, graph, elu, batch 32: kernels: not measured (no torch)",
            "jax.jit step, elu, batch 32: not measured (no card)",
        ],
    }
    told = list(peers._told(found))
    assert [(figure.what, figure.state) for figure in told] == [
        ("elu, batch 32: ours", TOLD), ("elu, batch 32: torch", TOLD), ("ours, times the best", FAILED),
        ("steps beside their kernels' own times", NOT_RUN), ("beside torch.compile", NOT_RUN), ("beside JAX", NOT_RUN),
    ]  # fmt: skip
    assert told[3].skipped.endswith("not measured (no torch)")
    assert told[-1].skipped == "jax.jit step, elu, batch 32: not measured (no card)"
    row["medians"]["ours"] = None
    assert list(peers._told(found))[-1].state == FAILED


def test_a_benchmark_that_fails_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "gpu.py"
    script.write_text("import sys; sys.exit('no card')")
    monkeypatch.setattr(peers, "SCRIPT", script)
    (figure,) = peers.beside_peers()
    assert (figure.state, figure.value) == (FAILED, "it ended with 1: no card")
    monkeypatch.setattr(peers, "SCRIPT", tmp_path / "nowhere.py")
    (figure,) = peers.beside_peers()
    assert figure.state == NOT_RUN
