"""Two threads: each stage of a program in two halves, which a helper takes if it comes in time.

What is done, and in which halves, is fixed when a program is lowered. A half is claimed by whoever comes first, the
thread that runs the program or the helper, and its results do not depend on who that was. So nothing waits for a helper
that the machine has no time for, and runs repeat bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import statistics
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A stage of less than so many nanoseconds is not worth telling the helper of.
_WORTH = 1500.0

# Of two equally large records each thread takes one; a record of more than this part of a stage is split.
_SPLIT = 0.6

# So often does the helper look for work, for about half a millisecond, before it goes to sleep.
_PATIENCE = 20_000

# Whether help pays is tried out: so many runs with the helper, as many without, and what was faster is kept for a
# period of runs, whose length doubles each time that doing without was faster. A single run that waited for the helper
# as long as the helper's own patience ends the help for that period at once.
_TRIALS = 8
_PERIOD = 400
_LONGEST_PERIOD = 12_800
_LATE = 2**20

# Waiting: a pause, and after some of them the core is given to whoever wants it; then the block "wait" looks again.
_SPIN = """spin:
  <pause>
  %spins1 = add i64 %spins, 1
  %long = icmp sgt i64 %spins1, <patience>
  br i1 %long, label %give, label %again
give:
  %can = icmp ne ptr %yield, null
  br i1 %can, label %yielding, label %again
yielding:
  %unused = call i32 %yield()
  br label %again
