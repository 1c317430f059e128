"""What layers have in common about their arguments: names, and checks of shapes and numbers."""

from __future__ import annotations

import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, TypeAlias

from tinygrad_dnn.registration import snake_case

Shape: TypeAlias = tuple[int | None, ...]

_name_counters: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


def unique_name(kind: type | str) -> str:
    """Return a name for an object of a kind: that, or a class's name in snake case, numbered from the second on."""
    base = kind if isinstance(kind, str) else snake_case(kind.__name__)
    number = next(_name_counters[base])
    return f"{base}_{number}" if number else base


def as_shape(shape: Any, owner: str) -> Shape:
    """Return a shape as a tuple; ``owner`` is what an error calls the thing that has it.

    Raises:
        ValueError: It is no sequence of lengths, each an integer of at least 0 or None.
    """
    try:
        lengths = tuple(None if n is None else operator.index(n) for n in shape)
    except TypeError:
        lengths = (-1,)
    if any(n is not None and n < 0 for n in lengths):
        raise ValueError(f"{owner} is a tuple of lengths, each an integer of at least 0 or None, not {shape!r}.")
    return lengths


def is_shape(value: Any) -> bool:
    """Tell whether a value is a shape: a tuple or list of lengths, and not one of shapes."""
    return isinstance(value, (tuple, list)) and all(n is None or hasattr(n, "__index__") for n in value)


def as_number(value: Any, owner: str, expected: str, holds: Callable[[float], bool]) -> float:
    """Return a number as Python's own, where ``holds`` is true of it; ``owner`` is what an error calls it.

    Raises:
        ValueError: It is no number, or not what is expected.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not holds(float(value)):
        raise ValueError(f"{owner} must be {expected}, not {value!r}.")
    return float(value)


def as_axes(axis: Any, owner: str) -> tuple[int, ...]:
    """Return an axis, or a sequence of axes, as a tuple; ``owner`` is what an error calls it.

    Raises:
        ValueError: It is no integer and no sequence of integers.
    """
    given = axis if isinstance(axis, (list, tuple)) else (axis,)
    if any(isinstance(a, bool) or not hasattr(a, "__index__") for a in given):
        raise ValueError(f"{owner} must be an integer or a sequence of integers, not {axis!r}.")
    return tuple(operator.index(a) for a in given)


def as_seed(seed: Any, owner: str) -> int | None:
    """Return a seed as Python's own integer, or None; ``owner`` is what an error calls the thing that has it.

    Raises:
        ValueError: It is neither None nor an integer in [0, 2**63).
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not (hasattr(seed, "__index__") and 0 <= seed < 2**63):
        raise ValueError(f"{owner}: seed must be None or an integer from 0 to 2**63 - 1, not {seed!r}.")
    return operator.index(seed)
