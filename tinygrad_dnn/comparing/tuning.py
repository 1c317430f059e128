"""Which learning rates are tried: a coarse grid first, then, one after another, rates beside or beyond the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Each further trial halves a gap beside the best: what more of them would tell is less than what seeds scatter by.
MOST_FURTHER = 12


def proposed(first: Sequence[float], trials: int, tried: Mapping[float, float]) -> list[float]:
    """Return the rates to try next: those of ``first`` that are left, then one at a time, until there are ``trials``.

    The next rate is a decade beyond the best one where that lies at the edge of what was tried, and otherwise in the
    middle, on a logarithmic scale, of the wider gap beside it; of equal ones, of that on the better neighbour's side.
    What is proposed depends on nothing but the losses, so that every order of running gives the same rates.

    Args:
        first: The rates that are tried first.
        trials: How many there are in all.
        tried: The loss by rate, infinite where the training diverged.

    Example:
        >>> from tinygrad_dnn.comparing.tuning import proposed
        >>> proposed((1e-3, 1e-2), 4, {1e-3: 0.5})
        [0.01]
        >>> proposed((1e-3, 1e-2), 4, {1e-3: 0.5, 1e-2: 0.4})
        [0.1]
        >>> proposed((1e-3, 1e-2), 4, {1e-3: 0.5, 1e-2: 0.4, 1e-1: math.inf})
        [0.00316]
        >>> proposed((1e-3, 1e-2), 4, {1e-3: 0.5, 1e-2: 0.4, 1e-1: math.inf, 3.16e-3: 0.3})
        []
    """
    if left := [rate for rate in first if rate not in tried]:
        return left
    if len(tried) >= trials:
        return []
    rates = sorted(tried)
    at = rates.index(best(tried))
    if at == 0:
        return [_rounded(rates[0] / 10)]
    if at == len(rates) - 1:
        return [_rounded(rates[-1] * 10)]

    def preference(neighbour: float) -> tuple[float, float]:
        return -round(abs(math.log10(neighbour / rates[at])), 2), tried[neighbour]

    nearest = min(rates[at - 1], rates[at + 1], key=preference)
    return [_between(nearest, rates[at])]


def best(tried: Mapping[float, float]) -> float:
    """Return the rate of the least loss; of equal ones the smallest.

    Example:
        >>> from tinygrad_dnn.comparing.tuning import best
        >>> best({1e-3: 0.5, 1e-2: 0.4, 1e-1: 0.4})
        0.01
    """
    return min(sorted(tried), key=tried.__getitem__)


def at_edge(tried: Mapping[float, float]) -> bool:
    """Tell whether the best rate is the least or the greatest of several that were tried: a better one may lie beyond.

    Example:
        >>> from tinygrad_dnn.comparing.tuning import at_edge
        >>> at_edge({1e-3: 0.5, 1e-2: 0.4}), at_edge({1e-3: 0.5, 1e-2: 0.4, 1e-1: math.inf})
        (True, False)
    """
    return len(tried) > 1 and best(tried) in (min(tried), max(tried))


def _rounded(rate: float, digits: int = 3) -> float:
    return float(f"{rate:.{digits}g}")


def _between(one: float, other: float) -> float:
    """Return the middle of two rates, in three digits where these tell it from both."""
    middle = math.sqrt(one * other)
    return next((rate for digits in range(3, 17) if (rate := _rounded(middle, digits)) not in (one, other)), middle)
