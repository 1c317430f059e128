"""Stages: a piece of a program that is run together with the process's helper, the thread that takes its share."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import time
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.jit.native.pace import Pace
from tinygrad_dnn.jit.native.parallel import LATE

# A run without a core for so many seconds, and for this part of its time, since somebody else had it, was not on a
# machine with two cores to spare.
_LOST, _LOST_PART = 0.0002, 0.05

# To wait for the helper as long as its patience says nothing in a run of more seconds, whose pieces are longer.
_LONG = 0.005

# After so many seconds without a run the helper sleeps, and the caches hold something else.
_PAUSE = 0.002


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
        rows: For the thread that runs them and for the helper: the address and the number of each piece's records, and
            how many of the other's pieces it needs.
        table: The address of the table of slots.
        run_stages: The native function.
        help_address: The address of what the helper runs.
    """

    def __init__(
        self, rows: tuple[Sequence[tuple[int, int, int]], Sequence[tuple[int, int, int]]], table: int, run_stages: Any,
        help_address: int,
    ) -> None:  # fmt: skip
        first, second = rows
        self._rows = [np.array([*x, (0, 0, 0)], np.int64) for x in rows]
        self._shared = np.zeros(8 * (len(second) + 2), np.int64)
        shared, own, others = (x.__array_interface__["data"][0] for x in (self._shared, *self._rows))
        self._job = np.array([table, shared, own, len(first), others, len(second)], np.int64)
        self._address: int = self._job.__array_interface__["data"][0]
        self._run_stages = run_stages
        self._help_address = help_address
        self._runs = 0
        self._pace = Pace()
        self._ended = -math.inf
        weakref.finalize(self, _keep, help_address, [self._rows, self._shared, self._job])

    def __call__(self) -> None:
        """Run them once."""
        self._runs += 1
        news = helper(self._help_address).address
        alone = not self._pace.helped
        start, busy = time.perf_counter(), time.thread_time()
        missed = self._run_stages(self._address, self._runs, news, alone)
        end = time.perf_counter()
        took = end - start
        lost = took - (time.thread_time() - busy)
        late = missed >= LATE and took < _LONG
        self._pace.took(took, late or lost > max(_LOST, _LOST_PART * took), start - self._ended > _PAUSE)
        self._ended = end


def _keep(help_address: int, arrays: Any) -> None:
    helper(help_address).keep(arrays)
