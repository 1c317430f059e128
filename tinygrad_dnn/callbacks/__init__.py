"""Callbacks: what listens to training, and may stop it, by what they are for."""

from __future__ import annotations

from tinygrad_dnn.callbacks.base import Callback, CallbackList, LambdaCallback, Logs
from tinygrad_dnn.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from tinygrad_dnn.callbacks.monitoring import Monitor
from tinygrad_dnn.callbacks.reporting import CSVLogger, History, ProgbarLogger
from tinygrad_dnn.callbacks.stopping import EarlyStopping, TerminateOnNaN
from tinygrad_dnn.callbacks.tensorboard import TensorBoard
from tinygrad_dnn.hookspecs import Register, hookimpl

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "Monitor",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]


@hookimpl
def register_callbacks(register: Register) -> None:
    """Register the built-in callbacks, as a plugin registers its own."""
    for callback in (
        History, LambdaCallback, EarlyStopping, TerminateOnNaN, ReduceLROnPlateau, LearningRateScheduler, CSVLogger,
        ProgbarLogger, TensorBoard,
    ):  # fmt: skip
        register(callback)
