"""Runs optimizers over fixed gradients: the golden cases as Keras ran them, and single weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("optimizers")
WEIGHTS = ("kernel", "bias")
STEPS = 20
# The part of the norm that a trajectory may be away from Keras's.
TOLERANCE = 2e-5
# What belongs to the base class; the other entries of a configuration are the rule's own.
BASE_OPTIONS = frozenset(
    "weight_decay clipnorm clipvalue global_clipnorm use_ema ema_momentum ema_overwrite_frequency "
    "loss_scale_factor gradient_accumulation_steps normalize_gradients".split()
)
BUILT_IN = (
    "SGD", "RMSprop", "Adam", "Nadam", "AdamW", "Adamax", "RAdam", "Lamb", "Lion", "Adagrad", "Adadelta", "Ftrl",
    "Muon", "Adafactor", "ScheduleFreeAdamW",
)  # fmt: skip
CASES = {name: case for name, case in GOLDEN.cases.items() if case["class"] in BUILT_IN}
# Those that show the base class at work, and those that show the rule alone.
OPTION_CASES = [
    name
    for name, case in CASES.items()
    if BASE_OPTIONS & case["config"].keys() or "schedule" in case or "constraints" in case
]


def rule_cases(*classes: str) -> list[str]:
    """Return the names of the cases of these optimizers that show their rules alone."""
    return [name for name, case in CASES.items() if case["class"] in classes and name not in OPTION_CASES]


def make(case: dict[str, Any], inputs: dict[str, Any]) -> tuple[td.optimizers.Optimizer, list[td.Variable]]:
    """Return the optimizer of a golden case, and its weights at their start."""
    config = dict(case["config"])
    if "schedule" in case:
        config["learning_rate"] = getattr(td.schedulers, case["schedule"]["class"])(**case["schedule"]["config"])
    optimizer = getattr(td.optimizers, case["class"])(**config)
    weights = [
        td.Variable(inputs[f"{case['start']}_{name}"], trainable=True, name=name)
        for name in case.get("weights", WEIGHTS)
    ]
    optimizer.exclude_from_weight_decay(
        [weight for weight in weights if weight.name in case.get("exclude_weights", ())],
        case.get("exclude_from_weight_decay", ()),
    )
    for weight in weights:
        constraint = case.get("constraints", {}).get(weight.name)
        if constraint is not None:
            weight.constraint = getattr(td.constraints, constraint["class"])(**constraint["config"])
    return optimizer, weights


def follow(case: dict[str, Any], inputs: dict[str, Any] = GOLDEN.inputs) -> dict[str, np.ndarray]:
    """Return what the golden case records: weights, learning rates and averages at each step, and what comes last."""
    optimizer, weights = make(case, inputs)
    record: dict[str, list[np.ndarray]] = {"learning_rates": []}
    for step in range(STEPS):
        record["learning_rates"].append(optimizer.learning_rate.numpy())
        grads = [td.tensor(inputs[f"{case['gradients']}_{weight.name}"][step]) for weight in weights]
        optimizer.apply(grads, weights)
        for weight in weights:
            record.setdefault(weight.name, []).append(weight.numpy())
            if optimizer.use_ema:
                record.setdefault(f"{weight.name}_average", []).append(optimizer.averages([weight])[0].numpy())
    arrays = {key: np.array(values) for key, values in record.items()}
    if optimizer.use_ema:
        optimizer.finalize_variable_values(weights)
        arrays.update({f"{weight.name}_final": weight.numpy() for weight in weights})
    return arrays


def away(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the distance of two arrays as a part of the second one's norm."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the greatest distance of two trajectories at any step, as a part of the second one's norm."""
    assert len(ours) == len(theirs) == STEPS
    return max(away(a, b) for a, b in zip(ours, theirs, strict=True))


def path(
    optimizer: td.optimizers.Optimizer, start: Any, gradients: Sequence[Any], dtype: str = "float32"
) -> np.ndarray:
    """Return the values of one weight after each of the gradients."""
    weight = td.Variable(np.asarray(start, dtype), trainable=True)
    values = []
    for gradient in gradients:
        optimizer.apply([td.tensor(np.asarray(gradient, dtype))], [weight])
        values.append(weight.numpy())
    return np.array(values)


def waves(steps: int) -> np.ndarray:
    """Return gradients of three elements, the last one tiny, a row a step."""
    t = np.arange(1, steps + 1)
    return np.stack([np.sin(t), np.cos(2 * t) + 0.5, 1e-6 * np.sin(3 * t)], axis=1)
