"""Taking turns: each contestant works in a process of its own, round after round, and ratios are of the same round.

A machine's speed drifts, and all contestants then see the same drifts.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from peers import CONTESTANTS, Contestant
from work import Case

WORKER = Path(__file__).with_name("worker.py")
LIMIT = 600.0  # seconds for one answer; compiling a deep network takes long
# Variables that make a BLAS or a compiler use other kernels than this processor's best.
CHOOSES_KERNELS = (
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA",
)  # fmt: skip
COUNTS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Row(NamedTuple):
    """What was measured of one thing: a value a round and contestant, less being better.

    Attributes:
        title: What it is.
        unit: Of the values.
        values: By contestant; None where it failed in that round.
    """

    title: str
    unit: str
    values: dict[str, list[float | None]]

    def median(self, contestant: str) -> float | None:
        """Return the median of a contestant's rounds, None if it has none."""
        found = [value for value in self.values.get(contestant, []) if value is not None]
        return statistics.median(found) if found else None

    def ratios(self, contestant: str, to: str = "ours") -> list[float]:
        """Return, round by round, how many times another contestant's value ``to`` has."""
        pairs = zip(self.values.get(to, []), self.values.get(contestant, []), strict=False)
        return [a / b for a, b in pairs if a is not None and b]


class WorkerError(Exception):
    """A contestant did not answer; the message says why."""


def environment(threads: int, **more: str) -> dict[str, str]:
    """Return the variables for measured processes: so many threads, and each library's own choice of kernels."""
    kept = {key: value for key, value in os.environ.items() if key not in CHOOSES_KERNELS}
    return {**kept, **dict.fromkeys(COUNTS_THREADS, str(threads)), **more}


