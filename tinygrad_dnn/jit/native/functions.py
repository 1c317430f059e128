"""Exponential, logarithm and their kin in float32, as polynomials without branches that loops can do many at a time.

The coefficients are minimax fits on the reduced intervals named beside them. Errors are at most 2 units in the last
place, 4 for tanh and erf. In float64, and for sine and cosine, the C library is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_dnn.jit.native.text import Body, constant

# (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2
_EXP = (0.5, 0.1666666716337204, 0.041666269302368164, 0.008333264850080013, 0.0013946190010756254,
        0.000199179703486152)  # fmt: skip
# (log(1 + f) - f + f^2 / 2) / f^3 for sqrt(1/2) - 1 <= f <= sqrt(2) - 1
_LOG = (0.3333331048488617, -0.24999986588954926, 0.20002223551273346, -0.1666925549507141, 0.14218686521053314,
        -0.12384241074323654, 0.11872805655002594, -0.11790605634450912, 0.06916625052690506)  # fmt: skip
# (tanh(x) - x) / x^3 in x^2, for |x| <= 0.625
_TANH = (-0.3333333134651184, 0.13333211839199066, -0.053947385400533676, 0.02170373499393463,
         -0.008184177801012993, 0.002148633822798729)  # fmt: skip
# erf(x) / x - 1 in x^2, for |x| <= 0.925
_ERF = (0.12837916612625122, -0.37612634897232056, 0.11283698678016663, -0.02685953862965107, 0.005201304797083139,
        -0.0008145078318193555, 8.377591439057142e-05)  # fmt: skip
# log(1 - erf(x)) for 0.92 <= x <= 4
_LOG_ERFC = (9.303987462772056e-05, -1.1290212869644165, -0.6346476078033447, -0.10632195323705673,
             0.023264821618795395, -0.0030259874183684587, -2.605260488053318e-05, 9.514583507552743e-05,
             -1.6698262697900645e-05, 1.0394060154794715e-06)  # fmt: skip

# ln 2 in two parts; n times the first is exact, since it ends in zeros.
_LN2_HIGH = 0.693359375
_LN2_LOW = math.log(2) - _LN2_HIGH

_F32 = np.dtype(np.float32)


def c(value: float) -> str:
    """Return a float32 constant."""
    return constant(value, _F32)


class _Float:
    """Appends float32 instructions to a body."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def add(self, x: str, y: str) -> str:
        return self.body.binary("fadd", "float", x, y)

    def sub(self, x: str, y: str) -> str:
        return self.body.binary("fsub", "float", x, y)

    def mul(self, x: str, y: str) -> str:
        return self.body.binary("fmul", "float", x, y)

    def div(self, x: str, y: str) -> str:
        return self.body.binary("fdiv", "float", x, y)

    def fma(self, x: str, y: str, z: str) -> str:
        return self.body.intrinsic("fmuladd", "float", x, y, z)

    def abs(self, x: str) -> str:
        return self.body.intrinsic("fabs", "float", x)

    def less(self, x: str, y: str) -> str:
        return self.body.compare("olt", "float", x, y)

    def select(self, condition: str, x: str, y: str) -> str:
        return self.body.select(condition, "float", x, y)

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        total = c(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = self.fma(total, x, c(coefficient))
        return total

    def clipped(self, x: str, low: float, high: float) -> str:
        """Limit x to an interval; NaN stays."""
        x = self.select(self.less(x, c(low)), c(low), x)
        return self.select(self.less(c(high), x), c(high), x)

    def bits(self, x: str) -> str:
        return self.body.new(f"bitcast float {x} to i32")

    def from_bits(self, x: str) -> str:
        return self.body.new(f"bitcast i32 {x} to float")

    def integer(self, x: str) -> str:
        # What NaN becomes is not defined, but frozen it is at least some number.
        return self.body.new(f"freeze i32 {self.body.new(f'fptosi float {x} to i32')}")

    def power_of_two(self, n: str) -> str:
        """Return 2^n for an i32 from -126 to 127."""
        biased = self.body.binary("add", "i32", n, "127")
        return self.from_bits(self.body.binary("shl", "i32", biased, "23"))

    def reduced(self, x: str) -> tuple[str, str]:
        """Return n and r of x = n ln 2 + r, with n whole and |r| at most about ln(2) / 2."""
        n = self.body.intrinsic("rint", "float", self.mul(x, c(1 / math.log(2))))
        r = self.fma(n, c(-_LN2_HIGH), x)
        return n, self.fma(n, c(-_LN2_LOW), r)

    def small_expm1(self, r: str) -> str:
        """Return exp(r) - 1 for |r| <= ln(2) / 2."""
        return self.fma(self.mul(r, r), self.polynomial(r, _EXP), r)


def exp(body: Body, x: str) -> str:
    """Append the exponential."""
    f = _Float(body)
    # Beyond these bounds the result is 0 or infinite already; 2^n is taken in two factors: one alone has too few.
    n, r = f.reduced(f.clipped(x, -105.0, 90.0))
    whole = f.integer(n)
    half = body.binary("ashr", "i32", whole, "1")
    rest = body.binary("sub", "i32", whole, half)
    y = f.add(f.small_expm1(r), c(1.0))
    return f.mul(f.mul(y, f.power_of_two(half)), f.power_of_two(rest))


def expm1(body: Body, x: str) -> str:
    """Append exp(x) - 1, exact near 0 too."""
    f = _Float(body)
    n, r = f.reduced(f.clipped(x, -20.0, 89.0))
    # 2 (2^(n-1) (exp(r) - 1) + (2^(n-1) - 1/2)): halved, because 2^128 would be infinite.
    scale = f.power_of_two(body.binary("sub", "i32", f.integer(n), "1"))
    y = f.fma(scale, f.small_expm1(r), f.sub(scale, c(0.5)))
    y = f.add(y, y)
    return f.select(f.less(f.abs(x), c(2.0**-25)), x, y)


def log(body: Body, x: str) -> str:
    """Append the natural logarithm."""
    f = _Float(body)
    tiny = f.less(x, c(2.0**-126))
    scaled = f.select(tiny, f.mul(x, c(2.0**23)), x)
    shift = f.select(tiny, c(-23.0), c(0.0))
    # 2^k m with m from sqrt(1/2) to sqrt(2): k is the exponent of x / sqrt(1/2).
    bits = f.bits(scaled)
    root = int(np.float32(math.sqrt(0.5)).view(np.int32))
    k = body.binary("ashr", "i32", body.binary("sub", "i32", bits, str(root)), "23")
    m = f.from_bits(body.binary("sub", "i32", bits, body.binary("shl", "i32", k, "23")))
    exponent = f.add(body.new(f"sitofp i32 {k} to float"), shift)
    y = _log1p_reduced(f, f.sub(m, c(1.0)), exponent, None)
    y = f.select(body.compare("oeq", "float", x, c(math.inf)), x, y)
    y = f.select(body.compare("oeq", "float", x, c(0.0)), c(-math.inf), y)
    return f.select(body.compare("ult", "float", x, c(0.0)), c(math.nan), y)


def _log1p_reduced(f: _Float, m: str, exponent: str, correction: str | None) -> str:
    """Return exponent ln 2 + log(1 + m) + correction, for m from sqrt(1/2) - 1 to sqrt(2) - 1."""
    square = f.mul(m, m)
    cubic = f.mul(f.mul(square, m), f.polynomial(m, _LOG))
    low = f.fma(exponent, c(_LN2_LOW), cubic)
    if correction is not None:
        low = f.add(low, correction)
    low = f.fma(square, c(-0.5), low)
    return f.fma(exponent, c(_LN2_HIGH), f.add(m, low))


def log1p(body: Body, x: str) -> str:
    """Append log(1 + x), exact near 0 too."""
    f = _Float(body)
    one_more = f.add(x, c(1.0))
    bits = f.bits(one_more)
    root = int(np.float32(math.sqrt(0.5)).view(np.int32))
    k = body.binary("ashr", "i32", body.binary("sub", "i32", bits, str(root)), "23")
    m = f.from_bits(body.binary("sub", "i32", bits, body.binary("shl", "i32", k, "23")))
    exponent = body.new(f"sitofp i32 {k} to float")
    # What 1 + x lost in rounding, over 1 + x; of the two ways to find it, that whose difference is exact.
    large = f.less(c(1.0), x)
    lost = f.select(large, f.sub(c(1.0), f.sub(one_more, x)), f.sub(x, f.sub(one_more, c(1.0))))
    y = _log1p_reduced(f, f.sub(m, c(1.0)), exponent, f.div(lost, one_more))
    y = f.select(f.less(f.abs(x), c(2.0**-24)), x, y)
    y = f.select(body.compare("oeq", "float", x, c(math.inf)), x, y)
    y = f.select(body.compare("oeq", "float", x, c(-1.0)), c(-math.inf), y)
    return f.select(body.compare("ult", "float", x, c(-1.0)), c(math.nan), y)


def tanh(body: Body, x: str) -> str:
    """Append the hyperbolic tangent: an odd polynomial near 0, else 1 - 2 / (exp(2 |x|) + 1)."""
    f = _Float(body)
    size = f.abs(x)
    square = f.mul(x, x)
    near = f.fma(f.mul(square, x), f.polynomial(square, _TANH), x)
    limited = f.clipped(size, 0.0, 10.0)
    grown = exp(body, f.add(limited, limited))
    far = f.sub(c(1.0), f.div(c(2.0), f.add(grown, c(1.0))))
    return body.intrinsic("copysign", "float", f.select(f.less(size, c(0.625)), near, far), x)


def erf(body: Body, x: str) -> str:
    """Append the error function: an odd polynomial near 0, else 1 - exp(a polynomial)."""
    f = _Float(body)
    size = f.abs(x)
    square = f.mul(x, x)
    near = f.fma(f.polynomial(square, _ERF), x, x)
    tail = exp(body, f.polynomial(f.clipped(size, 0.0, 4.0), _LOG_ERFC))
    far = body.intrinsic("copysign", "float", f.sub(c(1.0), tail), x)
    return f.select(f.less(size, c(0.925)), near, far)


POLYNOMIALS: dict[str, Callable[[Body, str], str]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "erf": erf,
}
