"""Measure the package on a GPU beside PyTorch and JAX on the same card, in turn in one run: make bench-gpu.

Contestants are the package inside fit (one graph launch a step, a launch a kernel, eagerly), a training step of one's
own under td.jit, and the package on the processor; PyTorch eagerly, under torch.compile(mode="reduce-overhead") and
with the whole step in a CUDA graph; JAX's compiled step. Everybody's data lie on the device, nobody waits for the
device before a round's last step, and products are in float32: TF32 is off. Each contestant has a process of its own,
and all share the card; they run round after round in turn.

Measured are the exercise at batch 32, 256, 1024 and 4096, a wide network, the time of a step's kernels alone (by
PyTorch's profiler, which must be installed beside the package for that), what the processor spends on a launch, the
memory that each library takes of the device, and from which width on the GPU is quicker than the processor.

  make bench-gpu                                                     peers in .venv
  make bench-gpu ARGS="--quick --peer-python ~/peers/bin/python"     peers from another environment
  make bench-gpu ARGS="--device cpu"                                 a rehearsal: small, on the processor, figures void

The folder --out receives gpu.json (all values, the machine, the card, the versions) and gpu.png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import gpu_work
import machine
from bench import ROUNDS, among, draw, natural, on_what
from gpu_work import SECTIONS
from peers import ON_DEVICE
from report import Measured, print_tables, write_json
from turns import Row, Turns, installed
from work import Case

from tinygrad_dnn.backend import probing

QUICK_ROUNDS, REHEARSAL_ROUNDS = 5, 2
TITLES = {**{section: title for section, (title, _) in SECTIONS.items()}, "memory": gpu_work.MEMORY}
TRAINED = ("exercise", "wide")
UNITS = {"launch": ("µs", 1e3)}


class DeviceTurns(Turns):
    """Measures cases, and keeps what memory of the device each contestant took.

    Attributes:
        memory: MiB, by case and contestant.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, ON_DEVICE)
        self.memory: dict[str, dict[str, float]] = {}

    def _keep(self, name: str, case: Case, told: dict[str, Any]) -> None:
        super()._keep(name, case, told)
        if told.get("device_mib") is not None:
            self.memory.setdefault(case.key, {})[name] = told["device_mib"]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options, refusing what no run could use."""
    parser = argparse.ArgumentParser(
        prog="make bench-gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal with small sizes (default cuda)")
    add("--quick", action="store_true", help=f"fewer cases, {QUICK_ROUNDS} rounds: an impression, not a result")
    add("--only", type=among(SECTIONS), default=list(SECTIONS), help=f"sections, among {', '.join(SECTIONS)}")
    add("--contestants", type=among(ON_DEVICE), default=list(ON_DEVICE),
        help=f"who takes part, among {', '.join(ON_DEVICE)}")
    add("--rounds", type=natural, help=f"rounds of each case (default {ROUNDS})")
    add("--peer-python", action="append", default=[], help="a Python that has peers; may be given several times")
    add("--out", type=Path, default=Path("benchmark-results"), help="the folder for results")
    options = parser.parse_args(arguments)
    fewer = QUICK_ROUNDS if options.quick else ROUNDS
    options.rounds = options.rounds or (REHEARSAL_ROUNDS if options.device == "cpu" else fewer)
    return options


def measure(options: argparse.Namespace, turns: DeviceTurns) -> Measured:
    """Measure all cases; after Ctrl-C return those so far."""
    measured: Measured = {}
    try:
        for section, cases in gpu_work.chosen(options.only, options.quick, options.device).items():
            unit, factor = UNITS.get(section, ("ms", 1.0))
            for case in cases:
                print(f"measuring {case.key}", file=sys.stderr, flush=True)
                # A row that nobody has is told of by a note alone.
                rows = [row for row in turns.measure(case) if any(row.median(name) is not None for name in row.values)]
                measured.setdefault(section, []).extend(_in(unit, factor, row) for row in rows)
    except KeyboardInterrupt:
        turns.notes.append("interrupted: what was not finished is missing")
    measured = {section: rows for section, rows in measured.items() if rows}
    trained = [row.title for section in TRAINED for row in measured.get(section, [])]
    memory = [Row(key, "MiB", _single(turns.memory[key])) for key in trained if key in turns.memory]
    return {**measured, "memory": memory} if memory else measured


def _single(values: dict[str, float]) -> dict[str, list[float | None]]:
    return {name: [value] for name, value in values.items()}


def _in(unit: str, factor: float, row: Row) -> Row:
    scaled = {name: [None if v is None else v * factor for v in values] for name, values in row.values.items()}
    return Row(row.title, unit, scaled)


class Target(NamedTuple):
    """What is aimed at on a card of the H100's class.

    Attributes:
        what: Which figure.
        value: It.
        bound: It is to be no larger.
    """

    what: str
    value: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.value <= self.bound


def targets(measured: Measured) -> list[Target]:
    """Return the figures that there are targets for, of those that were measured."""
    found = []
    steps = {row.title: row for row in measured.get("exercise", [])}
    for key in ("elu, batch 32", "elu, batch 1024"):
        if key not in steps:
            continue
        best = min(("torch_compile", "jax"), key=lambda name: steps[key].median(name) or float("inf"))
        for name, bound in ((best, 1.0), ("torch", 0.15)):
            if ratios := steps[key].ratios(name):
                what = f"{key}: ours, times {ON_DEVICE[name].title}"
                found.append(Target(what, statistics.median(ratios), bound))
    for row in measured.get("kernels", []):
        whole = steps.get(row.title.removesuffix(": kernels"))
        if whole and (own := row.median("ours_step")) and (step := whole.median("ours_step")):
            found.append(Target(f"{whole.title}: ours by graph, times its kernels' own times", step / own, 1.2))
    for row in measured.get("memory", []):
        if ratios := row.ratios("torch"):
            found.append(Target(f"{row.title}: memory of ours, times PyTorch's", ratios[0], 1.0))
    return found


def conclusions(measured: Measured) -> list[str]:
    """Return what follows from several rows: steps beside their kernels, and where the GPU begins to pay."""
    said = []
    steps = {row.title: row for section in TRAINED for row in measured.get(section, [])}
    for row in measured.get("kernels", []):
        whole = steps.get(row.title.removesuffix(": kernels"))
        for name in row.values if whole else ():
            step, own = whole.median(name), row.median(name)
            if step is not None and own:
                said.append(f"{ON_DEVICE[name].title}, {whole.title}: {step / own:.2f} x its kernels' own times")
    widths = measured.get("crossover", [])
    quicker = [statistics.median(ratios) < 1 for row in widths if (ratios := row.ratios("ours_cpu"))]
    if quicker and len(quicker) == len(widths):
        # The first width from which on the GPU stays quicker.
        first = next((place for place in range(len(quicker)) if all(quicker[place:])), None)
        said.append(
            "at no width that was tried the GPU is quicker than the processor"
            if first is None
            else f"the GPU is quicker than the processor from {widths[first].title} on"
        )
    return said


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, draw and write; return the exit status: 2 where there is no GPU."""
    options = parse(arguments)
    found = probing.probe()
    if options.device == "cuda" and found.problem is not None:
        print(f"nothing was measured: {found.problem.reason} What helps: {found.problem.help}", file=sys.stderr)
        return 2
    pythons = installed(options.peer_python, options.contestants, ON_DEVICE)
    turns = DeviceTurns(pythons, machine.processors(), options.rounds)
    turns.notes += [
        f"{ON_DEVICE[name].title}: not measured ({ON_DEVICE[name].library} is not installed)"
        for name in options.contestants
        if name not in pythons
    ]
    if options.device == "cpu":
        turns.notes.insert(0, "a rehearsal on the processor, with small sizes: its figures mean nothing")
    started, load = time.perf_counter(), machine.load()
    measured = measure(options, turns)
    turns.notes += conclusions(measured)
    facts = {
        "machine": {**machine.describe(), "load_before": load, "load_after": machine.load(), "gpu": found.report},
        "device": options.device,
        "threads": turns.threads,
        "rounds": options.rounds,
        "quick": options.quick,
        "seconds": time.perf_counter() - started,
        "targets": [{**target._asdict(), "passed": target.passed} for target in targets(measured)],
    }
    if measured:
        options.out.mkdir(parents=True, exist_ok=True)
        write_json(measured, turns, facts, options.out / "gpu.json")
        print_tables(measured, TITLES, ON_DEVICE)
        draw(measured, TITLES, options.out / "gpu.png", ON_DEVICE)
    for target in targets(measured):
        verdict = "void" if options.device == "cpu" else "met" if target.passed else "not met"
        print(f"{target.what}: {target.value:.2f} (target {target.bound}: {verdict})")
    for note in turns.notes:
        print(note)
    print(on_what(facts, turns))
    print(f"{found.driver.devices[0]}, driver {found.driver}" if found.driver.devices else f"driver {found.driver}")
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main())
