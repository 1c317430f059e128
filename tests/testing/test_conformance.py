"""The kit around its checks: subjects and samples, reports, what a check leaves alone, the functions for each kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.registration import KINDS
from tinygrad_dnn.testing import conformance
from tinygrad_dnn.testing.conformance import CHECKS


@pytest.fixture
def _no_plugins() -> Iterator[None]:
    yield
    td.plugins.reset()


def broken(x: td.Tensor) -> td.Tensor:
    """Return infinity at 1e3."""
    return td.exp(x) - 1.0


class NeedsWidth(td.regularizers.Regularizer):
    def __init__(self, width: float) -> None:
        self.width = self._number("width", width)

    def __call__(self, w: td.Tensor) -> td.Tensor:
        return self.width * (w * w).sum()

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width}


# -- one object --------------------------------------------------------------------------------------------------------


def test_a_failure_is_one_sentence_that_says_what_to_do() -> None:
    with pytest.raises(AssertionError) as caught:
        td.testing.check_activation(broken)
    assert str(caught.value) == (
        "activation 'broken' of local: check finite_values: its value is inf at 1000; expected a finite number: guard "
        "the input of exp and the like, not their output."
    )


def test_each_kind_has_its_function() -> None:
    for kind in KINDS:
        assert callable(getattr(td.testing, f"check_{kind.singular}"))
    assert CHECKS.keys() == {kind.plural for kind in KINDS}
    for checks in CHECKS.values():
        assert len({check.name for check in checks}) == len(checks)


def test_claims_and_arguments_are_taken() -> None:
    td.testing.check_activation(broken, claims={"domain": (-1e4, 80.0)})
    td.testing.check_regularizer(NeedsWidth, arguments={"width": 0.5})
    with pytest.raises(AssertionError, match=r"check nonnegative: the penalty of a weight of .* is -"):
        td.testing.check_regularizer(NeedsWidth, arguments={"width": -0.5})


def test_what_has_no_samples_is_skipped_with_the_reason() -> None:
    report = conformance.check_object("regularizers", NeedsWidth)
    assert report.ok
    assert len(report.skipped) == len(report.outcomes)
    assert "it needs the arguments width and declares no samples of them" in report.skipped[0].message
    with pytest.raises(AssertionError, match="it needs the arguments width"):
        td.testing.check_regularizer(NeedsWidth)


def test_samples_are_declared_by_an_attribute() -> None:
    class Declares(NeedsWidth):
        conformance = [{"arguments": {"width": 0.5}}, {"arguments": {"width": 2.0}, "inputs": [(2, 2)]}]  # noqa: RUF012

    first, second = conformance.given("regularizers", Declares)
    assert (first.name, second.name) == ("Declares[0]", "Declares[1]")
    assert (first.make().width, second.make().width, second.inputs) == (0.5, 2.0, [(2, 2)])
    assert conformance.check_object("regularizers", Declares).ok

    class Misspelt(NeedsWidth):
        conformance = {"argument": {"width": 0.5}}  # noqa: RUF012

    report = conformance.check_object("regularizers", Misspelt)
    assert "its conformance has the unknown key 'argument'" in report.skipped[0].message


def test_what_is_no_such_thing_is_refused() -> None:
    with pytest.raises(TypeError, match="an optimizer to check must be a class with the methods init, update"):
        td.testing.check_optimizer(broken)
    with pytest.raises(td.registry.UnknownNameError):
        td.testing.check_activation("no_such_activation")


def test_a_check_leaves_the_thread_as_it_was(backend: str) -> None:
    def wild(x: td.Tensor) -> td.Tensor:
        td.backend.set_floatx("float64")
        td.random.set_seed(99)
        raise KeyError("gone")

    td.random.set_seed(5)
    with td.no_grad():
        report = conformance.check_object("activations", wild)
        assert not td.is_grad_enabled()
    assert len(report.failed) > 5
    assert "check gradients: it raised KeyError ('gone'); expected no exception" in report.failed[0].message
    assert (td.backend.floatx(), td.random.get_seed(), td.backend.current().name) == ("float32", 5, backend)


def test_an_object_that_ends_the_process_is_a_failure() -> None:
    def leaving(x: td.Tensor) -> td.Tensor:
        raise SystemExit(3)

    report = conformance.check_object("activations", leaving)
    assert "it raised SystemExit (3)" in report.failed[0].message


def test_kinks_are_stepped_around_but_only_few(backend: str) -> None:
    def shifted(x: td.Tensor) -> td.Tensor:
        return td.abs(x - 0.3)  # where one of the points lies

    (subject,) = conformance.given("activations", shifted)
    gradients = next(check for check in CHECKS["activations"] if check.name == "gradients")
    assert gradients(subject) == ("passed", "")
    (subject,) = conformance.given("activations", lambda x: td.abs(x - np.array([[-7.3, -2.1, -0.4, 0.3]])))
    outcome, message = gradients(subject)
    assert (outcome, "one-sided differences disagree at 4 of 8 elements" in message) == ("failed", True)


# -- distributions -----------------------------------------------------------------------------------------------------


def test_a_report_is_plain_data() -> None:
    report = conformance.run("tinygrad-dnn", ["softsign", "exponential"])
    rows = json.loads(json.dumps(report.as_dicts()))
    assert rows[0].keys() == {"kind", "name", "check", "outcome", "message", "distribution"}
    assert {row["name"] for row in rows} == {"softsign", "exponential"}
    assert {row["distribution"] for row in rows} == {"tinygrad-dnn"}
    assert report.ok
    assert str(report) == f"{len(rows) - len(report.skipped)} passed, 0 failed, {len(report.skipped)} skipped"


@pytest.mark.usefixtures("_no_plugins")
def test_what_a_process_registered_itself_is_checked_by_default() -> None:
    assert not [each for each in conformance.cases() if each[0].distribution == "local"]
    td.registry.activations.register(broken)
    report = conformance.run("local")
    assert {(each.name, each.check) for each in report.failed} == {("broken", "finite_values")}
    assert ("activations", "broken") in {(subject.kind, subject.name) for subject, _ in conformance.cases()}
    assert str(report).startswith("activation 'broken' of local: check finite_values: ")


def test_names_may_be_aliases() -> None:
    report = conformance.run("tinygrad-dnn", ["swish", "HE_normal"])
    assert {each.name for each in report.outcomes} == {"silu", "henormal"}


def test_unknown_distributions_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no-such-dist registers nothing: is it installed, and not switched off"):
        conformance.run("no-such-dist")
    with pytest.raises(ValueError, match="tinygrad-dnn registers nothing called rellu"):
        conformance.run("tinygrad-dnn", ["relu", "rellu"])


# -- pytest ------------------------------------------------------------------------------------------------------------


@td.testing.parametrize_with_checks([td.activations.tanh, td.regularizers.L2, "max_norm", NeedsWidth], kind=None)
def _decorated(subject: Any, check: Any) -> None: ...


def test_parametrize_makes_a_test_of_each_object_and_check() -> None:
    (mark,) = _decorated.pytestmark
    names = [case.id for case in mark.args[1]]
    assert "activation-tanh-gradients" in names
    assert "constraint-maxnorm-idempotent" in names
    kinds = ("activations", "regularizers", "constraints", "regularizers")
    assert len(names) == sum(len(CHECKS[kind]) for kind in kinds)
    with pytest.raises(ValueError, match="is not of one kind alone: say kind='activations' or 'initializers'"):
        td.testing.parametrize_with_checks([broken])
    with pytest.raises(ValueError, match=r"kind must be one of activations, .*; got 'activation'"):
        td.testing.parametrize_with_checks([broken], kind="activation")
