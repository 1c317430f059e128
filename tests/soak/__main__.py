"""Random models and files for as long as one likes: python -m tests.soak --seconds 300 --seed 7.

Prints the seed, and for each failure the command that tries that one case again.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import os
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.soak import cases

ROOT = Path(__file__).parents[2]
# No case takes a tenth of it; on a busy machine some take long.
HANGS_AFTER = 120


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    made = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    made.add_argument("--seconds", type=float, default=60.0, help="how long, 60 by default")
    made.add_argument("--seed", type=int, help="what all cases are drawn by; a new one by default")
    made.add_argument("--only", choices=list(cases.KINDS), action="append", help="one kind of case; may be repeated")
    made.add_argument("--case", type=int, help="one case of that number alone, of the kind that --only names")
    made.add_argument("--from-case", type=int, default=0, help="begin with that number")
    made.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return made


def again(seed: int, kind: str, number: int) -> str:
    """Return the command that tries a case again."""
    return f'make soak ARGS="--seed {seed} --only {kind} --case {number}"'


def one(kind: str, seed: int, number: int) -> str:
    """Try a case; return "passed", "passed over", or "failed", which is then told."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            cases.run(kind, seed, number, Path(folder))
    except cases.PassedOver:
        return "passed over"
    except Exception:
        print(f"\nfailed: {again(seed, kind, number)}\n{traceback.format_exc()}", flush=True)
        return "failed"
    return "passed"


def work(arguments: argparse.Namespace) -> None:
    """Try cases until the time is over, writing each one's name to an open file before it begins, and how it ended."""
    kinds = arguments.only or list(cases.KINDS)
    ends = time.monotonic() + arguments.seconds
    with open(arguments.worker, "a", buffering=1) as notes:
        for number in itertools.count(arguments.from_case) if arguments.case is None else [arguments.case]:
            for kind in kinds:
                if time.monotonic() > ends and arguments.case is None:
                    return
                notes.write(f"{kind} {number}")
                notes.flush()
                faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
                notes.write(f" {one(kind, arguments.seed, number)}\n")
                faulthandler.cancel_dump_traceback_later()


def main(given: list[str] | None = None) -> int:
    """Let another process try cases, and begin again after one in which it died; return how many failed."""
    arguments = parser().parse_args(given)
    if arguments.case is not None and len(arguments.only or ()) != 1:
        parser().error("--case needs one --only KIND")
    arguments.seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    if arguments.worker is not None:
        faulthandler.enable()
        work(arguments)
        return 0
    print(f"seed {arguments.seed}", flush=True)
    started = time.monotonic()
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in arguments.only or cases.KINDS}
    first = arguments.from_case
    while (left := arguments.seconds - (time.monotonic() - started)) > 0:
        code, lines = _let_work(arguments, first, left)
        for kind, number, *ended in lines:
            counted[kind][" ".join(ended) or "failed"] += 1
            if not ended:
                print(f"\nfailed, the process died: {again(arguments.seed, kind, int(number))}", flush=True)
        if not code or arguments.case is not None:
            break
        if not lines:
            print("\nfailed: no case could begin", flush=True)
            return 1
        first = int(lines[-1][1]) + 1
    return _report(counted, time.monotonic() - started)


def _let_work(arguments: argparse.Namespace, first: int, seconds: float) -> tuple[int, list[list[str]]]:
    """Run cases in a process of their own; return its exit status and its notes: a kind, a number, and how it ended."""
    command = [sys.executable, "-m", "tests.soak", "--seed", str(arguments.seed), "--seconds", str(seconds)]
    command += ["--from-case", str(first)]
    for kind in arguments.only or ():
        command += ["--only", kind]
    if arguments.case is not None:
        command += ["--case", str(arguments.case)]
    # One thread: the models are small. No machine code of earlier runs: what is tried is how it is made.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TINYGRAD_DNN_CACHE": "off"}
    with tempfile.TemporaryFile() as notes:
        command += ["--worker", str(notes.fileno())]
        code = subprocess.run(command, cwd=ROOT, env=environment, pass_fds=[notes.fileno()]).returncode
        notes.seek(0)
        return code, [line.split(maxsplit=2) for line in notes.read().decode().splitlines()]


def _report(counted: dict[str, Counter[str]], seconds: float) -> int:
    """Print a table of what was tried; return how many cases failed."""
    print(f"\n{'kind':18}{'passed':>8}{'passed over':>13}{'failed':>8}")
    for kind, counts in counted.items():
        print(f"{kind:18}{counts['passed']:8}{counts['passed over']:13}{counts['failed']:8}")
    total = sum((counts for counts in counted.values()), Counter())
    print(f"{total.total()} cases in {seconds:.0f} s, {total['failed']} failed")
    return min(total["failed"], 100)


if __name__ == "__main__":
    sys.exit(main())
