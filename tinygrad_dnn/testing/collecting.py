"""The kit as pytest items: one for each object and check of the distributions that the command line names."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_dnn.testing.conformance.checking import Check
from tinygrad_dnn.testing.conformance.running import Outcome, cases, failures
from tinygrad_dnn.testing.conformance.subjects import Subject

NODE = "tinygrad-dnn-plugins"


class Conformance(pytest.Collector):
    """What holds the items of the kit: those of one distribution, or of all plugins."""

    def __init__(self, dist: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dist = dist

    def collect(self) -> list[pytest.Item]:
        """Return an item for each plugin that could not be loaded, and for each object and check."""
        broken = [
            Loads.from_parent(self, name=f"plugins-{each.name}-{each.check}", found=each)
            for each in failures(self.dist)
        ]
        try:
            pairs = cases(self.dist)
        except ValueError as error:
            raise pytest.UsageError(f"--{NODE}: {error}") from error
        found = [
            Conforms.from_parent(
                self, name=f"{subject.row.singular}-{subject.name}-{check.name}", subject=subject, check=check
            )
            for subject, check in pairs
        ]
        return [*broken, *found]


class _ToldError(Exception):
    """A failure that its sentence tells wholly: no traceback is needed."""


class _Item(pytest.Item):
    """An item whose failure is one sentence."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, _ToldError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def tell(self, outcome: str, message: str) -> None:
        """Fail or skip with a message, or pass."""
        if outcome == "skipped":
            pytest.skip(message)
        if outcome == "failed":
            raise _ToldError(message)


class Loads(_Item):
    """A plugin that could not be loaded."""

    def __init__(self, found: Outcome, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found

    def runtest(self) -> None:
        """Fail with the reason."""
        self.tell(self.found.outcome, self.found.message)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name


class Conforms(_Item):
    """One check of one object."""

    def __init__(self, subject: Subject, check: Check, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject, self.check = subject, check

    def runtest(self) -> None:
        """Run the check, and fail or skip with its sentence."""
        self.tell(*self.check(self.subject))

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name


def items(session: pytest.Session, dist: str | None) -> list[pytest.Item]:
    """Return the kit's items for a pytest session."""
    collector = Conformance.from_parent(session, name=NODE, nodeid=NODE, dist=dist)
    return list(collector.collect())
