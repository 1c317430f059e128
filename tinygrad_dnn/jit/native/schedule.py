"""The schedule of two threads: who does which part of each record, in which order, and what it has to wait for.

Nothing but the bytes that records read and write tells what must come before what. A part that reads what another part
wrote, or writes what another has read or written, comes after it; where both are done by the same thread that costs
nothing. So a product of some rows of a batch, what follows on these rows, and the next product form a chain in one
thread, beside that of the other rows in the other thread; and the gradients of weights are computed where a thread
would wait. How long things take is estimated, so that the schedule of a program is always the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tinygrad_dnn.jit.native.records import Record, Region

# Nanoseconds until one thread sees that the other is done with something, and has fetched what that wrote.
_MESSAGE = 600.0

# What takes fewer nanoseconds is not cut in two.
_WORTH = 600.0

# Where a helper would save fewer nanoseconds, there is none.
_LEAST = 1500.0

# So many of the records that wait are looked at when a thread would have nothing to do.
_FILLING = 24

# Records that cost less are cut only where those before them were. A schedule is made for each of these, the best is
# kept.
_UNDIVIDED = (0.0, 10_000.0)

# Both parts of a cut record are at least so many nanoseconds dearer than half of it.
_CUT = 60.0

Conflicts = list[dict[int, list[tuple[Region, Region]]]]
"""For each record those that it must follow, by number, with the regions in which they meet."""


@dataclass(eq=False, slots=True)
class Piece:
    """Records that a thread runs in one go.

    Attributes:
        records: The records.
        needs: How many pieces of the other thread have to be done before.
    """

    records: list[Record] = field(default_factory=list)
    needs: int = 0


@dataclass(eq=False, slots=True)
class _Part:
    """A record's part in its place: which thread does it, after how many other parts, and about when it is done."""

    low: int
    high: int
    side: int
    place: int
    end: float


def schedule(records: Sequence[Record]) -> tuple[list[Piece], list[Piece]]:
    """Return what each of two threads does of records that are meant to be run one after the other.

    If the pieces are run in any order in which each thread's are in turn, and those that a piece needs come before it,
    the results are those of the records one after the other. The second thread's pieces never need a later one of the
    first's than the first needs them for, so that the first can do any of them itself when it needs them.

    Example:
        >>> from tinygrad_dnn.jit.native.records import Record
        >>> from tinygrad_dnn.jit.native.schedule import schedule
        >>> first, second = schedule([Record(0, (), 0, 100, cost=5000.0, splits=True)])
        >>> [(x.low, x.high) for piece in first + second for x in piece.records]
        [(0, 48), (48, 100)]
    """
    before = conflicts(records)
    plans = [_Plan(records, before, undivided) for undivided in _UNDIVIDED]
    best = min(plans, key=lambda x: max(x.clocks))
    if sum(record.cost for record in records) - max(best.clocks) < _LEAST:
        return [Piece([*records])], []
    return best.pieces()


def conflicts(records: Sequence[Record]) -> Conflicts:
    """Return for each record those before it that it must follow, by number, with the regions that tell so."""
    touched: dict[int, list[tuple[int, int, Region, int]]] = defaultdict(list)
    result: Conflicts = []
    for number, record in enumerate(records):
        found: dict[int, list[tuple[Region, Region]]] = {}
        spans = [(*region.bytes(record.low, record.high), region) for region in record.regions]
        for begin, end, region in spans:
            for other_begin, other_end, other, other_number in touched[region.slot]:
                if other_begin < end and begin < other_end and (region.writes or other.writes):
                    found.setdefault(other_number, []).append((other, region))
        for begin, end, region in spans:
            if region.writes and region.hangs_together:
                # Whoever meets these from now on meets this record, which comes after them.
                kept = [x for x in touched[region.slot] if not (begin <= x[0] and x[1] <= end)]
                touched[region.slot] = kept
        for begin, end, region in spans:
            touched[region.slot].append((begin, end, region, number))
        result.append(found)
    return result


