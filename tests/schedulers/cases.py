"""The golden schedules: Keras's and PyTorch's, by name."""

from __future__ import annotations

import json
from typing import Any

from tests.golden import storage
from tinygrad_dnn import schedulers

KERAS = storage.load("schedules")
TORCH = storage.load("schedules_more")
ALL: dict[str, dict[str, Any]] = {**KERAS.cases, **TORCH.cases}
POWER: dict[str, dict[str, Any]] = {
    "power": {
        "class": "PowerDecay",
        "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "power": 2.0},
    },
    "power_staircase": {
        "class": "PowerDecay",
        "config": {
            "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "power": 0.5, "staircase": True,
        },
    },
}  # fmt: skip
ALL |= POWER
assert len(ALL) == len(KERAS.cases) + len(TORCH.cases) + len(POWER), "two cases have one name"
NAMES = sorted(ALL)


def made(name: str) -> schedulers.LearningRateSchedule:
    """Return the schedule of a case."""
    config = json.loads(json.dumps(ALL[name]["config"]))
    return getattr(schedulers, ALL[name]["class"])(**config)
