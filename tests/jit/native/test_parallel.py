"""What each of two threads does of a stage: about as much, and nothing twice."""

from __future__ import annotations

from tinygrad_dnn.jit.native.parallel import Record, shared


def test_one_large_record_is_halved() -> None:
    first, second = shared([Record(1, (), 0, 100, cost=9000.0, splits=True)])
    assert [(x.address, x.low, x.high) for x in first] == [(1, 0, 48)]
    assert [(x.address, x.low, x.high) for x in second] == [(1, 48, 100)]


def test_of_records_of_unequal_cost_the_largest_is_cut_where_both_have_as_much() -> None:
    large = Record(1, (), 0, 100, cost=8000.0, splits=True)
    small = [Record(2, (), 0, 10, cost=3000.0), Record(3, (), 0, 10, cost=1000.0)]
    first, second = shared([*small, large])
    assert [(x.address, x.low, x.high) for x in first] == [(1, 0, 80)]
    assert [(x.address, x.low, x.high) for x in second] == [(2, 0, 10), (3, 0, 10), (1, 80, 100)]
    assert abs(sum(x.cost for x in first) - sum(x.cost for x in second)) < 1000


def test_records_of_about_equal_cost_stay_whole() -> None:
    first, second = shared([Record(n, (), 0, 100, cost=5000.0 - 10 * n, splits=True) for n in range(4)])
    assert [(x.address, x.low, x.high) for x in first + second] == [(n, 0, 100) for n in (0, 3, 1, 2)]


def test_a_stack_of_few_is_cut_into_parts_that_are_not_empty() -> None:
    for length in range(2, 40):
        first, second = shared([Record(1, (), 5, 5 + length, cost=9000.0, splits=True)])
        assert [(x.low, x.high) for x in first + second] == [(5, first[0].high), (first[0].high, 5 + length)]
        assert abs((first[0].high - first[0].low) - length / 2) <= 2


def test_what_is_not_worth_it_is_done_by_one() -> None:
    assert shared([Record(1, (), 0, 100, cost=10.0, splits=True)])[1] == []


def test_what_cannot_be_split_is_not() -> None:
    first, second = shared([Record(1, (), 0, 100, cost=1e6), Record(2, (), 0, 100, cost=10.0, splits=True)])
    assert [(x.address, x.low, x.high) for x in first + second] == [(1, 0, 100), (2, 0, 100)]
