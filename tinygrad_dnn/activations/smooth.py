"""Activations with exponentials, roots and error functions: ELU and its kin, sigmoids, GELU."""

from __future__ import annotations

import math

from tinygrad_dnn import ops
from tinygrad_dnn.ops import clip, exp, expm1, floating, log1p, maximum, minimum, sqrt
from tinygrad_dnn.tensor import Tensor, TensorLike

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
# Just below where exp overflows, by the bytes of the element type.
_EXP_LIMIT = {2: 11.0, 4: 88.0, 8: 709.0}
# Beyond this the approximate gelu is x or 0 in double precision, while the cube in it still is finite in half.
_CUBE_LIMIT = 30.0


# -- exponential below zero ---------------------------------------------------------------------------------------


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return the exponential linear unit: x where it is positive, else ``alpha * (exp(x) - 1)``.

    Args:
        x: A Tensor of any shape.
        alpha: Minus the limit towards minus infinity; also the slope at 0.

    Example:
        >>> td.activations.elu([-1.0, 0.0, 2.0])
        Tensor([-0.632121,  0.      ,  2.      ], dtype=float32)

    Reference:
        Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units
        (ELUs)", 2016.
    """
    x = floating(x)
    # The minimum keeps exp from overflowing where its result is not used. At 0 it passes the gradient and the
    # maximum does not, so the slope there is alpha and not 1 + alpha.
    below = expm1(minimum(x, 0.0))
    return maximum(0.0, x) + (below if alpha == 1.0 else alpha * below)


def selu(x: TensorLike) -> Tensor:
    """Return the scaled exponential linear unit, ``1.0507 * elu(x, 1.6733)``, which keeps mean 0 and variance 1.

    It does so where the weights are initialised by ``lecun_normal`` and the inputs are standardised.

    Example:
        >>> td.activations.selu([-1.0, 0.0, 2.0])
        Tensor([-1.111331,  0.      ,  2.101402], dtype=float32)

    Reference:
        Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", 2017.
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return the continuously differentiable ELU: x where it is positive, else ``alpha * (exp(x / alpha) - 1)``.

    Args:
        x: A Tensor of any shape.
        alpha: Minus the limit towards minus infinity, positive; the slope at 0 is 1 for all of them.

    Example:
        >>> td.activations.celu([-1.0, 0.0, 2.0], alpha=2.0)
        Tensor([-0.786939,  0.      ,  2.      ], dtype=float32)

    Reference:
        Barron, "Continuously differentiable exponential linear units", 2017.
    """
    x = floating(x)
    return maximum(0.0, x) + alpha * expm1(minimum(x, 0.0) / alpha)


def exponential(x: TensorLike) -> Tensor:
    """Return e to the power x; infinite above 88.7 in float32.

    Example:
        >>> td.activations.exponential([0.0, 1.0])
        Tensor([1.      , 2.718282], dtype=float32)
    """
    return exp(x)


# -- sigmoids and what they gate ----------------------------------------------------------------------------------


def sigmoid(x: TensorLike) -> Tensor:
    """Return ``1 / (1 + exp(-x))``, between 0 and 1.

    The result remembers x as its logits (``Tensor._logits``): ``losses.binary_crossentropy`` computes from them,
    since the logarithm of a probability that rounds to 0 or 1 has lost what it was.

    Example:
        >>> td.activations.sigmoid([-2.0, 0.0, 2.0])
        Tensor([0.119203, 0.5     , 0.880797], dtype=float32)
    """
    x = floating(x)
    # At 0 all is smooth, and in both tails value and slope keep their relative precision: exp(-|x|) in two
    # branches would have no slope at 0, and tanh(x / 2) no digits left below -17.
    out = 1.0 / (exp(minimum(-x, _EXP_LIMIT[x.dtype.itemsize])) + 1.0)
    out._logits = ("sigmoid", x)
    return out


def log_sigmoid(x: TensorLike) -> Tensor:
    """Return the logarithm of ``sigmoid``, at most 0.

    Example:
        >>> td.activations.log_sigmoid([-100.0, 0.0, 2.0])
        Tensor([-100.      ,   -0.693147,   -0.126928], dtype=float32)
    """
    x = floating(x)
    return minimum(x, 0.0) - log1p(exp(minimum(x, -x)))  # see softplus


def silu(x: TensorLike) -> Tensor:
    """Return ``x * sigmoid(x)``, also known as swish.

    Example:
        >>> td.activations.silu([-2.0, 0.0, 2.0])
        Tensor([-0.238406,  0.      ,  1.761594], dtype=float32)

    Reference:
        Ramachandran, Zoph and Le, "Searching for activation functions", 2017.
    """
    x = floating(x)
    return x * sigmoid(x)


swish = silu


def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """Return x times the normal distribution's probability of a value below x.

    Args:
        x: A Tensor of any shape.
        approximate: Compute that probability as ``(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`` and not by the
            error function.

    Example:
        >>> td.activations.gelu([-2.0, 0.0, 2.0])
        Tensor([-0.0455,  0.    ,  1.9545], dtype=float32)
        >>> td.activations.gelu([-2.0, 0.0, 2.0], approximate=True)
        Tensor([-0.045402,  0.      ,  1.954598], dtype=float32)

    Reference:
        Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.
    """
    x = floating(x)
    if not approximate:
        return 0.5 * x * (ops.erf(x * math.sqrt(0.5)) + 1.0)
    near = clip(x, -_CUBE_LIMIT, _CUBE_LIMIT)
    # (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its digits far below 0.
    return x * sigmoid(math.sqrt(8 / math.pi) * (near + 0.044715 * (near * near * near)))


def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent, between -1 and 1.

    Example:
        >>> td.activations.tanh([-2.0, 0.0, 2.0])
        Tensor([-0.964028,  0.      ,  0.964028], dtype=float32)
    """
    return ops.tanh(x)


def tanh_shrink(x: TensorLike) -> Tensor:
    """Return ``x - tanh(x)``.

    Example:
        >>> td.activations.tanh_shrink([-2.0, 0.0, 2.0])
        Tensor([-1.035972,  0.      ,  1.035972], dtype=float32)
    """
    x = floating(x)
    return x - ops.tanh(x)


def softsign(x: TensorLike) -> Tensor:
    """Return ``x / (1 + |x|)``, between -1 and 1.

    Example:
        >>> td.activations.softsign([-3.0, 0.0, 1.0])
        Tensor([-0.75,  0.  ,  0.5 ], dtype=float32)
    """
    x = floating(x)
    return x / (ops.abs(x) + 1.0)


# -- smooth rectifiers --------------------------------------------------------------------------------------------


def softplus(x: TensorLike) -> Tensor:
    """Return ``log(1 + exp(x))``, a smooth ``relu``.

    Example:
        >>> td.activations.softplus([-2.0, 0.0, 100.0])
        Tensor([  0.126928,   0.693147, 100.      ], dtype=float32)

    Reference:
        Dugas, Bengio, Bélisle, Nadeau and Garcia, "Incorporating second-order functional knowledge for better
        option pricing", 2000.
    """
    x = floating(x)
    # x + log(1 + exp(-x)) from 0 upwards, log(1 + exp(x)) below. At 0 both extremes choose the upper branch, so
    # that the derivatives are right there too; abs(x) would have slope 0 and so belong to neither.
    return maximum(x, 0.0) + log1p(exp(minimum(-x, x)))


def mish(x: TensorLike) -> Tensor:
    """Return ``x * tanh(softplus(x))``.

    Example:
        >>> td.activations.mish([-2.0, 0.0, 2.0])
        Tensor([-0.252501,  0.      ,  1.943959], dtype=float32)

    Reference:
        Misra, "Mish: a self regularized non-monotonic activation function", 2020.
    """
    x = floating(x)
    return x * ops.tanh(softplus(x))


def squareplus(x: TensorLike, b: float = 4.0) -> Tensor:
    """Return ``(x + sqrt(x^2 + b)) / 2``, a smooth ``relu`` without exponentials.

    Args:
        x: A Tensor of any shape.
        b: How wide the bend at 0 is; positive, and 0 would be ``relu``.

    Example:
        >>> td.activations.squareplus([-2.0, 0.0, 2.0])
        Tensor([0.414214, 1.      , 2.414214], dtype=float32)

    Reference:
        Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.
    """
    x = floating(x)
    # The formula above would subtract two almost equal numbers below 0. At 0 both extremes choose the upper branch,
    # as in softplus.
    return maximum(x, 0.0) + (0.5 * b) / (maximum(x, -x) + sqrt(x * x + b))
