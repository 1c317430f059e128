"""Polynomials against NumPy in float64: errors in units of the last place and special values."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.functions import POLYNOMIALS
from tinygrad_dnn.jit.native.kernel import NAME, Kernel
from tinygrad_dnn.jit.native.text import Body

REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf),
}


def computed(name: str, x: np.ndarray) -> np.ndarray:
    """Return a polynomial's values."""
    body = Body()
    result = POLYNOMIALS[name](body, "%v")
    lines = "\n".join(body.lines)
    text = f"""define void @{NAME}(ptr noalias %x, ptr noalias %y, i64 %lo, i64 %hi) {{
    entry:
      br label %next
    next:
      %i = phi i64 [ %lo, %entry ], [ %j, %next ]
      %px = getelementptr float, ptr %x, i64 %i
      %py = getelementptr float, ptr %y, i64 %i
      %v = load float, ptr %px
      {lines}
      store float {result}, ptr %py
      %j = add i64 %i, 1
      %more = icmp slt i64 %j, %hi
      br i1 %more, label %next, label %end
    end:
      ret void
    }}"""
    (address,) = compiler().addresses([Kernel(text, (), 1, frozenset(body.declared))])
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    y = np.empty_like(x)
    kind(address)(x.ctypes.data, y.ctypes.data, 0, x.size)
    return y


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_errors_in_units_of_the_last_place(name: str) -> None:
    bits = np.arange(0, 2**32, 50021 if name == "erf" else 4999, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([bits[np.isfinite(bits)], np.linspace(-5, 5, 20001, dtype=np.float32)])
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x.astype(np.float64))
        rounded = expected.astype(np.float32)
        units = np.abs(computed(name, x) - expected) / np.spacing(np.abs(rounded), dtype=np.float32)
    finite = np.isfinite(rounded)
    assert units[finite].max() <= (4 if name in ("tanh", "erf") else 2)
    np.testing.assert_array_equal(computed(name, x)[~finite], rounded[~finite])


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_special_values(name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4, 1e-45, -1e-45, 88.72, 88.73, 89.5, -1.0], np.float32)
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x.astype(np.float64)).astype(np.float32)
    found = computed(name, x)
    np.testing.assert_allclose(found, expected, rtol=5e-7)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))
