"""Means with their intervals, and who is better: paired differences over the same seeds, by Student's t."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and half the width of its confidence interval; None where one value tells no width.

    Args:
        mean: The mean.
        half: Half the interval's width.

    Example:
        >>> from tinygrad_dnn.comparing import Interval
        >>> Interval(0.5, 0.1).holds(0.45)
        True
    """

    mean: float
    half: float | None

    def holds(self, value: float) -> bool:
        """Tell whether a value lies in the interval; where its width is not known, it may."""
        return self.half is None or abs(value - self.mean) <= self.half


class Difference(NamedTuple):
    """How much more one candidate scored than another, on the same seeds.

    Args:
        first: The one.
        second: The other.
        interval: The mean difference, first less second, with its simultaneous interval.

    Example:
        >>> from tinygrad_dnn.comparing import Difference, Interval
        >>> Difference("adam", "sgd", Interval(0.02, 0.03)).tied
        True
    """

    first: str
    second: str
    interval: Interval

    @property
    def tied(self) -> bool:
        """Whether the interval includes zero: the runs do not show which one is better."""
        return self.interval.holds(0.0)


class Standing(NamedTuple):
    """A candidate's place.

    Args:
        name: The candidate.
        rank: One more than the number of candidates that were shown to be better.
        score: Its mean score with the interval of the mean.
        tied: Those that are neither shown to be better nor shown to be worse.

    Example:
        >>> from tinygrad_dnn.comparing import standings
        >>> standings({"adam": [0.9, 0.92, 0.91], "sgd": [0.9, 0.91, 0.92]})[0][0].tied
        ('sgd',)
    """

    name: str
    rank: int
    score: Interval
    tied: tuple[str, ...]


def interval(values: Sequence[float], confidence: float = CONFIDENCE, resolution: float = 0.0) -> Interval:
    """Return the mean of values and its interval, ``t * s / sqrt(n)`` on each side, by Student's t.

    Args:
        values: At least one number.
        confidence: In (0, 1).
        resolution: The step in which the values are counted; their deviation is taken to be at least that, since
            values that fall on the same step need not be equal.

    Raises:
        ValueError: There is no value.

    Example:
        >>> from tinygrad_dnn.comparing import interval
        >>> mean, half = interval([0.0, 1.0, 2.0])
        >>> mean, round(half, 4)
        (1.0, 2.4841)
    """
    n = len(values)
    if not n:
        raise ValueError("interval: there is no value.")
    # By differences from the first: the mean of equal numbers is then that number, and their deviation is 0.
    mean = values[0] + math.fsum(value - values[0] for value in values) / n
    if n == 1:
        return Interval(mean, None)
    deviation = max(resolution, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)))
    return Interval(mean, t_quantile((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n))


def standings(
    scores: Mapping[str, Sequence[float]], higher_is_better: bool = True, resolution: float = 0.0
) -> tuple[list[Standing], list[Difference]]:
    """Return the candidates in the order of their means, best first, and all paired differences.

    Of each two candidates the scores of the same seed are subtracted. With so many pairs some would differ by chance:
    each interval is made for the confidence ``1 - 0.05 / pairs`` (Bonferroni), so that all of them together hold the
    true differences with a confidence of at least 95 %. One candidate is shown to be better where its interval leaves
    zero out. One whose scores scatter widely can so have rank 1 below others that have not.

    Args:
        scores: By candidate, one number a seed, in the same order of seeds.
        higher_is_better: Whether a higher score is a better one.
        resolution: The step in which scores are counted, of an accuracy one over the number of samples. Without it
            two or three seeds whose counts happen to differ by the same would show a difference.

    Raises:
        ValueError: The candidates' numbers of seeds differ.

    Example:
        >>> from tinygrad_dnn.comparing import standings
        >>> order, differences = standings({"a": [0.5, 0.51, 0.52], "b": [0.8, 0.81, 0.83], "c": [0.79, 0.83, 0.81]})
        >>> [(each.name, each.rank) for each in order]
        [('b', 1), ('c', 1), ('a', 3)]
        >>> [(each.first, each.second) for each in differences if each.tied]
        [('b', 'c')]
    """
    if len({len(each) for each in scores.values()}) > 1:
        raise ValueError("standings: each candidate needs a score for each of the same seeds.")
    pairs = list(itertools.combinations(scores, 2))
    confidence = _confidence(len(pairs))
    differences = [
        Difference(a, b, interval([x - y for x, y in zip(scores[a], scores[b], strict=True)], confidence, resolution))
        for a, b in pairs
    ]
    worse: dict[str, int] = dict.fromkeys(scores, 0)
    ties: dict[str, list[str]] = {name: [] for name in scores}
    for each in differences:
        if each.tied:
            ties[each.first].append(each.second)
            ties[each.second].append(each.first)
        else:
            worse[each.second if (each.interval.mean > 0) == higher_is_better else each.first] += 1
    found = [
        Standing(name, 1 + worse[name], interval(each, resolution=resolution), tuple(ties[name]))
        for name, each in scores.items()
    ]
    sign = -1 if higher_is_better else 1
    return sorted(found, key=lambda each: sign * each.score.mean), differences


def errors_needed(pairs: int, seeds: int) -> float:
    """Return how many of its standard errors a mean difference must be, to count among so many pairs.

    Example:
        >>> from tinygrad_dnn.comparing.statistics import errors_needed
        >>> round(errors_needed(1, 5), 3), round(errors_needed(10, 5), 3)
        (2.776, 5.598)
    """
    return t_quantile((1 + _confidence(pairs)) / 2, seeds - 1)


def _confidence(pairs: int) -> float:
    """Return the confidence of one pair with which all of them have that of ``CONFIDENCE``."""
    return 1 - (1 - CONFIDENCE) / max(pairs, 1)


@functools.cache
def t_quantile(probability: float, freedom: int) -> float:
    """Return the number that Student's t stays below with a probability, by bisection of its distribution.

    Args:
        probability: In [0.5, 1).
        freedom: The degrees of freedom, at least 1.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> from tinygrad_dnn.comparing import t_quantile
        >>> round(t_quantile(0.975, 4), 4), round(t_quantile(0.975, 2), 4)
        (2.7764, 4.3027)
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"t_quantile: the probability lies in [0.5, 1), the freedom is at least 1; got {probability}, "
                         f"{freedom}.")  # fmt: skip
    low, high = 0.0, 1.0
    while _within(high, freedom) < 2 * probability - 1:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if _within(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return high


def _within(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    if freedom == 1:
        total = 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
