"""Fusing: what follows reductions done with them, where a block of threads then needs its own results alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tinygrad_dnn.jit.cuda.multiplying import is_small
from tinygrad_dnn.jit.cuda.tiles import tile
from tinygrad_dnn.jit.grouping import Group, Links
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.views import View

# A thread that goes over more elements takes longer than it takes to launch several kernels, which share the work
# among more threads; with so many blocks all of the card works anyway.
_MOST_PER_THREAD = 64
_ENOUGH_BLOCKS = 64
# What more operations keep in registers does not fit there.
_MOST_OPERATIONS = 150

FEW = 3
"""Of fewer products in a stage each may as well be a launch of its own."""


def fused(groups: Sequence[Group], links: Links) -> list[Group]:
    """Return groups of which some are several that were given: reductions, what is made of their results, and so on.

    As in softmax: the greatest of each row, the row less that and its exponential, their sum, the quotient. One space
    is that of all; what is computed of the results alone is made to be of that space too, and not to move along the
    axes that are gone over (its views, and these operations, are changed).

    Args:
        groups: The groups, in order.
        links: Who reads what who writes.
    """
    clusters = _Clusters(groups, links)
    for seed in groups:
        clusters.grow(seed)
    return clusters.staged()


def updates_together(groups: Iterable[Group]) -> list[Group]:
    """Move the groups that write what Tensors are to hold, and that nobody waits for, behind all others.

    There they share launches, however early each could be done; and so do, right before them, the small products that
    nothing else needs.
    """
    found = [*groups]
    readers: dict[int, set[int]] = {}
    for group in found:
        for operation in group.operations:
            for view in operation.read:
                readers.setdefault(id(view.root), set()).add(id(group))

    def waiting(group: Group) -> set[int]:
        return set().union(*(readers.get(id(x.target.root), set()) for x in group.operations)) - {id(group)}

    updates = [
        x for x in found if x.kind == "loop" and any(y.over is not None for y in x.operations) and not waiting(x)
    ]
    names = {id(x) for x in updates}
    products = [x for x in found if is_small(x) and waiting(x) and waiting(x) <= names]
    if len(products) < FEW:
        products = []
    late = names | {id(x) for x in products}
    end = 1 + max((x.stage for x in found if id(x) not in late), default=0)
    for group in products:
        group.stage = end
    for group in updates:
        group.stage = end + bool(products)
    return sorted(found, key=lambda x: x.stage)


class _Cluster:
    """Groups that become one."""

    def __init__(self, group: Group) -> None:
        self.groups = [group]

    @property
    def operations(self) -> list[Operation]:
        return [x for group in self.groups for x in group.operations]


class _Clusters:
    """All groups, and which of them are one."""

    def __init__(self, groups: Sequence[Group], links: Links) -> None:
        self.links = links
        self.groups = groups
        self._group_of = {id(x): group for group in groups for x in group.operations}
        self._cluster_of = {id(group): _Cluster(group) for group in groups}

    def _cluster(self, operation: Operation) -> _Cluster:
        return self._cluster_of[id(self._group_of[id(operation)])]

    def _before(self, cluster: _Cluster) -> list[_Cluster]:
        found = [self._cluster(writer) for x in cluster.operations for writer, _ in self.links.before[id(x)]]
        return [*{id(x): x for x in found if x is not cluster}.values()]

    def _behind(self, cluster: _Cluster) -> list[_Cluster]:
        found = [self._cluster(reader) for x in cluster.operations for reader, _ in self.links.behind[id(x)]]
        return [*{id(x): x for x in found if x is not cluster}.values()]

    # -- growing ----------------------------------------------------------------------------------------------------

    def grow(self, seed: Group) -> None:
        """Add to a group's cluster what reads from it, as long as that can be."""
        cluster = self._cluster_of[id(seed)]
        gone = _gone(seed.operations) if len(cluster.groups) == 1 else None
        if gone is None:
            return
        loops = _pays(seed.space, gone)
        refused: set[int] = set()
        while True:
            found = [x for x in self._behind(cluster) if id(x) not in refused]
            if not found:
                return
            nearest = min(found, key=lambda x: x.groups[0].stage)
            if not self._join(cluster, nearest, seed.space, gone, loops):
                refused.add(id(nearest))
            else:
                refused.clear()

    def _join(
        self, cluster: _Cluster, other: _Cluster, space: tuple[int, ...], gone: tuple[int, ...], loops: bool
    ) -> bool:  # fmt: skip
        """Add to a cluster one that reads from it, if that can be; `loops`: even if that takes another loop."""
        if len(other.groups) > 1 or len(cluster.operations) + len(other.operations) > _MOST_OPERATIONS:
            return False
        (group,) = other.groups
        kept = tuple(n for i, n in enumerate(space) if i not in gone)
        if group.kind != "loop" or any(x.kind not in ("map", "reduce") for x in group.operations):
            return False
        reduced = [x for x in group.operations if x.kind == "reduce"]
        spread: tuple[int, ...]
        if group.space == space and loops:
            if any(_axes(x) != gone for x in reduced):
                return False
            spread = ()
        elif group.space == kept and not reduced:
            spread = gone
        else:
            return False
        if not _agree(cluster.operations, group.operations, spread) or self._leads_through_others(cluster, other):
            return False
        for operation in group.operations if spread else ():
            operation.sources = tuple(_spread(x, space, spread) for x in operation.sources)
            operation.target = _spread(operation.target, space, spread)
        cluster.groups.append(group)
        self._cluster_of[id(group)] = cluster
        return True

    def _leads_through_others(self, cluster: _Cluster, other: _Cluster) -> bool:
        """Tell whether another cluster needs the first one and is needed by the second."""
        earliest = min(x.stage for x in cluster.groups)
        waiting = [x for x in self._before(other) if x is not cluster]
        seen = {id(x) for x in waiting}
        while waiting:
            one = waiting.pop()
            if max(x.stage for x in one.groups) < earliest:
                continue
            for before in self._before(one):
                if before is cluster:
                    return True
                if id(before) not in seen:
                    seen.add(id(before))
                    waiting.append(before)
        return False

    # -- the result -------------------------------------------------------------------------------------------------

    def staged(self) -> list[Group]:
        """Return the clusters as groups, each as early as what it needs is there."""
        clusters = [*{id(x): x for x in self._cluster_of.values()}.values()]
        result = {id(x): Group(x.operations) for x in clusters}
        waits = {id(x): len(self._before(x)) for x in clusters}
        ready = [x for x in clusters if not waits[id(x)]]
        done = []
        while ready:
            one = ready.pop()
            done.append(result[id(one)])
            for behind in self._behind(one):
                result[id(behind)].stage = max(result[id(behind)].stage, result[id(one)].stage + 1)
                waits[id(behind)] -= 1
                if not waits[id(behind)]:
                    ready.append(behind)
        assert len(done) == len(clusters)
        return sorted(done, key=lambda x: x.stage)


