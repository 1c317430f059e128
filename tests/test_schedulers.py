"""Schedulers: Keras's learning rates, defined at step 0 and past the end, exact at boundaries, refusals, names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import schedulers

GOLDEN = storage.load("schedules")


def made(name: str) -> schedulers.LearningRateSchedule:
    """Return the schedule of a golden case."""
    return getattr(schedulers, GOLDEN.cases[name]["class"])(**GOLDEN.cases[name]["config"])


@pytest.mark.parametrize("name", sorted(GOLDEN.cases))
def test_learning_rates_are_keras_s(backend: str, name: str) -> None:
    schedule = made(name)
    rates = schedule(td.tensor(GOLDEN.inputs["steps"]))
    assert rates.dtype == td.backend.floatx()
    # Keras computes in float32: near the end of a cosine it has lost some digits of 1 + cos.
    np.testing.assert_allclose(rates.numpy(), GOLDEN.cases[name]["learning_rates"], rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("name", sorted(GOLDEN.cases))
def test_numbers_and_tensors_give_the_same(backend: str, name: str) -> None:
    schedule = made(name)
    for step in (0, 7, 24, 1000):
        rate = schedule(td.Variable(step))
        assert (rate.shape, rate.dtype) == ((), td.backend.floatx())
        assert rate.item() == schedule(step).item() == schedule(float(step)).item()


@pytest.mark.parametrize("name", sorted(GOLDEN.cases))
def test_rates_are_finite_however_long_it_takes(backend: str, name: str) -> None:
    steps = td.tensor(np.array([0, 1, 10**3, 10**6, 10**9, 2**53], np.int64))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        rates = made(name)(steps).numpy()
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()


def test_a_step_in_float32_would_be_lost(backend: str) -> None:
    schedule = schedulers.PiecewiseConstantDecay([2**24], [1.0, 0.5])
    assert (schedule(2**24).item(), schedule(2**24 + 1).item()) == (1.0, 0.5)


def test_precision_is_that_of_the_default_type(backend: str) -> None:
    td.backend.set_floatx("float64")
    try:
        rate = schedulers.ExponentialDecay(0.1, 10, 0.5)(7)
        assert rate.dtype == np.float64
        assert rate.item() == pytest.approx(0.1 * 0.5**0.7, rel=1e-15)
    finally:
        td.backend.set_floatx("float32")


@pytest.mark.parametrize("t_mul", [1.0, 1.5, 2.0, 3.0, 5.0, 7.0])
def test_each_restart_begins_at_the_top(backend: str, t_mul: float) -> None:
    schedule = schedulers.CosineDecayRestarts(1.0, first_decay_steps=16, t_mul=t_mul)
    start, length = 0.0, 16.0
    for _ in range(8):
        if start == int(start):
            assert schedule(int(start)).item() == pytest.approx(1.0, abs=1e-6)
        before = math.ceil(start + length) - 1
        gone = (before - start) / length
        assert schedule(before).item() == pytest.approx(0.5 * (1 + math.cos(math.pi * gone)), abs=1e-6)
        start, length = start + length, length * t_mul


def test_warm_up_of_no_steps(backend: str) -> None:
    schedule = schedulers.CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=0)
    assert schedule(0).item() == pytest.approx(0.1)
    assert schedule(10).item() == 0


def test_an_exponential_s_ends(backend: str) -> None:
    schedule = schedulers.ExponentialDecay(0.1, 1, math.exp(-0.1))
    assert schedule(20).item() == pytest.approx(0.1 * math.exp(-2.0))
    assert schedule(10**6).item() == 0


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("ExponentialDecay", (-0.1, 10, 0.5), "initial_learning_rate is a number of at least 0, not -0.1"),
        ("ExponentialDecay", (0.1, 0, 0.5), "ExponentialDecay: decay_steps is a number above 0, not 0"),
        ("ExponentialDecay", (0.1, 10, 0.0), "decay_rate is a number above 0, not 0.0"),
        ("InverseTimeDecay", (0.1, 10, -1), "InverseTimeDecay: decay_rate is a number of at least 0, not -1"),
        ("PiecewiseConstantDecay", ([5], [0.1]), "1 boundaries need 2 values, not 1"),
        ("PiecewiseConstantDecay", ([5, 5], [0.1, 0.2, 0.3]), r"boundaries increase; these are \[5, 5\]"),
        ("PolynomialDecay", (0.1, 10, 0.0, 0.0), "PolynomialDecay: power is a number above 0, not 0.0"),
        ("CosineDecay", (math.nan, 10), "CosineDecay: initial_learning_rate is a number of at least 0, not nan"),
        ("CosineDecayRestarts", (0.1, 10, 0.5), "CosineDecayRestarts: t_mul is a number of at least 1, not 0.5"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(schedulers, name)(*args)


def test_the_base_class_is_not_a_schedule() -> None:
    with pytest.raises(NotImplementedError, match="LearningRateSchedule does not define __call__"):
        schedulers.LearningRateSchedule()(0)
    with pytest.raises(NotImplementedError, match="LearningRateSchedule does not define get_config"):
        schedulers.LearningRateSchedule().get_config()


@pytest.mark.parametrize("name", sorted(GOLDEN.cases))
def test_config_makes_the_same_again(name: str) -> None:
    again = schedulers.get(schedulers.serialize(made(name)))
    assert type(again) is type(made(name))
    assert again.get_config() == made(name).get_config()


def test_names_and_signatures() -> None:
    assert set(td.registry.schedulers.names()) >= {case["class"].lower() for case in GOLDEN.cases.values()}
    schedule = schedulers.get("exponential_decay", initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)
    assert isinstance(schedule, schedulers.ExponentialDecay)
