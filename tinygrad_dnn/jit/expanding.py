"""Expanding: instructions that no loop can do, made of others of which each is a loop or a view."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.jit.simplifying import without_repeats
from tinygrad_dnn.ops import elementwise as e
from tinygrad_dnn.ops.cast import CAST
from tinygrad_dnn.ops.index import GATHER, SCATTER_ADD
from tinygrad_dnn.ops.random import UNIFORM
from tinygrad_dnn.ops.reduce import ARGMAX, ARGMIN, MAX, MIN
from tinygrad_dnn.ops.shape import RESHAPE, SLICE
from tinygrad_dnn.ops.window import CONVOLVE


def _numbers(xp: Any, like: Any, *, axis: int) -> Any:
    lengths = [n if i == axis else 1 for i, n in enumerate(like.shape)]
    return xp.broadcast_to(xp.reshape(xp.arange(like.shape[axis]), lengths), like.shape)


def _philox(xp: Any, state: Any, *, words: int, dtype: np.dtype[Any]) -> Any:
    exact, bits = _FLOATS[dtype]
    return (xp.uniform(state, (words,), exact) * exact.type(2.0**bits)).astype(dtype)


def _checked(xp: Any, index: Any, *, shape: tuple[int, ...], axis: int) -> Any:
    wide = index.astype(np.int64)
    if not index.size or (wide.min() >= 0 and wide.max() < shape[axis]):
        return wide
    xp.broadcast_to(xp.zeros((), dtype=np.int8), shape)[(slice(None),) * axis + (index,)]  # raises, or all is well
    return xp.where(wide < 0, wide + shape[axis], wide)


NUMBERS = Primitive("numbers", _numbers)
"""The places along one axis of an array: 0, 1, 2, ..., whatever its elements and the other axes' places."""

PHILOX = Primitive("philox", _philox)
"""The random integers of so many bits that uniform numbers are made of, in whole blocks."""

CHECKED = Primitive("checked", _checked)
"""Indices of an axis, counted from its front; IndexError if one is out of range."""

# The integers that uniform numbers are multiples of, with the floats and how many bits.
_FLOATS: dict[np.dtype[Any], tuple[np.dtype[Any], int]] = {
    np.dtype(np.int32): (np.dtype(np.float32), 24),
    np.dtype(np.int64): (np.dtype(np.float64), 53),
}
_INTEGERS = {floating: (dtype, bits) for dtype, (floating, bits) in _FLOATS.items()}

# What is a view or an operation of its own.
_ALWAYS = frozenset({NUMBERS, PHILOX, CHECKED, RESHAPE, SLICE})

# Beyond every place, and the same for axes of all lengths: what they are compiled to is then the same as well.
_NOWHERE = 2**63 - 1

BLOCK_BYTES = 32
"""What one turn of Philox gives."""


def expand(program: Program, can_do: Callable[[Instruction], bool]) -> Program:
    """Return a program of the same results with instructions in it that loops can do in place of some that none can.

    Args:
        program: The program.
        can_do: Tells of an instruction whether a loop can do it.

    Example:
        >>> program = td.jit.record(lambda x: td.argmax(x[0], 1), [td.ones((2, 3))]).program
        >>> print(td.jit.expanding.expand(program, lambda instruction: True))
        inputs   a: float32[2, 3]
        b: float32[2, 1] = max(a, axis=(1,), keepdims=True)
        c: int64[2, 3] = numbers(a, axis=1)
        d: bool[2, 3] = equal(a, b)
        e: bool[2, 3] = isnan(a)
        f: bool[2, 3] = logical_or(d, e)
        g: int64[2, 3] = where(f, c, 9223372036854775807)
        h: int64[2] = min(g, axis=(1,), keepdims=False)
        returns  h
    """
    instructions: list[Instruction] = []
    new: set[int] = set()
    for instruction in program.instructions:
        expansion = _EXPANSIONS.get(instruction.primitive)
        made = _Made()
        if expansion is None or not expansion(made, instruction):
            instructions.append(instruction)
        elif all(x.primitive in _ALWAYS or can_do(x) for x in made.instructions):
            instructions += made.instructions
            new.update(map(id, made.instructions))
        else:
            instructions.append(instruction)
    expanded = Program(program.inputs, instructions, program.outputs, program.updates)
    return without_repeats(expanded, among=new)


