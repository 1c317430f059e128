"""Every argument of every optimizer of Keras, alone and many at once: its trajectories."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.golden import storage
from tests.optimizers.trajectories import BASE_OPTIONS, BUILT_IN, CASES, TOLERANCE, away, follow

MORE = storage.load("optimizer_options")
SHAPES = {name: MORE.inputs[f"drawn_{name}"].shape for name in ("kernel", "bias", "wide", "volume", "embedding")}
# The rules of Keras, with their own arguments.
ARGUMENTS = {
    "SGD": "momentum nesterov",
    "RMSprop": "rho momentum epsilon centered",
    **dict.fromkeys(("Adam", "AdamW"), "beta_1 beta_2 epsilon amsgrad"),
    **dict.fromkeys(("Nadam", "Adamax", "Lamb"), "beta_1 beta_2 epsilon"),
    "Lion": "beta_1 beta_2",
    "Adagrad": "initial_accumulator_value epsilon",
    "Adadelta": "rho epsilon",
    "Ftrl": "learning_rate_power initial_accumulator_value l1_regularization_strength l2_regularization_strength "
    "l2_shrinkage_regularization_strength beta",
    "Muon": "adam_beta_1 adam_beta_2 adam_weight_decay epsilon weight_decay exclude_layers exclude_embeddings muon_a "
    "muon_b muon_c adam_lr_ratio momentum ns_steps nesterov rms_rate",
    "Adafactor": "beta_2_decay epsilon_1 epsilon_2 clip_threshold relative_step",
    "ScheduleFreeAdamW": "beta_1 beta_2 epsilon warmup_steps",
}


def test_every_rule_of_keras_is_looked_at() -> None:
    assert {*ARGUMENTS, "RAdam"} == set(BUILT_IN)  # Keras has no RAdam


@pytest.mark.parametrize("cls", ARGUMENTS)
def test_every_argument_has_golden_values(cls: str) -> None:
    shown = [case for case in (*CASES.values(), *MORE.cases.values()) if case["class"] == cls]
    keys = set().union(*(case["config"] for case in shown))
    # A rule meets each option of the base class, if not each in a case of its own.
    options = BASE_OPTIONS - {"normalize_gradients"}
    assert keys >= {*ARGUMENTS[cls].split(), "learning_rate", *options}
    assert set().union(*shown) >= {"schedule", "constraints", "exclude_from_weight_decay", "exclude_weights"}


@pytest.mark.parametrize("name", MORE.cases)
def test_trajectory_is_keras_s(backend: str, name: str) -> None:
    case, steps = MORE.cases[name], MORE.inputs["steps"]
    found = follow(case, MORE.inputs)
    begin = 0
    for weight in case["weights"]:
        end = begin + math.prod(SHAPES[weight])
        pairs = [(found[weight][steps], case["values"])]
        if "averages" in case:
            pairs.append((found[f"{weight}_average"][steps], case["averages"]))
            pairs.append((found[f"{weight}_final"][None], case["final"][None]))
        for ours, theirs in pairs:
            for a, b in zip(ours.reshape(len(ours), -1), theirs[:, begin:end], strict=True):
                assert away(a, b) <= TOLERANCE if b.any() else not a.any()
        begin = end
    assert begin == case["values"].shape[1]


def test_relative_step_changes_nothing_in_keras() -> None:
    values = [MORE.cases[name]["values"] for name in ("adafactor_rate_1", "adafactor_rate_1_absolute_step")]
    np.testing.assert_array_equal(*values)
