"""The arguments of optimizers: what is out of its range is refused by name, and the ends of a range are in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import path

POSITIVE, AT_LEAST_0, FLAG = "a number above 0", "a number of at least 0", "True or False"
BAD: list[tuple[str, list[Any], str]] = [
    ("clipnorm", [0, -1.0, np.nan, np.inf, "1", True], POSITIVE),
    ("clipvalue", [0.0, -0.5], POSITIVE),
    ("global_clipnorm", [0.0, np.inf], POSITIVE),
    ("loss_scale_factor", [0.0, -1.0, np.nan, "8"], POSITIVE),
    ("weight_decay", [-0.1, np.nan, [0.1]], AT_LEAST_0),
    ("ema_momentum", [-0.1, 1.1, None], r"a number in \[0, 1\]"),
    ("ema_overwrite_frequency", [0, -1, 2.5, True], "an integer of at least 1"),
    ("gradient_accumulation_steps", [1, 0, 2.0, "4"], "an integer of at least 2"),
    ("use_ema", ["no", 1, None], FLAG),
    ("normalize_gradients", ["no", 1, None, np.nan], FLAG),
    ("nesterov", ["no", 0, None], FLAG),
    ("learning_rate", [-0.1, np.nan, np.inf, None, [0.1, 0.2], object, True, 10**400], AT_LEAST_0 + " or a schedule"),
]


@pytest.mark.parametrize(("argument", "values", "expected"), BAD, ids=[row[0] for row in BAD])
def test_argument_out_of_range(argument: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^sgd: {argument} must be {expected}, not "):
            td.optimizers.SGD(**{argument: value})


EDGES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0, "weight_decay": 0, "ema_momentum": 0}),
    ("SGD", {"momentum": 1, "ema_momentum": 1, "ema_overwrite_frequency": 1, "learning_rate": 0}),
    ("RMSprop", {"rho": 0, "momentum": 0, "epsilon": 0, "gradient_accumulation_steps": 2}),
    ("RMSprop", {"momentum": 1}),
    ("Adam", {"beta_1": 0, "beta_2": 0, "epsilon": 0}),
    ("Nadam", {"beta_1": 0, "beta_2": 0, "epsilon": 0, "momentum_decay": 0}),
    ("AdamW", {"weight_decay": 0}),
    ("Adamax", {"beta_1": 0, "beta_2": 0, "epsilon": 0}),
    ("RAdam", {"beta_1": 0, "beta_2": 0, "epsilon": 0}),
    ("Lamb", {"beta_1": 0, "beta_2": 0, "epsilon": 0}),
    ("Lion", {"beta_1": 1, "beta_2": 0}),
    ("Adagrad", {"initial_accumulator_value": 0, "epsilon": 0}),
    ("Adadelta", {"rho": 0}),
    ("Ftrl", {"learning_rate": 0}),
    ("Muon", {"adam_beta_1": 0, "adam_beta_2": 0, "epsilon": 0, "adam_lr_ratio": 0, "adam_weight_decay": 0}),
    ("Adafactor", {"beta_2_decay": 0, "epsilon_2": 0}),
    ("ScheduleFreeAdamW", {"beta_1": 1, "beta_2": 0, "epsilon": 0, "warmup_steps": 0}),
    ("Ftrl", {"learning_rate_power": 0, "initial_accumulator_value": 0, "beta": 0}),
]


@pytest.mark.parametrize(("cls", "arguments"), EDGES)
def test_the_ends_of_a_range_belong_to_it(backend: str, cls: str, arguments: dict[str, Any]) -> None:
    optimizer = getattr(td.optimizers, cls)(**arguments)
    assert {key: optimizer.get_config()[key] for key in arguments} == arguments
    assert np.isfinite(path(optimizer, [1.0], [[0.5]] * 4)).all()


@pytest.mark.parametrize("flag", [True, np.True_])
def test_numpy_s_truth_is_python_s(flag: Any) -> None:
    optimizer = td.optimizers.Adam(amsgrad=flag, use_ema=flag)
    assert (optimizer.amsgrad, optimizer.use_ema) == (True, True)
    assert type(optimizer.amsgrad) is bool


def test_numpy_s_numbers_are_taken_as_python_s() -> None:
    optimizer = td.optimizers.SGD(
        np.float32(0.5), momentum=np.float32(0.5), clipnorm=np.int64(2), gradient_accumulation_steps=np.int64(3)
    )
    config = optimizer.get_config()
    assert [type(config[k]) for k in ("learning_rate", "momentum", "clipnorm", "gradient_accumulation_steps")] == [
        float, float, float, int,
    ]  # fmt: skip
