"""Elements: what each primitive is on one element, as an expression or some statements of CUDA C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import FLOATING, is_narrow
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit import loops
from tinygrad_dnn.jit.cuda.text import constant, is_known, rounded, type_of, unsigned_type
from tinygrad_dnn.jit.expanding import CHECKED
from tinygrad_dnn.jit.program import Instruction
from tinygrad_dnn.ops import elementwise as e

DType = np.dtype[Any]
Emit = Callable[[DType, list[str]], str]
"""Gives the expression of a primitive on operands that all have one dtype, each of them a variable or a constant."""


def can_loop(instruction: Instruction) -> bool:
    """Tell whether kernels can compute an instruction, or the elements of a reduction."""
    return instruction.primitive is CHECKED or loops.can_loop(instruction, is_known)


def element(instruction: Instruction, operands: list[str]) -> str:
    """Return the expression of an instruction on one element of each of its inputs."""
    if instruction.primitive is e.WHERE:
        return f"{operands[0]} ? {operands[1]} : {operands[2]}"
    if instruction.primitive is CHECKED:
        return _checked(instruction, operands[0])
    return _EMITS[instruction.primitive](instruction.sources[-1].dtype, operands)


def converted(x: str, source: DType, target: DType) -> str:
    """Return the expression of a variable in another dtype."""
    if source == target or (is_narrow(source) and target == np.float32):
        return x
    if target.kind == "b":
        return f"{x} != 0"
    if is_narrow(target):
        return rounded(target, f"(float){x}")  # what was rounded to be stored is rounded
    if source.kind in FLOATING and target.kind in "iu" and target != np.uint64:
        return f"({type_of(target)})(long long){x}"  # what is out of range wraps around, as it does on most machines
    return f"({type_of(target)}){x}"


def identity(name: str, dtype: DType) -> str:
    """Return what a reduction begins with."""
    if name == "sum":
        return constant(0, dtype)
    if dtype.kind in FLOATING:
        return constant(-np.inf if name == "max" else np.inf, dtype)
    return constant(np.iinfo(dtype).min if name == "max" else np.iinfo(dtype).max, dtype)


def combined(name: str, dtype: DType, x: str, y: str) -> str:
    """Return the expression of what two parts of a reduction, both variables, are together."""
    return _arithmetic("+")(dtype, [x, y]) if name == "sum" else _extreme("><"[name == "min"])(dtype, [x, y])


def _checked(instruction: Instruction, x: str) -> str:
    """An index counted from the front. What is out of range wraps: that it is, a device could not tell in time."""
    n = f"{instruction.attributes['shape'][instruction.attributes['axis']]}LL"
    wide = x if instruction.sources[0].dtype == np.int64 else f"(long long){x}"
    return f"({wide} % {n} + {n}) % {n}"


# -- arithmetic -------------------------------------------------------------------------------------------------------


def _wrapped(dtype: DType, expression: str) -> str:
    """An expression of unsigned integers as one of the dtype."""
    return f"({type_of(dtype)})({expression})"


def _arithmetic(sign: str) -> Emit:
    def emit(dtype: DType, x: list[str]) -> str:
        if dtype.kind in FLOATING:
            return f"{x[0]} {sign} {x[1]}"
        kind = unsigned_type(dtype)
        return _wrapped(dtype, f"({kind}){x[0]} {sign} ({kind}){x[1]}")

    return emit


def _negative(dtype: DType, x: list[str]) -> str:
    return f"-{x[0]}" if dtype.kind in FLOATING else _wrapped(dtype, f"0 - ({unsigned_type(dtype)}){x[0]}")


def _abs(dtype: DType, x: list[str]) -> str:
    if dtype.kind in FLOATING:
        return _named("fabs", dtype, x[0])
    return x[0] if dtype.kind == "u" else f"{x[0]} < 0 ? {_negative(dtype, x)} : {x[0]}"


def _sign(dtype: DType, x: list[str]) -> str:
    zero, one = constant(0, dtype), constant(1, dtype)
    rest = zero if dtype.kind == "u" else f"{x[0]} < {zero} ? {constant(-1, dtype)} : {x[0]}"
    return f"{x[0]} > {zero} ? {one} : {rest}"


def _extreme(sign: str) -> Emit:
    """The greater or the smaller of two; NaN where either is."""

    def emit(dtype: DType, x: list[str]) -> str:
        chosen = f"{x[0]} {sign} {x[1]} || {x[0]} != {x[0]}" if dtype.kind in FLOATING else f"{x[0]} {sign} {x[1]}"
        return f"{chosen} ? {x[0]} : {x[1]}"

    return emit


def _remainder(dtype: DType, x: list[str]) -> str:
    return f"remainder_of<{type_of(dtype)}>({x[0]}, {x[1]})"


def _floor_divide(dtype: DType, x: list[str]) -> str:
    return f"quotient_of<{type_of(dtype)}>({x[0]}, {x[1]})"


def _named(name: str, dtype: DType, *x: str) -> str:
    return f"{name}{'' if dtype == np.float64 else 'f'}({', '.join(x)})"


def _function(name: str) -> Emit:
    return lambda dtype, x: _named(name, dtype, x[0])


def _power(dtype: DType, x: list[str]) -> str:
    if x[1] == constant(3, dtype):
        return f"{x[0]} * {x[0]} * {x[0]}"
    return x[0] if x[1] == constant(1, dtype) else _named("pow", dtype, *x)


def _infix(sign: str) -> Emit:
    return lambda dtype, x: f"{x[0]} {sign} {x[1]}"


_EMITS: dict[Primitive, Emit] = {
    e.ADD: _arithmetic("+"),
    e.SUBTRACT: _arithmetic("-"),
    e.MULTIPLY: _arithmetic("*"),
    e.NEGATIVE: _negative,
    e.ABS: _abs,
    e.SIGN: _sign,
    e.MAXIMUM: _extreme(">"),
    e.MINIMUM: _extreme("<"),
    e.REMAINDER: _remainder,
    e.FLOOR_DIVIDE: _floor_divide,
    e.DIVIDE: _infix("/"),
    e.POWER: _power,
    **{p: _function(p.name) for p in (e.FLOOR, e.SQRT, e.EXP, e.EXPM1, e.LOG, e.LOG1P, e.SIN, e.COS, e.TANH, e.ERF)},
    e.EQUAL: _infix("=="),
    e.NOT_EQUAL: _infix("!="),
    e.LESS: _infix("<"),
    e.LESS_EQUAL: _infix("<="),
    e.GREATER: _infix(">"),
    e.GREATER_EQUAL: _infix(">="),
    e.ISNAN: lambda dtype, x: f"{x[0]} != {x[0]}",
    e.ISFINITE: lambda dtype, x: f"{_named('fabs', dtype, x[0])} < {constant(np.inf, dtype)}",
    e.LOGICAL_AND: _infix("&&"),
    e.LOGICAL_OR: _infix("||"),
    e.LOGICAL_NOT: lambda dtype, x: f"!{x[0]}",
}

DIVISIONS = r"""
template <typename T> static __device__ __forceinline__ T remainder_of(T x, T y)
{
    if (y == 0) return 0;
    if ((T)-1 < 0 && y == (T)-1) return 0;  // that of the least number is out of range
    const T rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? (T)(rest + y) : rest;
}
template <typename T> static __device__ __forceinline__ T quotient_of(T x, T y)
{
    if (y == 0) return 0;
    if ((T)-1 < 0 && y == (T)-1) return (T)(0 - (unsigned long long)x);
    const T quotient = x / y, rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? (T)(quotient - 1) : quotient;
}
template <typename T> static __device__ __forceinline__ T rest_of(T x, T y, T rest)
{
    if (rest == 0) return y < 0 ? -(T)0 : (T)0;
    return (rest < 0) != (y < 0) ? rest + y : rest;
}
template <> __device__ __forceinline__ float remainder_of(float x, float y) { return rest_of(x, y, fmodf(x, y)); }
template <> __device__ __forceinline__ double remainder_of(double x, double y) { return rest_of(x, y, fmod(x, y)); }
template <typename T> static __device__ __forceinline__ T whole_of(T x, T y, T rest)
{
    const T quotient = x / y;
    if (y == 0) return quotient;
    T exact = (x - rest) / y;
    if (rest != 0 && (rest < 0) != (y < 0)) exact -= 1;
    if (exact == 0) return copysign((T)0, quotient);
    T whole = floor(exact);
    return exact - whole > (T)0.5 ? whole + 1 : whole;  // rounding may have brought it below the number it stands for
}
template <> __device__ __forceinline__ float quotient_of(float x, float y) { return whole_of(x, y, fmodf(x, y)); }
template <> __device__ __forceinline__ double quotient_of(double x, double y) { return whole_of(x, y, fmod(x, y)); }
"""
"""Quotients without remainder, and remainders with the sign of the divisor; of integers by 0 both are 0."""