def _axes(operation: Operation) -> tuple[int, ...]:
    """Return the axes that a reduction goes over."""
    return tuple(i for i, stride in enumerate(operation.target.strides) if stride == 0)


def _gone(operations: Sequence[Operation]) -> tuple[int, ...] | None:
    """Return the axes that all reductions go over, or None if these are not the same or there is something else."""
    found = {_axes(x) for x in operations if x.kind == "reduce"}
    if len(found) != 1 or any(x.kind not in ("map", "reduce") for x in operations):
        return None
    return found.pop()


def _pays(space: tuple[int, ...], gone: tuple[int, ...]) -> bool:
    """Tell whether what follows reductions is better done in more loops behind them than by kernels of their own."""
    length = math.prod(space[i] for i in gone)
    results = math.prod(space) // max(length, 1)
    if not length or not results:
        return False
    shape = tile(results, length, len(space) - 1 in gone, False)
    return length <= shape.lanes * _MOST_PER_THREAD or shape.blocks >= _ENOUGH_BLOCKS


def _agree(made: Iterable[Operation], reading: Iterable[Operation], spread: tuple[int, ...]) -> bool:
    """Tell whether operations read what others make just where it is made."""
    targets: dict[int, list[View]] = {}
    numbers = set()
    for x in made:
        targets.setdefault(id(x.target.root), []).append(x.target)
        numbers.add(id(x))
    for x in reading:
        if any(id(before) in numbers for before in x.after):
            return False
        for place, source in enumerate(x.sources):
            if isinstance(source, View) and id(source.root) in targets:
                found = targets[id(source.root)]
                if (x.name == "gather" and place == 0) or _spread(source, found[0].shape, spread) not in found:
                    return False
    return True


def _spread(x: View, space: tuple[int, ...], axes: tuple[int, ...]) -> View:
    """Return a view repeated along more axes of a space; numbers stay what they are."""
    if not axes or not isinstance(x, View):
        return x
    strides = iter(x.strides)
    return View(x.root, x.offset, space, tuple(0 if i in axes else next(strides) for i in range(len(space))))
