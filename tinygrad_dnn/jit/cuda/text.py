"""CUDA C as text: the types, numbers and functions that kernels are written with, none of which needs a header."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import FLOATING, is_narrow

DType = np.dtype[Any]

_STORED: dict[DType, str] = {
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.bool_): "unsigned char",
    np.dtype(np.int8): "signed char",
    np.dtype(np.int16): "short",
    np.dtype(np.int32): "int",
    np.dtype(np.int64): "long long",
    np.dtype(np.uint8): "unsigned char",
    np.dtype(np.uint16): "unsigned short",
    np.dtype(np.uint32): "unsigned int",
    np.dtype(np.uint64): "unsigned long long",
}

# Of types that are stored in 16 bits and computed with as float, what becomes of one of them, by its name.
_NARROW = {"float16": "half", "bfloat16": "bfloat"}

NARROW = r"""
static __device__ __forceinline__ float bfloat_to_float(unsigned short x)
{
    return __int_as_float((int)((unsigned int)x << 16));
}
static __device__ __forceinline__ unsigned short float_to_bfloat(float x)
{
    const unsigned int bits = (unsigned int)__float_as_int(x);
    if (x != x) return (unsigned short)((bits >> 16 & 0x8000u) | 0x7fc0u);  // to round it could make it an infinity
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);  // to the nearest, and of two to the even one
}
#ifndef HALF_CONVERSIONS
static __device__ __forceinline__ float half_to_float(unsigned short x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}
static __device__ __forceinline__ unsigned short float_to_half(float x)
{
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#endif
"""
"""What reads and writes numbers of 16 bits. For float16 there are instructions, which the language has no names for."""


def is_known(dtype: DType) -> bool:
    """Tell whether kernels can compute with elements of a dtype."""
    return dtype in _STORED or is_narrow(dtype)


def type_of(dtype: DType) -> str:
    """Return the type of an element in a register."""
    if is_narrow(dtype):
        return "float"
    return "bool" if dtype == np.bool_ else _STORED[dtype]


def stored_type(dtype: DType) -> str:
    """Return the type of an element in memory."""
    return "unsigned short" if is_narrow(dtype) else _STORED[dtype]


def unsigned_type(dtype: DType) -> str:
    """Return the type in which sums of integers wrap around, as they do in NumPy and by no rule of the language."""
    return _STORED[np.dtype(f"u{max(dtype.itemsize, 4)}")]


def constant(value: Any, dtype: DType) -> str:
    """Return a number as a constant of a dtype, exactly.

    Example:
        >>> from tinygrad_dnn.jit.cuda.text import constant
        >>> constant(0.5, np.dtype("float32")), constant(-3, np.dtype("int64")), constant(True, np.dtype("bool"))
        ('0x1.0000000000000p-1f', '-3LL', 'true')
    """
    if dtype.kind in FLOATING:
        return _floating(float(value), dtype)
    if dtype.kind == "b":
        return "true" if value else "false"
    value = int(value)
    if dtype == np.int64:
        # The language has no negative literals, and the positive one would be out of range.
        return "(-9223372036854775807LL - 1)" if value == -(2**63) else f"{value}LL"
    if dtype == np.uint64:
        return f"{value}ULL"
    return f"({type_of(dtype)}){value}" if value != -(2**31) else "(-2147483647 - 1)"


def _floating(value: float, dtype: DType) -> str:
    if dtype == np.float64:
        if math.isfinite(value):
            return value.hex()
        return f"__longlong_as_double(0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016x}LL)"
    with np.errstate(over="ignore"):
        rounded = float(np.array(value, np.float64).astype(dtype))
    if math.isfinite(rounded):
        return f"{rounded.hex()}f"
    return f"__int_as_float(0x{struct.unpack('>I', struct.pack('>f', rounded))[0]:08x})"


def loaded(dtype: DType, place: str, is_constant: bool) -> str:
    """Return the element at a place.

    Args:
        dtype: The element's dtype.
        place: An expression for a pointer to it.
        is_constant: Whether nothing writes it while the kernel runs: then the read may come as early as it likes.
    """
    read = f"__ldg({place})" if is_constant else f"*({place})"
    if is_narrow(dtype):
        return f"{_NARROW[dtype.name]}_to_float({read})"
    return f"{read} != 0" if dtype == np.bool_ else read


def stored(dtype: DType, place: str, value: str) -> str:
    """Return the statement that writes an element at a place."""
    return f"*({place}) = {_narrowed(dtype, value) if is_narrow(dtype) else value};"


def rounded(dtype: DType, value: str) -> str:
    """Return a float as a dtype of 16 bits stores it."""
    return f"{_NARROW[dtype.name]}_to_float({_narrowed(dtype, value)})"


def _narrowed(dtype: DType, value: str) -> str:
    return f"float_to_{_NARROW[dtype.name]}({value})"