class _Made:
    """The instructions that one is made of."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []

    def __call__(self, primitive: Primitive, inputs: tuple[Any, ...], shape: tuple[int, ...], dtype: Any, /,
                 **attributes: Any) -> Value:  # fmt: skip
        return self.into(Value(shape, dtype), primitive, *inputs, **attributes)

    def into(self, output: Value, primitive: Primitive, /, *inputs: Any, **attributes: Any) -> Value:
        self.instructions.append(Instruction(primitive, inputs, attributes, output))
        return output


def _place_of_extreme(made: _Made, given: Instruction) -> bool:
    """The least place at which the extreme is found, or NaN is."""
    (x,), axis = given.sources, given.attributes["axis"]
    if axis is None:
        x, axis = made(RESHAPE, (x,), (x.size,), x.dtype, shape=(x.size,)), 0
    if x.dtype.kind == "b":
        x = made(CAST, (x,), x.shape, np.dtype(np.uint8), dtype=np.dtype(np.uint8))
    kept = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    extreme = made(MAX if given.primitive is ARGMAX else MIN, (x,), kept, x.dtype, axis=(axis,), keepdims=True)
    numbers = made(NUMBERS, (x,), x.shape, np.int64, axis=axis)
    found = made(e.EQUAL, (x, extreme), x.shape, np.bool_)
    if x.dtype.kind in FLOATING:
        isnan = made(e.ISNAN, (x,), x.shape, np.bool_)
        found = made(e.LOGICAL_OR, (found, isnan), x.shape, np.bool_)
    places = made(e.WHERE, (found, numbers, _NOWHERE), x.shape, np.int64)
    made.into(given.output, MIN, places, axis=(axis,), keepdims=False)
    return True


def _uniform(made: _Made, given: Instruction) -> bool:
    """Whole blocks of random integers, of which what is wanted is taken and scaled."""
    (state,), output = given.sources, given.output
    if output.dtype not in _INTEGERS or sys.byteorder != "little":
        return False
    dtype, bits = _INTEGERS[output.dtype]
    block = BLOCK_BYTES // dtype.itemsize
    words = -(-output.size // block) * block
    integers = made(PHILOX, (state,), (words,), dtype, words=words, dtype=dtype)
    wanted = made(SLICE, (integers,), (output.size,), dtype, index=(slice(0, output.size),))
    wanted = made(RESHAPE, (wanted,), output.shape, dtype, shape=output.shape)
    exact = made(CAST, (wanted,), output.shape, output.dtype, dtype=output.dtype)
    made.into(output, e.MULTIPLY, exact, 2.0**-bits)
    return True


def _with_checked_indices(made: _Made, given: Instruction) -> bool:
    """The same with indices that are all in range and none negative, which a loop need not look at."""
    x, *indices = given.inputs
    attributes = given.attributes
    shape = x.shape if given.primitive is GATHER else attributes["shape"]
    axes = indexed_axes(attributes["template"], len(shape))
    checked = []
    for index, axis in zip(indices, axes, strict=True):
        if index.dtype.kind not in "iu":
            return False
        checked.append(made(CHECKED, (index,), index.shape, np.int64, shape=shape, axis=axis))
    made.into(given.output, given.primitive, x, *checked, **attributes)
    return True


def _without_bias(made: _Made, given: Instruction) -> bool:
    """The bias is added afterwards, in a loop that others share."""
    x, kernel, bias = given.inputs
    if not isinstance(bias, Value):
        return False
    y = made(CONVOLVE, (x, kernel, 0.0), given.output.shape, given.output.dtype, **given.attributes)
    made.into(given.output, e.ADD, y, bias)
    return True


def indexed_axes(template: tuple[Any, ...], ndim: int) -> list[int]:
    """Return the axes that the arrays of an index stand for."""
    used = sum(part is not None and part is not Ellipsis for part in template)
    axes = []
    axis = 0
    for part in template:
        if part is Ellipsis:
            axis += ndim - used
        elif part is not None:
            if not isinstance(part, (int, slice)):
                axes.append(axis)
            axis += 1
    return axes


_EXPANSIONS: dict[Primitive, Callable[[_Made, Instruction], bool]] = {
    ARGMAX: _place_of_extreme,
    ARGMIN: _place_of_extreme,
    UNIFORM: _uniform,
    GATHER: _with_checked_indices,
    SCATTER_ADD: _with_checked_indices,
    CONVOLVE: _without_bias,
}
