"""Measuring on a GPU: its work, its options, what follows from the figures, and a rehearsal on the processor."""

from __future__ import annotations

import ast
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tinygrad_dnn as td
from tests.jit.cuda.device import emulated
from tests.jit.cuda.emulator import COMPILER, REASON
from tinygrad_dnn.backend import probing
from tinygrad_dnn.backend.findings import Cupy, Device, Driver, Findings, Wheel

Load = Callable[[str], ModuleType]
PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
WAYS = ("graph", "replay", "eager", "step", "cpu")
KINDS = ("train", "launch", "kernels", "crossover")


@pytest.fixture(autouse=True)
def _same_backend_afterwards() -> Any:
    with td.backend.use(td.backend.current().name):
        yield


# -- The work ----------------------------------------------------------------------------------------------------------


def test_the_exercise_is_measured_whole_and_keys_name_one_case(load: Load) -> None:
    work = load("gpu_work")
    cases = work.SECTIONS["exercise"][1]
    assert {(case.variant, case.batch) for case in cases} == set(
        itertools.product(("elu", "bn", "selu", "alpha"), (32, 256, 1024, 4096))
    )
    assert {case.sizes for case in cases} == {(3072, *[100] * 20, 10)}
    assert all(case.steps * case.epochs >= 4 * 64 for case in cases if case.batch <= 256)
    every = [case.key for _, section in work.SECTIONS.values() for case in section]
    assert len(set(every)) == len(every)
    assert work.QUICK.issubset(every)
    (wide,) = work.SECTIONS["wide"][1]
    assert wide.sizes == (3072, 4096, 4096, 4096, 4096, 10)
    trained = {case.key: case for section in ("exercise", "wide") for case in work.SECTIONS[section][1]}
    for case in work.SECTIONS["kernels"][1]:
        whole = trained[case.key.removesuffix(": kernels")]
        assert (case.sizes, case.batch, case.variant) == (whole.sizes, whole.batch, whole.variant)
    for case in work.SECTIONS["crossover"][1]:
        assert case.sizes == (*[int(case.key.split()[-1])] * 5, 10)


def test_a_rehearsal_is_small_and_knows_every_kind_of_work(load: Load) -> None:
    work = load("gpu_work")
    whole = work.chosen(list(work.SECTIONS), quick=False, device="cuda")
    small = work.chosen(list(work.SECTIONS), quick=False, device="cpu")
    assert {case.device for section in whole.values() for case in section} == {"cuda"}
    for section, cases in whole.items():
        for case, rehearsed in zip(cases, small[section], strict=True):
            assert (rehearsed.key, rehearsed.kind, rehearsed.variant) == (case.key, case.kind, case.variant)
            assert rehearsed.device == "cpu"
            assert rehearsed.parameters < 5000
            assert rehearsed.steps * rehearsed.epochs * rehearsed.batch <= 64
            assert rehearsed.sizes[-1:] in ((), (10,))


