"""Checks of arguments, which refuse by name what is out of its range."""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import os
import sys
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, NamedTuple

# The greatest seed and one: what a stream of random numbers takes.
_SEEDS = 2**63


class _Interval(NamedTuple):
    """The numbers between two, which belong to it or not; infinity only where "inf]" says so."""

    least: float
    most: float
    with_least: bool
    with_most: bool
    words: str

    def holds(self, value: Any) -> bool:
        above = value >= self.least if self.with_least else value > self.least
        below = value <= self.most if self.with_most else value < self.most
        # Compared as it is: an integer may be greater than every float.
        finite = -sys.float_info.max <= value <= sys.float_info.max
        return bool(above and below and (finite or (self.with_most and value == math.inf)))


@functools.cache
def _interval(text: str, noun: str) -> _Interval:
    """Return an interval as mathematics writes it, "[0, 1)", with what an error calls a number in it."""
    least, most = (float(bound) for bound in text[1:-1].split(","))
    with_least, with_most = text[0] == "[", text[-1] == "]"
    if math.isfinite(least) and math.isfinite(most):
        words = f"{noun} in {text}"
    elif math.isfinite(least):
        words = f"{noun} {'of at least' if with_least else 'above'} {least:g}"
    elif math.isfinite(most):
        words = f"{noun} {'of at most' if with_most else 'below'} {most:g}"
    else:
        words = noun.replace("a ", "a finite ")
    return _Interval(least, most, with_least, with_most, words)


def shown(value: object) -> str:
    """Return an object's repr in one line, at most 100 characters of it; no object makes it raise.

    Example:
        >>> td.checks.shown(np.zeros((2, 2)))
        'array([[0., 0.], [0., 0.]])'
    """
    try:
        text = repr(value)
    except Exception:  # as of an integer of more digits than Python shows
        text = f"<{type(value).__name__}>"
    if "\n" in text:
        text = " ".join(text.split())
    return f"{text[:97]}..." if len(text) > 100 else text


def as_number(value: Any, owner: str, allowed: str = "(-inf, inf)", expected: str = "") -> float:
    """Return a finite number as Python's own; ``owner`` is what an error calls it, "SGD: momentum".

    Args:
        value: The number. A truth value is none.
        owner: The name that an error begins with.
        allowed: The interval it must lie in, as "[0, 1)" or "(0, inf)"; "(0, inf]" takes infinity too.
        expected: What the error says is needed, where it is more than a number in the interval.

    Raises:
        ValueError: It is no finite number, or lies outside.

    Example:
        >>> td.checks.as_number(0.5, "SGD: momentum", "[0, 1]")
        0.5
        >>> td.checks.as_number(-1, "SGD: momentum", "[0, 1]")
        Traceback (most recent call last):
        ValueError: SGD: momentum must be a number in [0, 1], not -1.
    """
    interval = _interval(allowed, "a number")
    fits = isinstance(value, Real) and not isinstance(value, bool)
    if not fits or not interval.holds(value if isinstance(value, Integral) else float(value)):
        raise ValueError(f"{owner} must be {expected or interval.words}, not {shown(value)}.")
    return float(value)


def as_integer(value: Any, owner: str, allowed: str = "(-inf, inf)", expected: str = "") -> int:
    """Return an integer as Python's own; the arguments are those of ``as_number``.

    Raises:
        ValueError: It is no integer, or lies outside.

    Example:
        >>> td.checks.as_integer(3, "Dense: units", "[1, inf)")
        3
        >>> td.checks.as_integer(2.5, "Dense: units", "[1, inf)")
        Traceback (most recent call last):
        ValueError: Dense: units must be an integer of at least 1, not 2.5.
    """
    interval = _interval(allowed, "an integer")
    number = _index(value)
    if number is None or not interval.holds(number):
        raise ValueError(f"{owner} must be {expected or interval.words}, not {shown(value)}.")
    return number


