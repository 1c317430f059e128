"""Pieces: rows hold the arrays of all lanes, and of temporary values a chain makes only slices that fit the cache."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import record, simplify
from tinygrad_dnn.jit.numpy_calls import Calls
from tinygrad_dnn.jit.packing import CACHE_BYTES, Pack, find_packs
from tinygrad_dnn.jit.pieces import Rows, piecewise

pytestmark = pytest.mark.skipif(td.backend.current().name != "numpy", reason="it runs on the host alone")


def moments(shapes: list[tuple[int, ...]]) -> Pack:
    """Return the one pack of an optimizer's update of weights with a moment."""
    weights, moments, slopes = ([td.Variable(np.zeros(shape, np.float32)) for shape in shapes] for _ in range(3))

    def update() -> None:
        for w, m, g in zip(weights, moments, slopes, strict=True):
            m.assign(0.9 * m + 0.1 * g)
            w.assign(w - 0.01 * m / (td.sqrt(m * m) + 1e-7))

    [pack] = find_packs(simplify(record(lambda _: update(), []).program))
    return pack


def test_rows_hold_the_lanes_one_behind_the_other() -> None:
    pack = moments([(5,), (4, 3)])
    rows = Rows(pack)
    assert len(rows.rows) == 3
    for place, value in enumerate(pack.lanes[0].given):
        row = rows.rows[id(value)]
        for number, lane in enumerate(pack.lanes):
            rows.parts[id(lane.given[place])][...] = number + 1
        assert row.tolist() == [1.0] * 12 + [2.0] * 5
    assert [rows.parts[id(lane.given[0])].shape for lane in pack.lanes] == [(4, 3), (5,)]


def test_who_looks_at_a_part_refers_to_that_part() -> None:
    rows = Rows(moments([(5,), (4, 3)]))
    for part in rows.parts.values():
        assert part[1:].base is part.reshape(-1).base is part.T.base is part


def test_only_what_lies_elsewhere_is_copied_to_its_part() -> None:
    pack = moments([(5,), (4, 3)])
    rows = Rows(pack)
    assert rows.fill(rows.parts) == []
    other = np.arange(5.0, dtype=np.float32)
    [(function, *arguments)] = rows.fill({**rows.parts, id(pack.lanes[1].given[0]): other})
    function(*arguments)
    assert rows.parts[id(pack.lanes[1].given[0])].tolist() == other.tolist()


@pytest.mark.parametrize("size", [10, 64, 1000, 100_000])
def test_slices_cover_all_and_temporary_values_share_two_buffers(size: int) -> None:
    pack = moments([(size,), (size,)])
    rows = Rows(pack)
    rows.add(len(pack.lanes[0].steps) - 1)
    calls, nbytes = piecewise(pack.lanes[0].steps, rows.rows, {}, Calls())
    length = rows.rows[id(pack.lanes[0].given[0])].size
    slices = [out for function, *_, out in calls if function is np.sqrt]
    assert sum(out.size for out in slices) == length
    assert all(out.size % 64 == 0 for out in slices[:-1])
    assert nbytes == 2 * 4 * slices[0].size < CACHE_BYTES
    assert len(calls) == len(slices) * len(pack.lanes[0].steps)
