"""What callbacks that watch a value have in common: which it is, and what counts as better."""

from __future__ import annotations

import operator
import warnings
from numbers import Integral
from typing import Any

from tinygrad_dnn.callbacks.base import Callback
from tinygrad_dnn.checks import as_choice, as_number

# Parts of the names of values that are better when they are higher.
_RISING = ("acc", "auc", "precision", "recall", "f1", "f_beta", "iou", "r2", "cosine_similarity", "top_k")


def check_verbose(owner: str, verbose: Any) -> None:
    """Raise ValueError unless a callback's ``verbose`` is 0, 1 or 2."""
    if not isinstance(verbose, Integral) or verbose not in (0, 1, 2):
        raise ValueError(f"{owner}: verbose must be 0 or 1 (2 is taken for 1), not {verbose!r}.")


class Monitor(Callback):
    """Base of the callbacks that watch a value.

    Args:
        monitor: The value to watch, a name in the epoch's logs.
        mode: "min", "max", or "auto": max for accuracies and their like, else min.
        min_delta: The least change that counts as an improvement, a finite number; its sign does not matter.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> monitor = td.callbacks.Monitor("val_accuracy", min_delta=0.01)
        >>> monitor.improves(0.75, 0.7), monitor.improves(0.705, 0.7), monitor.improves(0.1, None)
        (True, False, True)
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0) -> None:
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise ValueError(f"{owner}: monitor must be the name of a value, not {monitor!r}.")
        as_choice(mode, f"{owner}: mode", ("auto", "min", "max"))
        min_delta = as_number(min_delta, f"{owner}: min_delta")
        self.monitor = monitor
        self.mode = mode
        rises = any(part in monitor.removeprefix("val_") for part in _RISING)
        upwards = mode == "max" or (mode == "auto" and rises)
        self._better = operator.gt if upwards else operator.lt
        self.min_delta = -abs(min_delta) if upwards else abs(min_delta)

    def improves(self, value: float, reference: float | None) -> bool:
        """Tell whether a value is better than another by more than ``min_delta``; any is better than None."""
        return reference is None or bool(self._better(value + self.min_delta, reference))

    def monitored(self, logs: Any) -> Any:
        """Return the value among an epoch's logs; where there is none, warn and return None."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            known = ", ".join(map(repr, logs or ())) or "nothing"
            hint = ": give fit validation_data or validation_split" if self.monitor.startswith("val_") else ""
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, but the logs have {known}{hint}.", stacklevel=3
            )
        return value
