"""Parts: the sections of one group, each with all that it needs to compute from what is in memory."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_dnn.jit.cuda.operands import PlaceOf
from tinygrad_dnn.jit.cuda.sections import Section, in_order, mapping, reducing
from tinygrad_dnn.jit.grouping import Group
from tinygrad_dnn.jit.operations import Operation


def sections(group: Group, place_of: PlaceOf) -> list[Section]:
    """Return what is to be done for a group, one after the other.

    Reductions over the same axes are done together, a scatter and a scan each alone. What a map makes for several of
    them is made by each. Maps that are stored come last, as they may write over what others read: with the last
    reductions if there are any.

    Args:
        group: Operations that share a loop, whose views have no length of 0.
        place_of: Where the array of a value is, or None if it is in none.
    """
    operations = group.operations
    above = _above(operations)
    stored = [
        x for x in operations if x.kind in ("map", "draw") and x not in above and place_of(x.target.root) is not None
    ]
    ordered = [x for x in operations if x.kind in ("scatter", "scan")]
    patterns: dict[tuple[int, ...], list[Operation]] = {}
    for x in operations:
        if x.kind == "reduce":
            patterns.setdefault(_gone(x), []).append(x)
    made = [in_order(_with_sources(operations, [x]), place_of) for x in ordered]
    for number, wanted in enumerate(patterns.values()):
        if number == len(patterns) - 1:
            wanted = [*wanted, *above, *stored]
        made += reducing(_with_sources(operations, wanted), {id(x) for x in wanted}, place_of)
    if stored and not patterns:
        made.append(mapping(_with_sources(operations, stored), {id(x) for x in stored}, place_of))
    return made


def _gone(operation: Operation) -> tuple[int, ...]:
    """Return the axes that a reduction goes over."""
    return tuple(i for i, stride in enumerate(operation.target.strides) if stride == 0)


def _above(operations: Iterable[Operation]) -> list[Operation]:
    """Return the maps that do not move along the axes that are gone over: there is then one kind of reductions."""
    gone = {_gone(x) for x in operations if x.kind == "reduce"}
    return [x for x in operations if x.kind == "map" and gone and _gone(x) in gone and _gone(x)]


def _with_sources(operations: Iterable[Operation], wanted: Iterable[Operation]) -> list[Operation]:
    """Return operations with those that make, at the same place, what they read; in order."""
    needed = {id(x) for x in wanted}
    kept = []
    for operation in reversed([*operations]):
        if id(operation) in needed:
            kept.append(operation)
            views = operation.read
            needed.update(id(x) for x in operations if x.kind in ("map", "reduce") and x.target in views)
    return kept[::-1]
