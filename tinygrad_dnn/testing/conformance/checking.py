"""What a check is: a function of a subject that fails with what came, what was expected, and what to do."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.graph import enable_grad
from tinygrad_dnn.ops import random
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject

_SEED = 20260


class CheckError(Exception):
    """A subject does not do what a check asks.

    Args:
        came: What it did instead.
        expected: What it should have done.
        advice: What its author can do about it.
    """

    def __init__(self, came: str, expected: str, advice: str) -> None:
        super().__init__(came, expected, advice)
        self.came, self.expected, self.advice = came, expected, advice


@dataclass(frozen=True)
class Check:
    """One check: its name, the kinds it is for, and the function that raises ``CheckError``.

    Example:
        >>> check = td.testing.conformance.CHECKS["activations"][0]
        >>> (subject,) = td.testing.conformance.given("activations", "softsign")
        >>> check.name, check(subject)
        ('gradients', ('passed', ''))
    """

    name: str
    kinds: tuple[str, ...]
    function: Callable[[Subject], None] = field(repr=False)

    @property
    def summary(self) -> str:
        """What it asserts and why: its docstring in one line."""
        return " ".join((inspect.getdoc(self.function) or "").split())

    def __call__(self, subject: Subject) -> tuple[str, str]:
        """Run it on one subject, changing nothing around it; return the outcome and the sentence that explains it."""
        try:
            with _undisturbed():
                self.function(subject)
        except SkipError as reason:
            return "skipped", f"{subject}: check {self.name} was skipped, since {reason}."
        except CheckError as failure:
            said = failure.came, failure.expected, failure.advice
        except (Exception, SystemExit) as error:  # whatever a plugin's code raises is its own fault
            text = " ".join(str(error).split()) or "without a message"
            said = (
                f"it raised {type(error).__name__} ({text.rstrip('.')})",
                "no exception",
                "run what the check does, which its docstring tells, by hand",
            )
        else:
            return "passed", ""
        came, expected, advice = said
        return "failed", f"{subject}: check {self.name}: {came}; expected {expected}: {advice}."


# All checks by kind, in the order in which they are run: a kind's own before those that several share.
CHECKS: dict[str, list[Check]] = {}


def check(*kinds: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Return a decorator that makes a function a check of these kinds, named as the function."""

    def adding(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        made = Check(function.__name__, kinds, function)
        for kind in kinds:
            known = CHECKS.setdefault(kind, [])
            own = sum(len(each.kinds) == 1 for each in known)
            known.insert(own if len(kinds) == 1 else len(known), made)
        return function

    return adding


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a check begin from one random state and the usual modes, and leave this thread's as they were."""
    floatx, state = backend.floatx(), random.get_state()
    try:
        backend.set_floatx("float32")
        random.set_seed(_SEED)
        # What an operation says of an extreme number is no failure; what comes of it may be one.
        with enable_grad(), np.errstate(all="ignore"):
            yield
    finally:
        backend.set_floatx(floatx)
        random.set_state(state)
