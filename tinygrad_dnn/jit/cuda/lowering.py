"""Lowering: a program's groups as launches of kernels, matrix products and calls, for a GPU that nobody asks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_dnn.jit.cuda.composing import launches
from tinygrad_dnn.jit.cuda.convolution import can_convolve, folding, with_products
from tinygrad_dnn.jit.cuda.elements import can_loop
from tinygrad_dnn.jit.cuda.fusing import FEW, fused, updates_together
from tinygrad_dnn.jit.cuda.halves import halved
from tinygrad_dnn.jit.cuda.launches import Call, Pointer, Product, Step
from tinygrad_dnn.jit.cuda.multiplying import is_small, multiplying
from tinygrad_dnn.jit.cuda.operands import PlaceOf
from tinygrad_dnn.jit.cuda.parts import sections
from tinygrad_dnn.jit.cuda.text import is_known
from tinygrad_dnn.jit.grouping import Group, Links, calls_first, gathered, updates_late
from tinygrad_dnn.jit.operations import CONVOLUTIONS, Operations, operations
from tinygrad_dnn.jit.products import TRANSPOSED, matched, product
from tinygrad_dnn.jit.program import Instruction, Program


@dataclass(frozen=True)
class Prepared:
    """A program in groups, which need to be given places to become launches.

    Attributes:
        lowered: The program as operations.
        groups: What is done together, in order; those of one stage may be done at the same time.
    """

    lowered: Operations
    groups: list[Group]


def prepare(program: Program) -> Prepared:
    """Return the groups of a program as a GPU does them.

    Example:
        >>> from tinygrad_dnn.jit import cuda, memory
        >>> program = td.jit.record(lambda x: td.sum(td.exp(x[0]), 1), [td.zeros((4, 5))]).program
        >>> prepared = cuda.lowering.prepare(program)
        >>> prepared.groups
        [loop [4, 5]: exp, sum]
        >>> where = memory.plan(program, prepared.lowered, prepared.groups)
        >>> [launch] = cuda.lowering.lower_groups(prepared.groups, where.place)
        >>> launch.blocks, launch.kernel.threads
        (1, 256)
    """
    lowered = halved(operations(program, _can_do, parts=1), program)
    done, _ = matched(with_products(lowered.operations), is_known)
    links = Links(done)
    groups = calls_first(fused(gathered(done, links), links), links)
    return Prepared(lowered, updates_late(updates_together(groups), links))


def lower_groups(groups: Sequence[Group], place_of: PlaceOf) -> list[Step]:
    """Return what is to be done for groups, one thing after the other.

    Args:
        groups: The groups, in order.
        place_of: Where the array of a value is, or None if it is in none.
    """
    steps: list[Step] = []
    for _, stage in itertools.groupby(groups, lambda x: x.stage):
        together = [*stage]
        loops = [x for x in together if x.kind == "loop" and 0 not in x.space]
        folds = [x for x in together if x.kind == "fold" and 0 not in x.space]
        products = [x for x in together if x.kind == "product"]
        small = [x for x in products if is_small(x)] if len(products) >= FEW else []
        steps += launches([
            *(sections(x, place_of) for x in loops),
            *([folding(x.operations[0], place_of)] for x in folds),
            *([multiplying(x.operations[0], place_of)] for x in small),
        ])  # fmt: skip
        steps += [_product(x, place_of) for x in products if x not in small]
        steps += [Call(x.operations[0]) for x in together if x.kind == "call"]
    return steps


def _can_do(instruction: Instruction) -> bool:
    return can_convolve(instruction) if instruction.primitive in CONVOLUTIONS else can_loop(instruction)


def _product(group: Group, place_of: PlaceOf) -> Product:
    (operation,) = group.operations
    found = product(operation)
    assert found is not None
    dtype = operation.target.root.dtype
    pointers = []
    for view, offset in zip((*operation.read, operation.target), found.offsets, strict=True):
        place = place_of(view.root)
        assert place is not None
        pointers.append(Pointer(place.slot, place.offset + offset * dtype.itemsize))
    x, y, z = pointers
    return Product(
        dtype, x, y, z, (found.flags[0] == TRANSPOSED, found.flags[1] == TRANSPOSED), found.lengths, found.leading,
        found.count, found.distances,
    )  # fmt: skip
