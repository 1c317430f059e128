"""The statistics of a comparison: Student's t, intervals, ranks and ties."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dnn.comparing import interval, standings, t_quantile


# Of printed tables of Student's t.
@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 3, 3.1824), (0.975, 4, 2.7764), (0.975, 9, 2.2622),
     (0.975, 30, 2.0423), (0.995, 5, 4.0321), (0.9995, 4, 8.6103), (0.95, 7, 1.8946), (0.5, 3, 0.0)],
)  # fmt: skip
def test_quantile(probability: float, freedom: int, expected: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("probability", "freedom"), [(0.4, 3), (1.0, 3), (0.9, 0)])
def test_quantile_of_what_is_none(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="t_quantile"):
        t_quantile(probability, freedom)


def test_interval_holds_the_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).standard_normal((2000, 4)) + 7
    held = np.mean([interval(list(row)).holds(7.0) for row in draws])
    assert abs(held - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_interval_of_few() -> None:
    assert interval([0.5]) == (0.5, None)
    assert interval([0.1, 0.1, 0.1]) == (0.1, 0.0)
    with pytest.raises(ValueError, match="no value"):
        interval([])


def test_pairs_count_and_not_the_spread_over_seeds() -> None:
    seeds = np.array([0.1, 0.5, 0.9, 0.3])
    more = np.array([0.01, 0.012, 0.011, 0.01])
    order, (difference,) = standings({"worse": list(seeds), "better": list(seeds + more)})
    assert [(each.name, each.rank, each.tied) for each in order] == [("better", 1, ()), ("worse", 2, ())]
    assert not difference.tied
    assert order[0].score.half > 0.4, "the means' own intervals overlap by far"


def test_ties() -> None:
    scores = {"a": [0.80, 0.82, 0.81], "b": [0.81, 0.80, 0.82], "c": [0.5, 0.51, 0.5]}
    order, differences = standings(scores)
    assert [(each.rank, each.tied) for each in order] == [(1, ("b",)), (1, ("a",)), (3, ())]
    assert [each.tied for each in differences] == [True, False, False]
    lower, _ = standings(scores, higher_is_better=False)
    assert [(each.name, each.rank) for each in lower] == [("c", 1), ("a", 2), ("b", 2)]


def test_more_pairs_need_more() -> None:
    two = {"a": [0.50, 0.52, 0.51], "b": [0.53, 0.54, 0.535]}
    many = two | {f"other {i}": [0.1 * i, 0.2, 0.3] for i in range(6)}
    assert not standings(two)[1][0].tied
    assert standings(many)[1][0].tied


def test_no_more_than_one_set_in_twenty_of_equals_is_told_apart() -> None:
    rng = np.random.default_rng(5)
    sets = ({str(i): list(row) for i, row in enumerate(rng.standard_normal((4, 5)))} for _ in range(400))
    wrong = np.mean([any(not each.tied for each in standings(scores)[1]) for scores in sets])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("seeds", "samples"), [(2, 100), (2, 1000), (3, 60)])
def test_counted_scores_of_few_seeds_are_told_apart_no_more_often(seeds: int, samples: int) -> None:
    rng = np.random.default_rng(6)
    sets = [
        {str(i): list(np.round(row * samples) / samples) for i, row in enumerate(rng.normal(0.7, 0.01, (4, seeds)))}
        for _ in range(400)
    ]
    wrong = np.mean([any(not each.tied for each in standings(scores, resolution=1 / samples)[1]) for scores in sets])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_equal_counts_are_not_equal_without_an_interval() -> None:
    assert interval([0.5, 0.5], resolution=0.01).half == pytest.approx(12.7062 * 0.01 / np.sqrt(2), rel=1e-5)
    assert interval([0.4, 0.6], resolution=0.01) == interval([0.4, 0.6])


def test_equal_scores_tie_and_one_seed_tells_nothing() -> None:
    order, _ = standings({"a": [0.5, 0.5], "b": [0.5, 0.5]})
    assert [each.rank for each in order] == [1, 1]
    order, (difference,) = standings({"a": [0.5], "b": [0.9]})
    assert difference.tied
    assert [(each.name, each.rank) for each in order] == [("b", 1), ("a", 1)]
    with pytest.raises(ValueError, match="each of the same seeds"):
        standings({"a": [0.5], "b": [0.5, 0.6]})
