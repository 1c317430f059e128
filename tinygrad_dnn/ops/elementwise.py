"""Elementwise operations with their gradients: arithmetic, exponentials, comparisons, choice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops.cast import floating, promote
from tinygrad_dnn.tensor import Tensor, TensorLike, apply, as_tensor


def _elementwise(name: str, forward: Callable[..., Any], **vjps: Callable[..., Any]) -> Primitive:
    return Primitive(name, forward, broadcasts=True, **vjps)


# -- arithmetic -----------------------------------------------------------------------------------------------------

ADD = _elementwise("add", lambda xp, x, y: xp.add(x, y), x=lambda g: g, y=lambda g: g)
SUBTRACT = _elementwise("subtract", lambda xp, x, y: xp.subtract(x, y), x=lambda g: g, y=lambda g: -g)
MULTIPLY = _elementwise("multiply", lambda xp, x, y: xp.multiply(x, y), x=lambda g, y: g * y, y=lambda g, x: g * x)
DIVIDE = _elementwise(
    "divide", lambda xp, x, y: xp.divide(x, y), x=lambda g, y: g / y, y=lambda g, out, y: -(g * out / y)
)
NEGATIVE = _elementwise("negative", lambda xp, x: xp.negative(x), x=lambda g: -g)
ABS = _elementwise("abs", lambda xp, x: xp.abs(x), x=lambda g, x: g * sign(x))
SIGN = _elementwise("sign", lambda xp, x: xp.sign(x))
FLOOR = _elementwise("floor", lambda xp, x: xp.floor(x))
FLOOR_DIVIDE = _elementwise("floor_divide", lambda xp, x, y: xp.floor_divide(x, y))
REMAINDER = _elementwise(
    "remainder", lambda xp, x, y: xp.remainder(x, y), x=lambda g: g, y=lambda g, x, y: -(g * floor_divide(x, y))
)


def add(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x + y, elementwise with broadcasting.

    Raises:
        ValueError: The shapes do not broadcast.

    Example:
        >>> td.add([1.0, 2.0], 3.0)
        Tensor([4., 5.], dtype=float32)
    """
    return apply(ADD, promote(x, y))


