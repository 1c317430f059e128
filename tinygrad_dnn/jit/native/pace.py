"""Pace: whether the helper is to be asked for help, found out by trying and by how often it comes late."""

from __future__ import annotations

import numpy as np

# A trial: blocks of so many runs, with and without help in turn, of which the first ones say nothing, since they find
# the helper asleep, or the data in the other core's cache.
_BLOCK = 6
_SETTLING = 2
_TRIAL = 4 * _BLOCK

# What a trial finds is kept for so many runs, and for twice as many each time that the next trial finds the same: the
# first and the greatest number, by whether help pays. A mistake is not kept for long.
_PERIODS = {True: (400, 6400), False: (100, 1600)}

# After a disturbed run so many do without help; twice as many if fewer than _PUNCTUAL helped ones came in between.
_REST = 4
_LONGEST_REST = 1024
_PUNCTUAL = 100


class Pace:
    """Finds out whether help pays; results do not depend on it.

    Whether it pays at all is tried out: some runs with the helper and some without in turn, and what is faster is kept
    for a period of runs. A helped run that was disturbed, since the machine has no two cores to spare, lets the next
    few do without; if that happens again soon, twice as many.

    Attributes:
        helped: Whether the next run is to be helped.

    Example:
        >>> pace = td.jit.native.pace.Pace()
        >>> for _ in range(100):
        ...     pace.took(2.0 if pace.helped else 1.0)
        >>> pace.helped
        False
    """

    def __init__(self) -> None:
        self.helped = True
        self._pays = True
        self._times: dict[bool, list[float]] = {True: [], False: []}
        self._tried = 0
        self._left = 0
        self._period = 0
        self._resting = 0
        self._rest = _REST
        self._punctual = _PUNCTUAL
        self._unsettled = 0

    def took(self, seconds: float, disturbed: bool = False, paused: bool = False) -> None:
        """Note how long a run took.

        Args:
            seconds: How long.
            disturbed: Whether it waited for the helper for very long, or lost its core to somebody else.
            paused: Whether there had been none for a while.
        """
        if paused or disturbed:
            self._unsettled = _SETTLING
        if disturbed and self.helped and not paused:  # after a pause it is the helper that has to wake up
            self._rest = _REST if self._punctual >= _PUNCTUAL else min(2 * self._rest, _LONGEST_REST)
            self._resting, self._punctual = self._rest, 0
        elif self._resting:
            self._resting -= 1
            self._unsettled = _SETTLING
        else:
            self._punctual += self.helped
            if self._left:
                self._left -= 1
            elif self._unsettled:
                self._unsettled -= 1
            else:
                self._try(seconds)
        wanted = self._pays if self._left else self._tried // _BLOCK % 2 == 0
        self.helped = wanted and not self._resting

    def _try(self, seconds: float) -> None:
        """Note a run of a trial, whose blocks are helped in turn; after the last, decide."""
        if self._tried % _BLOCK >= _SETTLING:
            self._times[self.helped].append(seconds)
        self._tried += 1
        if self._tried < _TRIAL:
            return
        pays = bool(np.median(self._times[True]) < np.median(self._times[False]))
        shortest, longest = _PERIODS[pays]
        self._period = min(2 * self._period, longest) if pays is self._pays and self._period else shortest
        self._pays, self._left, self._tried = pays, self._period, 0
        self._times = {True: [], False: []}
