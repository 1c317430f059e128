"""Operands: what a kernel reads and writes at each element, and the order of the loops that suits all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_dnn.jit.views import View


@dataclass(eq=False)
class Operand:
    """What is read or written at each element."""

    view: View
    number: int
    strides: list[int] = field(default_factory=list)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.view.root.dtype
        return dtype


def arrange(lengths: list[int], operands: Sequence[Operand], in_order: bool) -> list[int]:
    """Order the axes by how far apart their elements are, and make one of those that run on into each other.

    Args:
        lengths: The lengths of the loops.
        operands: What is read and written; their strides are changed.
        in_order: Whether the axes have to keep their order, and the first one has to stay alone.

    Returns:
        The lengths of the new loops, the outermost first.

    Example:
        >>> from tinygrad_dnn.jit.native.operands import Operand, arrange
        >>> view = td.jit.views.whole(td.jit.Value((2, 3), "float32"))
        >>> arrange([2, 3], [Operand(view, 0, [3, 1])], False)
        [6]
    """
    if not in_order:
        order = sorted(range(len(lengths)), key=lambda i: -sum(abs(x.strides[i]) for x in operands))
        lengths = [lengths[i] for i in order]
        for x in operands:
            x.strides = [x.strides[i] for i in order]
    for i in reversed(range(in_order, len(lengths) - 1)):
        n = lengths[i + 1]
        if all(x.strides[i] == x.strides[i + 1] * n for x in operands):
            lengths[i : i + 2] = [lengths[i] * n]
            for x in operands:
                x.strides[i : i + 2] = [x.strides[i + 1]]
    return lengths
