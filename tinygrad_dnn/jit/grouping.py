"""Grouping: which operations share a loop, so that what one makes and the next one reads never goes through memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tinygrad_dnn.jit.operations import LOOPS, Operation
from tinygrad_dnn.jit.views import View


@dataclass(eq=False, slots=True)
class Group:
    """Operations that are done together: in one loop, or one product or call alone.

    Attributes:
        operations: In order.
        stage: How far down the longest path to them is; a group reads only what groups of smaller stages have made.
    """

    operations: list[Operation] = field(default_factory=list)
    stage: int = 0

    @property
    def kind(self) -> str:
        """"loop", "product", "convolution" or "call"."""
        kind = self.operations[0].kind
        return "loop" if kind in LOOPS else kind

    @property
    def space(self) -> tuple[int, ...]:
        """The lengths that its loops go over."""
        return self.operations[0].space

    def __repr__(self) -> str:
        return f"{self.kind} {list(self.space)}: " + ", ".join(x.name for x in self.operations)


def group(operations: Sequence[Operation]) -> list[Group]:
    """Return the operations in groups, in an order in which these can be run.

    Two operations can share a loop if the second reads what the first makes at the same place ("softly"); after a
    reduction, or where elements are read in another order, the first has to be over before the second begins. Each
    operation has a stage: it is that of what it reads softly, and one more than that of what it reads otherwise. All
    that softly hangs together in one stage is a group. Paths between groups then only lead to later stages, so that
    none leads back.

    An operation that is needed late moves to the stage of what reads it softly: a gradient's factor that is computed
    from what is kept anyway need not be kept as well.

    Calls come as early as they can, with what they need; all else follows the last of them. So what a call may raise
    comes before any state is written. What nobody reads any more, and could be written over what others read, comes
    after these.
    """
    links = Links(operations)
    return updates_late(calls_first(gathered(operations, links), links), links)


class Links:
    """Who reads what who writes.

    Attributes:
        before: For each operation those that it has to follow, and whether softly.
        behind: The same the other way round.
        readers: Those that read each value.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        writers: dict[int, list[Operation]] = {}
        self.before: dict[int, list[tuple[Operation, bool]]] = {}
        self.behind: dict[int, list[tuple[Operation, bool]]] = {id(operation): [] for operation in operations}
        self.readers: dict[int, list[Operation]] = {}
        for operation in operations:
            found = [(writer, False) for writer in operation.after]
            for view in operation.read:
                root = id(view.root)
                found += [(writer, softly(writer, view, operation)) for writer in writers.get(root, ())]
                self.readers.setdefault(root, []).append(operation)
            self.before[id(operation)] = found
            for writer, soft in found:
                self.behind[id(writer)].append((operation, soft))
            writers.setdefault(id(operation.target.root), []).append(operation)


def softly(writer: Operation, view: View, reader: Operation) -> bool:
    """Tell whether a reader reads through a view just what a writer makes at the same place of one loop."""
    return (
        writer.kind == "map"
        and reader.kind in LOOPS
        and (writer.target is view or writer.target == view)
        and not (reader.name == "gather" and view is reader.sources[0])
    )


def _stages(operations: Sequence[Operation], links: Links) -> dict[int, int]:
    stages: dict[int, int] = {}
    for operation in operations:
        earliest = [stages[id(writer)] + (not soft) for writer, soft in links.before[id(operation)]]
        stages[id(operation)] = max(earliest, default=0)
    return stages


def _move_late(operations: Sequence[Operation], links: Links, stages: dict[int, int]) -> None:
    for operation in reversed(operations):
        readers = links.behind[id(operation)]
        if operation.kind != "map" or not readers:
            continue
        latest = min([stages[id(reader)] - (not soft) for reader, soft in readers])
        if latest != stages[id(operation)] and any(soft and stages[id(x)] == latest for x, soft in readers):
            stages[id(operation)] = latest


def gathered(operations: Sequence[Operation], links: Links) -> list[Group]:
    """Return the operations of each stage that softly hang together as a group."""
    stages = _stages(operations, links)
    _move_late(operations, links, stages)
    parent = {id(operation): id(operation) for operation in operations}

    def first(x: int) -> int:
        while parent[x] != x:
            parent[x] = x = parent[parent[x]]
        return x

    for operation in operations:
        for writer, soft in links.before[id(operation)]:
            if soft and stages[id(writer)] == stages[id(operation)]:
                parent[first(id(operation))] = first(id(writer))
    groups: dict[int, Group] = {}
    for operation in operations:
        key = first(id(operation))
        if key not in groups:
            groups[key] = Group(stage=stages[id(operation)])
        groups[key].operations.append(operation)
    return sorted(groups.values(), key=lambda x: x.stage)


def calls_first(groups: Sequence[Group], links: Links) -> list[Group]:
    """Move the groups that no call needs behind the last call."""
    calls = [x for x in groups if x.kind == "call"]
    if not calls:
        return [*groups]
    group_of = {id(operation): one for one in groups for operation in one.operations}
    needed = {id(one) for one in calls}
    for one in reversed(groups):
        if id(one) in needed:
            needed.update(id(group_of[id(x)]) for operation in one.operations for x, _ in links.before[id(operation)])
    distance = calls[-1].stage + 1
    for one in groups:
        if id(one) not in needed:
            one.stage += distance
    return sorted(groups, key=lambda x: x.stage)


def updates_late(groups: Sequence[Group], links: Links) -> list[Group]:
    """Move groups that write over what others read behind these, unless somebody waits for them."""
    group_of = {id(operation): one for one in groups for operation in one.operations}
    for one in groups:
        overwritten = [operation.over for operation in one.operations if operation.over is not None]
        behind = [x for operation in one.operations for x, _ in links.behind[id(operation)]] if overwritten else []
        if all(group_of[id(x)] is one for x in behind):
            readers = [group_of[id(x)] for value in overwritten for x in links.readers.get(id(value), ())]
            one.stage = max([one.stage, *(x.stage + 1 for x in readers if x is not one)])
    return sorted(groups, key=lambda x: x.stage)
