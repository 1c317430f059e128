"""Lengths that grow with the batch: what several recordings of one function, of batches of several sizes, agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tinygrad_dnn.jit.program import exact


@dataclass(frozen=True)
class Length:
    """A whole number that is known when the batch is: so much a sample, and something added.

    Attributes:
        per_sample: What each sample of the batch adds, not 0.
        added: What it is without any.

    Example:
        >>> td.export.lengths.Length(4, 1).at(10)
        41
    """

    per_sample: int
    added: int = 0

    def at(self, batch: int) -> int:
        """Return the number for a batch of so many samples."""
        return self.per_sample * batch + self.added


Size: TypeAlias = int | Length
BATCH = Length(1)


class VariesError(Exception):
    """What recordings hold in one place differs by more than a length that grows with the batch.

    Example:
        >>> issubclass(td.export.lengths.VariesError, Exception)
        True
    """


def difference(x: Size, y: Size) -> Size:
    """Return x - y.

    Example:
        >>> from tinygrad_dnn.export.lengths import Length, difference
        >>> difference(Length(2, 3), Length(2, 1)), difference(Length(2), 1)
        (2, Length(per_sample=2, added=-1))
    """
    (a, b), (c, d) = ((n.per_sample, n.added) if isinstance(n, Length) else (0, n) for n in (x, y))
    return Length(a - c, b - d) if a != c else b - d


def agreed(values: Sequence[Any], batches: Sequence[int]) -> Any:
    """Return what the same place of several recordings holds, a ``Length`` where it is a number that follows the batch.

    Args:
        values: What each recording holds: numbers, types, or tuples, lists, dicts and slices of such.
        batches: The samples of each recording's batch, three numbers at least: two make a line, the others prove it.

    Raises:
        VariesError: The values differ, and not by a number for each sample.

    Example:
        >>> td.export.lengths.agreed([(2, 10), (3, 15), (5, 25)], [2, 3, 5])
        (Length(per_sample=1, added=0), Length(per_sample=5, added=0))
    """
    first = values[0]
    if all(exact(value) == exact(first) for value in values):
        return first
    if any(type(value) is not type(first) for value in values):
        raise VariesError(f"{first!r} becomes {values[1]!r}")
    if isinstance(first, (list, tuple)) and all(len(value) == len(first) for value in values):
        return type(first)([agreed(parts, batches) for parts in zip(*values, strict=True)])
    if isinstance(first, dict) and all(list(value) == list(first) for value in values):
        return {key: agreed([value[key] for value in values], batches) for key in first}
    if isinstance(first, slice):
        return slice(*agreed([(s.start, s.stop, s.step) for s in values], batches))
    if type(first) in (int, float):
        slope, rest = divmod(values[1] - first, batches[1] - batches[0])
        line = Length(int(slope), int(first - slope * batches[0]))
        if not rest and all(line.at(n) == value for n, value in zip(batches, values, strict=True)):
            return line
    raise VariesError(f"{first!r} becomes {values[1]!r}")