class _Plan:
    """A schedule in the making: records are put one by one, those that much depends on in their order.

    The others wait until a thread would have nothing to do, or until somebody needs them.

    Attributes:
        clocks: When each thread is done.
    """

    def __init__(self, records: Sequence[Record], before: Conflicts, undivided: float) -> None:
        self.records = records
        self.before = before
        self.undivided = undivided
        self.clocks = [0.0, 0.0]
        self._parts: list[list[_Part]] = [[] for _ in records]
        self._lists: tuple[list[tuple[int, _Part]], list[tuple[int, _Part]]] = ([], [])
        self._known: dict[tuple[int, int, int], list[_Part]] = {}
        self._waiting: list[int] = []
        self._ranks = self._longest_paths()
        later = 0.0
        urgent = []
        for number in reversed(range(len(records))):
            urgent.append(self._ranks[number] >= later)
            later = max(later, self._ranks[number])
        for number, now in enumerate(reversed(urgent)):
            if now:
                self._put_after_all(number, urgent=True)
            else:
                self._waiting.append(number)
        for number in sorted(self._waiting, key=lambda x: -self._ranks[x]):
            self._put_after_all(number, urgent=False)

    def _longest_paths(self) -> list[float]:
        """Return how long it takes from each record's beginning until all that depends on it is done."""
        after = [0.0] * len(self.records)
        for number in reversed(range(len(self.records))):
            after[number] += self.records[number].cost
            for other in self.before[number]:
                after[other] = max(after[other], after[number])
        return after

    # -- where a record goes ------------------------------------------------------------------------------------------

    def _put_after_all(self, number: int, urgent: bool) -> None:
        """Put a record, after those that it must follow."""
        wanted, stack = {number}, [number]
        while stack:
            new = [x for x in self.before[stack.pop()] if not self._parts[x] and x not in wanted]
            wanted.update(new)
            stack += new
        for x in sorted(wanted):
            if not self._parts[x]:
                self._put(x, urgent)

    def _put(self, number: int, urgent: bool) -> None:
        """Put a record where it is over soonest, or, if nothing waits for it, where both threads are."""
        options = [self._timed(number, cut) for cut in self._cuts(number)]
        if urgent:
            best = min(options, key=lambda x: (max(end for *_, end in x), sum(end for *_, end in x)))
        else:
            best = min(options, key=self._clocks_after)
        if urgent:
            for _, _, side, start, _ in best:
                self._fill(side, start)
        for low, high, side, _, end in best:
            self._append(number, low, high, side, end)

    def _clocks_after(self, option: list[tuple[int, int, int, float, float]]) -> tuple[float, float]:
        clocks = [*self.clocks]
        for _, _, side, _, end in option:
            clocks[side] = end
        return max(clocks), sum(clocks)

    def _fill(self, side: int, until: float) -> None:
        """Let a thread do what waits, as long as it is over in time."""
        self._waiting = [x for x in self._waiting if not self._parts[x]]
        for number in self._waiting[:_FILLING]:
            record = self.records[number]
            if self.clocks[side] + record.cost > until or not all(self._parts[x] for x in self.before[number]):
                continue
            ((low, high, _, _, end),) = self._timed(number, [(record.low, record.high, side)])
            if end <= until:
                self._append(number, low, high, side, end)

    def _append(self, number: int, low: int, high: int, side: int, end: float) -> None:
        part = _Part(low, high, side, len(self._lists[side]), end)
        self._parts[number].append(part)
        self._lists[side].append((number, part))
        self.clocks[side] = end

    def _timed(self, number: int, option: list[tuple[int, int, int]]) -> list[tuple[int, int, int, float, float]]:
        """Return parts with when each would begin and end."""
        record = self.records[number]
        result = []
        for low, high, side in option:
            start = self.clocks[side]
            for other in self._met(number, low, high):
                start = max(start, other.end + (_MESSAGE if other.side != side else 0.0))
            cost = record.cost
            if len(option) > 1:
                cost = record.again + _CUT + (cost - record.again) * (high - low) / (record.high - record.low)
            result.append((low, high, side, start, start + cost))
        return result

    def _met(self, number: int, low: int, high: int) -> list[_Part]:
        """Return the parts of other records that a part of a record must follow, all of which have been put."""
        found = self._known.get((number, low, high))
        if found is None:
            whole = (low, high) == (self.records[number].low, self.records[number].high)
            found = self._known[number, low, high] = []
            for other, pairs in self.before[number].items():
                parts = self._parts[other]
                met = parts if whole and len(parts) == 1 else [x for x in parts if _meet(pairs, x, low, high)]
                found += met
        return found

    def _cuts(self, number: int) -> list[list[tuple[int, int, int]]]:
        """Return the ways a record could be done: by one thread, or cut where others were or both are over at once."""
        record = self.records[number]
        low, high = record.low, record.high
        result = [[(low, high, 0)], [(low, high, 1)]]
        if not record.splits or high - low < 2 or record.cost < _WORTH:
            return result
        cuts = {
            part.high
            for other in self.before[number]
            if (self.records[other].low, self.records[other].high) == (low, high)
            for part in self._parts[other]
        }
        if record.cost >= self.undivided:
            whole = [self._timed(number, option)[0] for option in result]
            begins = [x[3] for x in whole]
            part = 0.5 + (begins[0] - begins[1]) / 2 / record.cost
            cuts.add(_even(low, high, part))
        return result + [[(low, cut, 0), (cut, high, 1)] for cut in sorted(cuts) if low < cut < high]

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def pieces(self) -> tuple[list[Piece], list[Piece]]:
        """Return what each thread runs in one go; a piece begins where something is needed, and ends where it is."""
        needs: tuple[list[int], list[int]] = ([], [])
        ends: tuple[set[int], set[int]] = (set(), set())
        for side, parts in enumerate(self._lists):
            latest = 0
            for number, part in parts:
                others = [x.place + 1 for x in self._met(number, part.low, part.high) if x.side != side]
                if max(others, default=0) > latest:
                    latest = max(others)
                    ends[1 - side].add(latest - 1)
                needs[side].append(latest)
        made: tuple[list[Piece], list[Piece]] = ([], [])
        done: tuple[list[int], list[int]] = ([], [])  # how many pieces are over after each part, where one ends
        for side, parts in enumerate(self._lists):
            begins = True
            for place, (number, part) in enumerate(parts):
                if begins or needs[side][place] != needs[side][place - 1]:
                    made[side].append(Piece([], needs[side][place]))
                made[side][-1].records.append(replace(self.records[number], low=part.low, high=part.high))
                done[side].append(len(made[side]))
                begins = place in ends[side]
        for side, pieces in enumerate(made):
            for piece in pieces:
                piece.needs = done[1 - side][piece.needs - 1] if piece.needs else 0
        return made


def _meet(pairs: Sequence[tuple[Region, Region]], part: _Part, low: int, high: int) -> bool:
    """Tell whether a part of a record meets a part of another, where they meet being told in pairs of regions."""
    for theirs, own in pairs:
        begin, end = own.bytes(low, high)
        other_begin, other_end = theirs.bytes(part.low, part.high)
        if begin < other_end and other_begin < end:
            return True
    return False


def _even(low: int, high: int, part: float) -> int:
    """Return where to cut a range after about such a part of it."""
    length = high - low
    grain = 16 if length >= 64 else 4 if length >= 16 else 1
    kept = round(part * length / grain) * grain
    return low + min(max(kept, grain), length - 1)
