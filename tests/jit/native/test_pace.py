"""When the helper is asked for: where it pays, and not while the machine has no time for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinygrad_dnn.jit.native.pace import Pace


def paced(pace: Pace, with_help: float, alone: float, runs: int) -> int:
    """Return how many of some runs were helped."""
    helped = 0
    for _ in range(runs):
        helped += pace.helped
        pace.took(with_help if pace.helped else alone)
    return helped


def test_help_is_kept_where_it_pays() -> None:
    assert paced(Pace(), 1.0, 2.0, 10_000) > 9_800
    assert paced(Pace(), 2.0, 1.0, 10_000) < 200


def test_a_mistake_is_not_kept_for_long() -> None:
    pace = Pace()
    paced(pace, 2.0, 1.0, 100)
    assert not pace.helped
    assert paced(pace, 1.0, 2.0, 1000) > 700
    paced(pace, 2.0, 1.0, 30_000)
    assert paced(pace, 1.0, 2.0, 10_000) > 7000


@pytest.fixture
def pace() -> Pace:
    """A pace at which help is known to pay, for the next runs."""
    made = Pace()
    paced(made, 1.0, 2.0, 100)
    assert made.helped
    return made


def alone_after(pace: Pace, disturb: Callable[[int], bool], runs: int) -> int:
    """Return how many of some runs were not helped, of which those helped that a function names were disturbed."""
    alone = 0
    for number in range(runs):
        alone += not pace.helped
        pace.took(1.0 if pace.helped else 2.0, disturbed=pace.helped and disturb(number))
    return alone


def test_one_disturbed_run_costs_a_few(pace: Pace) -> None:
    assert 1 <= alone_after(pace, lambda number: number == 0, 100) <= 5


def test_disturbances_far_apart_cost_a_few_each(pace: Pace) -> None:
    assert alone_after(pace, lambda number: number in (0, 120), 240) <= 10


def test_where_each_helped_run_is_disturbed_hardly_any_is(pace: Pace) -> None:
    assert alone_after(pace, lambda number: True, 10_000) > 9_970


def test_help_comes_back_when_the_machine_is_free(pace: Pace) -> None:
    alone_after(pace, lambda number: True, 300)
    assert alone_after(pace, lambda number: False, 1000) < 400
    assert alone_after(pace, lambda number: number == 0, 100) <= 5


def test_disturbances_of_runs_without_help_are_not_the_helper_s(pace: Pace) -> None:
    paced(pace, 3.0, 1.0, 1000)
    assert not pace.helped
    for _ in range(10_000):
        pace.took(2.0 if pace.helped else 1.0, disturbed=not pace.helped)
    assert paced(pace, 1.0, 2.0, 1000) > 700


def test_trials_do_without_the_runs_after_a_pause() -> None:
    pace = Pace()
    for number in range(2000):
        slow = number % 4 < 2
        pace.took((50.0 if slow else 1.0) if pace.helped else 2.0, paused=number % 4 == 0)
    assert pace.helped
    assert paced(pace, 1.0, 2.0, 1000) > 900


def test_trials_do_without_disturbed_runs() -> None:
    pace = Pace()
    for number in range(2000):
        slow = number % 8 < 5 and not pace.helped
        pace.took(1.0 if pace.helped else (0.1 if slow else 2.0), disturbed=slow)
    assert paced(pace, 1.0, 2.0, 1000) > 900
