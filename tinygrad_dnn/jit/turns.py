"""Taking turns: a lock that does not hang where the thread that holds it waits for the one that asks for it."""

from __future__ import annotations

import sys
import threading
from types import FrameType, TracebackType

PATIENCE = 10.0
"""For so many seconds the holder has to stand in one place, waiting, before another thread stops waiting for it."""

_LOOK = 0.5

# Where Python code waits for another thread: Thread.join, Event.wait, Future.result and Queue.get all end there.
_WAITING = "threading"


class Turn:
    """A lock around what one thread at a time may do, for a function that the user wrote and that may do anything.

    Args:
        what: What errors call it.

    Example:
        >>> from tinygrad_dnn.jit.turns import Turn
        >>> turn = Turn("step")
        >>> with turn:
        ...     with turn:
        ...         pass
        Traceback (most recent call last):
        RuntimeError: td.jit: step is called while it is being recorded or run, by the same thread: as from ...
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._holder = 0

    def __enter__(self) -> None:
        """Wait for the turn.

        Raises:
            RuntimeError: It cannot come: this thread has it already, or the one that has it waits, as for this one.
        """
        if not self._lock.acquire(blocking=False):
            self._wait()
        self._holder = threading.get_ident()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._holder = 0
        self._lock.release()

    def _wait(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError(
                f"td.jit: {self._what} is called while it is being recorded or run, by the same thread: as from a "
                "handler of signals, or a finalizer. Call the function itself there."
            )
        frame, at, waited = None, -1, 0.0
        while not self._lock.acquire(timeout=_LOOK):
            # The frame itself is kept, not its identity: that of the next wait could be the same.
            now = _waiting(sys._current_frames().get(self._holder))
            waited = waited + _LOOK if now is not None and now is frame and now.f_lasti == at else 0.0
            frame, at = now, -1 if now is None else now.f_lasti
            if waited >= PATIENCE:
                raise RuntimeError(
                    f"td.jit: {self._what} is called by a thread while another one, which records it, has been "
                    f"waiting for {PATIENCE:g} seconds, as for this thread: let the function start no threads that "
                    "call it and wait for them, or call the function itself in them."
                )


def _waiting(frame: FrameType | None) -> FrameType | None:
    """Return the frame in which a thread waits for another, None where it does not."""
    return None if frame is None or frame.f_globals.get("__name__") != _WAITING else frame
