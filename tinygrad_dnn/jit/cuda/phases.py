"""Phases: which operations are in which of several loops over the same elements, with results between them."""

from __future__ import annotations

from tinygrad_dnn.jit.cuda.operands import Operands


class Phases:
    """When operations are done: in a loop, of which one comes after another, or above them, between two loops.

    Attributes:
        above: For each operation whether it does not move along the axes that the loops go over.
        when: For each operation the number of its loop, or, where it is above or adds up, of the loop before it.
        count: How many loops there are.
        stores: For each loop the operations whose elements it writes.
    """

    def __init__(self, found: Operands) -> None:
        self.operations = found.operations
        self.sources = found.sources
        self.loaded = found.loaded
        self.targets = [found.target(number) for number in range(len(found.operations))]
        self._find_levels()
        self._find_phases()

    def _find_levels(self) -> None:
        """Find the operations that do not move along the axes that are gone over."""
        reduced = [x for x in self.operations if x.kind == "reduce"]
        gone = [i for i, stride in enumerate(reduced[0].target.strides) if stride == 0] if reduced else []
        self.above = [
            bool(gone) and x.kind == "map" and all(x.target.strides[i] == 0 for i in gone) for x in self.operations
        ]

    def _find_phases(self) -> None:
        """Find for each operation the loop it is in, or, where it is above the loops or adds up, the loop before."""
        self.when: list[int] = []
        for number, operation in enumerate(self.operations):
            phase = -1 if self.above[number] else 0
            for source in self.sources[number]:
                if isinstance(source, int) and source < 0:
                    maker = -1 - source
                    ready = self.when[maker]
                    over = self.above[maker] or self.operations[maker].kind == "reduce"
                    phase = max(phase, ready + (over and not self.above[number]))
            self.when.append(phase)
            assert not (self.above[number] and operation.kind != "map")
        inside = [phase for phase, above in zip(self.when, self.above, strict=True) if not above]
        self.count = 1 + max(inside, default=0)
        # What is read in one loop must not be written over in an earlier one.
        loaded = {x.number for x in self.loaded}
        self.stores: list[list[int]] = [[] for _ in range(self.count)]
        for number, target in enumerate(self.targets):
            if target is not None and not self.above[number] and self.operations[number].kind != "reduce":
                self.stores[self.count - 1 if target.number in loaded else self.when[number]].append(number)

    def needed(self, phase: int) -> list[int]:
        """Return what is computed in a loop, in order."""
        wanted = {*self.stores[phase]}
        wanted |= {i for i, x in enumerate(self.operations) if x.kind == "reduce" and self.when[i] == phase}
        for number in reversed(range(len(self.operations))):
            if number in wanted:
                for source in self.sources[number]:
                    if isinstance(source, int) and source < 0 and self.is_inside(-1 - source):
                        wanted.add(-1 - source)
        return sorted(wanted)

    def is_inside(self, number: int) -> bool:
        """Tell whether an operation has an element of its own at each place of the loops."""
        return not self.above[number] and self.operations[number].kind != "reduce"