class Worker:
    """A process that does a contestant's work on a case."""

    def __init__(self, python: str, contestant: str, case: Case, threads: int, **variables: str) -> None:
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, str(WORKER), contestant, json.dumps(case._asdict()), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment(threads, **variables),
        )

    def ask(self) -> float:
        """Let it run a round, and return the milliseconds of a step."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return float(self.answer())

    def answer(self) -> Any:
        """Return its next answer.

        Raises:
            WorkerError: It ended, or took too long.
        """
        assert self._process.stdout is not None
        watchdog = threading.Timer(LIMIT, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        late = not watchdog.is_alive()
        watchdog.cancel()
        if line:
            return json.loads(line)
        if late:
            raise WorkerError(f"no answer for {LIMIT:.0f} s")
        self._process.wait()
        self._said.seek(0)
        said = self._said.read().strip().splitlines()
        raise WorkerError(said[-1] if said else f"it ended with status {self._process.returncode}")

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._process.wait()


class Turns:
    """Measures cases.

    Args:
        pythons: The interpreter of each contestant that is installed.
        threads: For each contestant.
        rounds: How many.
        contestants: Who they are.

    Attributes:
        about: What each contestant said of its versions.
        notes: Who was not measured on what, and why.
    """

    def __init__(
        self, pythons: dict[str, str], threads: int, rounds: int, contestants: dict[str, Contestant] = CONTESTANTS
    ) -> None:
        self.contestants = contestants
        self.pythons = pythons
        self.threads = threads
        self.rounds = rounds
        self.about: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []

    def measure(self, case: Case) -> list[Row]:
        """Measure a case; return a row for each thing that it tells."""
        if case.kind == "import":
            return [self._imports(case)]
        return self._starts(case) if case.kind == "start" else [self._steps(case)]

    def _steps(self, case: Case) -> Row:
        """Let all contestants set up the case, and then run its rounds in turn."""
        values: dict[str, list[float | None]] = {}
        with contextlib.ExitStack() as stack:
            workers: dict[str, Worker] = {}
            for name, python in self._taking_part(case):
                worker = Worker(python, name, case, self.threads)
                stack.callback(worker.end)
                # One at a time: several that warm up at once would mislead those that tune themselves by the clock.
                with self._noting(name, case):
                    told = worker.answer()
                    if "absent" not in told:
                        self._keep(name, case, told)
                        workers[name] = worker
            for number in range(self.rounds):
                order = list(workers)
                for name in order[number % len(order) :] + order[: number % len(order)] if order else ():
                    found: float | None = None
                    with self._noting(name, case):
                        found = workers[name].ask()
                    if found is None:
                        del workers[name]
                    values.setdefault(name, [None] * number).append(found)
        return Row(case.key, "ms", values)

    def _starts(self, case: Case) -> list[Row]:
        """Start processes in turn: at first with empty caches on disk, then with what that left there."""
        first: dict[str, list[float | None]] = {}
        again: dict[str, list[float | None]] = {}
        memory: dict[str, list[float | None]] = {}
        with contextlib.ExitStack() as stack:
            caches = {name: stack.enter_context(tempfile.TemporaryDirectory()) for name in self.pythons}
            for number in range(1 + self.rounds):
                for name, python in self._taking_part(case):
                    if number and name not in first:
                        continue
                    folder = caches[name]
                    started = time.perf_counter()
                    worker = Worker(
                        python, name, case, self.threads, XDG_CACHE_HOME=folder, TORCHINDUCTOR_CACHE_DIR=folder
                    )
                    stack.callback(worker.end)
                    told = None
                    with self._noting(name, case):
                        told = worker.answer()
                    if told is None and number:
                        again.setdefault(name, []).append(None)
                    elif told is not None and "absent" not in told:
                        self._keep(name, case, told)
                        (again if number else first).setdefault(name, []).append(time.perf_counter() - started)
                        memory.setdefault(name, []).append(told["peak_mib"])
                    worker.end()
        return [
            Row("first start, caches on disk empty", "s", first),
            Row("later starts", "s", again),
            Row("peak memory", "MiB", memory),
        ]

    def _imports(self, case: Case) -> Row:
        """Time the imports of the libraries, for each by its first contestant."""
        libraries: dict[str, str] = {}
        for name in self.pythons:
            libraries.setdefault(self.contestants[name].library, name)
        values: dict[str, list[float | None]] = {name: [] for name in libraries.values()}
        for _ in range(self.rounds + 1):
            for library, name in libraries.items():
                started = time.perf_counter()
                subprocess.run(
                    [self.pythons[name], "-c", f"import {library}"],
                    env=environment(self.threads, KERAS_BACKEND="jax"), check=True, capture_output=True,
                )  # fmt: skip
                values[name].append((time.perf_counter() - started) * 1e3)
        # The first of each reads from the disk what later ones find in memory.
        return Row(case.key, "ms", {name: found[1:] for name, found in values.items()})

    def _taking_part(self, case: Case) -> Iterator[tuple[str, str]]:
        """Yield contestants with their interpreters; each is asked for when those before it have been heard."""
        for name, python in self.pythons.items():
            if name == "ours_numpy" and not self.about.get("ours", {}).get("native", True):
                continue  # it is what ours did anyway
            if case.kind in ("machine", "start") and (name == "roofline") != (case.kind == "machine"):
                continue
            yield name, python

    def _keep(self, name: str, case: Case, told: dict[str, Any]) -> None:
        """Keep what a contestant said of itself, and what ours warned of: that a step could not be compiled."""
        self.about[name] = {key: told[key] for key in ("versions", "native", "blas") if key in told}
        if self.contestants[name].is_ours:
            found = (f"{self.contestants[name].title}, {case.key}: {text}" for text in told["warnings"])
            self.notes += [note for note in dict.fromkeys(found) if note not in self.notes]

    @contextlib.contextmanager
    def _noting(self, name: str, case: Case) -> Iterator[None]:
        try:
            yield
        except WorkerError as problem:
            self.notes.append(f"{self.contestants[name].title}, {case.key}: not measured ({problem})")


def installed(
    pythons: list[str], names: list[str], contestants: dict[str, Contestant] = CONTESTANTS
) -> dict[str, str]:
    """Return the interpreter for each contestant: the first that has its library; ours are this interpreter's.

    Args:
        pythons: Interpreters to look in.
        names: Contestants.
        contestants: Who they are.
    """
    wanted = sorted({contestants[name].library for name in names})
    code = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    having: dict[str, str] = {}
    for python in [sys.executable, *pythons]:
        run = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=True)
        for library in run.stdout.split():
            having.setdefault(library, python)
    return {name: having[contestants[name].library] for name in names if contestants[name].library in having}