def test_each_contestant_has_its_module(load: Load) -> None:
    contestants = load("peers").ON_DEVICE
    assert set(load("peers").CONTESTANTS) >= {"ours", "torch", "jax"}
    assert "ours" in contestants  # whom ratios are taken to
    assert set(contestants) <= set(load("picture").COLOURS)
    for contestant in contestants.values():
        tree = ast.parse((PEERS / f"{contestant.module}.py").read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
        assigned = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        assert set(KINDS) <= defined | assigned, contestant.module


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", ["train", "launch", "crossover"])
def test_ours_does_the_work_that_it_is_to_do(load: Load, how: str, kind: str) -> None:
    work, ours = load("work"), load("peers.ours_on_device")
    case = work.Case("", kind, (6, 5, 10), 4, 3, "step" if kind == "launch" else "elu", epochs=2, device="cpu")
    run = getattr(ours, kind)(case, how)
    known = {"train": WAYS[:4], "launch": ("step",), "crossover": ("graph", "cpu")}[kind]
    assert (run is not None) == (how in known)
    if run is not None:
        told = [run() for _ in range(2)]
        assert all(each > 0 for each in told) if kind == "launch" else told == [None, None]


@pytest.mark.parametrize("operation", ["exp", "sum", "product"])
def test_ours_launches_single_operations(load: Load, operation: str) -> None:
    work, ours = load("work"), load("peers.ours_on_device")
    case = work.Case("", "launch", steps=3, variant=operation, device="cpu")
    assert ours.launch(case, "eager")() > 0
    assert ours.launch(case, "graph") is None


@pytest.mark.parametrize("name", ["torch_on_device", "jax_on_device"])
def test_peers_do_the_work(load: Load, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(name.partition("_")[0], reason="only where PyTorch and JAX are installed")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    work, peer = load("work"), load(f"peers.{name}")
    for variant in ("elu", "bn", "selu", "alpha"):
        case = work.Case("", "train", (6, 5, 10), 4, 3, variant, epochs=2, device="cpu")
        assert peer.train(case, "eager")() is None
    for operation in ("exp", "sum", "product", "step"):
        case = work.Case("", "launch", (6, 5, 10), 4, 3, variant=operation, device="cpu")
        assert peer.launch(case, "eager")() > 0
    assert peer.crossover(case, "eager") is None
    if name == "torch_on_device":
        assert peer.kernels(case._replace(variant="elu"), "eager")() > 0
        assert peer.train(case._replace(variant="elu"), "graph") is None


# -- What follows from the figures -------------------------------------------------------------------------------------


def rows(turns: ModuleType) -> dict[str, list[Any]]:
    def row(title: str, **values: float) -> Any:
        return turns.Row(title, "ms", {name: [value, value] for name, value in values.items()})

    return {
        "exercise": [
            row("elu, batch 32", ours=0.1, ours_step=0.09, torch=1.0, torch_compile=0.08, jax=0.2),
            row("elu, batch 1024", ours=0.1, torch=0.5),
        ],
        "kernels": [row("elu, batch 32: kernels", ours_step=0.06, torch=0.3)],
        "memory": [row("elu, batch 32", ours=50.0, torch=100.0)],
        "crossover": [row("width 32", ours=2.0, ours_cpu=1.0), row("width 64", ours=2.0, ours_cpu=2.5)],
    }


def test_targets_are_of_the_best_peer(load: Load, turns: ModuleType) -> None:
    found = load("gpu").targets(rows(turns))
    assert [(each.what, round(each.value, 3), each.bound, each.passed) for each in found] == [
        ("elu, batch 32: ours, times torch.compile", 1.25, 1.0, False),
        ("elu, batch 32: ours, times PyTorch eager", 0.1, 0.15, True),
        ("elu, batch 1024: ours, times PyTorch eager", 0.2, 0.15, False),
        ("elu, batch 32: ours by graph, times its kernels' own times", 1.5, 1.2, False),
        ("elu, batch 32: memory of ours, times PyTorch's", 0.5, 1.0, True),
    ]
    assert load("gpu").targets({}) == []


def test_conclusions(load: Load, turns: ModuleType) -> None:
    measured = rows(turns)
    gpu = load("gpu")
    assert gpu.conclusions(measured) == [
        "ours, step, graph, elu, batch 32: 1.50 x its kernels' own times",
        "PyTorch eager, elu, batch 32: 3.33 x its kernels' own times",
        "the GPU is quicker than the processor from width 64 on",
    ]
    measured["crossover"].reverse()  # quicker where it is narrow, slower where it is wide: no width to name
    assert gpu.conclusions(measured)[-1] == "at no width that was tried the GPU is quicker than the processor"
    del measured["crossover"][0].values["ours_cpu"]
    assert len(gpu.conclusions(measured)) == 2


# -- The command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--only", "exercize"], ["--contestants", "thinc"], ["--rounds", "0"], ["--device", "tpu"]]
)
def test_what_no_run_could_use_is_refused(load: Load, arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("gpu").parse(arguments)
    assert arguments[1] in capsys.readouterr().err


def test_without_a_gpu_it_says_why_and_measures_nothing(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(probing, "probe", lambda: Findings((), Driver(reason="no libcuda"), None, None))
    assert load("gpu").main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("nothing was measured: This machine has neither an NVIDIA driver (no libcuda) nor CuPy.")
    assert not list(tmp_path.iterdir())


def test_a_run_leaves_tables_a_picture_and_json(
    load: Load, turns: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    gpu = load("gpu")
    turns.WORKER.write_text(turns.WORKER.read_text().replace('"peak_mib"', '"device_mib": 7.5, "peak_mib"'))
    monkeypatch.setattr(gpu, "installed", lambda pythons, names, known: dict.fromkeys(names[:-1], turns.sys.executable))
    out = tmp_path / "results"
    arguments = ["--device", "cpu", "--quick", "--only", "exercise,launch,crossover", "--rounds", "2"]
    assert gpu.main([*arguments, "--contestants", "ours,ours_cpu,torch,jax", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for text in (
        "a rehearsal on the processor", "jax.jit step: not measured (jax is not installed)", "elu, batch 32 (ms)",
        "exp, 1,000 numbers", "(µs)", "6000", "Peak memory of the device", "7.50", "(target 0.15: void)",
        "at no width that was tried",
    ):  # fmt: skip
        assert text in printed, text
    assert (out / "gpu.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "gpu.json").read_text())
    assert (found["device"], found["rounds"], found["quick"]) == ("cpu", 2, True)
    assert found["machine"]["gpu"]["usable"]
    assert found["targets"][0]["what"] == "elu, batch 32: ours, times PyTorch eager"
    assert found["results"]["launch"][0]["unit"] == "µs"
    assert found["results"]["launch"][0]["medians"] == {"ours": 3000.0, "ours_cpu": 1500.0, "torch": 6000.0}
    assert found["results"]["memory"][0]["medians"] == {"ours": 7.5, "ours_cpu": 7.5, "torch": 7.5}


def test_what_nobody_does_leaves_the_rest_drawn(
    load: Load, turns: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    gpu = load("gpu")
    refuses = 'import sys\nif "kernels" in sys.argv[2]: sys.exit("no torch")\n'
    turns.WORKER.write_text(refuses + turns.WORKER.read_text())
    arguments = ["--device", "cpu", "--quick", "--only", "kernels,wide", "--contestants", "ours", "--rounds", "1"]
    assert gpu.main([*arguments, "--out", str(tmp_path)]) == 0
    assert "ours, fit, graph, elu, batch 32: kernels: not measured (no torch)" in capsys.readouterr().out
    assert list(json.loads((tmp_path / "gpu.json").read_text())["results"]) == ["wide"]
    assert (tmp_path / "gpu.png").exists()


def test_on_a_card_targets_are_met_or_not(
    load: Load, turns: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    gpu = load("gpu")
    card = Device("NVIDIA H100", (9, 0), 80 * 2**30)
    there = Findings((Wheel("cupy-cuda12x", "14.2.0"),), Driver(12080, "570.86", devices=(card,)), Cupy("14.2.0"), None)
    monkeypatch.setattr(probing, "probe", lambda: there)
    monkeypatch.setattr(gpu, "installed", lambda pythons, names, known: dict.fromkeys(names, turns.sys.executable))
    arguments = ["--quick", "--only", "exercise", "--rounds", "1", "--contestants", "ours,torch,torch_compile"]
    assert gpu.main([*arguments, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    # It takes 2 ms, PyTorch 4, what is compiled of it 1.
    assert "elu, batch 32: ours, times torch.compile: 2.00 (target 1.0: not met)" in printed
    assert "elu, batch 1024: ours, times PyTorch eager: 0.50 (target 0.15: not met)" in printed
    assert "NVIDIA H100, compute capability 9.0, 80.0 GiB, driver 570.86, up to CUDA 12.8" in printed
    assert "rehearsal" not in printed
    assert json.loads((tmp_path / "gpu.json").read_text())["device"] == "cuda"


def test_a_rehearsal_really_runs_in_processes_of_its_own(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--device", "cpu", "--quick", "--only", "wide,launch", "--rounds", "1", "--out", str(tmp_path)]
    assert load("gpu").main([*arguments, "--contestants", "ours,ours_eager,ours_step"]) == 0
    results = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert all(value > 0 for row in (*results["wide"], *results["launch"]) for value in row["medians"].values())
    assert [len(row["medians"]) for row in (*results["wide"], *results["launch"])] == [3, 1, 1, 1, 1]
    assert "not measured" not in capsys.readouterr().out


def test_help_tells_what_is_measured(load: Load, capsys: pytest.CaptureFixture) -> None:
    gpu = load("gpu")
    with pytest.raises(SystemExit, match="0"):
        gpu.main(["--help"])
    told = capsys.readouterr().out
    assert "TF32 is off" in told
    assert all(section in told for section in gpu.SECTIONS)


@pytest.mark.skipif(COMPILER is None, reason=REASON)
@pytest.mark.parametrize("how", WAYS[:4])
def test_ours_on_a_device_goes_the_way_that_is_asked_for(load: Load, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work, ours = load("work"), load("peers.ours_on_device")
    monkeypatch.setitem(ours.BACKENDS, "cuda", "strict")
    case = work.Case("", "train", (6, 5, 10), 4, 5, epochs=2, device="cuda")
    with emulated() as device, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = ours.train(case, how)
        for _ in range(2):
            run()
        device.done.clear()
        run()
        done = dict(device.done)
        assert ours.device_mib() is not None
        assert (ours.launch(case._replace(variant="step"), "step")() > 0) if how == "step" else True
    graphs, launches = done.get("graph", 0), done.get("launch", 0)
    assert (graphs >= case.steps * case.epochs) == (how in ("graph", "step"))
    assert (launches >= case.steps * case.epochs) == (how == "replay")
    assert (not graphs and not launches) == (how == "eager")
    said = [str(each.message) for each in caught if "td.jit" in str(each.message)]
    assert len(said) == (how == "replay")
    assert all("this contestant goes without graphs" in text for text in said)
