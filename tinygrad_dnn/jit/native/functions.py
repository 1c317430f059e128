"""Exponential, logarithm and their kin in float32, as polynomials without branches that loops can do many at a time.

The coefficients are minimax fits on the reduced intervals named beside them. Errors are at most 2 units in the last
place, 4 for tanh and erf.
"""

from __future__ import annotations

import functools
import math
import struct
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

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2, for |r| <= pi / 4
_SIN = (-0.16666655242443085, 0.00833217240869999, -0.0001951647864188999)
_COS = (0.0416666679084301, -0.0013888883404433727, 2.4799510356388055e-05, -2.720935867728258e-07)

# ln 2 in two parts; n times the first is exact, since it ends in zeros.
_LN2_HIGH = 0.693359375
_LN2_LOW = math.log(2) - _LN2_HIGH

_F32 = np.dtype(np.float32)


def c(value: float) -> str:
    """Return a float32 constant."""
    return constant(value, _F32)


class Floating:
    """Appends instructions on floats, or doubles, to a body."""

    def __init__(self, body: Body, kind: str = "float") -> None:
        self.body = body
        self.kind = kind
        self.dtype = np.dtype(np.float32 if kind == "float" else np.float64)

    def c(self, value: float) -> str:
        """Return a constant."""
        return constant(value, self.dtype)

    def add(self, x: str, y: str) -> str:
        return self.body.binary("fadd", self.kind, x, y)

    def sub(self, x: str, y: str) -> str:
        return self.body.binary("fsub", self.kind, x, y)

    def mul(self, x: str, y: str) -> str:
        return self.body.binary("fmul", self.kind, x, y)

    def div(self, x: str, y: str) -> str:
        return self.body.binary("fdiv", self.kind, x, y)

    def fma(self, x: str, y: str, z: str) -> str:
        return self.body.intrinsic("fmuladd", self.kind, x, y, z)

    def abs(self, x: str) -> str:
        return self.body.intrinsic("fabs", self.kind, x)

    def less(self, x: str, y: str) -> str:
        return self.body.compare("olt", self.kind, x, y)

    def equal(self, x: str, y: str) -> str:
        return self.body.compare("oeq", self.kind, x, y)

    def select(self, condition: str, x: str, y: str) -> str:
        return self.body.select(condition, self.kind, x, y)

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        total = self.c(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = self.fma(total, x, self.c(coefficient))
        return total

    def clipped(self, x: str, low: float, high: float) -> str:
        """Limit x to an interval; NaN stays."""
        x = self.select(self.less(x, self.c(low)), self.c(low), x)
        return self.select(self.less(self.c(high), x), self.c(high), x)


class _Float(Floating):
    """Appends instructions on floats alone."""

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


# The exponents that a float32 of 2^24 and more can have beyond that of a whole number, and none.
_EXPONENTS = 105


@functools.cache
def _quarters() -> str:
    """Return how many quarter turns 2^k are, without whole turns, for each k, as a constant in LLVM IR.

    Each number is in three parts. The first two have 28 bits, so that 24 bits times either is exact.
    """
    bits = 320
    # pi by Machin's formula, in units of 2^-bits.
    pi = 4 * (4 * _arctan(5, bits) - _arctan(239, bits))
    parts: list[list[float]] = [[], [], []]
    for k in range(_EXPONENTS):
        rest = ((2 << (2 * bits)) // pi << k) % (4 << bits)
        if rest >= 2 << bits:
            rest -= 4 << bits
        for part, unit in zip(parts, (bits - 26, bits - 54, 0), strict=True):
            taken = (rest + (1 << unit >> 1)) >> unit << unit
            rest -= taken
            part.append(math.ldexp(float(taken), -bits))
    numbers = (f"double 0x{struct.unpack('>Q', struct.pack('>d', x))[0]:016X}" for part in parts for x in part)
    return f"@quarters = internal constant [{3 * _EXPONENTS} x double] [{', '.join(numbers)}]"


def _arctan(x: int, bits: int) -> int:
    """Return the arc tangent of 1 / x in units of 2^-bits."""
    total, term, n = 0, (1 << bits) // x, 1
    while term:
        total += term // n if n % 4 == 1 else -(term // n)
        term //= x * x
        n += 2
    return total


def _turned(f: _Float, x: str) -> tuple[str, str]:
    """Return n and r of |x| = n pi / 2 + r, with r from -pi / 4 to pi / 4, and n as an i32 without whole turns.

    What is lost where n is large would be all of r. So |x| is taken as 24 bits times a power of two, and how many
    quarter turns that power is, is looked up.
    """
    body = f.body
    body.declared.add(_quarters())
    bits = f.bits(f.abs(x))
    k = body.binary("sub", "i32", body.binary("lshr", "i32", bits, "23"), "150")
    k = body.select(body.compare("sgt", "i32", k, "0"), "i32", k, "0")
    k = body.select(body.compare("slt", "i32", k, str(_EXPONENTS)), "i32", k, "0")
    m = f.from_bits(body.binary("sub", "i32", bits, body.binary("shl", "i32", k, "23")))
    wide = body.new(f"fpext float {m} to double")
    place = body.new(f"zext i32 {k} to i64")
    parts = []
    for number in range(3):
        at = body.binary("add", "i64", place, str(number * _EXPONENTS))
        quarters = body.new(f"load double, ptr {body.new(f'getelementptr double, ptr @quarters, i64 {at}')}")
        parts.append(body.binary("fmul", "double", wide, quarters))
    n = body.intrinsic("rint", "double", body.binary("fadd", "double", parts[0], parts[1]))
    rest = body.binary("fsub", "double", parts[0], n)
    for part in parts[1:]:
        rest = body.binary("fadd", "double", rest, part)
    r = body.binary("fmul", "double", rest, constant(math.pi / 2, np.dtype(np.float64)))
    whole = body.new(f"freeze i32 {body.new(f'fptosi double {n} to i32')}")
    return whole, body.new(f"fptrunc double {r} to float")


def _wave(f: _Float, n: str, r: str) -> str:
    """Return the sine of n quarter turns and r."""
    body = f.body
    square = f.mul(r, r)
    sine = f.fma(f.mul(square, r), f.polynomial(square, _SIN), r)
    cosine = f.fma(f.mul(square, square), f.polynomial(square, _COS), f.fma(square, c(-0.5), c(1.0)))
    odd = body.compare("ne", "i32", body.binary("and", "i32", n, "1"), "0")
    sign = body.binary("shl", "i32", body.binary("and", "i32", n, "2"), "30")
    return f.from_bits(body.binary("xor", "i32", f.bits(f.select(odd, cosine, sine)), sign))


def sin(body: Body, x: str) -> str:
    """Append the sine."""
    f = _Float(body)
    n, r = _turned(f, x)
    sign = body.binary("and", "i32", f.bits(x), str(-(2**31)))
    y = f.from_bits(body.binary("xor", "i32", f.bits(_wave(f, n, r)), sign))
    return f.select(f.less(f.abs(x), c(math.inf)), y, c(math.nan))


def cos(body: Body, x: str) -> str:
    """Append the cosine."""
    f = _Float(body)
    n, r = _turned(f, x)
    y = _wave(f, body.binary("add", "i32", n, "1"), r)
    return f.select(f.less(f.abs(x), c(math.inf)), y, c(math.nan))


POLYNOMIALS: dict[str, Callable[[Body, str], str]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "erf": erf,
    "sin": sin,
    "cos": cos,
}
