"""Composition: sequences from their milestones on, products, what they are made of, how they are saved, refusals."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import schedulers
from tinygrad_dnn.schedulers import CosineDecay, ExponentialDecay, LinearWarmup, ProductSchedule, SequentialSchedule


@pytest.fixture
def own() -> Iterator[tuple[Any, Any]]:
    """Register a function and a class that knows nothing of the base class, for one test."""

    @td.registry.schedulers.register
    def tenth(step):
        return 0.1 / (step + 1)

    @td.registry.schedulers.register
    class Stepwise:
        def __init__(self, rates):
            self.rates = rates

        def __call__(self, step):
            return self.rates[int(step)]

        def get_config(self):
            return {"rates": self.rates}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    yield tenth, Stepwise
    td.plugins.reset()


# -- sequences --------------------------------------------------------------------------------------------------------


def test_each_starts_from_its_own_step_0_at_its_milestone(backend: str) -> None:
    parts = [LinearWarmup(0.1, 10), CosineDecay(0.3, 20), ExponentialDecay(0.2, 1, 0.5)]
    schedule = SequentialSchedule(parts, [4, 9])
    expected = [parts[0](s) for s in range(4)] + [parts[1](s) for s in range(5)] + [parts[2](s) for s in range(6)]
    assert [schedule(step).item() for step in range(15)] == [rate.item() for rate in expected]
    np.testing.assert_array_equal(schedule(td.tensor(np.arange(15))).numpy(), [rate.item() for rate in expected])


def test_a_part_is_not_asked_outside_its_time(backend: str) -> None:
    asked: list[list[float]] = [[], [], []]
    parts = [lambda step, seen=seen: seen.append(step.item()) or 0.1 for seen in asked]
    schedule = SequentialSchedule(parts, [4, 10])
    for step in range(30):
        schedule(td.Variable(step))
    assert [(min(seen), max(seen)) for seen in asked] == [(0, 4), (0, 6), (0, 19)]


def test_what_grows_before_its_milestone_does_not_overflow_after_it(backend: str) -> None:
    schedule = SequentialSchedule([ExponentialDecay(1e-7, 1, 2.0), 0.1], [20])
    with np.errstate(over="raise", invalid="raise"):
        assert schedule(10**9).item() == np.float32(0.1)
        assert schedule(19).item() == pytest.approx(1e-7 * 2**19)


def test_numbers_are_rates_that_stay(backend: str) -> None:
    schedule = SequentialSchedule([1, 0.5, 0], [2, 3])
    assert schedule(td.tensor([0, 1, 2, 3, 1000])).tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert SequentialSchedule([0.25], [])(td.tensor([0, 7])).tolist() == [0.25, 0.25]


# -- products ---------------------------------------------------------------------------------------------------------


def test_a_product_is_taken_at_one_step(backend: str) -> None:
    warmup, decay = LinearWarmup(1.0, 8), CosineDecay(0.1, 20)
    steps = td.tensor(np.arange(30))
    expected = warmup(steps).numpy() * decay(steps).numpy()
    for schedule in (ProductSchedule([warmup, decay]), warmup * decay, decay * warmup):
        np.testing.assert_allclose(schedule(steps).numpy(), expected, rtol=1.2e-7)
    assert ProductSchedule([0.5, 0.5])(steps).tolist() == [0.25] * 30


@pytest.mark.parametrize("factor", [2, 0.5, 0, np.float32(0.5), np.int64(2)])
def test_a_number_scales_from_both_sides(backend: str, factor: Any) -> None:
    decay = ExponentialDecay(0.1, 10, 0.5)
    for schedule in (decay * factor, factor * decay):
        assert isinstance(schedule, ProductSchedule)
        assert schedule(7).item() == pytest.approx(float(factor) * decay(7).item(), rel=1e-7)


def test_a_function_is_a_factor(backend: str) -> None:
    decay = ExponentialDecay(0.1, 10, 0.5)
    schedule = decay * (lambda step: 1.0 if step < 5 else 2.0)
    assert [schedule(step).item() for step in (4, 5)] == [
        pytest.approx(decay(4).item()), pytest.approx(2 * decay(5).item()),
    ]  # fmt: skip
    assert ((lambda step: td.sqrt(step + 1.0)) * decay)(3).item() == pytest.approx(2 * decay(3).item())


def test_compositions_compose(backend: str) -> None:
    inner = SequentialSchedule([LinearWarmup(1.0, 4), 1.0], [4])
    schedule = 0.5 * (inner * SequentialSchedule([0.1, ExponentialDecay(0.1, 1, 0.5)], [6]))
    assert schedule(td.tensor([0, 2, 5, 6, 8])).numpy() == pytest.approx([0.0, 0.025, 0.05, 0.05, 0.0125])


# -- saving -----------------------------------------------------------------------------------------------------------


def test_parts_are_saved_by_their_registered_names(backend: str, own: tuple[Any, Any]) -> None:
    tenth, stepwise = own
    schedule = SequentialSchedule([tenth, stepwise([0.5, 0.25, 0.125]), 2 * ExponentialDecay(0.1, 10, 0.5)], [3, 5])
    saved = json.loads(json.dumps(schedulers.serialize(schedule)))
    decay = {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": False}
    assert saved == {
        "class_name": "sequentialschedule",
        "config": {
            "schedules": [
                "tenth",
                {"class_name": "stepwise", "config": {"rates": [0.5, 0.25, 0.125]}},
                {
                    "class_name": "productschedule",
                    "config": {"schedules": [2, {"class_name": "exponentialdecay", "config": decay}]},
                },
            ],
            "milestones": [3, 5],
        },
    }
    again = schedulers.get(saved)
    assert isinstance(again, SequentialSchedule)
    assert [again(step).item() for step in range(9)] == [schedule(step).item() for step in range(9)]
    assert again(4).item() == 0.25


def test_a_name_or_a_configuration_is_a_part(backend: str, own: tuple[Any, Any]) -> None:
    config = {"class_name": "LinearWarmup", "config": {"warmup_target": 1.0, "warmup_steps": 4}}
    assert ProductSchedule(["tenth", config])(1).item() == pytest.approx(0.05 * 0.25)


def test_what_is_not_registered_cannot_be_saved() -> None:
    with pytest.raises(ValueError, match="is not a registered scheduler: register it under a name"):
        schedulers.serialize(ProductSchedule([lambda step: 0.1]))


def test_a_configuration_is_the_caller_s_own() -> None:
    schedule = SequentialSchedule([0.1, 0.2], [5])
    for config in (schedule.get_config(), schedulers.PiecewiseConstantDecay([5], [0.1, 0.2]).get_config()):
        for values in config.values():
            values.clear()
    assert schedule(9).item() == np.float32(0.2)
    milestones = [5]
    schedule = SequentialSchedule([0.1, 0.2], milestones)
    milestones.append(7)
    assert schedule.get_config()["milestones"] == [5]


def test_copies_are_the_same() -> None:
    schedule = LinearWarmup(1.0, 10) * SequentialSchedule([0.1, CosineDecay(0.1, 20)], [15])
    for again in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):  # noqa: S301  # bytes of our own
        assert again.get_config() == schedule.get_config()
        assert again(20).item() == schedule(20).item()


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SequentialSchedule([], []), "SequentialSchedule: schedules has at least one schedule; it is empty"),
        (lambda: SequentialSchedule([0.1, 0.2], []), "SequentialSchedule: 2 schedules need 1 milestones, not 0"),
        (lambda: SequentialSchedule([0.1], [5]), "SequentialSchedule: 1 schedules need 0 milestones, not 1"),
        (lambda: SequentialSchedule([1, 2, 3], [9, 5]), r"milestones must increase; these are \[9, 5\]"),
        (lambda: SequentialSchedule([1, 2, 3], [5, 5]), r"milestones must increase; these are \[5, 5\]"),
        (lambda: SequentialSchedule([1, 2], [0]), "each milestone must be a number above 0, not 0"),
        (lambda: SequentialSchedule([1, 2], [math.nan]), "each milestone must be a number above 0, not nan"),
        (lambda: SequentialSchedule([1, 2], 5), "milestones must be a list, not 5"),
        (lambda: SequentialSchedule(0.1, []), "schedules must be a list, not 0.1"),
        (lambda: ProductSchedule("cosine_decay"), "ProductSchedule: schedules must be a list, not 'cosine_decay'"),
        (lambda: ProductSchedule([]), "ProductSchedule: schedules has at least one schedule"),
        (lambda: ProductSchedule([-0.1]), "a number among schedules must be a number of at least 0, not -0.1"),
        (lambda: ProductSchedule([True]), "a number among schedules must be a number of at least 0, not True"),
        (lambda: ExponentialDecay(0.1, 10, 0.5) * math.nan, "a number of at least 0, not nan"),
        (lambda: ProductSchedule(["cosine_dekay"]), "'cosine_dekay' is not a known scheduler. Did you mean 'cosine_d"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("part", [3j, [0.1], object(), td.callbacks.ReduceLROnPlateau()])
def test_what_is_no_schedule_is_refused(part: Any) -> None:
    with pytest.raises(TypeError, match="a scheduler must be given as a name, a configuration, an object or a class"):
        SequentialSchedule([0.1, part], [5])
    with pytest.raises(TypeError, match="a scheduler must be given as a name"):
        ExponentialDecay(0.1, 10, 0.5) * part


def test_nothing_is_no_schedule() -> None:
    with pytest.raises(TypeError, match="ProductSchedule: each of schedules must be a schedule or a number, not None"):
        ProductSchedule([None])
