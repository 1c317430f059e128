"""The ranges of losses' arguments, kept with each function and checked there, in its class and in its metric."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

from tinygrad_dnn.checks import as_flag, as_integer, as_number

F = TypeVar("F", bound=Callable[..., Any])
# Called with a value and what an error calls it.
Check: TypeAlias = Callable[[Any, str], Any]


def _class(value: Any, owner: str) -> int | None:
    return None if value is None else as_integer(value, owner, expected="an integer or None")


def _weights(value: Any, owner: str) -> list[float]:
    words = "a number of at least 0, or a list of them, one for each class"
    parts = value if isinstance(value, (list, tuple)) and value else [value]
    return [as_number(part, owner, "[0, inf)", words) for part in parts]


FLAG: Check = as_flag
FRACTION: Check = partial(as_number, allowed="[0, 1]")
POSITIVE: Check = partial(as_number, allowed="(0, inf)")
NOT_NEGATIVE: Check = partial(as_number, allowed="[0, inf)")
WEIGHTS: Check = _weights
INTEGER: Check = as_integer
CLASS: Check = _class


def ranging(**checks: Check) -> Callable[[F], F]:
    """Give a loss function the ranges of its arguments, for ``check_arguments``."""

    def mark(function: F) -> F:
        function.argument_checks = checks  # type: ignore[attr-defined]
        return function

    return mark


def check_arguments(function: Callable[..., Any], name: str | None = None, /, **arguments: Any) -> None:
    """Raise ValueError, by ``name`` or the function's own, where an argument is out of the function's range for it."""
    checks = getattr(function, "argument_checks", {})
    owner = name or getattr(function, "__name__", "loss")
    for argument, value in arguments.items():
        if argument in checks:
            checks[argument](value, f"{owner}: {argument}")
