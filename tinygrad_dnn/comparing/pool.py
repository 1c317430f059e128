"""Many trainings at once, in processes of their own; one that dies takes no other with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tinygrad_dnn.comparing.running import Job, failed, run

Ready = Callable[[], Iterable[Job]]
Take = Callable[[Job, dict[str, Any]], None]


def cores() -> int:
    """Return how many cores this process may use.

    Example:
        >>> from tinygrad_dnn.comparing import pool
        >>> pool.cores() >= 1
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def run_all(ready: Ready, take: Take, workers: int) -> None:
    """Run jobs until none is left.

    Args:
        ready: Returns the jobs that can be run now and whose results were not taken yet, those under way among them.
        take: Is given each job's result, in this thread, in the order in which they end.
        workers: How many processes run them; with 0 this one does.

    Raises:
        KeyboardInterrupt: There was a Ctrl-C; no process is left, and what was under way is lost.
        RuntimeError: No process can be started.
    """
    if not workers:
        while jobs := list(ready()):
            take(jobs[0], run(jobs[0]))
        return
    while (suspects := _until_broken(ready, take, workers)) is not None:
        # A process died, and with it all that was under way: each of them alone shows which one it was.
        for job in suspects:
            if _until_broken(_alone(job, ready), take, 1):
                take(job, failed("the process that ran it died: it was killed, or ran out of memory, or crashed"))


def _alone(job: Job, ready: Ready) -> Ready:
    return lambda: [each for each in ready() if each == job]


def _until_broken(ready: Ready, take: Take, workers: int) -> list[Job] | None:
    """Run jobs until none is left, or a process dies; return the jobs that were lost then, which may be none."""
    under_way: dict[Future[dict[str, Any]], Job] = {}
    with _processes(workers) as executor:
        _greet(executor)
        while True:
            free = workers - len(under_way)
            running = list(under_way.values())
            waiting = [job for job in ready() if job not in running]
            try:
                with _held():
                    for job in waiting[:free]:
                        under_way[executor.submit(run, job)] = job
                if not under_way:
                    return None
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    take(under_way.pop(future), result)
            except BrokenProcessPool:
                return _rescued(under_way, take)


def _greet(executor: ProcessPoolExecutor) -> None:
    """Start the processes, and make sure that they can be."""
    with _held():  # they inherit that Ctrl-C is not for them
        greeting = executor.submit(os.getpid)
    try:
        greeting.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "compare: the processes that train cannot be started: in a program, call compare below "
            '`if __name__ == "__main__":`, since they import its main module; or let this process train, by workers=0.'
        ) from None


def _rescued(under_way: dict[Future[dict[str, Any]], Job], take: Take) -> list[Job]:
    """Take the results that had come when a process died; return the jobs that have none."""
    lost = []
    for future, job in under_way.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            take(job, future.result())
        else:
            lost.append(job)
    return lost


@contextlib.contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Yield an executor whose processes are gone at the end, whatever they were doing."""
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_prepare)
    try:
        yield executor
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """Hold Ctrl-C back, in this thread and in what it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare() -> None:
    """Make a worker: Ctrl-C is its parent's affair, and it leaves when its parent is gone, even if that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
