"""Bringing NumPy arrays to a GPU beside its computing, by page-locked memory and a CUDA stream of their own."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from tinygrad_dnn.backend.devices import Array

# Page-locked bytes that may be on their way: a host that is far ahead of its GPU would else fill its memory with them.
_UNDER_WAY = 2**28

# Larger arrays are brought in pieces: CuPy would keep page-locked memory of the whole array's size for later use.
PIECE = 2**26
"""So many bytes."""


class Arriving:
    """An array that is being copied; called, it gives the array to the stream that asked for it.

    Args:
        array: The array on the GPU.
        done: The event of the copy's end; None where there is nothing to copy.
        stream: The stream that the memory belongs to, by whose order it will be used again.
    """

    def __init__(self, array: Array, done: Any, stream: Any) -> None:
        self._array = array
        self._done = done
        self._stream = stream

    def __call__(self) -> Array:
        self._wait()
        return self._array

    def _wait(self) -> None:
        if self._done is not None:
            self._stream.wait_event(self._done)
            self._done = None

    def __del__(self) -> None:
        # Where nobody took the array, as where a loop over batches is left: its memory must not be used again before.
        self._wait()


class Sender:
    """What brings arrays to one GPU for one thread.

    A copy is asked for on a stream of its own, and ordered by events: it begins when the memory that it writes on is
    free, which is when all is done that the thread had asked for before; and what the thread asks for after the array
    was taken begins when the copy is done. The host waits for neither.

    Written from the documentation and source of CuPy and CUDA, and not yet run on a GPU.

    Args:
        cupy: The module.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._under_way: deque[tuple[Any, Any, int]] = deque()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._bytes = 0

    def send(self, array: np.ndarray) -> Arriving:
        """Begin to bring an array over; return what gives it to the current stream, which then waits for the copy."""
        brought = self._cupy.empty(array.shape, array.dtype.newbyteorder("="))
        stream = self._cupy.cuda.get_current_stream()
        return Arriving(brought, self._copied(array, brought) if array.size else None, stream)

    def bring(self, array: np.ndarray) -> Array:
        """Bring an array over in pieces of its first axis; the host waits where too many are under way."""
        brought = self._cupy.empty(array.shape, array.dtype.newbyteorder("="))
        rows = max(1, PIECE * len(array) // max(array.nbytes, 1))
        for start in range(0, len(array), rows):
            done = self._copied(array[start : start + rows], brought[start : start + rows])
            self._cupy.cuda.get_current_stream().wait_event(done)
        return brought

    def _copied(self, array: np.ndarray, target: Array) -> Any:
        """Ask for a copy to an array whose elements lie together in C order; return the event of its end."""
        cupy = self._cupy
        self._make_room(array.nbytes)
        locked = cupy.cuda.alloc_pinned_memory(array.nbytes)
        staged = np.frombuffer(locked, target.dtype, array.size).reshape(array.shape)
        staged[...] = array
        self._stream.wait_event(_recorded(cupy, cupy.cuda.get_current_stream()))
        target.set(staged, self._stream)
        done = _recorded(cupy, self._stream)
        self._under_way.append((done, locked, array.nbytes))
        self._bytes += array.nbytes
        return done

    def _make_room(self, size: int) -> None:
        """Let go of page-locked memory that has been copied, and wait for some where too much has not."""
        while self._under_way and (self._under_way[0][0].done or self._bytes + size > _UNDER_WAY):
            done, _, length = self._under_way.popleft()
            done.synchronize()
            self._bytes -= length

    def __del__(self) -> None:
        # A thread that ends lets go of its page-locked memory, which others would write on under a copy's eyes.
        for done, _, _ in self._under_way:
            done.synchronize()


def _recorded(cupy: Any, stream: Any) -> Any:
    return stream.record(cupy.cuda.Event(disable_timing=True))


class _Senders(threading.local):
    """The senders of a thread by CuPy's module and the number of the GPU: a stream belongs to one."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], Sender] = {}


_senders = _Senders()


def current_sender(cupy: Any) -> Sender:
    """Return this thread's sender to the GPU that is CuPy's current one in it.

    Args:
        cupy: The module.
    """
    key = id(cupy), cupy.cuda.runtime.getDevice()
    found = _senders.known.get(key)
    if found is None:
        found = _senders.known[key] = Sender(cupy)
    return found
