"""The schedule of two threads: each part once, about as much for both, and all in an order that changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tinygrad_dnn.jit.native import schedule as module
from tinygrad_dnn.jit.native.records import Record, Region
from tinygrad_dnn.jit.native.schedule import Piece, schedule


def parts(pieces: Sequence[Piece]) -> list[tuple[int, int, int]]:
    """Return what a thread does."""
    return [(x.address, x.low, x.high) for piece in pieces for x in piece.records]


def rows(slot: int, writes: bool, width: int = 400) -> Region:
    """Return the rows of a matrix."""
    return Region(slot, 0, width, width, writes)


def step(number: int, source: Region, cost: float = 3000.0, splits: bool = True) -> Record:
    """Return what makes slot n + 1 out of a part of slot n."""
    return Record(number, (), 0, 32, cost, splits, (source, rows(number + 1, True)))


def test_one_large_record_is_halved() -> None:
    first, second = schedule([Record(1, (), 0, 100, cost=9000.0, splits=True)])
    assert parts(first) == [(1, 0, 48)]
    assert parts(second) == [(1, 48, 100)]


def test_rows_go_their_way_without_waiting() -> None:
    first, second = schedule([step(n, rows(n, False)) for n in range(10)])
    assert parts(first) == [(n, 0, 16) for n in range(10)]
    assert parts(second) == [(n, 16, 32) for n in range(10)]
    assert [piece.needs for piece in first + second] == [0, 0]


def test_what_reads_all_rows_waits_for_both() -> None:
    everything = Region(1, 0, 32 * 400, 0, False)
    first, second = schedule([step(0, rows(0, False), 9000.0), step(1, everything, 9000.0)])
    assert parts(first) == [(0, 0, 16), (1, 0, 16)]
    assert [piece.needs for piece in first] == [piece.needs for piece in second] == [0, 1]


def test_the_memory_of_others_is_written_after_they_have_read_it() -> None:
    over = Record(9, (), 0, 1, cost=10.0, regions=(Region(1, 0, 32 * 400, 0, True),))
    first, second = schedule([step(0, rows(0, False), 9000.0), step(1, rows(1, False), 9000.0), over])
    place = [piece for piece in first + second if piece.records[0].address == 9]
    assert [piece.needs for piece in place] == [1]


def test_what_waits_for_nobody_is_done_where_a_thread_would_wait() -> None:
    chain = [step(n, rows(n, False), 4000.0, splits=False) for n in range(10)]
    aside = [Record(100 + n, (), 0, 32, 3000.0, False, (rows(n + 1, False), rows(50 + n, True))) for n in range(10)]
    first, second = schedule([x for pair in zip(chain, aside, strict=True) for x in pair])
    assert sorted(parts(first) + parts(second)) == sorted((x.address, 0, 32) for x in chain + aside)
    sides = [{address for address, _, _ in parts(side)} for side in (first, second)]
    assert any({x.address for x in chain} <= side for side in sides)
    assert min(sum(x.cost for piece in side for x in piece.records) for side in (first, second)) > 20_000


def test_what_is_not_worth_it_is_done_by_one() -> None:
    assert schedule([Record(1, (), 0, 100, cost=10.0, splits=True)])[1] == []
    assert schedule([step(n, rows(n, False), splits=False) for n in range(10)])[1] == []


def test_what_cannot_be_split_is_not() -> None:
    first, second = schedule([Record(1, (), 0, 100, cost=1e6), Record(2, (), 0, 100, cost=10.0, splits=True)])
    assert (1, 0, 100) in parts(first) + parts(second)


def test_long_lists_take_no_recursion() -> None:
    long = [step(n, rows(n, False), 1000.0 if n % 2 else 10.0) for n in range(3000)]
    aside = [Record(n, (), 0, 1, 10.0, False, (Region(5000, 0, 4, 0, True),)) for n in range(1500)]
    first, second = schedule([*aside, *long])
    assert len({address for address, _, _ in parts(first) + parts(second)}) == 3000


def random_records(seed: int) -> list[Record]:
    """Return records that read and write pieces of three arrays, some of them moving as their loop goes on."""
    draw = np.random.default_rng(seed)
    records = []
    for number in range(40):
        length = int(draw.integers(1, 30))
        regions = []
        for writes in (False, False, True):
            begin, size = int(draw.integers(0, 400)), int(draw.integers(1, 60))
            move = int(draw.choice([0, 0, size, size + 3, -size]))
            begin -= min(0, move * (length - 1))
            regions.append(Region(int(draw.integers(3)), begin, begin + size, move, writes))
        splits = regions[2].step in (regions[2].end - regions[2].begin, -(regions[2].end - regions[2].begin))
        records.append(Record(number, (), 0, length, float(draw.integers(10, 5000)), splits, tuple(regions)))
    return records


def touched(record: Record) -> list[tuple[int, int, int, bool]]:
    """Return the bytes that a part reads and writes."""
    return [(x.slot, *x.bytes(record.low, record.high), x.writes) for x in record.regions]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("ready", [True, False])
def test_conflicting_parts_keep_their_order(seed: int, ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if ready:
        for name in ("_MESSAGE", "_CUT", "_WORTH", "_LEAST"):
            monkeypatch.setattr(module, name, 0.0)
    records = random_records(seed)
    sides = schedule(records)
    covered: dict[int, list[int]] = {x.address: [] for x in records}
    for address, low, high in parts(sides[0]) + parts(sides[1]):
        covered[address] += range(low, high)
    assert all(sorted(covered[x.address]) == [*range(x.low, x.high)] for x in records)
    flat = [
        (side, number, place, record)
        for side, pieces in enumerate(sides)
        for number, piece in enumerate(pieces)
        for place, record in enumerate(piece.records)
    ]
    for side, number, place, record in flat:
        for other_side, other_number, other_place, other in flat:
            if other.address >= record.address or not _conflict(other, record):
                continue
            if side == other_side:
                assert (other_number, other_place) < (number, place)
            else:
                assert max(x.needs for x in sides[side][: number + 1]) > other_number
    for piece_number, piece in enumerate(sides[0]):
        # What the first thread needs, it can do itself.
        assert all(x.needs <= piece_number for x in sides[1][: piece.needs])


def _conflict(x: Record, y: Record) -> bool:
    return any(
        a[0] == b[0] and a[1] < b[2] and b[1] < a[2] and (a[3] or b[3]) for a in touched(x) for b in touched(y)
    )
