"""The checks of a schedule's arguments, which refuse by name what is out of range."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


class Arguments:
    """Checks for the arguments of a schedule, which its class's name stands for."""

    def _number(
        self,
        argument: str,
        value: Any,
        *,
        least: float = -math.inf,
        above: float = -math.inf,
        most: float = math.inf,
        integer: bool = False,
    ) -> float:
        """Return a number among the arguments as Python's own, after checking that it is in its range."""
        number = math.nan
        if isinstance(value, Integral if integer else Real) and not isinstance(value, bool):
            number = int(value) if isinstance(value, Integral) else float(value)
        # An integer may be greater than every float.
        if not (least <= number <= min(most, sys.float_info.max) and number > above):
            noun = "an integer" if integer else "a number"
            if most < math.inf:
                place = f"in ({above:g}, {most:g}]" if above > -math.inf else f"in [{least:g}, {most:g}]"
            else:
                place = f"above {above:g}" if above > -math.inf else f"of at least {least:g}"
            raise ValueError(f"{type(self).__name__}: {argument} is {noun} {place}, not {value!r}.")
        return number

    def _flag(self, argument: str, value: Any) -> bool:
        """Return a truth value among the arguments as Python's own: a word such as "no" would count as true."""
        if type(value).__name__ != "bool":  # NumPy's own has this name too
            raise ValueError(f"{type(self).__name__}: {argument} is True or False, not {value!r}.")
        return bool(value)

    def _list(self, argument: str, values: Any) -> list[Any]:
        """Return what is given as a sequence as a list, after checking that it is one."""
        if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
            raise ValueError(f"{type(self).__name__}: {argument} is a list, not {values!r}.")
        return list(values)

    def _increasing(self, argument: str, values: list[float]) -> list[float]:
        """Return steps among the arguments, after checking that each is above the one before."""
        if any(first >= second for first, second in itertools.pairwise(values)):
            raise ValueError(f"{type(self).__name__}: {argument} increase; these are {values}.")
        return values

    def _choice(self, argument: str, value: Any, choices: Iterable[str]) -> str:
        """Return a word among the arguments, after checking that it is one of the choices."""
        choices = tuple(choices)
        if not isinstance(value, str) or value not in choices:
            *others, last = map(repr, choices)
            raise ValueError(f"{type(self).__name__}: {argument} is {', '.join(others)} or {last}, not {value!r}.")
        return value
