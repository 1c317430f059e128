"""NumPy calls: what writes an instruction's value into a given array, bit for bit as its primitive computes it."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit.program import Instruction
from tinygrad_dnn.ops import elementwise
from tinygrad_dnn.ops.cast import CAST
from tinygrad_dnn.ops.elementwise import WHERE
from tinygrad_dnn.ops.linalg import MATMUL
from tinygrad_dnn.ops.reduce import MAX, MIN, SUM
from tinygrad_dnn.ops.shape import BROADCAST_TO, RESHAPE, SLICE, TRANSPOSE
from tinygrad_dnn.ops.window import WINDOWS

Call: TypeAlias = tuple[Any, ...]
"""A function and its arguments."""

VIEWS = frozenset({RESHAPE, TRANSPOSE, BROADCAST_TO, SLICE, WINDOWS})
"""Primitives whose result is, where it can be, the same memory seen otherwise."""

_REDUCTIONS = {SUM: np.add.reduce, MAX: np.maximum.reduce, MIN: np.minimum.reduce}

# By the primitives themselves: a plugin's may have the name of one of NumPy's functions and do something else.
_UFUNCS: dict[Primitive, np.ufunc] = {
    primitive: getattr(np, primitive.name)
    for primitive in (*vars(elementwise).values(), MATMUL)
    if isinstance(primitive, Primitive) and isinstance(getattr(np, primitive.name, None), np.ufunc)
}

# With a number NumPy takes four times as long for these as with an array, be it of that number alone.
_SLOW_WITH_NUMBERS = (np.maximum, np.minimum)
_NUMBERS = 2**13


def is_elementwise(step: Instruction) -> bool:
    """Tell whether a call may write an instruction's value over an operand: elements depend on those in their place."""
    return step.primitive in _UFUNCS and step.primitive is not MATMUL


def may_fail(step: Instruction) -> bool:
    """Tell whether an instruction may raise an exception for some values."""
    primitive = step.primitive
    known = primitive in _UFUNCS or primitive in _REDUCTIONS or primitive in VIEWS or primitive in (CAST, WHERE)
    return not known


class Calls:
    """Makes the calls of a program, with each Python number in them made an array once.

    Example:
        >>> step = td.jit.record(lambda x: x[0] * 2, [td.ones(3)]).program.instructions[0]
        >>> out = np.empty(3, np.float32)
        >>> [(function, *arguments)] = td.jit.numpy_calls.Calls().into(out, step, [np.ones(3, np.float32), 2])
        >>> function(*arguments)
        array([2., 2., 2.], dtype=float32)
    """

    def __init__(self) -> None:
        self._numbers: dict[Any, np.ndarray] = {}

    def into(self, out: np.ndarray, step: Instruction, given: list[Any]) -> list[Call]:
        """Return the calls that write an instruction's value into an array.

        Args:
            out: Of the value's shape and dtype. It may be one of the operands where ``is_elementwise`` says so.
            step: The instruction.
            given: Its operands, arrays and numbers.
        """
        primitive = step.primitive
        if ufunc := _UFUNCS.get(primitive):
            if ufunc in _SLOW_WITH_NUMBERS:
                return self._limits(ufunc, out, given)
            return [(ufunc, *self._operands(given), out)]
        if primitive in _REDUCTIONS and given[0].dtype == out.dtype:
            return [(_REDUCTIONS[primitive], given[0], step.attributes["axis"], None, out, step.attributes["keepdims"])]
        if primitive is CAST:
            return [(np.copyto, out, given[0], "unsafe")]
        if primitive is WHERE and (calls := self._choice(out, *given)):
            return calls
        return [(_compute_into, out, step, *given)]

    def _number(self, x: float, dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> np.ndarray:
        key = type(x), repr(x), dtype, shape
        if key not in self._numbers:
            with np.errstate(all="ignore"):
                self._numbers[key] = np.full(shape, x, dtype)
        return self._numbers[key]

    def _operands(self, given: list[Any]) -> list[Any]:
        """Return the operands with numbers as NumPy itself would convert them, at each call anew."""
        dtypes = {x.dtype for x in given if isinstance(x, np.ndarray)}
        if len(dtypes) != 1:
            return given
        (dtype,) = dtypes
        return [self._number(x, dtype) if _takes_dtype(x, dtype) else x for x in given]

    def _limits(self, ufunc: np.ufunc, out: np.ndarray, given: list[Any]) -> list[Call]:
        """Return the calls of a maximum or minimum; a number is met as an array of it, on one slice after another."""
        arrays = [out, *(x for x in given if isinstance(x, np.ndarray))]
        numbers = [x for x in given if _takes_dtype(x, out.dtype)]
        alike = all(x.flags.c_contiguous and (x.shape, x.dtype) == (out.shape, out.dtype) for x in arrays)
        if not numbers or not alike:
            return [(functools.partial(ufunc, out=out), *self._operands(given))]  # it takes its output by name alone
        calls: list[Call] = []
        for begin in range(0, out.size, _NUMBERS):
            row = out.reshape(-1)[begin : begin + _NUMBERS]
            operands = [
                x.reshape(-1)[begin : begin + _NUMBERS] if isinstance(x, np.ndarray)
                else self._number(x, out.dtype, (_NUMBERS,))[: row.size]
                for x in given
            ]  # fmt: skip
            calls.append((functools.partial(ufunc, out=row), *operands))
        return calls

    def _choice(self, out: np.ndarray, condition: np.ndarray, x: Any, y: Any) -> list[Call]:
        """Return calls that choose by the operands' bits; none if they are of different types.

        NumPy's ``where`` branches at each element, which takes ten times as long where the branches alternate.
        """
        left, right = (self._number(z, out.dtype) if _takes_dtype(z, out.dtype) else z for z in (x, y))
        if condition.dtype != bool or any(getattr(z, "dtype", None) != out.dtype for z in (left, right)):
            return []
        bits = np.dtype(f"u{out.itemsize}")
        left, right, chosen = left.view(bits), right.view(bits), out.view(bits)
        if not isinstance(y, np.ndarray) and not right:
            return [(np.multiply, left, condition, chosen)]
        return [
            (np.bitwise_xor, left, right, chosen),
            (np.multiply, chosen, condition, chosen),
            (np.bitwise_xor, chosen, right, chosen),
        ]


def _takes_dtype(x: Any, dtype: np.dtype[Any]) -> bool:
    """Tell whether a number is converted to the dtype of the array that it meets, and how is beyond doubt."""
    if type(x) is float:
        return dtype.kind == "f"
    if type(x) is not int:
        return False
    if dtype.kind == "f":
        return bool(abs(x) < 2 ** (np.finfo(dtype).nmant + 1))
    return dtype.kind in "iu" and bool(np.iinfo(dtype).min <= x <= np.iinfo(dtype).max)


def _compute_into(out: np.ndarray, step: Instruction, *given: Any) -> None:
    np.copyto(out, step.primitive.forward(backend.get("numpy"), *given, **step.attributes))