again:
  br label %wait"""

# progress holds the number of the run and of its stage, and is set when a stage may begin; the words of a stage's claim
# and end hold the number of the last run in which it was claimed and done.
RUNTIME = """
define i64 @run_stages(ptr %job, i64 %run, ptr %news, i64 %alone) {
entry:
  %table = load ptr, ptr %job
  %j1 = getelementptr i64, ptr %job, i64 1
  %shared = load ptr, ptr %j1
  %j2 = getelementptr i64, ptr %job, i64 2
  %stages = load ptr, ptr %j2
  %j3 = getelementptr i64, ptr %job, i64 3
  %count = load i64, ptr %j3
  %n4 = getelementptr i64, ptr %news, i64 4
  %yield = load ptr, ptr %n4
  %before = sub i64 %run, 1
  %high = shl i64 %run, 20
  store atomic i64 %high, ptr %shared release, align 8
  %solo = icmp ne i64 %alone, 0
  br i1 %solo, label %stage, label %publish
publish:
  %n1 = getelementptr i64, ptr %news, i64 1
  %n2 = getelementptr i64, ptr %news, i64 2
  store atomic ptr %job, ptr %n1 monotonic, align 8
  store atomic i64 %run, ptr %n2 monotonic, align 8
  %number = load atomic i64, ptr %news monotonic, align 8
  %next.number = add i64 %number, 1
  store atomic i64 %next.number, ptr %news seq_cst, align 8
  %n5 = getelementptr i64, ptr %news, i64 5
  %awake = cmpxchg ptr %n5, i64 1, i64 0 seq_cst seq_cst, align 8
  %slept = extractvalue { i64, i1 } %awake, 1
  br i1 %slept, label %ring, label %stage
ring:
  %n6 = getelementptr i64, ptr %news, i64 6
  %post = load ptr, ptr %n6
  %bell = getelementptr i64, ptr %news, i64 8
  %rung = call i32 %post(ptr %bell)
  br label %stage
stage:
  %k = phi i64 [ 0, %entry ], [ 0, %publish ], [ 0, %ring ], [ %k1, %over ]
  %late = phi i64 [ 0, %entry ], [ 0, %publish ], [ 0, %ring ], [ %late1, %over ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %begin, label %end
begin:
  %row = mul i64 %k, 4
  %r0 = getelementptr i64, ptr %stages, i64 %row
  %r1 = getelementptr i64, ptr %r0, i64 1
  %r2 = getelementptr i64, ptr %r0, i64 2
  %r3 = getelementptr i64, ptr %r0, i64 3
  %own = load ptr, ptr %r0
  %own.count = load i64, ptr %r1
  %other = load ptr, ptr %r2
  %other.count = load i64, ptr %r3
  %progress = or i64 %high, %k
  store atomic i64 %progress, ptr %shared release, align 8
  call void @run_list(ptr %table, ptr %own, i64 %own.count)
  %shares = icmp ne i64 %other.count, 0
  br i1 %shares, label %claim, label %over
claim:
  %k8 = mul i64 %k, 8
  %place = add i64 %k8, 8
  %claimed = getelementptr i64, ptr %shared, i64 %place
  %done = getelementptr i64, ptr %claimed, i64 1
  %pair = cmpxchg ptr %claimed, i64 %before, i64 %run acq_rel acquire, align 8
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %both, label %wait
both:
  call void @run_list(ptr %table, ptr %other, i64 %other.count)
  br label %over
wait:
  %spins = phi i64 [ 0, %claim ], [ %spins1, %again ]
  %state = load atomic i64, ptr %done acquire, align 8
  %ready = icmp eq i64 %state, %run
  br i1 %ready, label %came, label %spin
<spin>
came:
  %was = icmp sgt i64 %spins, <patience>
  %was1 = select i1 %was, i64 <much>, i64 0
  br label %over
over:
  %add = phi i64 [ 0, %begin ], [ 1, %both ], [ %was1, %came ]
  %late1 = add i64 %late, %add
  %k1 = add i64 %k, 1
  br label %stage
end:
  %last = or i64 %high, 1048575
  store atomic i64 %last, ptr %shared release, align 8
  ret i64 %late
}

define ptr @help(ptr %news) {
entry:
  %n5 = getelementptr i64, ptr %news, i64 5
  %n7 = getelementptr i64, ptr %news, i64 7
  %pause = load ptr, ptr %n7
  %bell = getelementptr i64, ptr %news, i64 8
  %n1 = getelementptr i64, ptr %news, i64 1
  %n2 = getelementptr i64, ptr %news, i64 2
  %n3 = getelementptr i64, ptr %news, i64 3
  %n4 = getelementptr i64, ptr %news, i64 4
  %yield = load ptr, ptr %n4
  br label %look
look:
  %idle = phi i64 [ 0, %entry ], [ %idle1, %nothing ], [ 0, %seen ], [ 0, %leave ], [ 0, %stay ], [ 0, %wait.bell ]
  %number = load atomic i64, ptr %news acquire, align 8
  %last = load i64, ptr %n3
  %new = icmp ne i64 %number, %last
  br i1 %new, label %seen0, label %nothing
nothing:
  <pause>
  %idle1 = add i64 %idle, 1
  %enough = icmp sgt i64 %idle1, <patience>
  br i1 %enough, label %sleep, label %look
sleep:
  store atomic i64 1, ptr %n5 seq_cst, align 8
  %latest = load atomic i64, ptr %news seq_cst, align 8
  %missed = icmp ne i64 %latest, %last
  br i1 %missed, label %stay, label %wait.bell
stay:
  %open = cmpxchg ptr %n5, i64 1, i64 0 seq_cst seq_cst, align 8
  %undone = extractvalue { i64, i1 } %open, 1
  br i1 %undone, label %look, label %wait.bell
wait.bell:
  %waited = call i32 %pause(ptr %bell)
  br label %look
seen0:
  %job = load atomic ptr, ptr %n1 acquire, align 8
  %run = load atomic i64, ptr %n2 acquire, align 8
  store i64 %number, ptr %n3
  br label %seen
seen:
  %now = load atomic i64, ptr %news acquire, align 8
  %same = icmp eq i64 %now, %number
  %some = icmp ne ptr %job, null
  %good = and i1 %same, %some
  br i1 %good, label %take, label %look
take:
  %table = load ptr, ptr %job
  %j1 = getelementptr i64, ptr %job, i64 1
  %shared = load ptr, ptr %j1
  %j2 = getelementptr i64, ptr %job, i64 2
  %stages = load ptr, ptr %j2
  %j3 = getelementptr i64, ptr %job, i64 3
  %count = load i64, ptr %j3
  %before = sub i64 %run, 1
  br label %stage
stage:
  %k = phi i64 [ 0, %take ], [ %k1, %following ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %begin, label %leave
leave:
  br label %look
begin:
  %row = mul i64 %k, 4
  %r0 = getelementptr i64, ptr %stages, i64 %row
  %r2 = getelementptr i64, ptr %r0, i64 2
  %r3 = getelementptr i64, ptr %r0, i64 3
  %other = load ptr, ptr %r2
  %other.count = load i64, ptr %r3
  %shares = icmp ne i64 %other.count, 0
  br i1 %shares, label %wait, label %following
wait:
  %spins = phi i64 [ 0, %begin ], [ %spins1, %again ]
  %progress = load atomic i64, ptr %shared acquire, align 8
  %its.run = lshr i64 %progress, 20
  %current = icmp eq i64 %its.run, %run
  br i1 %current, label %ours, label %leave
ours:
  %stage.now = and i64 %progress, 1048575
  %reached = icmp sge i64 %stage.now, %k
  br i1 %reached, label %claim, label %spin
<spin>
claim:
  %k8 = mul i64 %k, 8
  %place = add i64 %k8, 8
  %claimed = getelementptr i64, ptr %shared, i64 %place
  %done = getelementptr i64, ptr %claimed, i64 1
  %pair = cmpxchg ptr %claimed, i64 %before, i64 %run acq_rel acquire, align 8
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %do, label %following
do:
  call void @run_list(ptr %table, ptr %other, i64 %other.count)
  store atomic i64 %run, ptr %done release, align 8
  br label %following
following:
  %k1 = add i64 %k, 1
  br label %stage
}
"""


def runtime() -> str:
    """Return the functions that run stages in two threads, in LLVM IR."""
    pause, declaration = "", ""
    if platform.machine().lower() in ("x86_64", "amd64"):
        pause, declaration = "call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()\n"
    text = RUNTIME.replace("<spin>", _SPIN)
    for mark, meaning in (("<pause>", pause), ("<patience>", str(_PATIENCE)), ("<much>", str(_LATE))):
        text = text.replace(mark, meaning)
    return declaration + text


def default_threads() -> int:
    """Return how many threads a program is lowered for: two where there are two cores and nobody asked for one."""
    asked = os.environ.get("OMP_NUM_THREADS") or os.environ.get("OPENBLAS_NUM_THREADS") or ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 if can_help() and cores > 1 and asked.split(",")[0].strip() != "1" else 1


def can_help() -> bool:
    """Tell whether the system has what a helper needs."""
    return sys.platform.startswith("linux")


@dataclass(frozen=True)
class Record:
    """A piece of machine code.

    Attributes:
        address: Where it is.
        arguments: What it is called with.
        low: Where its outermost loop begins.
        high: Where it ends.
        stage: The stage it belongs to.
        cost: About how many nanoseconds it takes.
        splits: Whether the parts of its outermost loop may be done at the same time.
    """

    address: int
    arguments: tuple[int, ...]
    low: int
    high: int
    stage: int = 0
    cost: float = 0.0
    splits: bool = False

    def halves(self) -> tuple[Record, Record]:
        """Return its outermost loop in two parts."""
        length = self.high - self.low
        grain = 16 if length >= 64 else 4 if length >= 16 else 1
        middle = self.low + -(-length // (2 * grain)) * grain
        lower = Record(self.address, self.arguments, self.low, middle, self.stage, self.cost / 2)
        return lower, Record(self.address, self.arguments, middle, self.high, self.stage, self.cost / 2)


def shared(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return what each of two threads does of a stage: about as much, the same in each run.

    Example:
        >>> from tinygrad_dnn.jit.native.parallel import Record, shared
        >>> first, second = shared([Record(0, (), 0, 100, cost=5000.0, splits=True)])
        >>> [(x.low, x.high) for x in first + second]
        [(0, 64), (64, 100)]
    """
    total = sum(x.cost for x in records)
    if total < _WORTH:
        return list(records), []
    first: list[Record] = []
    second: list[Record] = []
    costs = [0.0, 0.0]
    for record in sorted(records, key=lambda x: -x.cost):
        if record.splits and record.cost > _SPLIT * total and record.high - record.low > 1:
            lower, upper = record.halves()
            first.append(lower)
            second.append(upper)
            costs = [costs[0] + lower.cost, costs[1] + upper.cost]
        elif costs[0] <= costs[1]:
            first.append(record)
            costs[0] += record.cost
        else:
            second.append(record)
            costs[1] += record.cost
    return first, second


class Helper:
    """The thread that helps. It is none of Python's, since it must never hold what Python's threads wait for.

    Attributes:
        news: The number of the news, the job, the job's run, the number that the helper has seen, addresses of
            functions, and whether it sleeps; from the ninth word on the semaphore that wakes it.
    """

    def __init__(self, help_address: int) -> None:
        library = ctypes.CDLL(None)
        self.news = np.zeros(64, np.int64)
        self.address: int = self.news.__array_interface__["data"][0]
        for place, name in ((4, "sched_yield"), (6, "sem_post"), (7, "sem_wait")):
            self.news[place] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        library.sem_init(ctypes.c_void_p(self.address + 64), 0, 0)
        self._retired: list[tuple[int, Any]] = []
        self._thread = ctypes.c_void_p()
        library.pthread_create(
            ctypes.byref(self._thread), None, ctypes.c_void_p(help_address), ctypes.c_void_p(self.address)
        )

    def keep(self, arrays: Any) -> None:
        """Keep what it may still look at until it has seen later news."""
        seen = int(self.news[3])
        self._retired = [(number, kept) for number, kept in self._retired if number >= seen]
        self._retired.append((int(self.news[0]), arrays))


@functools.cache
def helper(help_address: int) -> Helper:
    """Return the process's helper."""
    return Helper(help_address)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=helper.cache_clear)


class Stages:
    """The stages of a piece of a program, run together with the helper.

    Args:
        rows: For each stage the addresses and numbers of the records of both halves.
        table: The address of the table of slots.
        run_stages: The native function.
        help_address: The address of what the helper runs.
    """

    def __init__(
        self, rows: Sequence[tuple[int, int, int, int]], table: int, run_stages: Any, help_address: int
    ) -> None:
        self._rows = np.array(rows, np.int64)
        self._shared = np.zeros(8 * (len(rows) + 2), np.int64)
        addresses = [x.__array_interface__["data"][0] for x in (self._shared, self._rows)]
        self._job = np.array([table, *addresses, len(rows)], np.int64)
        self._address: int = self._job.__array_interface__["data"][0]
        self._run_stages = run_stages
        self._help_address = help_address
        self._runs = 0
        self._pace = Pace()
        weakref.finalize(self, _keep, help_address, [self._rows, self._shared, self._job])

    def __call__(self) -> None:
        """Run them once."""
        self._runs += 1
        news = helper(self._help_address).address
        alone = not self._pace.helped
        start = time.perf_counter()
        missed = self._run_stages(self._address, self._runs, news, alone)
        self._pace.took(time.perf_counter() - start, late=missed >= _LATE)


class Pace:
    """Finds out whether help pays; results do not depend on it.

    Attributes:
        helped: Whether the next run is to be helped.
    """

    def __init__(self) -> None:
        self.helped = True
        self._period = _PERIOD
        self._times: list[float] = []
        self._left = 0

    def took(self, seconds: float, late: bool = False) -> None:
        """Note how long a run took, and whether it waited for the helper for very long."""
        if self._left:
            self._left -= 1
            if late:
                self.helped = False
            if not self._left:
                self.helped = True  # the next trials
            return
        self._times.append(seconds)
        count = len(self._times)
        self.helped = count < _TRIALS
        if late:
            self.helped = False
        elif count < 2 * _TRIALS:
            return
        else:
            # The first ones of each kind find the helper asleep, or its data in the other core's cache.
            helped, alone = self._times[_TRIALS // 2 : _TRIALS], self._times[_TRIALS + _TRIALS // 2 :]
            self.helped = statistics.median(helped) < statistics.median(alone)
        self._period = _PERIOD if self.helped else min(2 * self._period, _LONGEST_PERIOD)
        self._left = self._period
        self._times = []


def _keep(help_address: int, arrays: Any) -> None:
    helper(help_address).keep(arrays)
