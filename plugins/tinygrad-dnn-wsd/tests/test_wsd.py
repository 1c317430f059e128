"""Warm-up, stable, decay: its three parts, its ends, its configuration."""

import json

import numpy as np
import pytest

import tinygrad_dnn as td

FALLS = {
    "1-sqrt": lambda x: 1 - x**0.5,
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + np.cos(np.pi * x)) / 2,
}


@pytest.mark.parametrize("decay", FALLS)
def test_three_parts(decay):
    schedule = td.schedulers.get(
        "wsd", learning_rate=0.3, total_steps=50, warmup_steps=5, decay_steps=20, final_learning_rate=0.1, decay=decay
    )
    expected = [0.3 * min((s + 1) / 5, 1) if s <= 30 else 0.1 + 0.2 * FALLS[decay]((s - 30) / 20) for s in range(51)]
    np.testing.assert_allclose(schedule(td.tensor(np.arange(51))).numpy(), expected, rtol=1e-6)
    assert schedule(0).item() == pytest.approx(0.06)
    for step in (50, 51, 10**9):
        assert schedule(step).item() == pytest.approx(0.1)
    again = td.schedulers.get(json.loads(json.dumps(td.schedulers.serialize(schedule))))
    assert again.get_config() == schedule.get_config()


def test_without_warm_up_and_decay_it_is_one_rate():
    schedule = td.schedulers.get("warmup_stable_decay", learning_rate=0.5, total_steps=10)
    np.testing.assert_array_equal(schedule(td.tensor([0, 5, 10, 1000])).numpy(), 0.5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"learning_rate": -1}, "WarmupStableDecay: learning_rate must be a number of at least 0"),
        ({"total_steps": 0}, "total_steps must be an integer of at least 1"),
        ({"decay": "square"}, "decay must be '1-sqrt', 'linear' or 'cosine'"),
        ({"final_learning_rate": 2.0}, r"final_learning_rate must be a number in \[0, 1.0\]"),
        ({"warmup_steps": 6, "decay_steps": 5}, r"warmup_steps \(6\) and decay_steps \(5\) together are more than"),
    ],
)
def test_arguments_out_of_range(arguments, told):
    with pytest.raises(ValueError, match=told):
        td.schedulers.get("wsd", **{"learning_rate": 1.0, "total_steps": 10, **arguments})
