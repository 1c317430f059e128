"""The built-ins pass the kit that plugins are held to: all of them the quick checks, each kind's first all checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinygrad_dnn import registry
from tinygrad_dnn.testing import conformance
from tinygrad_dnn.testing.conformance import Check, Subject

CASES = conformance.cases("tinygrad-dnn")
# What takes the most time; of each check a few objects run in the fast suite.
SLOW = {"gradients", "in_a_file", "in_a_model", "native", "network", "quadratic", "rosenbrock", "threads"}
SAMPLE = 4
# What tests/test_derivatives.py holds all built-ins to, on both backends and without leave for kinks: the sample is for
# the kit's own sake.
ELSEWHERE = {"gradients"}


def _is_heavy() -> Callable[[Subject, Check], bool]:
    seen: dict[tuple[str, str], int] = {}

    def is_heavy(subject: Subject, check: Check) -> bool:
        key = subject.kind, check.name
        seen[key] = seen.get(key, 0) + 1
        return (check.name in SLOW or subject.kind == "callbacks") and seen[key] > SAMPLE

    return is_heavy


HEAVY = _is_heavy()
CHOSEN = [(subject, check, HEAVY(subject, check)) for subject, check in CASES]


@pytest.mark.parametrize(
    ("subject", "check"),
    [
        pytest.param(
            subject, check, id=f"{subject.row.singular}-{subject.name}-{check.name}",
            marks=[pytest.mark.heavy] if heavy else [],
        )
        for subject, check, heavy in CHOSEN
        if not (heavy and check.name in ELSEWHERE)
    ],
)  # fmt: skip
def test_built_in(subject: Subject, check: Check) -> None:
    outcome, message = check(subject)
    assert outcome != "failed", message


def test_all_that_is_registered_is_checked() -> None:
    checked = {(subject.kind, subject.name.partition("[")[0]) for subject, _ in CASES}
    known = {(each.kind, name) for each in registry.REGISTRIES for name, entry in (each.builtin or {}).items()}
    canonical = {(kind, getattr(registry, kind).origin(name).name) for kind, name in known}
    assert checked == canonical


def test_none_is_without_samples() -> None:
    assert [subject.refusal for subject, _ in CASES if subject.refusal] == []
