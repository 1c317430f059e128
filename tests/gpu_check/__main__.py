"""What only an NVIDIA GPU can show: make gpu-check runs the tests that need one, and eight probes, and prints a table.

The tests are those marked gpu; with --whole-suite also all others, on CuPy's arrays. The eighth probe measures beside
PyTorch and JAX, which it finds in the interpreters that --peer-python names; it takes some ten minutes.

Status 0: all passed, or there is no GPU here, which is then said in one sentence and nothing is done. Status 1:
something failed, or there is a GPU that cannot be used. Probes that could not be run, and figures without a bound,
fail nothing and are told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.gpu_check.card import GPU
from tests.gpu_check.figures import FAILED, Figure, collected
from tests.gpu_check.peers import beside_peers
from tests.gpu_check.probes import PROBES
from tinygrad_dnn.backend import probing

ROOT = Path(__file__).parents[2]
OUT = Path("benchmark-results/gpu-check.json")
TESTS, BESIDE = "tests", "8"
TITLES = {TESTS: "tests", **{number: title for number, (title, _) in PROBES.items()}, BESIDE: "beside PyTorch and JAX"}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the options."""

    def chosen(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in TITLES:
                raise argparse.ArgumentTypeError(f"{name!r} is not there; choose among {', '.join(TITLES)}")
        return names

    parser = argparse.ArgumentParser(
        prog="make gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", type=chosen, default=list(TITLES), help=f"parts, among {', '.join(TITLES)} (default all)")
    add("--whole-suite", action="store_true", help="run all tests on CuPy's arrays too, not only those marked gpu")
    add("--peer-python", action="append", default=[], help="a Python that has PyTorch or JAX; several times if need be")
    add("--out", type=Path, default=OUT, help=f"the file for all figures (default {OUT})")
    add("--extra", action="store_true", help="print the extra that the driver needs and that is missing, and end")
    return parser.parse_args(arguments)


def run_tests(*options: str, **environment: str) -> list[Figure]:
    """Run tests in a process of their own; return how many passed, failed and were skipped, and which failed."""
    kept = {key: value for key, value in os.environ.items() if key != "TINYGRAD_DNN_BACKEND"}
    what = "all tests on CuPy's arrays" if environment else "tests marked gpu"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "tests.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={written}", *options],
            cwd=ROOT, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        if not written.exists():
            said = done.stdout.strip().splitlines() or ["nothing"]
            return [Figure(what, f"pytest ended with {done.returncode}: {said[-1]}", equal="passed")]
        cases = list(ElementTree.parse(written).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    passed = len(cases) - len(failed) - len(skipped)
    return [
        Figure(f"{what}: passed", passed, least=1),
        Figure(f"{what}: failed", len(failed), most=0),
        *(Figure(f"failed: {_name(case)}", _reason(case), equal="passed") for case in failed),
        *(Figure(f"skipped: {_name(case)}", skipped=_reason(case)) for case in skipped if not environment),
    ]


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').removeprefix('tests.')}.{case.get('name')}"


def _reason(case: ElementTree.Element) -> str:
    """Return what a test's failure, error or skip says, in one line."""
    found = next((part for kind in ("failure", "error", "skipped") if (part := case.find(kind)) is not None), None)
    return " ".join((found.get("message") or "").split()) if found is not None else ""


def check(options: argparse.Namespace) -> dict[str, list[Figure]]:
    """Run all parts that are asked for; after Ctrl-C return those so far."""
    found: dict[str, list[Figure]] = {}
    try:
        for part in options.only:
            print(f"checking {TITLES[part]}", file=sys.stderr, flush=True)
            if part == TESTS:
                found[part] = run_tests("-m", "gpu")
                if options.whole_suite:
                    found[part] += run_tests("-m", "not heavy", TINYGRAD_DNN_BACKEND="cupy")
            elif part == BESIDE:
                found[part] = collected(beside_peers, options.peer_python)
            else:
                found[part] = collected(PROBES[part][1], GPU)
    except KeyboardInterrupt:
        found.setdefault(TESTS, []).append(Figure("it was interrupted", "yes", equal="no"))
    return found


def show(found: dict[str, list[Figure]]) -> None:
    """Print a table: probe, figure, value, bound, and what became of it."""
    console = Console() if Console().is_terminal else Console(width=150)
    table = Table(title="What this GPU shows", title_justify="left")
    for heading in ("probe", "figure", "value", "bound", ""):
        table.add_column(heading, overflow="fold")
    for part, figures in found.items():
        for place, figure in enumerate(figures):
            title = "" if place else (TITLES[part] if part == TESTS else f"{part} {TITLES[part]}")
            table.add_row(*map(Text, (title, figure.what, figure.shown, figure.bound, figure.state)))
        table.add_section()
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print and write; return the exit status."""
    options = parse(arguments)
    probed = probing.probe()
    if options.extra:
        print(probed.missing_extra)
        return 0
    if probed.problem is not None:
        print(f"gpu-check: nothing was checked: {probed.problem.reason} What helps: {probed.problem.help}")
        return 1 if probed.driver.devices else 0
    print(f"gpu-check on {probed.driver.devices[0]}; driver {probed.driver}; {probed.wheels[0]}", flush=True)
    started = time.perf_counter()
    found = check(options)
    show(found)
    failed = [figure for figures in found.values() for figure in figures if figure.state == FAILED]
    about = {"machine": platform.platform(), "python": platform.python_version(), "gpu": probed.report}
    parts = {key: {"title": TITLES[key], "figures": [f.as_dict() for f in each]} for key, each in found.items()}
    content = {"passed": not failed, "seconds": time.perf_counter() - started, **about, "parts": parts}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{len(failed)} failed; all figures are in {options.out}" if failed else f"all passed; see {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
