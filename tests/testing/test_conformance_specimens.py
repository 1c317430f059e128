"""Each check of the kit can fail: a broken object for each of them fails it, with its sentence, and no other check."""

from __future__ import annotations

import importlib.util

import pytest

from tests.testing.specimens import callbacks, functions, initializers, layers, measures, optimizers  # noqa: F401
from tests.testing.specimens.breaking import SPECIMENS, Specimen
from tinygrad_dnn.testing import conformance

CHECKS = {(kind, check.name): check for kind, checks in conformance.CHECKS.items() for check in checks}
NAMES = [f"{each.kind}-{each.check}" for each in SPECIMENS]


def test_each_check_has_a_specimen() -> None:
    broken = {(each.kind, each.check) for each in SPECIMENS}
    assert broken <= CHECKS.keys()
    shared = {check for _, check in broken if len(CHECKS[_, check].kinds) > 1}
    assert [key for key, check in CHECKS.items() if key not in broken and check.name not in shared] == []
    assert len(broken) == len(SPECIMENS) >= 60


@pytest.mark.parametrize("specimen", SPECIMENS, ids=NAMES)
def test_the_check_fails_with_its_sentence(specimen: Specimen) -> None:
    if specimen.check == "native" and importlib.util.find_spec("llvmlite") is None:
        pytest.skip("llvmlite is not installed")
    (subject,) = conformance.given(specimen.kind, specimen.thing)
    outcome, message = CHECKS[specimen.kind, specimen.check](subject)
    assert outcome == "failed"
    one = subject.row.singular
    assert message.startswith(f"{one} {specimen.thing.__name__!r} of local: check {specimen.check}: ")
    assert specimen.message in message
    assert "; expected " in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:td.jit")  # what cannot be a program says so, as it should
@pytest.mark.parametrize("specimen", SPECIMENS, ids=NAMES)
def test_no_other_check_fails(specimen: Specimen) -> None:
    report = conformance.check_object(specimen.kind, specimen.thing)
    failed = {each.check for each in report.failed}
    assert specimen.check in failed or specimen.check == "native"
    assert failed - {specimen.check} <= specimen.also, str(report)
