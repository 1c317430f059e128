"""The checks as a page of documentation: a table for each kind, made of the checks' docstrings."""

from __future__ import annotations

from tinygrad_dnn.registration import KINDS
from tinygrad_dnn.testing.conformance.checking import CHECKS, Check
from tinygrad_dnn.testing.conformance.subjects import CLAIMS


def claims_as_markdown() -> str:
    """Return what objects may claim, as Markdown.

    Example:
        >>> print(td.testing.conformance.table.claims_as_markdown()[:9])
        | claim |
    """
    rows = [
        f"| `{name}` | {', '.join(claim.kinds)} | {claim.meaning} | `{claim.default!r}` |"
        for name, claim in CLAIMS.items()
    ]
    return "\n".join(["| claim | for | what it says | without it |", "|---|---|---|---|", *rows]) + "\n"


def as_markdown() -> str:
    """Return the checks that several kinds share, then each kind's own, as Markdown.

    Example:
        >>> print(td.testing.conformance.table.as_markdown()[:26])
        ### Of several kinds
        <BLANKLINE>
        | ch
    """
    shared: dict[str, Check] = {}
    for kind in KINDS:
        shared |= {check.name: check for check in CHECKS[kind.plural] if len(check.kinds) > 1}
    parts = ["### Of several kinds", "", "| check | what it asserts, and why | kinds |", "|---|---|---|"]
    parts += [f"| `{check.name}` | {check.summary} | {_kinds(check)} |" for check in shared.values()]
    for kind in KINDS:
        checks = CHECKS[kind.plural]
        own = [check for check in checks if check.name not in shared]
        parts += ["", f"### {kind.plural.capitalize()}: {len(checks)} checks, of them {len(own)} of their own", ""]
        parts += ["| check | what it asserts, and why |", "|---|---|"]
        parts += [f"| `{check.name}` | {check.summary} |" for check in own]
    return "\n".join(parts) + "\n"


def _kinds(check: Check) -> str:
    absent = [kind.plural for kind in KINDS if kind.plural not in check.kinds]
    if len(absent) < len(check.kinds):
        return f"all but {' and '.join(absent)}" if absent else "all"
    return ", ".join(check.kinds)
