"""What layers have in common about their arguments: names and shapes."""

from __future__ import annotations

import itertools
import operator
from collections import defaultdict
from collections.abc import Iterator
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
