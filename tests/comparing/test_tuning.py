"""Tuning: the rates that are tried find the best one of a valley, go beyond an edge, and are equally many for all."""

from __future__ import annotations

import math

import pytest

from tinygrad_dnn.comparing.tuning import RATES, at_edge, best, proposed


def search(loss, trials: int, first=RATES) -> dict[float, float]:
    tried: dict[float, float] = {}
    while rates := proposed(first, trials, tried):
        assert not tried.keys() & rates, "proposed again, which would go on for ever"
        tried |= {rate: loss(rate) for rate in rates}
    return tried


@pytest.mark.parametrize("lowest", [3e-8, 2e-6, 7e-4, 0.05, 3.0])
def test_the_best_rate_is_found_to_a_sixth_of_a_decade(lowest: float) -> None:
    tried = search(lambda rate: abs(math.log10(rate / lowest)), trials=13)
    assert len(tried) == 13
    assert abs(math.log10(best(tried) / lowest)) < 1 / 6
    assert not at_edge(tried)


def test_where_large_rates_diverge() -> None:
    tried = search(lambda rate: math.inf if rate > 2e-5 else -rate, trials=11)
    assert best(tried) == 1.78e-05
    assert not at_edge(tried)


def test_a_loss_that_falls_to_the_edge_is_told() -> None:
    tried = search(lambda rate: rate, trials=8)
    assert sorted(tried)[:4] == [1e-8, 1e-7, 1e-6, 1e-5]
    assert at_edge(tried)


def test_all_diverge() -> None:
    assert min(search(lambda rate: math.inf, trials=7)) == 1e-7


@pytest.mark.parametrize("trials", range(5, 18))
def test_so_many_trials_and_no_rate_twice(trials: int) -> None:
    for lowest in (1e-9, 1e-3, 2.2e-3, 1e3):
        assert len(search(lambda rate, lowest=lowest: abs(math.log(rate / lowest)), trials)) == trials


@pytest.mark.parametrize("first", [(0.00123, 0.00124, 0.00125), (1e-3, 1.01e-3, 1.02e-3), (0.1, 0.2, 0.3)])
def test_rates_that_lie_close_together_are_told_apart_too(first: tuple[float, ...]) -> None:
    assert len(search(lambda rate: abs(math.log(rate / first[1])), 15, first)) == 15


def test_one_rate_is_no_edge() -> None:
    assert not at_edge({1e-3: 0.5})
