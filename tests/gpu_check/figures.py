"""What a probe finds: figures beside their bounds, and what becomes of a probe that raises."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

PASSED, FAILED, TOLD, NOT_RUN = "passed", "failed", "told", "not run"


class Figure(NamedTuple):
    """One thing that a probe found.

    Attributes:
        what: In a few words.
        value: A number, or a text.
        unit: Of the number.
        least: It is to be no less; None if nothing is asked of it.
        most: It is to be no more; None likewise.
        equal: It is to be this, where it is a text.
        skipped: Why it was not found out.
    """

    what: str
    value: float | str = ""
    unit: str = ""
    least: float | None = None
    most: float | None = None
    equal: str = ""
    skipped: str = ""

    @property
    def bound(self) -> str:
        """What it is to be, for the reader."""
        if self.equal:
            return self.equal
        limits = ((">=", self.least), ("<=", self.most))
        return " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)

    @property
    def state(self) -> str:
        """Whether it passed, failed, has no bound, or was not found out."""
        if self.skipped:
            return NOT_RUN
        if not self.bound:
            return TOLD
        if self.equal or isinstance(self.value, str):
            return PASSED if self.value == self.equal else FAILED
        # Written so that NaN fails.
        inside = (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)
        return PASSED if inside else FAILED

    @property
    def shown(self) -> str:
        """The value with its unit."""
        if self.skipped:
            return self.skipped
        return self.value if isinstance(self.value, str) else f"{self.value:.4g} {self.unit}".strip()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"what": self.what, "value": self.value, "unit": self.unit, "bound": self.bound, "state": self.state,
                **({"why": self.skipped} if self.skipped else {})}  # fmt: skip


def collected(probe: Callable[..., Iterator[Figure]], *arguments: Any) -> list[Figure]:
    """Return what a probe finds, and what went otherwise than it should.

    Where it raises, that is what it had found and one figure that fails with the error. What is warned of, as that a
    step cannot be captured and runs launch by launch, fails it too.
    """
    found: list[Figure] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found.extend(probe(*arguments))
        except Exception as error:  # of whatever was probed: the other probes go on
            found.append(Figure("it ends", f"{type(error).__name__}: {_line(error)}", equal="yes"))
    # Others' libraries may warn of what is theirs.
    said = dict.fromkeys(_line(each.message) for each in caught if _line(each.message).startswith("td."))
    if said:
        found.append(Figure("warnings", " ".join(said), equal="none"))
    return found


def _line(error: BaseException | str) -> str:
    return " ".join(str(error).split())
