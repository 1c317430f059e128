"""Operands of kernels on a GPU: several of them may do operations of one group, and each stores some results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tinygrad_dnn.jit import operands
from tinygrad_dnn.jit.cuda.text import constant
from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.operands import Operand
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Value

PlaceOf = Callable[[Value], Place | None]
"""Tells where the array of a value is, or None if it is in none."""


class Operands(operands.Operands):
    """The operands of operations of which some may be stored by others than this section."""

    def __init__(self, operations: Sequence[Operation], storing: Collection[int], place_of: PlaceOf) -> None:
        self._storing = storing
        super().__init__(operations, place_of, constant)

    def _target(self, operation: Operation) -> Operand | None:
        if operation.kind == "reduce":
            self.of(operation.target)  # stored or not, it tells which axes the loops are over
        return super()._target(operation) if id(operation) in self._storing else None

    @property
    def used(self) -> list[Operand]:
        """Those that are read or written, or are numbers."""
        used = {x.number for x in self.loaded}
        used |= {x.number for x in self._targets if x is not None}
        used |= {self.of(x.sources[0]).number for x in self.operations if x.name == "gather"}
        return [x for x in self.all if x.number in used]
