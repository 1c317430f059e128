"""Optimizers by Keras's names: what turns gradients into new weights."""

from __future__ import annotations

import importlib
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.optimizers.accumulating import Adadelta, Adagrad, Ftrl
from tinygrad_dnn.optimizers.adafactor import Adafactor
from tinygrad_dnn.optimizers.adam_variants import Adamax, AdamW, Lamb, Lion, RAdam
from tinygrad_dnn.optimizers.adaptive import Adam, Nadam, RMSprop
from tinygrad_dnn.optimizers.base import Optimizer
from tinygrad_dnn.optimizers.loss_scale import LossScaleOptimizer
from tinygrad_dnn.optimizers.muon import Muon
from tinygrad_dnn.optimizers.schedule_free import ScheduleFreeAdamW
from tinygrad_dnn.optimizers.sgd import SGD

__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "LossScaleOptimizer",
    "Muon", "Nadam", "Optimizer", "RAdam", "RMSprop", "ScheduleFreeAdamW", "get", "serialize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "schedules":  # where Keras keeps them; by dotted name, since the built-ins do not know one another
        return importlib.import_module("tinygrad_dnn.schedulers")
    raise AttributeError(f"module 'tinygrad_dnn.optimizers' has no attribute {name!r}")

get, serialize = registry.optimizers.get, registry.optimizers.serialize


@hookimpl
def register_optimizers(register: Register) -> None:
    """Register the built-in optimizers, as a plugin registers its own."""
    for optimizer in (
        SGD, RMSprop, Adam, Nadam, AdamW, Adamax, RAdam, Lamb, Lion, Adagrad, Adadelta, Ftrl, Muon, Adafactor,
        ScheduleFreeAdamW, LossScaleOptimizer,
    ):  # fmt: skip
        register(optimizer)
