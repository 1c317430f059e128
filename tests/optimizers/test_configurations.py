"""What an optimizer is made from again: its configuration through JSON, its name, Keras's defaults, the registry."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import BASE_OPTIONS, BUILT_IN, path, waves

SCHEDULE = {"class_name": "exponentialdecay", "config": {
    "initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, "staircase": False,
}}  # fmt: skip
CONFIGURED: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.125, "momentum": 0.9, "nesterov": True, "clipnorm": 1.0, "name": "other"}),
    ("RMSprop", {"rho": 0.5, "momentum": 0.5, "epsilon": 1e-3, "centered": True, "clipvalue": 0.5}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3, "amsgrad": True, "weight_decay": 0.25}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3, "global_clipnorm": 2.0}),
    ("AdamW", {"weight_decay": 0.25, "beta_1": 0.5, "amsgrad": True, "normalize_gradients": True}),
    ("Adamax", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3}),
    ("RAdam", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3}),
    ("Lamb", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.75, "learning_rate": SCHEDULE}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-3}),
    ("Adadelta", {"rho": 0.5, "epsilon": 1e-3}),
    ("Ftrl", {
        "learning_rate_power": -0.75, "initial_accumulator_value": 0.5, "l1_regularization_strength": 0.25,
        "l2_regularization_strength": 0.5, "l2_shrinkage_regularization_strength": 0.75, "beta": 0.125,
    }),
    ("Muon", {
        "adam_beta_1": 0.5, "adam_beta_2": 0.75, "adam_weight_decay": None, "epsilon": 1e-3, "weight_decay": 0.25,
        "exclude_layers": ["out.*"], "exclude_embeddings": False, "muon_a": 2.0, "muon_b": -1.5, "muon_c": 0.5,
        "adam_lr_ratio": 0.5, "momentum": 0.5, "ns_steps": 3, "nesterov": False, "rms_rate": None,
    }),
    ("Adafactor", {
        "beta_2_decay": -0.5, "epsilon_1": 1e-20, "epsilon_2": 0.5, "clip_threshold": 0.5, "relative_step": False,
    }),
    ("ScheduleFreeAdamW", {
        "beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3, "warmup_steps": 3, "loss_scale_factor": 8.0,
    }),
    ("Nadam", {"momentum_decay": 0.004, "gradient_accumulation_steps": 4, "learning_rate": SCHEDULE}),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "arguments"), CONFIGURED, ids=lambda x: x if isinstance(x, str) else None)
def test_configuration_goes_through_json(backend: str, cls: str, arguments: dict[str, Any]) -> None:
    optimizer = getattr(td.optimizers, cls)(**arguments)
    config = json.loads(json.dumps(optimizer.get_config()))
    assert {key: config[key] for key in arguments} == arguments
    again = getattr(td.optimizers, cls).from_config(config)
    assert again.get_config() == optimizer.get_config()
    assert td.optimizers.get(json.loads(json.dumps(td.registry.optimizers.serialize(again)))).get_config() == config
    np.testing.assert_array_equal(path(again, np.ones(3), waves(8)), path(optimizer, np.ones(3), waves(8)))


def test_configuration_follows_the_learning_rate_and_not_the_steps(backend: str) -> None:
    optimizer = td.optimizers.Adam(0.5)
    fresh = optimizer.get_config()
    path(optimizer, np.ones(3), waves(3))
    assert optimizer.get_config() == fresh
    optimizer.learning_rate = 0.25
    assert optimizer.get_config() == {**fresh, "learning_rate": 0.25}


def test_a_schedule_that_is_not_registered_cannot_be_saved() -> None:
    with pytest.raises(ValueError, match="is not a registered scheduler: register it under a name"):
        td.optimizers.SGD(lambda step: 0.1).get_config()


@pytest.mark.parametrize("name", BUILT_IN)
def test_optimizers_have_names_and_keras_s_defaults(name: str) -> None:
    optimizer = td.optimizers.get(name.lower())
    assert type(optimizer) is getattr(td.optimizers, name)
    assert optimizer.name == name.lower()
    assert optimizer.learning_rate.item() == np.float32({"SGD": 0.01, "ScheduleFreeAdamW": 0.0025}.get(name, 0.001))
    config = optimizer.get_config()
    assert config.get("epsilon", 1e-7) == (1e-8 if name == "ScheduleFreeAdamW" else 1e-7)
    assert config.get("beta_1", 0.9) == 0.9
    assert config.get("beta_2", 0.999) == (0.99 if name == "Lion" else 0.999)
    assert config.get("rho", 0.9) == (0.95 if name == "Adadelta" else 0.9)
    assert config.get("initial_accumulator_value", 0.1) == 0.1
    assert (config["ema_momentum"], config["use_ema"], config["normalize_gradients"]) == (0.99, False, False)
    assert config["weight_decay"] == (0.004 if name in ("AdamW", "Muon") else None)
    options = ("clipnorm", "clipvalue", "global_clipnorm", "ema_overwrite_frequency", "loss_scale_factor",
               "gradient_accumulation_steps")  # fmt: skip
    assert all(config[key] is None for key in options)


# As keras.optimizers.<name>().get_config() of Keras 3.15.1 has them.
KERAS_S = {
    "Muon": {
        "adam_beta_1": 0.9, "adam_beta_2": 0.999, "epsilon": 1e-7, "exclude_layers": [], "muon_a": 3.4445,
        "muon_b": -4.775, "muon_c": 2.0315, "adam_lr_ratio": 1, "momentum": 0.95, "ns_steps": 5, "nesterov": True,
        "exclude_embeddings": True, "adam_weight_decay": 0.004, "rms_rate": 0.2,
    },
    "Adafactor": {
        "beta_2_decay": -0.8, "epsilon_1": 1e-30, "epsilon_2": 1e-3, "clip_threshold": 1.0, "relative_step": True,
    },
    "ScheduleFreeAdamW": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "warmup_steps": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS_S)
def test_a_rule_s_own_arguments_are_keras_s(name: str) -> None:
    config = getattr(td.optimizers, name)().get_config()
    around = {"name", "learning_rate"} | BASE_OPTIONS
    assert {key: value for key, value in config.items() if key not in around} == KERAS_S[name]


def test_get_makes_an_optimizer_of_a_name_a_configuration_or_passes_one_on() -> None:
    optimizer = td.optimizers.SGD()
    assert td.optimizers.get(optimizer) is optimizer
    assert td.optimizers.get({"class_name": "SGD", "config": {"momentum": 0.5}}).momentum == 0.5
    with pytest.raises(ValueError, match=r"^'nadma' is not a known optimizer\. Did you mean 'nadam'"):
        td.optimizers.get("nadma")
