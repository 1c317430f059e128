"""Polynomials against NumPy in float64: errors in units of the last place and special values."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_dnn as td
from tinygrad_dnn.jit import native
from tinygrad_dnn.jit.native import doubles
from tinygrad_dnn.jit.native.compiler import compiler
from tinygrad_dnn.jit.native.functions import POLYNOMIALS
from tinygrad_dnn.jit.native.kernel import NAME, Kernel
from tinygrad_dnn.jit.native.text import Body
from tinygrad_dnn.jit.recording import record

REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf),
    "sin": np.sin,
    "cos": np.cos,
}


def computed(name: str, x: np.ndarray) -> np.ndarray:
    """Return a polynomial's values."""
    body = Body()
    kind, polynomials = ("float", POLYNOMIALS) if x.dtype == np.float32 else ("double", doubles.POLYNOMIALS)
    result = polynomials[name](body, "%v")
    lines = "\n".join(body.lines)
    text = f"""define void @{NAME}(ptr noalias %x, ptr noalias %y, i64 %lo, i64 %hi) {{
    entry:
      br label %next
    next:
      %i = phi i64 [ %lo, %entry ], [ %j, %next ]
      %px = getelementptr {kind}, ptr %x, i64 %i
      %py = getelementptr {kind}, ptr %y, i64 %i
      %v = load {kind}, ptr %px
      {lines}
      store {kind} {result}, ptr %py
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


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_arguments_next_to_multiples_of_a_quarter_turn(name: str) -> None:
    turns = np.arange(1, 200_000, dtype=np.float64)
    near = (turns * (np.pi / 2)).astype(np.float32)
    # 16367173 * 2^72 is the float32 number that is closest to one of all.
    closest = np.array([16367173.0 * 2.0**72, 13176795.0, 11.0, 33.0, 710.0, 52174.0, 1e22, 3e38], np.float32)
    x = np.concatenate([near, np.nextafter(near, np.float32(0)), closest, -closest])
    expected = REFERENCES[name](x.astype(np.float64))
    units = np.abs(computed(name, x) - expected) / np.spacing(np.abs(expected.astype(np.float32)), dtype=np.float32)
    assert units.max() <= 2


def many_doubles() -> np.ndarray:
    """Return numbers of all sizes and signs, and some that lie densely where functions change."""
    bits = np.random.default_rng(0).integers(0, 2**64, 300_000, dtype=np.uint64).view(np.float64)
    draw = np.random.default_rng(1)
    sizes = [draw.uniform(-s, s, 100_000) for s in (1e-3, 0.5, 2.0, 30.0, 750.0)]
    return np.concatenate([bits[np.isfinite(bits)], *sizes, np.exp2(draw.uniform(-60, 3, 100_000))])


@pytest.mark.parametrize("name", doubles.POLYNOMIALS)
def test_errors_of_doubles_in_units_of_the_last_place(name: str) -> None:
    x = many_doubles()
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x.astype(np.longdouble))
        if np.finfo(np.longdouble).nmant < 60:
            pytest.skip("there are no longer numbers to compare with")
        rounded = expected.astype(np.float64)
        found = computed(name, x)
        units = np.abs(found - expected) / np.spacing(np.abs(rounded))
    finite = np.isfinite(rounded)
    assert units[finite].max() <= (4 if name == "tanh" else 2)
    np.testing.assert_array_equal(found[~finite], rounded[~finite])


@pytest.mark.parametrize("name", doubles.POLYNOMIALS)
def test_special_doubles(name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4, 5e-324, -5e-324, 709.78, 709.79, 712.0, -745.2, -1.0])
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    found = computed(name, x)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


def test_powers() -> None:
    special = [np.nan, np.inf, 0.0, 1.0, 0.5, 2.0, 3.0, 2.5, 1e-40, 1e38, 101.0, 2.0**25, 1 + 2.0**-23]
    draw = np.random.default_rng(0)
    base = np.array([*special, *(-x for x in special), *np.exp2(draw.uniform(-20, 20, 200))], np.float32)
    exponent = np.array([*special, *(-x for x in special), *draw.uniform(-9, 9, 100)], np.float32)
    run = native.lower(record(lambda x: td.power(*x), [td.tensor(base[:, None]), td.tensor(exponent)]).program)
    assert not run.calls
    with np.errstate(all="ignore"):
        expected = np.power(base[:, None].astype(np.float64), exponent.astype(np.float64))
        rounded = expected.astype(np.float32)
        (found,) = run([base[:, None].copy(), exponent])
        units = np.abs(found - expected) / np.spacing(np.abs(rounded))
    finite = np.isfinite(rounded)
    assert units[finite].max() <= 1
    np.testing.assert_array_equal(found[~finite], rounded[~finite])
    np.testing.assert_array_equal(np.signbit(found[finite]), np.signbit(rounded[finite]))
