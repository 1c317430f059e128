"""The ranges of losses' arguments, kept with each function and checked there, in its class and in its metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Range(NamedTuple):
    """What an argument may be: in words for the error, and whether a value is."""

    words: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Tell whether a value is an integer, of Python or NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _weights(value: Any) -> bool:
    parts = value if isinstance(value, (list, tuple)) and value else [value]
    return all(is_number(part) and part >= 0 for part in parts)


FRACTION = Range("in [0, 1]", lambda value: is_number(value) and 0 <= value <= 1)
POSITIVE = Range("a finite number above 0", lambda value: is_number(value) and value > 0)
NOT_NEGATIVE = Range("a finite number of at least 0", lambda value: is_number(value) and value >= 0)
WEIGHTS = Range("a finite number of at least 0, or a list of them, one for each class", _weights)
INTEGER = Range("an integer", is_integer)
CLASS = Range("an integer or None", lambda value: value is None or is_integer(value))


def ranging(**ranges: Range) -> Callable[[F], F]:
    """Give a loss function the ranges of its arguments, for ``check_arguments``."""

    def mark(function: F) -> F:
        function.argument_ranges = ranges  # type: ignore[attr-defined]
        return function

    return mark


def check_arguments(function: Callable[..., Any], name: str | None = None, /, **arguments: Any) -> None:
    """Raise ValueError, by ``name`` or the function's own, where an argument is out of the function's range for it."""
    ranges = getattr(function, "argument_ranges", {})
    for argument, value in arguments.items():
        if argument in ranges and not ranges[argument].holds(value):
            owner = name or getattr(function, "__name__", "loss")
            raise ValueError(f"{owner}: {argument} is {ranges[argument].words}, not {value!r}.")
