"""Sums: what a reduction begins with, how two parts of it become one, and in which dtype many are added up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_dnn.jit.native.text import Body, constant, type_of

BLOCK = 512
"""A sum over many more elements than this adds up parts of this length, which keeps the rounding errors small."""


def wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what many elements are added up in."""
    return np.dtype(np.float64) if dtype.kind == "f" else dtype


def identity(name: str, dtype: np.dtype[Any]) -> str:
    """Return what a reduction begins with."""
    if name == "sum":
        return constant(0, dtype)
    if dtype.kind == "f":
        return constant(-math.inf if name == "max" else math.inf, dtype)
    return constant(np.iinfo(dtype).min if name == "max" else np.iinfo(dtype).max, dtype)


def combined(body: Body, name: str, dtype: np.dtype[Any], x: str, y: str, in_any_order: bool = False) -> str:
    """Append what two parts of a reduction are together."""
    kind = type_of(dtype)
    if name == "sum":
        floating = "fadd reassoc" if in_any_order else "fadd"
        return body.binary(floating if dtype.kind == "f" else "add", kind, x, y)
    if dtype.kind == "f":
        return body.intrinsic(f"{name}imum", kind, x, y)
    return body.intrinsic(("s" if dtype.kind == "i" else "u") + name, kind, x, y)
