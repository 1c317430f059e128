"""Schedules: Keras's and PyTorch's rates, defined at step 0 and past the end, exact at boundaries, refusals, names."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.schedulers.cases import ALL, KERAS, NAMES, POWER, TORCH, made
from tinygrad_dnn import schedulers


@pytest.fixture
def double() -> Iterator[None]:
    """Make float64 the default floating-point type."""
    td.backend.set_floatx("float64")
    yield
    td.backend.set_floatx("float32")


# -- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KERAS.cases))
def test_learning_rates_are_keras_s(backend: str, name: str) -> None:
    schedule = made(name)
    rates = schedule(td.tensor(KERAS.inputs["steps"]))
    assert rates.dtype == td.backend.floatx()
    # Keras computes in float32: near the end of a cosine it has lost some digits of 1 + cos.
    np.testing.assert_allclose(rates.numpy(), KERAS.cases[name]["learning_rates"], rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("name", sorted(TORCH.cases))
def test_learning_rates_are_pytorch_s(backend: str, double: None, name: str) -> None:
    rates = made(name)(td.tensor(TORCH.inputs["steps"]))
    assert rates.dtype == np.float64
    # PyTorch multiplies the last rate where there is a formula for each: 80 roundings of 1.1e-16, and 0 becomes 1e-17.
    np.testing.assert_allclose(rates.numpy(), TORCH.cases[name]["learning_rates"], rtol=2e-14, atol=2e-16)


@pytest.mark.parametrize("name", sorted(TORCH.cases))
def test_learning_rates_are_pytorch_s_rounded(backend: str, name: str) -> None:
    rates = made(name)(td.tensor(TORCH.inputs["steps"]))
    assert rates.dtype == np.float32
    # Rounded once to float32, which is 6e-8; a product of three schedules four times.
    np.testing.assert_allclose(rates.numpy(), TORCH.cases[name]["learning_rates"], rtol=2.4e-7, atol=2e-16)


@pytest.mark.parametrize("decay_rate", [0.0, 0.01, 0.05, 0.1])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_power_is_the_formula(backend: str, double: None, decay_rate: float, power: float) -> None:
    steps = np.arange(1000)
    rates = schedulers.PowerDecay(0.1, 1, decay_rate, power)(td.tensor(steps))
    np.testing.assert_allclose(rates.numpy(), 0.1 / (1 + decay_rate * steps) ** power, rtol=1e-14)
    periods = schedulers.PowerDecay(0.1, 50, decay_rate, power, staircase=True)(td.tensor(steps))
    np.testing.assert_allclose(periods.numpy(), 0.1 / (1 + decay_rate * (steps // 50)) ** power, rtol=1e-14)


@pytest.mark.parametrize("name", ["inverse_time", "inverse_time_staircase"])
def test_the_power_1_is_keras_s_inverse_time(backend: str, name: str) -> None:
    schedule = schedulers.PowerDecay(**KERAS.cases[name]["config"])
    assert schedule.power == 1
    rates = schedule(td.tensor(KERAS.inputs["steps"])).numpy()
    np.testing.assert_allclose(rates, KERAS.cases[name]["learning_rates"], rtol=2e-6)


def test_a_new_value_starts_after_its_boundary_and_elsewhere_at_it(backend: str) -> None:
    steps = np.arange(1000)
    at_boundaries = np.full(1000, 0.1)
    for boundary, value in zip([0, 300, 600, 900], [0.1, 0.01, 0.001, 0.0001], strict=True):
        at_boundaries[steps >= boundary] = value
    rates = [0.1, 0.01, 0.001, 0.0001]
    piecewise = schedulers.PiecewiseConstantDecay([299, 599, 899], rates)
    sequence = schedulers.SequentialSchedule(rates, [300, 600, 900])
    staircase = schedulers.ExponentialDecay(0.1, 300, 0.1, staircase=True)
    for schedule in (piecewise, sequence, staircase):
        np.testing.assert_allclose(schedule(td.tensor(steps)).numpy(), at_boundaries, rtol=1e-7)
    later = schedulers.PiecewiseConstantDecay([300, 600, 900], rates)(td.tensor(steps)).numpy()
    np.testing.assert_array_equal(np.flatnonzero(~np.isclose(later, at_boundaries)), [300, 600, 900])


# -- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_tensors_give_the_same(backend: str, name: str) -> None:
    schedule = made(name)
    for step in (0, 7, 24, 1000):
        rate = schedule(td.Variable(step))
        assert (rate.shape, rate.dtype) == ((), td.backend.floatx())
        assert rate.item() == schedule(step).item() == schedule(float(step)).item()


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_finite_however_long_it_takes(backend: str, name: str) -> None:
    steps = td.tensor(np.array([0, 1, 10**3, 10**6, 10**9, 2**53], np.int64))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        rates = made(name)(steps).numpy()
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()


@pytest.mark.parametrize("name", [name for name in TORCH.cases if name.startswith("one_cycle")])
def test_a_cycle_s_last_rate_stays(backend: str, name: str) -> None:
    schedule = made(name)
    last = schedule(schedule.total_steps - 1).item()
    assert last > 0
    for beyond in (0, 1, 1000, 10**12):
        assert schedule(schedule.total_steps + beyond).item() == last


def test_a_cycle_goes_where_it_says(backend: str) -> None:
    schedule = schedulers.OneCycle(0.1, 100, pct_start=0.25, div_factor=10, final_div_factor=100)
    rates = schedule(td.tensor(np.arange(100))).numpy()
    assert rates.argmax() == 24
    np.testing.assert_allclose(rates[[0, 24, 99]], [0.01, 0.1, 0.0001], rtol=1e-7)
    assert (np.diff(rates[:25]) > 0).all()
    assert (np.diff(rates[24:]) < 0).all()


def test_a_rise_of_no_steps_begins_at_the_top(backend: str) -> None:
    for three_phase in (False, True):  # PyTorch divides by 0 here
        schedule = schedulers.OneCycle(0.1, 10, pct_start=0.1, three_phase=three_phase)
        rates = schedule(td.tensor(np.arange(10))).numpy()
        assert rates[0] == np.float32(0.1)
        assert (np.diff(rates) < 0).all()
    assert schedulers.OneCycle(0.1, 1, pct_start=1.0)(0).item() == np.float32(0.1)


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cycles_stay_between_their_rates_for_ever(backend: str, mode: str) -> None:
    schedule = schedulers.Cyclic(0.0, 0.1, step_size_up=0.7, step_size_down=0.4, mode=mode, gamma=0.5)
    steps = np.concatenate([np.arange(1000), 2**52 + np.arange(1000)])
    rates = schedule(td.tensor(steps)).numpy()
    assert (rates >= 0).all()
    assert (rates <= np.float32(0.1)).all()


def test_a_step_in_float32_would_be_lost(backend: str) -> None:
    schedule = schedulers.PiecewiseConstantDecay([2**24], [1.0, 0.5])
    assert (schedule(2**24).item(), schedule(2**24 + 1).item()) == (1.0, 0.5)
    cycle = schedulers.Cyclic(0.0, 1.0, step_size_up=2)
    assert [cycle(2**24 + step).item() for step in range(4)] == [0.0, 0.5, 1.0, 0.5]


def test_precision_is_that_of_the_default_type(backend: str, double: None) -> None:
    rate = schedulers.ExponentialDecay(0.1, 10, 0.5)(7)
    assert rate.dtype == np.float64
    assert rate.item() == pytest.approx(0.1 * 0.5**0.7, rel=1e-15)


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


# -- arguments --------------------------------------------------------------------------------------------------------

INITIAL = "initial_learning_rate must be a number of at least 0, not "


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("ExponentialDecay", (-0.1, 10, 0.5), INITIAL + "-0.1"),
        ("ExponentialDecay", (True, 10, 0.5), INITIAL + "True"),
        ("ExponentialDecay", ("0.1", 10, 0.5), INITIAL + "'0.1'"),
        ("ExponentialDecay", (math.inf, 10, 0.5), INITIAL + "inf"),
        ("ExponentialDecay", (10**400, 10, 0.5), INITIAL + "1000"),
        ("ExponentialDecay", (0.1, 0, 0.5), "decay_steps must be a number above 0, not 0"),
        ("ExponentialDecay", (0.1, 10, 0.0), "decay_rate must be a number above 0, not 0.0"),
        ("ExponentialDecay", (0.1, 10, 0.5, "no"), "staircase must be True or False, not 'no'"),
        ("InverseTimeDecay", (0.1, 10, -1), "decay_rate must be a number of at least 0, not -1"),
        ("PowerDecay", (0.1, 10, -1), "decay_rate must be a number of at least 0, not -1"),
        ("PowerDecay", (0.1, 10, 0.5, 0), "power must be a number above 0, not 0"),
        ("PowerDecay", (0.1, 10, 0.5, math.nan), "power must be a number above 0, not nan"),
        ("PiecewiseConstantDecay", ([5], [0.1]), "1 boundaries need 2 values, not 1"),
        ("PiecewiseConstantDecay", ([5, 5], [0.1, 0.2, 0.3]), r"boundaries must increase; these are \[5, 5\]"),
        ("PiecewiseConstantDecay", ([-5], [0.1, 0.2]), "each boundary must be a number of at least 0, not -5"),
        ("PiecewiseConstantDecay", ([5], [0.1, None]), "each value must be a number of at least 0, not None"),
        ("PiecewiseConstantDecay", (5, [0.1, 0.2]), "boundaries must be a list, not 5"),
        ("PolynomialDecay", (0.1, 10, 0.0, 0.0), "power must be a number above 0, not 0.0"),
        ("PolynomialDecay", (0.1, 10, 0.0, 1.0, 2), "cycle must be True or False, not 2"),
        ("CosineDecay", (math.nan, 10), INITIAL + "nan"),
        ("CosineDecayRestarts", (0.1, 10, 0.5), "t_mul must be a number of at least 1, not 0.5"),
        ("LinearWarmup", (-0.1, 10), "warmup_target must be a number of at least 0, not -0.1"),
        ("LinearWarmup", (0.1, 0), "warmup_steps must be a number above 0, not 0"),
        ("LinearWarmup", (0.1, 10, 1.5), r"start_factor must be a number in \[0, 1\], not 1.5"),
        ("LinearWarmup", (0.1, 10, -0.5), r"start_factor must be a number in \[0, 1\], not -0.5"),
        ("OneCycle", (0.0, 100), "max_lr must be a number above 0, not 0.0"),
        ("OneCycle", (0.1, 0), "total_steps must be an integer of at least 1, not 0"),
        ("OneCycle", (0.1, -5), "total_steps must be an integer of at least 1, not -5"),
        ("OneCycle", (0.1, 93.75), "total_steps must be an integer of at least 1, not 93.75"),
        ("OneCycle", (0.1, 100, 0.0), r"pct_start must be a number in \(0, 1\], not 0.0"),
        ("OneCycle", (0.1, 100, 1.1), r"pct_start must be a number in \(0, 1\], not 1.1"),
        ("OneCycle", (0.1, 100, math.nan), r"pct_start must be a number in \(0, 1\], not nan"),
        ("OneCycle", (0.1, 100, 0.6, "cos", 25, 1e4, True), r"pct_start with three_phase .* in \(0, 0.5\], not 0.6"),
        ("OneCycle", (0.1, 100, 0.3, "cosine"), "anneal_strategy must be 'cos' or 'linear', not 'cosine'"),
        ("OneCycle", (0.1, 100, 0.3, "cos", 0.5), "div_factor must be a number of at least 1, not 0.5"),
        ("OneCycle", (0.1, 100, 0.3, "cos", 25, 0), "final_div_factor must be a number above 0, not 0"),
        ("OneCycle", (0.1, 100, 0.3, "cos", 25, 1e4, "yes"), "three_phase must be True or False, not 'yes'"),
        ("Cyclic", (-0.1, 0.2), "base_lr must be a number of at least 0, not -0.1"),
        ("Cyclic", (0.1, math.nan), "max_lr must be a number above 0, not nan"),
        ("Cyclic", (0.1, 0.1), "max_lr is above base_lr, 0.1; it was given as 0.1"),
        ("Cyclic", (0.1, 0.2, 0), "step_size_up must be a number above 0, not 0"),
        ("Cyclic", (0.1, 0.2, 10, 0), "step_size_down must be a number above 0, not 0"),
        ("Cyclic", (0.1, 0.2, 10, None, "saw"), "mode must be 'triangular', 'triangular2' or 'exp_range', not 'saw'"),
        ("Cyclic", (0.1, 0.2, 10, None, "exp_range", 1.5), r"gamma must be a number in \(0, 1\], not 1.5"),
        ("Cyclic", (0.1, 0.2, 10, None, "exp_range", 0), r"gamma must be a number in \(0, 1\], not 0"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        getattr(schedulers, name)(*args)


def test_numpy_s_numbers_become_python_s() -> None:
    schedule = schedulers.OneCycle(np.float32(0.5), np.int64(10), three_phase=np.True_)
    config = schedule.get_config()
    assert json.loads(json.dumps(config)) == config
    assert (config["max_lr"], config["total_steps"], config["three_phase"]) == (0.5, 10, True)
    assert json.dumps(schedulers.PiecewiseConstantDecay(np.array([3]), np.array([0.5, 0.25])).get_config())


def test_the_base_class_is_not_a_schedule() -> None:
    with pytest.raises(NotImplementedError, match="LearningRateSchedule does not define __call__"):
        schedulers.LearningRateSchedule()(0)
    with pytest.raises(NotImplementedError, match="LearningRateSchedule does not define get_config"):
        schedulers.LearningRateSchedule().get_config()


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_config_makes_the_same_again(name: str) -> None:
    saved = json.loads(json.dumps(schedulers.serialize(made(name))))
    again = schedulers.get(saved)
    assert type(again) is type(made(name))
    assert again.get_config() == made(name).get_config()
    assert set(ALL[name]["config"]) <= set(again.get_config())
    for step in (0, 13, 500):
        assert again(step).item() == made(name)(step).item()


def test_every_class_has_a_golden_case_and_two_names() -> None:
    classes = set(schedulers.__all__) - {"LearningRateSchedule", "get", "serialize"}
    assert classes == {case["class"] for case in ALL.values()}
    assert {case["class"] for case in POWER.values()} == {"PowerDecay"}
    assert set(td.registry.schedulers.names()) >= {name.lower() for name in classes}
    for name in classes:
        alias = td.registration.snake_case(name)
        assert alias in td.registry.schedulers
        assert td.registry.schedulers.origin(alias).name == name.lower()
        assert td.registry.schedulers.origin(alias).distribution == "tinygrad-dnn"


def test_a_name_with_arguments_is_a_schedule() -> None:
    schedule = schedulers.get("exponential_decay", initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)
    assert isinstance(schedule, schedulers.ExponentialDecay)
    assert isinstance(schedulers.get("one_cycle", max_lr=0.1, total_steps=10), schedulers.OneCycle)
    assert td.optimizers.schedules.CosineDecay is schedulers.CosineDecay
