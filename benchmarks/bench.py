"""Measure the package beside every peer that is installed, in turn in one run: make bench.

Contestants are the package inside fit (as machine code where llvmlite is installed, as NumPy calls, and eagerly) and in
a training step of one's own under td.jit; PyTorch, eager and compiled; JAX's compiled step; Keras on JAX
inside fit; Thinc; and a roofline: the case's floating-point operations at sgemm's speed plus its bytes at a copy's,
which is measured in turn with the others and is an estimate, not a limit, where the arrays fit into caches. Each
contestant has a process of its own. They run round after round in turn, and ratios are taken within each round, since a
machine's speed drifts. On a busy machine libraries that wait for their threads by spinning suffer most: prefer a quiet
one, or --threads 1.

Variables that choose kernels (as those that make a BLAS take another processor's) are taken out of the measured
processes' environment, for they can halve the speed of some contestants and not of others.

  make bench                                                      peers in .venv, all there is to measure: about an hour
  make bench ARGS="--quick --peer-python ~/peers/bin/python"      ten minutes; peers from another environment
  make bench ARGS="--only optimizers,import --threads 1"

The folder --out receives results.json (all values, the machine, the versions, its load) and results.png.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import machine
from peers import CONTESTANTS, Contestant
from report import Measured, print_tables, write_json
from turns import Turns, installed
from work import QUICK, SECTIONS, Case

ROUNDS, QUICK_ROUNDS = 9, 3
TITLES = {section: title for section, (title, _) in SECTIONS.items()}


def natural(text: str) -> int:
    """Read an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive integer")
    return int(text)


def among(known: Any) -> Any:
    """Return what reads an option that lists names of what is known."""

    def chosen(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not there; choose among {', '.join(known)}")
        return names

    return chosen


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options, refusing what no run could use."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help=f"fewer cases, {QUICK_ROUNDS} rounds: an impression, not a result")
    add("--only", type=among(SECTIONS), default=list(SECTIONS), help=f"sections, among {', '.join(SECTIONS)}")
    add("--contestants", type=among(CONTESTANTS), default=list(CONTESTANTS),
        help=f"who takes part, among {', '.join(CONTESTANTS)}")
    add("--rounds", type=natural, help=f"rounds of each case (default {ROUNDS})")
    add("--threads", type=natural, default=machine.processors(),
        help=f"threads, and processors, of each contestant (default all: {machine.processors()})")
    add("--peer-python", action="append", default=[], help="a Python that has peers; may be given several times")
    add("--out", type=Path, default=Path("benchmark-results"), help="the folder for results")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def chosen_cases(options: argparse.Namespace) -> dict[str, list[Case]]:
    """Return the cases of each section that is asked for."""
    return {
        section: [case for case in SECTIONS[section][1] if not options.quick or case.key in QUICK]
        for section in options.only
    }


def measure(options: argparse.Namespace, turns: Turns) -> Measured:
    """Measure all cases, each once even if in two sections; after Ctrl-C return those so far."""
    measured: Measured = {}
    known: dict[Case, Any] = {}
    try:
        for section, cases in chosen_cases(options).items():
            for case in cases:
                if case not in known:
                    print(f"measuring {case.key}", file=sys.stderr, flush=True)
                    known[case] = turns.measure(case)
                measured.setdefault(section, []).extend(known[case])
    except KeyboardInterrupt:
        turns.notes.append("interrupted: what was not finished is missing")
    return measured


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, draw and write; return the exit status."""
    options = parse(arguments)
    pythons = installed(options.peer_python, options.contestants)
    turns = Turns(pythons, options.threads, options.rounds)
    turns.notes += [
        f"{CONTESTANTS[name].title}: not measured ({CONTESTANTS[name].library} is not installed)"
        for name in options.contestants
        if name not in pythons
    ]
    started, load = time.perf_counter(), machine.load()
    measured = measure(options, turns)
    if not turns.about.get("ours", {}).get("native", True):
        turns.notes.append("no native code was made: ours is the same with and without llvmlite")
    facts = {
        "machine": {**machine.describe(), "load_before": load, "load_after": machine.load()},
        "threads": options.threads,
        "rounds": options.rounds,
        "quick": options.quick,
        "seconds": time.perf_counter() - started,
    }
    if measured:
        options.out.mkdir(parents=True, exist_ok=True)
        write_json(measured, turns, facts, options.out / "results.json")
        print_tables(measured, TITLES)
        draw(measured, TITLES, options.out / "results.png")
    for note in turns.notes:
        print(note)
    print(on_what(facts, turns))
    return 0 if measured else 1


def draw(
    measured: Measured, titles: dict[str, str], path: Path, contestants: dict[str, Contestant] = CONTESTANTS
) -> None:
    """Draw a picture where matplotlib is there."""
    try:
        import picture
    except ImportError as problem:
        print(f"no picture was drawn: {problem}")
        return
    picture.draw(measured, titles, path, contestants)
    print(f"see {path}")


def on_what(facts: dict[str, Any], turns: Turns) -> str:
    """Return what a reader of the figures must know of where they come from."""
    on = facts["machine"]
    versions = {key: value for about in turns.about.values() for key, value in about["versions"].items()}
    loads = " and ".join("unknown" if on[key] is None else f"{on[key]:.1f}" for key in ("load_before", "load_after"))
    return (
        f"{on['processor']}, {on['processors']} processors, {facts['threads']} threads each, {on['system']}; load "
        f"before and after {loads}; {facts['rounds']} rounds in {facts['seconds']:.0f} s; "
        + ", ".join(f"{key} {value}" for key, value in sorted(versions.items()))
    )


if __name__ == "__main__":
    sys.exit(main())
