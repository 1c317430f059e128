"""Learning-rate schedules at steps 0 to 50 and 1000."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

STEPS = np.array([*range(51), 1000], dtype=np.int64)
DECAY = {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}
COSINE = {"initial_learning_rate": 0.1, "decay_steps": 20}
POLYNOMIAL = {"initial_learning_rate": 0.1, "decay_steps": 20, "end_learning_rate": 0.01}
RESTARTS = {"initial_learning_rate": 0.1, "first_decay_steps": 8}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "exponential": ("ExponentialDecay", DECAY),
    "exponential_staircase": ("ExponentialDecay", {**DECAY, "staircase": True}),
    "exponential_of_e": (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": float(np.exp(-0.1))},
    ),
    "piecewise": ("PiecewiseConstantDecay", {"boundaries": [5, 20], "values": [0.1, 0.05, 0.001]}),
    "inverse_time": ("InverseTimeDecay", DECAY),
    "inverse_time_staircase": ("InverseTimeDecay", {**DECAY, "staircase": True}),
    "polynomial": ("PolynomialDecay", POLYNOMIAL),
    "polynomial_power_2": ("PolynomialDecay", {**POLYNOMIAL, "power": 2.0}),
    "polynomial_cycle": ("PolynomialDecay", {**POLYNOMIAL, "cycle": True}),
    "cosine": ("CosineDecay", COSINE),
    "cosine_alpha": ("CosineDecay", {**COSINE, "alpha": 0.1}),
    "cosine_warmup": (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 20, "warmup_target": 0.1, "warmup_steps": 10},
    ),
    "cosine_warmup_from": (
        "CosineDecay",
        {**COSINE, "initial_learning_rate": 0.02, "alpha": 0.1, "warmup_target": 0.1, "warmup_steps": 5},
    ),
    "cosine_restarts": ("CosineDecayRestarts", RESTARTS),
    "cosine_restarts_options": ("CosineDecayRestarts", {**RESTARTS, "t_mul": 1.5, "m_mul": 0.9, "alpha": 0.05}),
    "cosine_restarts_equal": ("CosineDecayRestarts", {**RESTARTS, "t_mul": 1.0}),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The learning rate of each schedule at each step."""
    cases = {}
    for name, (cls, config) in CASES.items():
        schedule = getattr(keras.optimizers.schedules, cls)(**config)
        rates = np.array([float(schedule(int(step))) for step in STEPS], dtype=np.float32)
        cases[name] = {"class": cls, "config": config, "learning_rates": rates}
    return {"steps": STEPS}, cases
