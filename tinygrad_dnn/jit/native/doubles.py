"""Exponential, logarithm and their kin in float64, and powers in float32 by way of them, without branches either.

On the reduced intervals these are Taylor series, as long as float64 needs them. Errors are at most 2 units in the last
place, 4 for tanh. For the error function, sine, cosine and powers in float64 the C library is called.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from tinygrad_dnn.jit.native.functions import Floating
from tinygrad_dnn.jit.native.text import Body

# (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2
_EXP = tuple(1 / math.factorial(k) for k in range(2, 14))
# (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2 for |s| <= 3 - 2 sqrt(2)
_LOG = tuple(2 / (2 * k + 3) for k in range(11))

# ln 2 in two parts; n times the first is exact, since it has 33 bits.
_LN2_HIGH = 0.6931471804855391
_LN2_LOW = 7.440617110012397e-11

# The upper half of the bits of sqrt(1/2).
_ROOT = struct.unpack(">i", struct.pack(">d", math.sqrt(0.5))[:4])[0]


class _Double(Floating):
    """Appends instructions on doubles."""

    def __init__(self, body: Body) -> None:
        super().__init__(body, "double")

    def whole(self, x: str) -> str:
        """Return a whole number as an i32."""
        # What NaN becomes is not defined, but frozen it is at least some number.
        return self.body.new(f"freeze i32 {self.body.new(f'fptosi double {x} to i32')}")

    def power_of_two(self, n: str) -> str:
        """Return 2^n for an i32 from -1022 to 1023."""
        biased = self.body.new(f"zext i32 {self.body.binary('add', 'i32', n, '1023')} to i64")
        return self.body.new(f"bitcast i64 {self.body.binary('shl', 'i64', biased, '52')} to double")

    def reduced(self, x: str) -> tuple[str, str]:
        """Return n and r of x = n ln 2 + r, with n whole and |r| at most about ln(2) / 2."""
        n = self.body.intrinsic("rint", "double", self.mul(x, self.c(1 / math.log(2))))
        return n, self.fma(n, self.c(-_LN2_LOW), self.fma(n, self.c(-_LN2_HIGH), x))

    def small_expm1(self, r: str) -> str:
        """Return exp(r) - 1 for |r| <= ln(2) / 2."""
        return self.fma(self.mul(r, r), self.polynomial(r, _EXP), r)

    def split(self, x: str) -> tuple[str, str]:
        """Return k and m - 1 of x = 2^k m, for a normal x, with m from sqrt(1/2) to sqrt(2)."""
        body = self.body
        bits = body.new(f"bitcast double {x} to i64")
        high = body.new(f"trunc i64 {body.binary('lshr', 'i64', bits, '32')} to i32")
        k = body.binary("ashr", "i32", body.binary("sub", "i32", high, str(_ROOT)), "20")
        moved = body.binary("shl", "i64", body.new(f"sext i32 {k} to i64"), "52")
        m = body.new(f"bitcast i64 {body.binary('sub', 'i64', bits, moved)} to double")
        return body.new(f"sitofp i32 {k} to double"), self.sub(m, self.c(1.0))

    def log1p_reduced(self, f: str, k: str, correction: str | None) -> str:
        """Return k ln 2 + log(1 + f) + correction, for f from sqrt(1/2) - 1 to sqrt(2) - 1.

        With s = f / (2 + f) and h = f^2 / 2, log(1 + f) = f - h + s (h + R), where s^3 times a series is s R.
        """
        s = self.div(f, self.add(f, self.c(2.0)))
        square = self.mul(s, s)
        rest = self.mul(square, self.polynomial(square, _LOG))
        half = self.mul(self.mul(f, self.c(0.5)), f)
        low = self.mul(k, self.c(_LN2_LOW))
        if correction is not None:
            low = self.add(low, correction)
        low = self.fma(s, self.add(half, rest), low)
        return self.fma(k, self.c(_LN2_HIGH), self.sub(f, self.sub(half, low)))


def exp(body: Body, x: str) -> str:
    """Append the exponential."""
    f = _Double(body)
    # Beyond these bounds the result is 0 or infinite already; 2^n is taken in two factors: one alone has too few.
    n, r = f.reduced(f.clipped(x, -750.0, 712.0))
    whole = f.whole(n)
    half = body.binary("ashr", "i32", whole, "1")
    rest = body.binary("sub", "i32", whole, half)
    y = f.add(f.small_expm1(r), f.c(1.0))
    return f.mul(f.mul(y, f.power_of_two(half)), f.power_of_two(rest))


def expm1(body: Body, x: str) -> str:
    """Append exp(x) - 1, exact near 0 too."""
    f = _Double(body)
    n, r = f.reduced(f.clipped(x, -40.0, 709.9))
    # 2 (2^(n-1) (exp(r) - 1) + (2^(n-1) - 1/2)): halved, because 2^1024 would be infinite.
    scale = f.power_of_two(body.binary("sub", "i32", f.whole(n), "1"))
    y = f.fma(scale, f.small_expm1(r), f.sub(scale, f.c(0.5)))
    return f.select(f.less(f.abs(x), f.c(2.0**-54)), x, f.add(y, y))


def log(body: Body, x: str) -> str:
    """Append the natural logarithm."""
    f = _Double(body)
    tiny = f.less(x, f.c(2.0**-1022))
    scaled = f.select(tiny, f.mul(x, f.c(2.0**54)), x)
    k, m = f.split(scaled)
    y = f.log1p_reduced(m, f.add(k, f.select(tiny, f.c(-54.0), f.c(0.0))), None)
    y = f.select(f.equal(x, f.c(math.inf)), x, y)
    y = f.select(f.equal(x, f.c(0.0)), f.c(-math.inf), y)
    return f.select(body.compare("ult", "double", x, f.c(0.0)), f.c(math.nan), y)


def log1p(body: Body, x: str) -> str:
    """Append log(1 + x), exact near 0 too."""
    f = _Double(body)
    one_more = f.add(x, f.c(1.0))
    k, m = f.split(one_more)
    # What 1 + x lost in rounding, over 1 + x; of the two ways to find it, that whose difference is exact.
    large = f.less(f.c(1.0), x)
    lost = f.select(large, f.sub(f.c(1.0), f.sub(one_more, x)), f.sub(x, f.sub(one_more, f.c(1.0))))
    y = f.log1p_reduced(m, k, f.div(lost, one_more))
    y = f.select(f.less(f.abs(x), f.c(2.0**-53)), x, y)
    y = f.select(f.equal(x, f.c(math.inf)), x, y)
    y = f.select(f.equal(x, f.c(-1.0)), f.c(-math.inf), y)
    return f.select(body.compare("ult", "double", x, f.c(-1.0)), f.c(math.nan), y)


def tanh(body: Body, x: str) -> str:
    """Append the hyperbolic tangent: with t = exp(2 |x|) - 1, t / (t + 2), or 1 - 2 / (t + 2) where t is large."""
    f = _Double(body)
    size = f.abs(x)
    limited = f.clipped(size, 0.0, 22.0)
    grown = expm1(body, f.add(limited, limited))
    below = f.add(grown, f.c(2.0))
    y = f.select(f.less(size, f.c(0.5)), f.div(grown, below), f.sub(f.c(1.0), f.div(f.c(2.0), below)))
    return body.intrinsic("copysign", "double", y, x)


def power(body: Body, x: str, y: str) -> str:
    """Append x to the power of y, in float32, which float64 has digits enough for."""
    f = _Double(body)
    base, exponent = (body.new(f"fpext float {z} to double") for z in (x, y))
    size = f.abs(base)
    grown = exp(body, f.mul(exponent, log(body, size)))
    grown = f.select(f.equal(size, f.c(1.0)), f.c(1.0), grown)  # 1 to an infinite power
    whole = f.equal(body.intrinsic("rint", "double", exponent), exponent)
    half = f.mul(exponent, f.c(0.5))
    odd = body.binary("and", "i1", whole, body.compare("une", "double", body.intrinsic("rint", "double", half), half))
    signed = body.intrinsic("copysign", "double", grown, base)
    grown = f.select(odd, signed, grown)
    # A root of a negative number, if it is finite.
    below = body.binary("and", "i1", f.less(base, f.c(0.0)), f.less(size, f.c(math.inf)))
    undefined = body.binary("and", "i1", below, body.binary("xor", "i1", whole, "true"))
    grown = f.select(undefined, f.c(math.nan), grown)
    grown = f.select(body.compare("uno", "double", base, exponent), f.c(math.nan), grown)
    # Whatever to the power of 0 is 1, and 1 to the power of whatever.
    one = body.binary("or", "i1", f.equal(exponent, f.c(0.0)), f.equal(base, f.c(1.0)))
    return body.new(f"fptrunc double {f.select(one, f.c(1.0), grown)} to float")


POLYNOMIALS: dict[str, Callable[[Body, str], str]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
}
