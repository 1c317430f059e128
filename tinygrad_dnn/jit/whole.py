"""Whole: a Ctrl-C waits until a program has run to its end, so that no state is left half updated."""

from __future__ import annotations

import importlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# What the module signal wraps, and slows down by a look at whether each handler is one that has a name.
_signal: Any = importlib.import_module("_signal")


class Whole:
    """Holds a Ctrl-C back inside a ``with`` block. Only the main thread gets signals: elsewhere this does nothing.

    Example:
        >>> with td.jit.Whole():
        ...     pass
    """

    def __enter__(self) -> None:
        self._asked: tuple[int, FrameType | None] | None = None
        self._previous: Any = None
        if threading.current_thread() is threading.main_thread():
            previous = _signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                _signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = number, frame

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            _signal.signal(signal.SIGINT, self._previous)
            if self._asked is not None:
                self._previous(*self._asked)
