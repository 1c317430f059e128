"""Lowering: a program's groups as records of machine code, calls of primitives between them, and the memory of both."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinygrad_dnn.jit.grouping import Group, group
from tinygrad_dnn.jit.memory import Memory, plan
from tinygrad_dnn.jit.native import blas, records
from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.convolution import can_convolve, convolution
from tinygrad_dnn.jit.native.elements import can_loop
from tinygrad_dnn.jit.native.functions import POLYNOMIALS
from tinygrad_dnn.jit.native.kernel import Kernel, kernel
from tinygrad_dnn.jit.native.parallel import default_threads
from tinygrad_dnn.jit.native.records import Record
from tinygrad_dnn.jit.native.run import Call, Run
from tinygrad_dnn.jit.native.text import is_known, type_of
from tinygrad_dnn.jit.operations import CONVOLUTIONS, Operation, operations
from tinygrad_dnn.jit.products import TRANSPOSED, Product, matched
from tinygrad_dnn.jit.program import Instruction, Program

# Nanoseconds, about: of a call; of one operation on one element, and of one that is a polynomial; of one multiplication
# in a float32 product, and of laying out one element of a right matrix anew, as it lies or transposed; of a block of
# draws.
_PER_CALL = 20.0
_PER_ELEMENT = 0.012
_PER_CURVE = 0.2
_PER_MULTIPLICATION = 0.009
_PER_PACKED = 0.08
_PER_TURNED = 0.35
_PER_BLOCK_OF_DRAWS = 25.0


def lower(program: Program, threads: int | None = None) -> Run:
    """Return what runs a program natively.

    Elementwise operations and reductions become loops, several in one where they can share it; products go to the BLAS
    of NumPy. What neither can do is left to the primitive, called from Python in between.

    Args:
        program: What to run; its Tensors live on the host.
        threads: How many threads may work on it, 1 or 2; by default 2, unless there is one core only or the environment
            variable OMP_NUM_THREADS or OPENBLAS_NUM_THREADS is 1.

    Raises:
        ImportError: llvmlite is not installed.

    Example:
        >>> program = td.jit.record(lambda x: td.exp(x[0]) * 2, [td.zeros((2,))]).program
        >>> td.jit.native.lower(program)([np.zeros(2, np.float32)])
        [array([2., 2.], dtype=float32)]
    """
    lowered = operations(program, _can_do)
    done, products = matched(lowered.operations, lambda x: is_known(x) and blas.gemm(type_of(x)) is not None)
    groups = group(done)
    memory = plan(program, lowered, groups)
    kernels = {id(x): kernel(x, memory.place) for x in groups if x.kind == "loop" and 0 not in x.space}
    kernels |= {id(x): convolution(x.operations[0], memory.place) for x in groups if x.kind == "convolution"}
    codes = dict(zip(kernels, compiler().addresses(kernels.values()), strict=True))
    steps: list[Record | Call] = []
    for number, x in enumerate(groups):
        if id(x) in kernels:
            steps.append(_loop(x, kernels[id(x)], codes[id(x)], memory))
        elif x.kind == "product":
            steps.append(_product(x, products[id(x.operations[0])], memory))
        elif x.kind == "call":
            steps.append(_call(x, groups[number + 1 :], memory))
    return Run(program, lowered, groups, memory, steps, default_threads() if threads is None else threads)


def _can_do(instruction: Instruction) -> bool:
    return can_convolve(instruction) if instruction.primitive in CONVOLUTIONS else can_loop(instruction)


def _loop(group: Group, code: Kernel, address: int, memory: Memory) -> Record:
    operation = group.operations[0]
    if operation.window is None:
        cost = math.prod(group.space) * sum(map(_cost, group.operations))
        regions = records.of_loop(group, code, memory.place)
    else:
        cost = operation.window.size * operation.instruction.inputs[1].shape[-1] * _PER_MULTIPLICATION
        regions = records.of_anything(operation.read, operation.target, memory.place)
    return Record(address, code.arguments, 0, code.length, _PER_CALL + cost, code.splits, regions)


def _cost(operation: Operation) -> float:
    """Return about how many nanoseconds an operation takes for one element."""
    if operation.kind == "draw":
        return _PER_BLOCK_OF_DRAWS
    return _PER_CURVE if operation.name in POLYNOMIALS else _PER_ELEMENT


def _product(group: Group, found: Product, memory: Memory) -> Record:
    operation = group.operations[0]
    size = operation.target.root.dtype.itemsize
    kind = "float" if size == 4 else "double"
    places = [memory.places[id(view.root)] for view in (*operation.read, operation.target)]
    address = blas.gemm(kind)
    assert address is not None
    length, distances, by = _range(found)
    distances = (distances[0] * size, distances[1] * size, distances[2] * size)
    arguments = (
        address,
        *found.flags,
        *found.lengths,
        *(place.slot for place in places),
        *(place.offset + offset * size for place, offset in zip(places, found.offsets, strict=True)),
        *found.leading,
        *distances,
        by,
    )
    cost = math.prod(found.lengths) * found.count * _PER_MULTIPLICATION * size / 4
    # BLAS lays out the right matrix anew, once however many rows there are.
    turned = _PER_TURNED if found.flags[1] == TRANSPOSED else _PER_PACKED
    packed = math.prod(found.lengths[1:]) * found.count * turned * size / 4
    regions = records.of_product((*operation.read, operation.target), found, distances, by, memory.place)
    again = packed if by == 1 else 0.0
    return Record(compiler().products(kind), arguments, 0, length, _PER_CALL + cost + packed, True, regions, again)


def _range(found: Product) -> tuple[int, tuple[int, int, int], int]:
    """Return what a product may be split by: the range, how far x, y and the result move along it, and its number.

    BLAS lays out a transposed right matrix anew for each call, so each thread should take its own columns of that.
    """
    rows, columns, _ = found.lengths
    if found.count > 1:
        return found.count, found.distances, 0
    if found.flags[1] == TRANSPOSED and columns >= rows:
        return columns, (0, found.leading[1], 1), 2
    return rows, (1 if found.flags[0] == TRANSPOSED else found.leading[0], 0, columns), 1


def _call(group: Group, following: Sequence[Group], memory: Memory) -> Call:
    """Return a call, after which nothing needs the results of others that no later group reads."""
    (operation,) = group.operations
    later = {id(view.root) for x in following for other in x.operations for view in other.read}
    wanted = {id(view.root) for _, view in memory.bound} | {id(view.root) for view, _ in memory.outputs}
    over = {
        memory.calls[id(view.root)]
        for view in operation.read
        if id(view.root) in memory.calls and id(view.root) not in later | wanted
    }
    return Call(operation, memory.calls[id(operation.target.root)], tuple(over))
