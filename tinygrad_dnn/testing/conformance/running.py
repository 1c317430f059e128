"""Running the kit: over a distribution's objects, over one object, or as one pytest test an object and check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinygrad_dnn import plugins, registry
from tinygrad_dnn.registration import normalized
from tinygrad_dnn.testing.conformance.checking import CHECKS, Check
from tinygrad_dnn.testing.conformance.subjects import DISTRIBUTION, Subject, given, registered


@dataclass(frozen=True)
class Outcome:
    """What came of one check of one object.

    Args:
        kind: The kind's plural.
        name: The object's name.
        check: The check's name.
        outcome: "passed", "failed" or "skipped".
        message: One sentence of what failed or why it was skipped; empty where it passed.
        distribution: Where the object comes from.

    Example:
        >>> td.testing.conformance.Outcome("activations", "relu", "gradients", "passed", "").outcome
        'passed'
    """

    kind: str
    name: str
    check: str
    outcome: str
    message: str
    distribution: str = ""


@dataclass(frozen=True)
class Report:
    """What came of all checks that were run.

    Args:
        outcomes: One for each object and check, in order.

    Example:
        >>> td.testing.conformance.Report(()).ok
        True
    """

    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The checks that failed."""
        return tuple(each for each in self.outcomes if each.outcome == "failed")

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """The checks that say nothing of their object."""
        return tuple(each for each in self.outcomes if each.outcome == "skipped")

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def as_dicts(self) -> list[dict[str, str]]:
        """Return the outcomes as plain data, for JSON."""
        return [asdict(each) for each in self.outcomes]

    def __str__(self) -> str:
        passed = len(self.outcomes) - len(self.failed) - len(self.skipped)
        counts = f"{passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        return "\n".join([*(each.message for each in self.failed), counts])


def cases(dist: str | None = None, names: Iterable[str] | None = None) -> list[tuple[Subject, Check]]:
    """Return each object of a distribution with each check of its kind.

    Args:
        dist: A distribution, "tinygrad-dnn" for the built-ins; None for all that are not built in.
        names: Only the objects of these names or aliases, if given.

    Raises:
        ValueError: The distribution registers nothing, or nothing of these names.

    Example:
        >>> subject, check = td.testing.conformance.cases("tinygrad-dnn", ["softsign"])[0]
        >>> subject.name, check.name
        ('softsign', 'gradients')
    """
    chosen = None if names is None else {canonical for name in names for canonical in _canonical(name)}
    subjects = [each for each in registered(dist) if chosen is None or each.name.partition("[")[0] in chosen]
    absent = (chosen or set()) - {each.name.partition("[")[0] for each in subjects}
    if absent or (dist is not None and not subjects and not failures(dist)):
        what = f"nothing called {', '.join(sorted(absent))}" if absent else "nothing"
        raise ValueError(f"{dist or 'no plugin'} registers {what}: is it installed, and not switched off?")
    return [(subject, each) for subject in subjects for each in CHECKS[subject.kind]]


def run(dist: str | None = None, names: Iterable[str] | None = None) -> Report:
    """Run all checks on the objects that a distribution registered.

    A plugin of it that could not be loaded is an outcome too, of the kind "plugins" and the check "loads".

    Args:
        dist: A distribution, "tinygrad-dnn" for the built-ins; None for all that are not built in.
        names: Only the objects of these names or aliases, if given.

    Raises:
        ValueError: The distribution registers nothing, or nothing of these names.

    Example:
        >>> print(td.testing.conformance.run("tinygrad-dnn", ["softsign"]))
        1... passed, 0 failed, ... skipped
    """
    broken = () if names is not None else failures(dist)
    return Report((*broken, *_outcomes(cases(dist, names))))


def check_object(kind: str, thing: Any, **samples: Any) -> Report:
    """Run all checks of a kind on one object, and return the report instead of raising.

    Args:
        kind: The kind's plural.
        thing: A registered name, a function, a class or an object.
        samples: ``arguments``, ``inputs`` and ``claims``, in the place of those that it declares.

    Example:
        >>> td.testing.conformance.check_object("activations", "softsign").ok
        True
    """
    subjects = given(kind, thing, **samples)
    return Report(tuple(_outcomes((subject, each) for subject in subjects for each in CHECKS[kind])))


def expect(kind: str, thing: Any, **samples: Any) -> None:
    """Raise AssertionError with a sentence for each check of a kind that fails, or if none could be made.

    Args:
        kind: The kind's plural.
        thing: A registered name, a function, a class or an object.
        samples: ``arguments``, ``inputs`` and ``claims``, in the place of those that it declares.

    Example:
        >>> td.testing.conformance.expect("activations", "softsign")
    """
    report = check_object(kind, thing, **samples)
    if report.failed:
        raise AssertionError("\n".join(each.message for each in report.failed))
    if len(report.skipped) == len(report.outcomes):
        raise AssertionError(report.skipped[0].message)


def _canonical(name: str) -> set[str]:
    """Return what the registries call what has a name, or an alias of it; the name itself where nothing has it."""
    found = {entry.origin.name for names in registry.REGISTRIES for entry in names._claims(name)}
    return found or {name}


def _outcomes(each: Iterable[tuple[Subject, Check]]) -> list[Outcome]:
    return [
        Outcome(subject.kind, subject.name, check.name, *check(subject), subject.distribution)
        for subject, check in each
    ]


def failures(dist: str | None) -> Sequence[Outcome]:
    """Return an outcome for each plugin of a distribution that was left out."""
    return [
        Outcome(
            "plugins", f"{plugin.distribution}:{plugin.entry_point}", "loads", "failed", f"{plugin}.",
            plugin.distribution,
        )
        for plugin in plugins.report().failed
        if normalized(plugin.distribution) != DISTRIBUTION
        if dist is None or normalized(plugin.distribution) == normalized(dist)
    ]
