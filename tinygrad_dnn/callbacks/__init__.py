"""Callbacks: what listens to training, and may stop it, by what they are for."""

from __future__ import annotations

from tinygrad_dnn import registry
from tinygrad_dnn.callbacks.backup import BackupAndRestore
from tinygrad_dnn.callbacks.base import Callback, CallbackList, LambdaCallback, Logs
from tinygrad_dnn.callbacks.checkpoint import ModelCheckpoint
from tinygrad_dnn.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from tinygrad_dnn.callbacks.monitoring import Monitor
from tinygrad_dnn.callbacks.progress import Progress
from tinygrad_dnn.callbacks.reporting import CSVLogger, History, ProgbarLogger
from tinygrad_dnn.callbacks.stopping import EarlyStopping, TerminateOnNaN
from tinygrad_dnn.callbacks.tensorboard import TensorBoard
from tinygrad_dnn.hookspecs import Register, hookimpl

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "Monitor",
    "ProgbarLogger",
    "Progress",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "get",
    "serialize",
]

get, serialize = registry.callbacks.get, registry.callbacks.serialize


@hookimpl
def register_callbacks(register: Register) -> None:
    """Register the built-in callbacks, as a plugin registers its own."""
    for callback in (
        History, LambdaCallback, EarlyStopping, TerminateOnNaN, ReduceLROnPlateau, LearningRateScheduler, CSVLogger,
        ProgbarLogger, TensorBoard, BackupAndRestore, ModelCheckpoint,
    ):  # fmt: skip
        register(callback)
