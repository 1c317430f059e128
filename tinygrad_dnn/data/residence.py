"""Where a data set lies while it is gone through: on the device as a whole, or on the host, from batch to batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.checks import as_integer, as_number
from tinygrad_dnn.data.given import Batch
from tinygrad_dnn.tensor import Tensor


class _ThreadState(threading.local):
    limit: int | float = 0.5


_state = _ThreadState()


def resident_limit() -> int | float:
    """Return how large a data set this thread brings to a device as a whole, as ``set_resident_limit`` was told.

    Example:
        >>> td.data.resident_limit()
        0.5
    """
    return _state.limit


def set_resident_limit(limit: int | float) -> None:
    """Set how large a data set ``fit``, ``evaluate`` and ``predict`` bring to a device as a whole, in this thread.

    What is not larger lies on the device while it is gone through, and each batch is gathered there. Of what is larger
    each batch is gathered on the host, and brought over while the device computes on the one before: the batches are
    the same, bit for bit. On the NumPy backend there is nothing to bring, and no limit.

    Args:
        limit: An integer is a number of bytes, at least 0: with 0 all data come batch by batch. A float in (0, 1] is a
            share of the device's free memory at that moment, 0.5 by default: the rest is for the model.

    Raises:
        ValueError: It is neither.

    Example:
        >>> td.data.set_resident_limit(2 * 2**30)
        >>> td.data.resident_limit()
        2147483648
        >>> td.data.set_resident_limit(0.5)
    """
    what = "set_resident_limit: limit"
    expected = "an integer of at least 0 (bytes) or a float in (0, 1] (a share of the free memory)"
    if isinstance(limit, (float, np.floating)):
        _state.limit = as_number(limit, what, "(0, 1]", expected)
    else:
        _state.limit = as_integer(limit, what, "[0, inf)", expected)


def fits(arrays: Batch) -> bool:
    """Tell whether data may be brought to the thread's device as a whole; what lies there already costs nothing."""
    here = backend.current()
    if here.name == "numpy":
        return True
    coming = [array for _, array in arrays.named() if not is_here(array)]
    size: int = sum(array.data.nbytes if isinstance(array, Tensor) else array.nbytes for array in coming)
    if isinstance(_state.limit, int):
        return size <= _state.limit
    memory = here.memory()
    if memory.free is None:
        return True
    unused = (memory.held or 0) - (memory.used or 0)
    return size <= _state.limit * (memory.free + unused)


def is_here(array: Any) -> bool:
    """Tell whether ``array`` is a Tensor on the thread's backend and device."""
    here = backend.current()
    on_backend = isinstance(array, Tensor) and array.backend is here
    return on_backend and here.device_of(array.data) == here.current_device()


def resident(array: Any) -> Tensor:
    """Return an array as a Tensor on the thread's backend, without history and, where possible, without a copy."""
    here = backend.current()
    if isinstance(array, Tensor):
        there = array if is_here(array) else array.to(f"{here.name}:{here.current_device()}")
        # Without history: the first backward pass would free the graph that the array came from.
        return there.detach()
    return Tensor._wrap(here.from_host(array))


def on_host(array: Any) -> Any:
    """Return an array as NumPy's where its values are on the host, else as the Tensor that it is."""
    if isinstance(array, Tensor):
        return array.data if at_hand(array) else resident(array)
    return array


def sent(array: Any) -> Callable[[], Tensor]:
    """Begin to bring an array to the thread's backend; return what gives it as a Tensor once it is needed there."""
    if isinstance(array, Tensor):
        tensor = resident(array)
        return lambda: tensor
    arriving = backend.current().send(array)
    return lambda: Tensor._wrap(arriving())


def at_hand(array: Any) -> bool:
    """Tell whether an array's values can be looked at without waiting for a device."""
    return not isinstance(array, Tensor) or array.backend.name == "numpy"
