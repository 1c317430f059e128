"""How long a training is: a number of epochs or of steps, which mean the same on every machine."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_CLOCK = re.compile(r"\d+(\.\d+)?\s*(s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?)", re.IGNORECASE)
_COUNT = re.compile(r"(\d+)\s*(epochs?|steps?)", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """A number of epochs or steps.

    Args:
        amount: How many, at least 1.
        unit: "epochs" or "steps".

    Example:
        >>> from tinygrad_dnn.comparing import Budget
        >>> Budget.read("10epochs").steps(172), str(Budget.read("1step"))
        (1720, '1 step')
        >>> Budget.read("60s")
        Traceback (most recent call last):
        ValueError: budget: '60s' is a time, and what is done in it depends on the machine: give epochs or steps, as ...
    """

    amount: int
    unit: str

    @classmethod
    def read(cls, text: str, owner: str = "budget") -> Budget:
        """Return the budget that a text such as "10epochs" or "500steps" says.

        Raises:
            ValueError: It says none, or one of time; ``owner`` is what the error calls it.
        """
        if _CLOCK.fullmatch(text.strip()):
            raise ValueError(
                f"{owner}: {text!r} is a time, and what is done in it depends on the machine: give epochs or steps, "
                "as 10epochs or 500steps."
            )
        found = _COUNT.fullmatch(text.strip())
        if found is None or int(found[1]) < 1:
            raise ValueError(
                f"{owner}: {text!r} is no budget: give at least one epoch or step, as 10epochs or 500steps."
            )
        return cls(int(found[1]), found[2].lower().rstrip("s") + "s")

    def __str__(self) -> str:
        return f"{self.amount} {self.unit if self.amount > 1 else self.unit[:-1]}"

    def steps(self, steps_an_epoch: int) -> int:
        """Return the number of steps, where an epoch has so many."""
        return self.amount * (steps_an_epoch if self.unit == "epochs" else 1)

    def third(self) -> Budget:
        """Return a third of it, rounded up."""
        return Budget(math.ceil(self.amount / 3), self.unit)
