"""The kit in pytest: a decorator that makes one test of each object and check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.callbacks import Callback
from tinygrad_dnn.constraints import Constraint
from tinygrad_dnn.initializers import Initializer
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.losses import Loss
from tinygrad_dnn.metrics import Metric
from tinygrad_dnn.optimizers import Optimizer
from tinygrad_dnn.registration import KINDS
from tinygrad_dnn.regularizers import Regularizer
from tinygrad_dnn.schedulers import LearningRateSchedule
from tinygrad_dnn.testing.conformance.checking import CHECKS, Check
from tinygrad_dnn.testing.conformance.subjects import Subject, given

_BASES: dict[str, type] = {
    "initializers": Initializer, "optimizers": Optimizer, "schedulers": LearningRateSchedule,
    "regularizers": Regularizer, "constraints": Constraint, "losses": Loss, "metrics": Metric, "layers": Layer,
    "callbacks": Callback,
}  # fmt: skip


def parametrize_with_checks(things: Iterable[Any], kind: str | None = None) -> Callable[[Any], Any]:
    """Return a pytest decorator that gives a test one object and one check a time, as ``subject`` and ``check``.

    A check is called with its subject and returns the outcome, "passed", "failed" or "skipped", and a sentence.

    Args:
        things: Registered names, functions, classes or objects.
        kind: Their kind's plural; where it is left out a registered object's own counts, or that of the base class. A
            function that is not registered needs it.

    Raises:
        ValueError: The kind of a thing is not clear, or is none.

    Example:
        >>> @td.testing.parametrize_with_checks([td.activations.elu, td.optimizers.SGD])
        ... def test_conformance(subject, check):
        ...     outcome, message = check(subject)
        ...     assert outcome != "failed", message
    """
    import pytest

    subjects = [subject for thing in things for subject in given(_kind(thing, kind), thing)]
    cases = [
        pytest.param(subject, check, id=f"{subject.row.singular}-{subject.name}-{check.name}")
        for subject, check in _pairs(subjects)
    ]
    return pytest.mark.parametrize(("subject", "check"), cases)


def _pairs(subjects: Iterable[Subject]) -> list[tuple[Subject, Check]]:
    return [(subject, check) for subject in subjects for check in CHECKS[subject.kind]]


def _kind(thing: Any, kind: str | None) -> str:
    """Return the kind that is said, or the one that the thing can only be."""
    known = [row.plural for row in KINDS]
    if kind is not None:
        if kind not in known:
            raise ValueError(f"parametrize_with_checks: kind must be one of {', '.join(known)}; got {kind!r}.")
        return kind
    if isinstance(thing, str):
        found = [name for name in known if thing in getattr(registry, name)]
    else:
        found = [name for name in known if getattr(registry, name).holds(thing)]
        made = thing if isinstance(thing, type) else type(thing)
        found = found or [name for name, base in _BASES.items() if issubclass(made, base)]
    if len(found) != 1:
        choices = " or ".join(repr(name) for name in found or known)
        raise ValueError(f"parametrize_with_checks: {thing!r} is not of one kind alone: say kind={choices}.")
    return found[0]
