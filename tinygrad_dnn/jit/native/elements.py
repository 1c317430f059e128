"""Elements: which primitives loops can compute, and what each is on one element in registers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit import loops
from tinygrad_dnn.jit.native import doubles, functions
from tinygrad_dnn.jit.native.text import Body, constant, is_known, type_of
from tinygrad_dnn.jit.program import Instruction
from tinygrad_dnn.ops import elementwise as e

DType = np.dtype[Any]
Emit = Callable[[Body, DType, list[str]], str]
"""Appends a primitive on operands that all have one dtype; a comparison gives a boolean, all others that dtype."""


# -- arithmetic -----------------------------------------------------------------------------------------------------


def _arithmetic(name: str) -> Emit:
    def emit(body: Body, dtype: DType, x: list[str]) -> str:
        return body.binary(f"f{name}" if dtype.kind == "f" else name, type_of(dtype), *x)

    return emit


def _negative(body: Body, dtype: DType, x: list[str]) -> str:
    kind = type_of(dtype)
    return body.new(f"fneg {kind} {x[0]}") if dtype.kind == "f" else body.binary("sub", kind, "0", x[0])


def _abs(body: Body, dtype: DType, x: list[str]) -> str:
    kind = type_of(dtype)
    if dtype.kind == "f":
        return body.intrinsic("fabs", kind, x[0])
    if dtype.kind == "u":
        return x[0]
    return body.select(body.compare("slt", kind, x[0], "0"), kind, body.binary("sub", kind, "0", x[0]), x[0])


def _sign(body: Body, dtype: DType, x: list[str]) -> str:
    kind = type_of(dtype)
    zero, one = constant(0, dtype), constant(1, dtype)
    above = body.compare(_condition("greater", dtype), kind, x[0], zero)
    if dtype.kind == "u":
        return body.select(above, kind, one, zero)
    below = body.select(body.compare(_condition("less", dtype), kind, x[0], zero), kind, constant(-1, dtype), x[0])
    return body.select(above, kind, one, below)


def _remainder(body: Body, dtype: DType, x: list[str]) -> str:
    """With the sign of the divisor; a whole quotient leaves a zero of its sign."""
    kind = type_of(dtype)
    if dtype.kind != "f":
        return _whole_remainder(body, dtype, x)
    zero = constant(0, dtype)
    rest = body.binary("frem", kind, *x)
    below = [body.compare("olt", kind, register, zero) for register in (rest, x[1])]
    opposite = body.binary("xor", "i1", *below)
    moved = body.select(opposite, kind, body.binary("fadd", kind, rest, x[1]), rest)
    signed = body.intrinsic("copysign", kind, zero, x[1])
    return body.select(body.compare("oeq", kind, rest, zero), kind, signed, moved)


def _whole_remainder(body: Body, dtype: DType, x: list[str]) -> str:
    """That of integers; of a division by 0 it is 0."""
    kind = type_of(dtype)
    # The machine stops at a division by 0, and at that of the least number by -1; by 1 the remainder is 0 as well.
    divisor = body.select(body.compare("eq", kind, x[1], "0"), kind, "1", x[1])
    if dtype.kind == "u":
        return body.binary("urem", kind, x[0], divisor)
    divisor = body.select(body.compare("eq", kind, divisor, "-1"), kind, "1", divisor)
    rest = body.binary("srem", kind, x[0], divisor)
    opposite = body.compare("slt", kind, body.binary("xor", kind, rest, divisor), "0")
    some = body.binary("and", "i1", opposite, body.compare("ne", kind, rest, "0"))
    return body.select(some, kind, body.binary("add", kind, rest, divisor), rest)


def _floor_divide(body: Body, dtype: DType, x: list[str]) -> str:
    """The quotient without the remainder; a zero has the sign of the quotient."""
    kind = type_of(dtype)
    if dtype.kind != "f":
        return _whole_quotient(body, dtype, x)
    zero, one = constant(0, dtype), constant(1, dtype)
    quotient = body.binary("fdiv", kind, *x)
    rest = body.binary("frem", kind, *x)
    exact = body.binary("fdiv", kind, body.binary("fsub", kind, x[0], rest), x[1])
    opposite = body.binary("xor", "i1", *(body.compare("olt", kind, register, zero) for register in (rest, x[1])))
    below = body.binary("and", "i1", opposite, body.compare("une", kind, rest, zero))
    exact = body.select(below, kind, body.binary("fsub", kind, exact, one), exact)
    # Rounding may have brought it below the whole number that it stands for.
    floor = body.intrinsic("floor", kind, exact)
    short = body.compare("ogt", kind, body.binary("fsub", kind, exact, floor), constant(0.5, dtype))
    floor = body.select(short, kind, body.binary("fadd", kind, floor, one), floor)
    signed = body.intrinsic("copysign", kind, zero, quotient)
    floor = body.select(body.compare("oeq", kind, exact, zero), kind, signed, floor)
    return body.select(body.compare("oeq", kind, x[1], zero), kind, quotient, floor)


def _whole_quotient(body: Body, dtype: DType, x: list[str]) -> str:
    """That of integers; of a division by 0 it is 0."""
    kind = type_of(dtype)
    by_zero = body.compare("eq", kind, x[1], "0")
    divisor = body.select(by_zero, kind, "1", x[1])
    if dtype.kind == "u":
        return body.select(by_zero, kind, "0", body.binary("udiv", kind, x[0], divisor))
    by_minus_one = body.compare("eq", kind, divisor, "-1")
    divisor = body.select(by_minus_one, kind, "1", divisor)
    quotient = body.binary("sdiv", kind, x[0], divisor)
    rest = body.binary("srem", kind, x[0], divisor)
    opposite = body.compare("slt", kind, body.binary("xor", kind, rest, divisor), "0")
    below = body.binary("and", "i1", opposite, body.compare("ne", kind, rest, "0"))
    quotient = body.select(below, kind, body.binary("sub", kind, quotient, "1"), quotient)
    quotient = body.select(by_minus_one, kind, body.binary("sub", kind, "0", x[0]), quotient)
    return body.select(by_zero, kind, "0", quotient)


def _extreme(name: str) -> Emit:
    """The greater or the smaller of two; NaN where either is."""

    def emit(body: Body, dtype: DType, x: list[str]) -> str:
        kind = type_of(dtype)
        first, second = x
        if first.startswith("%") and not second.startswith("%"):
            first, second = second, first  # the machine's own instruction gives the second where either is NaN
        chosen = body.select(body.compare(_condition(name, dtype), kind, first, second), kind, first, second)
        if dtype.kind != "f" or not first.startswith("%"):
            return chosen
        return body.select(body.compare("uno", kind, first, first), kind, first, chosen)

    return emit


def _power(body: Body, dtype: DType, x: list[str]) -> str:
    kind = type_of(dtype)
    if x[1] == constant(3, dtype):
        return body.binary("fmul", kind, body.binary("fmul", kind, x[0], x[0]), x[0])
    if x[1] == constant(1, dtype):
        return x[0]
    return doubles.power(body, *x) if kind == "float" else body.call("pow", kind, *x)


def _function(name: str) -> Emit:
    """A function of one number: a polynomial if there is one, else that of the C library."""

    def emit(body: Body, dtype: DType, x: list[str]) -> str:
        polynomials = functions.POLYNOMIALS if dtype == np.float32 else doubles.POLYNOMIALS
        return polynomials[name](body, x[0]) if name in polynomials else body.call(name, type_of(dtype), x[0])

    return emit


def _intrinsic(name: str) -> Emit:
    return lambda body, dtype, x: body.intrinsic(name, type_of(dtype), x[0])


# -- comparisons ----------------------------------------------------------------------------------------------------

_CONDITIONS = {  # of floats, signed and unsigned integers
    "equal": ("oeq", "eq", "eq"),
    "not_equal": ("une", "ne", "ne"),
    "less": ("olt", "slt", "ult"),
    "less_equal": ("ole", "sle", "ule"),
    "greater": ("ogt", "sgt", "ugt"),
    "greater_equal": ("oge", "sge", "uge"),
}


def _condition(name: str, dtype: DType) -> str:
    floating, signed, unsigned = _CONDITIONS[name]
    return {"f": floating, "i": signed}.get(dtype.kind, unsigned)


def _comparison(name: str) -> Emit:
    return lambda body, dtype, x: body.compare(_condition(name, dtype), type_of(dtype), *x)


def _isfinite(body: Body, dtype: DType, x: list[str]) -> str:
    kind = type_of(dtype)
    return body.compare("olt", kind, body.intrinsic("fabs", kind, x[0]), constant(math.inf, dtype))


_ARITHMETIC: dict[Primitive, Emit] = {
    e.ADD: _arithmetic("add"),
    e.SUBTRACT: _arithmetic("sub"),
    e.MULTIPLY: _arithmetic("mul"),
    e.NEGATIVE: _negative,
    e.ABS: _abs,
    e.SIGN: _sign,
    e.MAXIMUM: _extreme("greater"),
    e.MINIMUM: _extreme("less"),
    e.REMAINDER: _remainder,
    e.FLOOR_DIVIDE: _floor_divide,
}
_OF_FLOATS: dict[Primitive, Emit] = {
    e.DIVIDE: _arithmetic("div"),
    e.POWER: _power,
    e.FLOOR: _intrinsic("floor"),
    e.SQRT: _intrinsic("sqrt"),
    **{p: _function(p.name) for p in (e.EXP, e.EXPM1, e.LOG, e.LOG1P, e.SIN, e.COS, e.TANH, e.ERF)},
}
_COMPARISONS: dict[Primitive, Emit] = {
    p: _comparison(p.name) for p in (e.EQUAL, e.NOT_EQUAL, e.LESS, e.LESS_EQUAL, e.GREATER, e.GREATER_EQUAL)
}
_TESTS: dict[Primitive, Emit] = {
    e.ISNAN: lambda body, dtype, x: body.compare("uno", type_of(dtype), x[0], x[0]),
    e.ISFINITE: _isfinite,
}
_LOGIC: dict[Primitive, Emit] = {
    e.LOGICAL_AND: lambda body, dtype, x: body.binary("and", "i1", *x),
    e.LOGICAL_OR: lambda body, dtype, x: body.binary("or", "i1", *x),
    e.LOGICAL_NOT: lambda body, dtype, x: body.binary("xor", "i1", x[0], "true"),
}
_EMITS = {**_ARITHMETIC, **_OF_FLOATS, **_COMPARISONS, **_TESTS, **_LOGIC}


def can_loop(instruction: Instruction) -> bool:
    """Tell whether loops can compute an instruction, or the elements of a reduction."""
    return loops.can_loop(instruction, is_known)


def element(body: Body, instruction: Instruction, operands: list[str]) -> str:
    """Append an instruction on one element of each of its inputs."""
    if instruction.primitive is e.WHERE:
        return body.select(operands[0], type_of(instruction.output.dtype), operands[1], operands[2])
    return _EMITS[instruction.primitive](body, instruction.sources[-1].dtype, operands)


def converted(body: Body, x: str, source: DType, target: DType) -> str:
    """Append the conversion of an element to another dtype."""
    before, after = type_of(source), type_of(target)
    if source == target or (before == after and source.kind != "b"):
        return x
    if target.kind == "b":
        condition = "une" if source.kind == "f" else "ne"
        return body.compare(condition, before, x, constant(0, source))
    if source.kind == "f":
        if target.kind == "f":
            return body.new(f"{'fpext' if target.itemsize > source.itemsize else 'fptrunc'} {before} {x} to {after}")
        # As C does it on this machine: out of range it is undefined, and frozen it is at least some number.
        wide = body.new(f"freeze i64 {body.new(f'fptosi {before} {x} to i64')}")
        return wide if after == "i64" else body.new(f"trunc i64 {wide} to {after}")
    signed = source.kind == "i"
    if target.kind == "f":
        return body.new(f"{'sitofp' if signed else 'uitofp'} {before} {x} to {after}")
    if target.itemsize < source.itemsize:
        return body.new(f"trunc {before} {x} to {after}")
    return body.new(f"{'sext' if signed else 'zext'} {before} {x} to {after}")
