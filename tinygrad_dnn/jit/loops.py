"""Loops: which primitives can be computed element by element, on the host or on a GPU, and in which dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.jit.expanding import PHILOX
from tinygrad_dnn.jit.program import Instruction, Value
from tinygrad_dnn.ops import elementwise as e
from tinygrad_dnn.ops.cast import CAST
from tinygrad_dnn.ops.index import GATHER, SCATTER_ADD
from tinygrad_dnn.ops.reduce import CUMSUM, MAX, MIN, SUM
from tinygrad_dnn.ops.shape import CONCATENATE, RESHAPE, UNSLICE
from tinygrad_dnn.ops.window import FOLD

DType = np.dtype[Any]

_COPIES = frozenset({RESHAPE, CONCATENATE, UNSLICE, CAST, GATHER, PHILOX})
_SUMS = frozenset({SUM, MAX, MIN, CUMSUM, SCATTER_ADD, FOLD})
_ARITHMETIC = frozenset({
    e.ADD, e.SUBTRACT, e.MULTIPLY, e.NEGATIVE, e.ABS, e.SIGN, e.MAXIMUM, e.MINIMUM, e.REMAINDER, e.FLOOR_DIVIDE,
})  # fmt: skip
_OF_FLOATS = frozenset({
    e.DIVIDE, e.POWER, e.FLOOR, e.SQRT, e.EXP, e.EXPM1, e.LOG, e.LOG1P, e.SIN, e.COS, e.TANH, e.ERF,
})  # fmt: skip
_COMPARISONS = frozenset({e.EQUAL, e.NOT_EQUAL, e.LESS, e.LESS_EQUAL, e.GREATER, e.GREATER_EQUAL})
_TESTS = frozenset({e.ISNAN, e.ISFINITE})
_LOGIC = frozenset({e.LOGICAL_AND, e.LOGICAL_OR, e.LOGICAL_NOT})


def can_loop(instruction: Instruction, is_known: Callable[[DType], bool]) -> bool:
    """Tell whether loops can compute an instruction, or the elements of a reduction.

    Args:
        instruction: The instruction.
        is_known: Tells of a dtype whether there are elements of it.
    """
    primitive, output = instruction.primitive, instruction.output.dtype
    given: list[DType] = [x.dtype for x in instruction.sources]
    if not is_known(output) or not all(is_known(dtype) for dtype in given):
        return False
    common = given[-1]
    if primitive in _COPIES:
        return True
    if primitive in _SUMS:
        return bool(output.kind != "b")
    if primitive in _LOGIC:
        return all(x.dtype.kind == "b" if isinstance(x, Value) else isinstance(x, bool) for x in instruction.inputs)
    if primitive is e.WHERE:
        return all(x.dtype == output if isinstance(x, Value) else fits(x, output) for x in instruction.inputs[1:])
    if any(dtype != common for dtype in given):
        return False
    if not all(fits(x, common) for x in instruction.inputs if not isinstance(x, Value)):
        return False
    if primitive in _ARITHMETIC:
        return bool(output == common and common.kind != "b")
    if primitive in _OF_FLOATS:
        return bool(output == common and common.kind in FLOATING)
    if primitive in _TESTS:
        return bool(common.kind in FLOATING)
    return primitive in _COMPARISONS


def fits(number: Any, dtype: DType) -> bool:
    """Tell whether a dtype can hold a Python number.

    Example:
        >>> from tinygrad_dnn.jit.loops import fits
        >>> fits(255, np.dtype("uint8")), fits(256, np.dtype("uint8")), fits(0.5, np.dtype("float32"))
        (True, False, True)
    """
    if dtype.kind == "b":
        return True
    try:
        if dtype.kind in FLOATING:
            float(number)
            return True
        limits = np.iinfo(dtype)
        return bool(number == int(number) and limits.min <= number <= limits.max)
    except (OverflowError, ValueError):  # an integer beyond all floats; an infinity or NaN as an integer
        return False


def operand_dtype(instruction: Instruction, place: int) -> DType:
    """Return the dtype that an input, at some place, takes part in its instruction with."""
    given = instruction.inputs[place]
    beside = instruction.output if instruction.primitive is e.WHERE else instruction.sources[-1]
    dtype: DType = given.dtype if isinstance(given, Value) else beside.dtype
    return dtype
