"""What Ctrl-C does while a model is trained: it waits until the step in progress is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class BetweenSteps:
    """Holds a Ctrl-C back inside a ``with`` block until a step is complete, so that no weight is left half updated.

    It is held back everywhere in the block but where ``waiting`` fetches the next batch, since that may take for
    ever. A second Ctrl-C is not held back. Only the main thread gets signals: elsewhere this does nothing, nor does
    it where the program has set a handler of its own.

    Example:
        >>> with td.interruption.BetweenSteps() as between:
        ...     list(between.waiting([1, 2]))
        [1, 2]
    """

    def __init__(self) -> None:
        self._asked = False
        self._held = True
        self._previous: Any = None

    def __enter__(self) -> BetweenSteps:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            # Inside another such block, as when a callback trains a second model, the inner one is to react.
            nested = isinstance(getattr(previous, "__self__", None), BetweenSteps)
            if previous is signal.default_int_handler or nested:
                self._previous = previous
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked or not self._held:
            raise KeyboardInterrupt
        self._asked = True

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches; a Ctrl-C acts before one is fetched, and at once while it is.

        Raises:
            KeyboardInterrupt: There was one.
        """
        source = iter(batches)
        while True:
            # In this order: a Ctrl-C between the two lines is raised where it comes, not held until the next batch.
            self._held = False
            try:
                self._check()
                batch = next(source)
            except StopIteration:
                return
            finally:
                self._held = True
            yield batch

    def _check(self) -> None:
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A callback may have set a handler of its own meanwhile: that one stays.
        if self._previous is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._previous)
        if kind is None:
            self._check()
