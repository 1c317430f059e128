"""Callbacks that set the learning rate: by the epoch, or when a value has stopped improving."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.callbacks.base import Callback
from tinygrad_dnn.callbacks.monitoring import Monitor, check_verbose
from tinygrad_dnn.checks import as_integer, as_number


class LearningRateScheduler(Callback):
    """Set the learning rate at the begin of each epoch; the epoch's logs then have it as "learning_rate".

    A schedule given to the optimizer instead counts steps, not epochs.

    Args:
        schedule: A function of the epoch, counted from 0, or of the epoch and the learning rate so far, that returns
            the learning rate; or a schedule of ``td.schedulers``, its name or configuration, which counts epochs here.
        verbose: 1 says what it sets.

    Raises:
        TypeError: ``schedule`` is no such function.
        ValueError: The optimizer has a schedule of its own, or what the function returned is no learning rate.

    Example:
        >>> callback = td.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch < 10 else rate * 0.9)
    """

    def __init__(self, schedule: Callable[..., Any] | str | dict[str, Any], verbose: int = 0) -> None:
        self.schedule: Callable[..., Any] = registry.schedulers.get(schedule)
        if not callable(self.schedule):
            raise TypeError(f"LearningRateScheduler: schedule must be a function of the epoch, not {schedule!r}.")
        check_verbose("LearningRateScheduler", verbose)
        self.verbose = verbose
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
            self._takes_rate = True
        except (TypeError, ValueError):
            self._takes_rate = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuse an optimizer that has a schedule of its own."""
        _check_settable(self)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the learning rate."""
        optimizer = self.model.optimizer
        arguments = (epoch, float(optimizer.learning_rate)) if self._takes_rate else (epoch,)
        returned = self.schedule(*arguments)
        try:
            rate = float(returned)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"LearningRateScheduler: the schedule must return a number, and for epoch {epoch} it returned "
                f"{returned!r}."
            ) from error
        optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler sets the learning rate to {rate:g}.")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the learning rate to the epoch's values."""
        _log_rate(self, logs)


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a value has stopped improving; the epoch's logs have it as "learning_rate".

    Args:
        monitor: The value to watch, a name in the epoch's logs.
        factor: What the learning rate is multiplied by, in (0, 1).
        patience: After how many epochs without an improvement; 0 acts as 1.
        verbose: 1 says when it is lowered.
        mode: "min", "max", or "auto": max for accuracies and their like, else min.
        min_delta: The least change that counts as an improvement, in the value's own unit.
        cooldown: For how many epochs after that nothing is counted.
        min_lr: The least learning rate, at least 0.

    Attributes:
        best: The best value so far, None before the first.
        wait: How many epochs have passed since the last improvement.
        cooldown_counter: For how many epochs nothing is counted yet.

    Raises:
        ValueError: An argument is out of its range, or the optimizer has a schedule of its own.

    Example:
        >>> callback = td.callbacks.ReduceLROnPlateau(factor=0.5, patience=5)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        owner = "ReduceLROnPlateau"
        check_verbose(owner, verbose)
        self.factor = as_number(factor, f"{owner}: factor", "(0, 1)")
        self.min_lr = as_number(min_lr, f"{owner}: min_lr", "[0, inf)")
        self.patience = as_integer(patience, f"{owner}: patience", "[0, inf)")
        self.cooldown = as_integer(cooldown, f"{owner}: cooldown", "[0, inf)")
        self.verbose = verbose
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.wait = 0
        self.cooldown_counter = 0

    def get_state(self) -> dict[str, Any]:
        """Return the best value, and what is counted."""
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` returned."""
        self.best, self.wait, self.cooldown_counter = state["best"], state["wait"], state["cooldown_counter"]

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget what an earlier training left, and refuse an optimizer that has a schedule of its own."""
        self._forget()
        _check_settable(self)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare the epoch's value with the best so far."""
        _log_rate(self, logs)
        value = self.monitored(logs)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience:
                self._lower(epoch)

    def _lower(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if old <= self.min_lr:
            return
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau lowers the learning rate from {old:g} to {new:g}.")


def _log_rate(callback: Callback, logs: Any) -> None:
    if logs is not None:
        logs["learning_rate"] = float(callback.model.optimizer.learning_rate)


def _check_settable(callback: Callback) -> None:
    # What is set would silently end the optimizer's own schedule.
    schedule = getattr(callback.model.optimizer, "_schedule", None)
    if schedule is not None:
        name = getattr(schedule, "__name__", type(schedule).__name__)
        raise ValueError(
            f"{type(callback).__name__} sets the learning rate, and the optimizer {callback.model.optimizer.name!r} "
            f"has a schedule of its own, {name}: compile the model with a number as its learning rate."
        )
