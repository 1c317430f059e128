"""Halves: products of 16 bits that are computed in float32, as the units of a GPU that multiply these do them.

``td.matmul`` takes float16 and bfloat16 to float32, multiplies, and rounds what comes of it, which is what such a unit
does in one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_dnn.backend.element_types import is_narrow
from tinygrad_dnn.jit.operations import Operation, Operations
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.views import View, row_major


def halved(lowered: Operations, program: Program) -> Operations:
    """Return a program's operations with products of 16 bits in the places of those that are made of casts.

    Example:
        >>> from tinygrad_dnn.jit.cuda.halves import halved
        >>> x = td.ones((2, 2), dtype="float16")
        >>> program = td.jit.record(lambda x: td.matmul(x[0], x[0]), [x]).program
        >>> lowered = td.jit.operations.operations(program, lambda instruction: True)
        >>> lowered.operations, halved(lowered, program).operations
        ([copy [2, 2], copy [2, 2], matmul [2, 2], copy [2, 2]], [matmul [2, 2]])
    """
    writers: dict[int, list[Operation]] = {}
    readers: dict[int, list[Operation]] = {}
    for operation in lowered.operations:
        writers.setdefault(id(operation.target.root), []).append(operation)
        for root in {id(view.root) for view in operation.read}:
            readers.setdefault(root, []).append(operation)
    wanted = {id(lowered.view(value).root) for value in program.ends()}
    written_over = {id(operation.over) for operation in lowered.operations}
    gone: set[int] = set()
    loose: set[int] = set()
    for operation in lowered.operations:
        target = operation.target.root
        if operation.kind != "product" or target.dtype != np.float32 or id(target) in wanted:
            continue
        halves = [_half(view, writers) for view in operation.read]
        kept = [x for x in halves if x is not None and id(x.root) not in written_over]
        rounding = _rounding(operation, readers)
        if rounding is None or len(kept) < len(halves):
            continue
        if any(x.root.dtype != rounding.target.root.dtype for x in kept):
            continue
        loose |= {id(view.root) for view in operation.read}
        operation.sources = tuple(kept)
        operation.target = operation.target._replace(root=rounding.target.root)
        gone.add(id(rounding))
    needed = wanted | {id(view.root) for x in lowered.operations if id(x) not in gone for view in x.read}
    left = [x for x in lowered.operations if id(x) not in gone]
    return Operations([x for x in left if id(x.target.root) not in loose - needed], lowered.views)


def _half(view: View, writers: Mapping[int, list[Operation]]) -> View | None:
    """Return the numbers of 16 bits that a view has in float32, or None if it has others."""
    made = writers.get(id(view.root), [])
    if len(made) != 1 or not _is_cast(made[0]):
        return None
    (source,) = made[0].sources
    if not is_narrow(source.root.dtype):
        return None
    if source.strides == row_major(source.shape):
        return View(source.root, source.offset + view.offset, view.shape, view.strides)
    # Else each axis of the view has to be one of those that were cast.
    lies = dict(zip(made[0].target.strides, source.strides, strict=True)) | {0: 0}
    if any(stride not in lies for stride in view.strides):
        return None
    offset, rest = source.offset, view.offset
    for stride, there in zip(made[0].target.strides, source.strides, strict=True):
        index, rest = divmod(rest, stride)
        offset += index * there
    return View(source.root, offset, view.shape, tuple(lies[stride] for stride in view.strides))


def _rounding(product: Operation, readers: Mapping[int, list[Operation]]) -> Operation | None:
    """Return what rounds a product's result to 16 bits, if nothing else reads that."""
    found = readers.get(id(product.target.root), [])
    if len(found) != 1 or not _is_cast(found[0]) or not is_narrow(found[0].target.root.dtype):
        return None
    (source,) = found[0].sources
    return found[0] if source.is_whole and product.target.is_whole and not found[0].after else None


def _is_cast(operation: Operation) -> bool:
    """Tell whether an operation copies elements as they lie to all of an array that nothing else is written to."""
    return (
        (operation.kind, operation.name) == ("map", "copy")
        and type(operation.sources[0]) is View
        and operation.target.is_whole
        and operation.over is None
    )
