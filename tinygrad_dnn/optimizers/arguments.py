"""The checks of an optimizer's arguments, which refuse by name what is out of range."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any


class Arguments:
    """Checks for the arguments of whatever has a name."""

    name: str

    def _number(self, key: str, value: Any, holds: Callable[[float], bool], expected: str, kind: Any = Real) -> float:
        """Return a number among the arguments as Python's own, after checking it."""
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value) or not holds(value):
            raise ValueError(f"{self.name}: {key} must be {expected}, not {value!r}.")
        return int(value) if kind is Integral else float(value)

    def _optional(self, key: str, value: Any, *rule: Any) -> float | None:
        return None if value is None else self._number(key, value, *rule)

    def _flag(self, key: str, value: Any) -> bool:
        """Return a truth value among the arguments as Python's own: a word such as "no" would count as true."""
        if type(value).__name__ != "bool":  # NumPy's own has this name too
            raise ValueError(f"{self.name}: {key} must be True or False, not {value!r}.")
        return bool(value)

    def _patterns(self, key: str, value: Any) -> list[str]:
        """Return a list of regular expressions among the arguments, which None leaves empty."""
        patterns = [] if value is None else value
        if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ValueError(f"{self.name}: {key} must be a list of regular expressions, not {value!r}.")
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{self.name}: {key} must be regular expressions, not {pattern!r}: {error}.") from None
        return list(patterns)
