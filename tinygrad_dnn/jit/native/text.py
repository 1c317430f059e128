"""LLVM IR as text: types and constants of NumPy's dtypes, and a body that instructions are appended to."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

_TYPES: dict[np.dtype[Any], str] = {
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.bool_): "i1",
    **{np.dtype(f"{sign}{size}"): f"i{8 * size}" for sign in "iu" for size in (1, 2, 4, 8)},
}


def is_known(dtype: np.dtype[Any]) -> bool:
    """Tell whether loops can compute with elements of a dtype."""
    return dtype in _TYPES


def type_of(dtype: np.dtype[Any]) -> str:
    """Return the type of an element in a register."""
    return _TYPES[dtype]


def stored_type(dtype: np.dtype[Any]) -> str:
    """Return the type of an element in memory, where a boolean is a byte."""
    return "i8" if dtype == np.bool_ else _TYPES[dtype]


def constant(value: Any, dtype: np.dtype[Any]) -> str:
    """Return a number as a constant of a dtype.

    Raises:
        OverflowError: The dtype cannot hold it.

    Example:
        >>> from tinygrad_dnn.jit.native.text import constant
        >>> constant(0.5, np.dtype("float32")), constant(3, np.dtype("int64")), constant(True, np.dtype("bool"))
        ('0x3FE0000000000000', '3', 'true')
    """
    if dtype.kind == "f":
        # NumPy's own float32 would warn of what is out of range, and asking it not to takes long.
        rounded = ctypes.c_float(value).value if dtype.itemsize == 4 else float(value)
        return f"0x{struct.unpack('>Q', struct.pack('>d', rounded))[0]:016X}"
    if dtype.kind == "b":
        return "true" if value else "false"
    limits = np.iinfo(dtype)
    if value != int(value) or not limits.min <= value <= limits.max:
        raise OverflowError(f"{value!r} is no {dtype.name}")
    return str(int(value))


class Body:
    """Instructions of a function, in order; each method appends some and returns the register of the result."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self._count = 0

    def name(self) -> str:
        """Return a register that is not used yet."""
        self._count += 1
        return f"%x{self._count}"

    def label(self) -> str:
        """Return a label that is not used yet."""
        self._count += 1
        return f"b{self._count}"

    def line(self, text: str) -> None:
        """Append a line that has no result."""
        self.lines.append(text)

    def new(self, text: str) -> str:
        """Append an instruction."""
        register = self.name()
        self.lines.append(f"{register} = {text}")
        return register

    def binary(self, operation: str, kind: str, x: str, y: str) -> str:
        """Append an instruction of two operands of one type."""
        return self.new(f"{operation} {kind} {x}, {y}")

    def compare(self, condition: str, kind: str, x: str, y: str) -> str:
        """Append a comparison by a condition of ``fcmp``, or of ``icmp``."""
        return self.new(f"{'fcmp' if kind in ('float', 'double') else 'icmp'} {condition} {kind} {x}, {y}")

    def select(self, condition: str, kind: str, x: str, y: str) -> str:
        """Append the choice of x where a condition holds, else y."""
        return self.new(f"select i1 {condition}, {kind} {x}, {kind} {y}")

    def call(self, function: str, kind: str, *arguments: str) -> str:
        """Append the call of a function that takes and gives one type, and declare it."""
        kinds = ", ".join([kind] * len(arguments))
        self.declared.add(f"declare {kind} @{function}({kinds})")
        return self.new(f"call {kind} @{function}({', '.join(f'{kind} {x}' for x in arguments)})")

    def intrinsic(self, function: str, kind: str, *arguments: str) -> str:
        """Append the call of one of LLVM's own functions."""
        suffix = {"float": "f32", "double": "f64"}.get(kind, kind)
        return self.call(f"llvm.{function}.{suffix}", kind, *arguments)

    def loop(self, start: str, end: str, step: str, note: str = "") -> tuple[str, Callable[[], None]]:
        """Begin a loop over at least one index; return the index, and what ends the loop."""
        before, inside, after = self.label(), self.label(), self.label()
        index, following = self.name(), self.name()
        latch = self.label()
        self.line(f"br label %{before}")
        self.line(f"{before}:")
        self.line(f"br label %{inside}")
        self.line(f"{inside}:")
        self.line(f"{index} = phi i64 [ {start}, %{before} ], [ {following}, %{latch} ]")

        def close() -> None:
            self.line(f"br label %{latch}")
            self.line(f"{latch}:")
            self.line(f"{following} = add nsw i64 {index}, {step}")
            more = self.compare("slt", "i64", following, end)
            self.line(f"br i1 {more}, label %{inside}, label %{after}{note}")
            self.line(f"{after}:")

        return index, close