def subtract(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x - y, elementwise with broadcasting.

    Raises:
        ValueError: The shapes do not broadcast.

    Example:
        >>> td.subtract([1.0, 2.0], 3.0)
        Tensor([-2., -1.], dtype=float32)
    """
    return apply(SUBTRACT, promote(x, y))


def multiply(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x * y, elementwise with broadcasting.

    Raises:
        ValueError: The shapes do not broadcast.

    Example:
        >>> td.multiply([1.0, 2.0], 3.0)
        Tensor([3., 6.], dtype=float32)
    """
    return apply(MULTIPLY, promote(x, y))


def divide(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x / y, elementwise with broadcasting; integers become floats.

    Raises:
        ValueError: The shapes do not broadcast.

    Example:
        >>> td.divide([1.0, 2.0], 4)
        Tensor([0.25, 0.5 ], dtype=float32)
    """
    return apply(DIVIDE, promote(x, y, to_float=True))


def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x // y, rounded towards minus infinity; no gradient flows.

    Example:
        >>> td.floor_divide([7, -7], 2)
        Tensor([ 3, -4], dtype=int64)
    """
    return apply(FLOOR_DIVIDE, promote(x, y))


def remainder(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x modulo y, with the sign of y.

    Example:
        >>> td.remainder([7.0, -7.0], 4.0)
        Tensor([3., 1.], dtype=float32)
    """
    return apply(REMAINDER, promote(x, y))


def negative(x: TensorLike) -> Tensor:
    """Return -x.

    Example:
        >>> td.negative([1.0, -2.0])
        Tensor([-1.,  2.], dtype=float32)
    """
    return apply(NEGATIVE, (as_tensor(x),))


def abs(x: TensorLike) -> Tensor:
    """Return the absolute value; its gradient at 0 is 0.

    Example:
        >>> td.abs([1.0, -2.0])
        Tensor([1., 2.], dtype=float32)
    """
    return apply(ABS, (as_tensor(x),))


def sign(x: TensorLike) -> Tensor:
    """Return -1, 0 or 1 by the sign of x; no gradient flows.

    Example:
        >>> td.sign([3.0, 0.0, -2.0])
        Tensor([ 1.,  0., -1.], dtype=float32)
    """
    return apply(SIGN, (as_tensor(x),))


def floor(x: TensorLike) -> Tensor:
    """Return the greatest integer not above x, as a float; no gradient flows.

    Example:
        >>> td.floor([1.7, -1.2])
        Tensor([ 1., -2.], dtype=float32)
    """
    return apply(FLOOR, (floating(x),))


# -- powers and exponentials -------------------------------------------------------------------------------------------

def _power(xp: Any, x: Any, y: Any) -> Any:
    # A device would answer with 0.
    if type(y) is int and y < 0 and x.dtype.kind in "iu":
        raise ValueError("integers have no negative integer powers")
    return xp.power(x, y)


POWER = _elementwise(
    "power",
    _power,
    x=lambda g, x, y: g * _power_slope(x, y),
    y=lambda g, out, x: g * out * _power_log(x),
)
EXP = _elementwise("exp", lambda xp, x: xp.exp(x), x=lambda g, out: g * out)
EXPM1 = _elementwise("expm1", lambda xp, x: xp.expm1(x), x=lambda g, out: g * (out + 1))
LOG = _elementwise("log", lambda xp, x: xp.log(x), x=lambda g, x: g / x)
LOG1P = _elementwise("log1p", lambda xp, x: xp.log1p(x), x=lambda g, x: g / (x + 1))
SQRT = _elementwise("sqrt", lambda xp, x: xp.sqrt(x), x=lambda g, out: g * 0.5 / out)
SIN = _elementwise("sin", lambda xp, x: xp.sin(x), x=lambda g, x: g * cos(x))
COS = _elementwise("cos", lambda xp, x: xp.cos(x), x=lambda g, x: -(g * sin(x)))
TANH = _elementwise("tanh", lambda xp, x: xp.tanh(x), x=lambda g, out: g * (1 - out * out))
ERF = _elementwise("erf", lambda xp, x: xp.erf(x), x=lambda g, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))))


def _power_slope(x: Any, y: Any) -> Any:
    """Return y x^(y-1), which at x = 0 is 0 for y = 0 and must not become 0 * infinity."""
    if isinstance(y, Tensor):
        zero = logical_and(x == 0, y == 0)
        return where(zero, 0.0, y * power(x, where(zero, 1.0, y - 1)))
    return y * power(x, y - 1) if y != 0 else x * 0.0


def _power_log(x: Any) -> Any:
    """Return ln x, and 0 for x = 0, where x^y ln x tends to 0 for y > 0 and must not become 0 * infinity."""
    if isinstance(x, Tensor):
        return log(where(x > 0, x, 1.0))
    return math.log(x) if x > 0 else 0.0


def power(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x to the power y, elementwise with broadcasting.

    Raises:
        ValueError: The shapes do not broadcast, or an integer is raised to a negative integer power; powers on a device
            are not looked at, and give 0 there.

    Example:
        >>> td.power([1.0, 2.0, 3.0], 2)
        Tensor([1., 4., 9.], dtype=float32)
    """
    base, exponent = promote(x, y)
    if not isinstance(exponent, Tensor) and exponent == 2:
        return multiply(base, base)  # the general power takes ten times as long
    return apply(POWER, (base, exponent))


def square(x: TensorLike) -> Tensor:
    """Return x * x.

    Example:
        >>> td.square([1.0, -2.0])
        Tensor([1., 4.], dtype=float32)
    """
    return multiply(x, x)


def exp(x: TensorLike) -> Tensor:
    """Return e to the power x; infinite above 88.7 in float32, so guard its argument where that may come.

    Example:
        >>> td.exp([0.0, 1.0])
        Tensor([1.      , 2.718282], dtype=float32)
    """
    return apply(EXP, (floating(x),))


def expm1(x: TensorLike) -> Tensor:
    """Return e to the power x, minus 1, exact near 0 too.

    Example:
        >>> td.expm1([0.0, 1.0])
        Tensor([0.      , 1.718282], dtype=float32)
    """
    return apply(EXPM1, (floating(x),))


def log(x: TensorLike) -> Tensor:
    """Return the natural logarithm: minus infinity at 0, NaN below.

    Example:
        >>> td.log([1.0, 2.0])
        Tensor([0.      , 0.693147], dtype=float32)
    """
    return apply(LOG, (floating(x),))


def log1p(x: TensorLike) -> Tensor:
    """Return the natural logarithm of 1 + x, exact near 0 too.

    Example:
        >>> td.log1p([0.0, 1.0])
        Tensor([0.      , 0.693147], dtype=float32)
    """
    return apply(LOG1P, (floating(x),))


def sqrt(x: TensorLike) -> Tensor:
    """Return the square root; its gradient at 0 is infinite.

    Example:
        >>> td.sqrt([4.0, 9.0])
        Tensor([2., 3.], dtype=float32)
    """
    return apply(SQRT, (floating(x),))


def sin(x: TensorLike) -> Tensor:
    """Return the sine of x in radians.

    Example:
        >>> td.sin([0.0, 1.0])
        Tensor([0.      , 0.841471], dtype=float32)
    """
    return apply(SIN, (floating(x),))


def cos(x: TensorLike) -> Tensor:
    """Return the cosine of x in radians.

    Example:
        >>> td.cos([0.0, 1.0])
        Tensor([1.      , 0.540302], dtype=float32)
    """
    return apply(COS, (floating(x),))


def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent.

    Example:
        >>> td.tanh([0.0, 1.0])
        Tensor([0.      , 0.761594], dtype=float32)
    """
    return apply(TANH, (floating(x),))


def erf(x: TensorLike) -> Tensor:
    """Return the error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    Example:
        >>> td.erf([0.0, 1.0])
        Tensor([0.      , 0.842701], dtype=float32)
    """
    return apply(ERF, (floating(x),))


# -- the greater and the smaller ------------------------------------------------------------------------------------

# Where both are equal the gradient goes to the first alone: minimum(x, 0) in ELU then has slope 1 at 0, and
# maximum(0, x) in ReLU slope 0, as Keras has them.
MAXIMUM = _elementwise(
    "maximum",
    lambda xp, x, y: xp.maximum(x, y),
    x=lambda g, x, y: where(as_tensor(x) >= y, g, 0.0),
    y=lambda g, x, y: where(as_tensor(y) > x, g, 0.0),
)
MINIMUM = _elementwise(
    "minimum",
    lambda xp, x, y: xp.minimum(x, y),
    x=lambda g, x, y: where(as_tensor(x) <= y, g, 0.0),
    y=lambda g, x, y: where(as_tensor(y) < x, g, 0.0),
)


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the greater of x and y; NaN where either is. The gradient of equal values goes to x.

    Example:
        >>> td.maximum([1.0, -2.0], 0.0)
        Tensor([1., 0.], dtype=float32)
    """
    return apply(MAXIMUM, promote(x, y))


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the smaller of x and y; NaN where either is. The gradient of equal values goes to x.

    Example:
        >>> td.minimum([1.0, -2.0], 0.0)
        Tensor([ 0., -2.], dtype=float32)
    """
    return apply(MINIMUM, promote(x, y))


def clip(x: TensorLike, minimum: TensorLike | None = None, maximum: TensorLike | None = None) -> Tensor:
    """Return x limited to the interval from ``minimum`` to ``maximum``; None leaves that side open.

    Example:
        >>> td.clip([-2.0, 0.5, 2.0], -1.0, 1.0)
        Tensor([-1. ,  0.5,  1. ], dtype=float32)
    """
    x = as_tensor(x)
    if minimum is not None:
        x = apply(MAXIMUM, promote(x, minimum))
    return x if maximum is None else apply(MINIMUM, promote(x, maximum))


# -- comparisons and logic: booleans, no gradient ---------------------------------------------------------------------

EQUAL = _elementwise("equal", lambda xp, x, y: xp.equal(x, y))
NOT_EQUAL = _elementwise("not_equal", lambda xp, x, y: xp.not_equal(x, y))
LESS = _elementwise("less", lambda xp, x, y: xp.less(x, y))
LESS_EQUAL = _elementwise("less_equal", lambda xp, x, y: xp.less_equal(x, y))
GREATER = _elementwise("greater", lambda xp, x, y: xp.greater(x, y))
GREATER_EQUAL = _elementwise("greater_equal", lambda xp, x, y: xp.greater_equal(x, y))
LOGICAL_AND = _elementwise("logical_and", lambda xp, x, y: xp.logical_and(x, y))
LOGICAL_OR = _elementwise("logical_or", lambda xp, x, y: xp.logical_or(x, y))
LOGICAL_NOT = _elementwise("logical_not", lambda xp, x: xp.logical_not(x))
ISNAN = _elementwise("isnan", lambda xp, x: xp.isnan(x))
ISFINITE = _elementwise("isfinite", lambda xp, x: xp.isfinite(x))


def equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether x = y.

    Example:
        >>> td.equal([1, 2], [1, 3])
        Tensor([ True, False], dtype=bool)
    """
    return apply(EQUAL, promote(x, y))


def not_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether x and y differ.

    Example:
        >>> td.not_equal([1, 2], [1, 3])
        Tensor([False,  True], dtype=bool)
    """
    return apply(NOT_EQUAL, promote(x, y))


def less(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether x < y.

    Example:
        >>> td.less([1, 2], 2)
        Tensor([ True, False], dtype=bool)
    """
    return apply(LESS, promote(x, y))


def less_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether x <= y.

    Example:
        >>> td.less_equal([1, 2], 1)
        Tensor([ True, False], dtype=bool)
    """
    return apply(LESS_EQUAL, promote(x, y))


def greater(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether x > y.

    Example:
        >>> td.greater([1, 2], 1)
        Tensor([False,  True], dtype=bool)
    """
    return apply(GREATER, promote(x, y))


def greater_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether x >= y.

    Example:
        >>> td.greater_equal([1, 2], 2)
        Tensor([False,  True], dtype=bool)
    """
    return apply(GREATER_EQUAL, promote(x, y))


def logical_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether both are true (not zero).

    Example:
        >>> td.logical_and([True, True], [True, False])
        Tensor([ True, False], dtype=bool)
    """
    return apply(LOGICAL_AND, promote(x, y))


def logical_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Tell elementwise whether one of them is true (not zero).

    Example:
        >>> td.logical_or([True, False], [False, False])
        Tensor([ True, False], dtype=bool)
    """
    return apply(LOGICAL_OR, promote(x, y))


def logical_not(x: TensorLike) -> Tensor:
    """Tell elementwise whether x is false (zero).

    Example:
        >>> td.logical_not([True, False])
        Tensor([False,  True], dtype=bool)
    """
    return apply(LOGICAL_NOT, (as_tensor(x),))


def isnan(x: TensorLike) -> Tensor:
    """Tell elementwise whether x is not a number.

    Example:
        >>> td.isnan([0.0, float("nan")])
        Tensor([False,  True], dtype=bool)
    """
    return apply(ISNAN, (as_tensor(x),))


def isfinite(x: TensorLike) -> Tensor:
    """Tell elementwise whether x is neither infinite nor NaN.

    Example:
        >>> td.isfinite([0.0, float("inf")])
        Tensor([ True, False], dtype=bool)
    """
    return apply(ISFINITE, (as_tensor(x),))


# -- choice -----------------------------------------------------------------------------------------------------------

WHERE = _elementwise(
    "where",
    lambda xp, condition, x, y: xp.where(condition, x, y),
    x=lambda g, condition: where(condition, g, 0.0),
    y=lambda g, condition: where(condition, 0.0, g),
)


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """Take x where ``condition`` is true, else y, elementwise with broadcasting.

    The branch not taken is computed all the same, and an infinite slope there makes the gradient NaN: guard its
    argument, not its result.

    Example:
        >>> td.where([True, False], [1.0, 2.0], 0.0)
        Tensor([1., 0.], dtype=float32)
    """
    condition = as_tensor(condition)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = as_tensor(x, like=condition)
    x, y = promote(x, y)
    if condition.data.dtype.kind != "b":
        condition = condition != 0
    return apply(WHERE, (condition, x, y))
