"""Checking: under ``debug_nans``, a step that gives NaN or Inf is undone, and run again to find the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn import nested
from tinygrad_dnn.debugging import CHECK, finite
from tinygrad_dnn.graph import state
from tinygrad_dnn.jit.calls import Call, Run
from tinygrad_dnn.jit.recording import Recording, Settled
from tinygrad_dnn.ops import random
from tinygrad_dnn.tensor import Tensor, assigned_now


def plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function as it is; under ``debug_nans`` one that raises leaves Tensors what they were.

    Example:
        >>> w = td.Variable(1.0)
        >>> with td.debug_nans():
        ...     try:
        ...         td.jit.plainly(lambda: td.log(w.assign(-1.0)))
        ...     except FloatingPointError:
        ...         print(w)
        Variable(1., dtype=float32)
    """
    return function(*args, **kwargs) if state.recorder is not CHECK else _settled(function, args, kwargs).returned


def _settled(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Settled:
    streams = random.get_state()
    try:
        return Settled(lambda: function(*args, **kwargs))
    except BaseException:
        random.set_state(streams)
        raise


def answer(call: Call, function: Callable[..., Any], recording: Recording, run: Run) -> Any:
    """Answer a call by a program; under ``debug_nans`` by the function itself where that gives a NaN or Inf.

    Raises:
        FloatingPointError: It did; all Tensors hold what they held before the call.
    """
    if state.recorder is not CHECK:
        return call.answer(recording, run)
    changing = [t for t, _ in recording.program.updates] + [call.tensors[number] for number, _ in recording.assigned]
    # Copies: a program writes over what Tensors hold, and lays out its memory anew where somebody else has an array.
    before = [(tensor, np.copy(tensor.data) if type(tensor.data) is np.ndarray else tensor.data) for tensor in changing]
    left = [(a, key, getattr(a.get(), "__dict__", {}).get(key)) for a, key, _ in recording.left]
    with np.errstate(all="ignore"):  # what there is to say is said below
        returned = call.answer(recording, run)
    if _finite(returned, changing):
        return returned
    _put_back(before, left)
    try:
        again = _settled(function, call.args, call.kwargs)
        if _finite(again.returned, changing):
            again.undo()
            raise FloatingPointError(
                f"td.debug_nans: {getattr(function, '__qualname__', None) or repr(function)} gave NaN or Inf as a "
                "program of td.jit, and run operation by operation it does not: machine code rounds otherwise, so that "
                "a value is at the edge of overflow; lower the learning rate, clip the gradients, or compile with "
                "jit_compile='auto'."
            )
    except BaseException:
        _put_back((), left)
        raise
    return again.returned  # an Inf that is meant


def _finite(returned: Any, changed: list[Tensor]) -> bool:
    computed = [x for x in nested.leaves(returned) if isinstance(x, Tensor)]
    return all(finite(tensor.data) for tensor in (*computed, *changed))


def _put_back(before: Any, left: Any) -> None:
    for tensor, data in before:
        assigned_now(tensor, data)
    for attributes, key, value in left:
        attributes.put(key, value)