def _index(value: Any) -> int | None:
    """Return an integer as Python's own, None for anything else; classes and arrays have an __index__ that raises."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        return None


def as_flag(value: Any, owner: str) -> bool:
    """Return a truth value as Python's own: a word such as "no" would count as true.

    Raises:
        ValueError: It is neither True nor False.

    Example:
        >>> td.checks.as_flag(True, "SGD: nesterov")
        True
    """
    if type(value).__name__ != "bool":  # NumPy's own has this name too
        raise ValueError(f"{owner} must be True or False, not {shown(value)}.")
    return bool(value)


def as_choice(value: Any, owner: str, choices: Iterable[str | None]) -> Any:
    """Return what is one of the choices.

    Raises:
        ValueError: It is none of them.

    Example:
        >>> td.checks.as_choice("cos", "OneCycle: anneal_strategy", ("cos", "linear"))
        'cos'
    """
    known = tuple(choices)
    if not isinstance(value, str | None) or value not in known:
        *others, last = map(repr, known)
        options = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{owner} must be {options}, not {shown(value)}.")
    return value


def as_name(value: Any, owner: str) -> str | None:
    """Return a name; None, or an empty one, says that there is none.

    Raises:
        TypeError: It is no text.

    Example:
        >>> td.checks.as_name("hidden", "Dense: name")
        'hidden'
    """
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{owner} must be a text or None, not {shown(value)}.")
    return value or None


def as_path(value: Any, owner: str, kind: str = "file") -> str:
    """Return the path of a file or folder as a text.

    Args:
        value: The path, a text or a ``pathlib.Path``.
        owner: The name that an error begins with.
        kind: What it leads to, "file" or "folder".

    Raises:
        TypeError: It is no path, or an empty one.

    Example:
        >>> as_path("", "load_model: path")
        Traceback (most recent call last):
        TypeError: load_model: path must be the path of a file, not ''.
    """
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path:
        raise TypeError(f"{owner} must be the path of a {kind}, not {shown(value)}.")
    return path


def as_list(value: Any, owner: str) -> list[Any]:
    """Return what is given in a sequence as a list.

    Raises:
        ValueError: It is no sequence, or a text, bytes or a dict.

    Example:
        >>> td.checks.as_list((1, 2), "PiecewiseConstantDecay: boundaries")
        [1, 2]
    """
    if not isinstance(value, (str, bytes, dict)) and isinstance(value, Iterable):
        with contextlib.suppress(TypeError):  # a 0-d array says that it can be gone through, and cannot
            return list(value)
    raise ValueError(f"{owner} must be a list, not {shown(value)}.")


def as_axes(axis: Any, owner: str, expected: str = "an integer or a sequence of integers") -> tuple[int, ...]:
    """Return an axis, or a sequence of axes, as a tuple.

    Raises:
        ValueError: It is no integer and no sequence of integers.

    Example:
        >>> td.checks.as_axes(-1, "LayerNormalization: axis"), td.checks.as_axes([1, 2], "LayerNormalization: axis")
        ((-1,), (1, 2))
    """
    found = [_index(a) for a in (axis if isinstance(axis, (list, tuple)) else (axis,))]
    if None in found:
        raise ValueError(f"{owner} must be {expected}, not {shown(axis)}.")
    return tuple(a for a in found if a is not None)


def as_seed(seed: Any, owner: str) -> int | None:
    """Return a seed as Python's own integer, or None.

    Raises:
        ValueError: It is neither None nor an integer in [0, 2**63).

    Example:
        >>> td.checks.as_seed(42, "Dropout: seed")
        42
    """
    if seed is None:
        return None
    number = _index(seed)
    if number is None or not 0 <= number < _SEEDS:
        raise ValueError(f"{owner} must be None or an integer from 0 to 2**63 - 1, not {shown(seed)}.")
    return number


class Checked:
    """What gives a class these checks by short names; errors begin with its ``_title``, the class's name.

    Example:
        >>> class Decay(td.checks.Checked):
        ...     def __init__(self, rate):
        ...         self.rate = self._number("rate", rate, "(0, 1]")
        >>> Decay(2)
        Traceback (most recent call last):
        ValueError: Decay: rate must be a number in (0, 1], not 2.
    """

    @property
    def _title(self) -> str:
        return type(self).__name__

    def _number(self, argument: str, value: Any, allowed: str = "(-inf, inf)") -> float:
        return as_number(value, f"{self._title}: {argument}", allowed)

    def _optional(
        self, argument: str, value: Any, allowed: str, check: Callable[..., float] = as_number
    ) -> float | None:
        return None if value is None else check(value, f"{self._title}: {argument}", allowed)

    def _integer(self, argument: str, value: Any, allowed: str = "(-inf, inf)") -> int:
        return as_integer(value, f"{self._title}: {argument}", allowed)

    def _flag(self, argument: str, value: Any) -> bool:
        return as_flag(value, f"{self._title}: {argument}")

    def _choice(self, argument: str, value: Any, choices: Iterable[str | None]) -> Any:
        return as_choice(value, f"{self._title}: {argument}", choices)

    def _list(self, argument: str, value: Any) -> list[Any]:
        return as_list(value, f"{self._title}: {argument}")
