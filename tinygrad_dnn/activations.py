"""Activations: functions of a Tensor that a layer applies to its sums, by Keras's names and defaults."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.ops import exp, expm1, floating, log, log1p, maximum, minimum, where
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor

__all__ = [
    "celu", "elu", "exponential", "get", "hard_sigmoid", "leaky_relu", "linear", "log_sigmoid", "log_softmax",
    "mish", "relu", "relu6", "selu", "serialize", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish",
    "tanh",
]  # fmt: skip

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
# Just below where exp overflows, by the bytes of the element type.
_EXP_LIMIT = {2: 11.0, 4: 88.0, 8: 709.0}


# -- linear by parts ------------------------------------------------------------------------------------------------


def linear(x: TensorLike) -> Tensor:
    """Return x itself.

    Example:
        >>> td.activations.linear([1.0, -2.0])
        Tensor([ 1., -2.], dtype=float32)
    """
    return as_tensor(x)


def relu(
    x: TensorLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """Return the rectified linear unit: x above ``threshold``, else ``negative_slope * (x - threshold)``.

    The slope at the threshold is ``negative_slope``, and at ``max_value`` it is 0.

    Args:
        x: A Tensor of any shape.
        negative_slope: The slope below the threshold.
        max_value: The greatest result; None sets no limit.
        threshold: Where the linear part begins.

    Example:
        >>> td.activations.relu([-2.0, 0.0, 3.0])
        Tensor([0., 0., 3.], dtype=float32)
        >>> td.activations.relu([-2.0, 0.0, 3.0], negative_slope=0.1, max_value=2.0)
        Tensor([-0.2,  0. ,  2. ], dtype=float32)

    Reference:
        Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """
    x = as_tensor(x)
    if negative_slope == 0.0 and threshold == 0.0:
        out = maximum(0.0, x)
    else:
        out = where(x > threshold, x, negative_slope * (x - threshold))
    return out if max_value is None else minimum(max_value, out)


def relu6(x: TensorLike) -> Tensor:
    """Return ``relu`` limited to 6.

    Example:
        >>> td.activations.relu6([-2.0, 3.0, 8.0])
        Tensor([0., 3., 6.], dtype=float32)

    Reference:
        Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.
    """
    return relu(x, max_value=6.0)


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Tensor:
    """Return x where it is positive, else ``negative_slope * x``; PyTorch's default slope is 0.01.

    Example:
        >>> td.activations.leaky_relu([-2.0, 3.0])
        Tensor([-0.4,  3. ], dtype=float32)

    Reference:
        Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    x = as_tensor(x)
    return where(x > 0, x, negative_slope * x)


def hard_sigmoid(x: TensorLike) -> Tensor:
    """Return x / 6 + 1/2 limited to [0, 1], a sigmoid made of straight lines.

    Example:
        >>> td.activations.hard_sigmoid([-4.0, 0.0, 1.5])
        Tensor([0.  , 0.5 , 0.75], dtype=float32)
    """
    return relu6(as_tensor(x) + 3.0) * (1 / 6)


# -- exponential below zero -------------------------------------------------------------------------------------------


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


# -- sigmoids ---------------------------------------------------------------------------------------------------------


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


def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent, between -1 and 1.

    Example:
        >>> td.activations.tanh([-2.0, 0.0, 2.0])
        Tensor([-0.964028,  0.      ,  0.964028], dtype=float32)
    """
    return ops.tanh(x)


def softsign(x: TensorLike) -> Tensor:
    """Return ``x / (1 + |x|)``, between -1 and 1.

    Example:
        >>> td.activations.softsign([-3.0, 0.0, 1.0])
        Tensor([-0.75,  0.  ,  0.5 ], dtype=float32)
    """
    x = floating(x)
    return x / (ops.abs(x) + 1.0)


# -- over an axis -----------------------------------------------------------------------------------------------------


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return ``exp(x)`` divided by its sum along ``axis``: positive numbers that add up to 1.

    Over the last axis the result remembers x as its logits (``Tensor._logits``):
    ``losses.sparse_categorical_crossentropy`` and ``losses.categorical_crossentropy`` compute from them, since the
    logarithm of a probability that rounds to 0 has lost what it was.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.activations.softmax([[1.0, 2.0, 3.0]])
        Tensor([[0.090031, 0.244728, 0.665241]], dtype=float32)
    """
    x = floating(x)
    powers = exp(_below_zero(x, axis))
    out = powers / ops.sum(powers, axis, keepdims=True)
    if axis in (-1, x.ndim - 1):
        out._logits = ("softmax", x)
    return out


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the logarithm of ``softmax``.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.activations.log_softmax([[1.0, 2.0, 3.0]])
        Tensor([[-2.407606, -1.407606, -0.407606]], dtype=float32)
    """
    shifted = _below_zero(floating(x), axis)
    return shifted - log(ops.sum(exp(shifted), axis, keepdims=True))


def _below_zero(x: Tensor, axis: int) -> Tensor:
    """Subtract the maximum, which cancels in softmax and so carries no gradient."""
    return x - ops.max(x.detach(), axis, keepdims=True)


# -- by name ----------------------------------------------------------------------------------------------------------


def get(identifier: Any, /, **kwargs: Any) -> Any:
    """Return an activation by name, with arguments fixed if any are given; see ``Registry.get``.

    Raises:
        ValueError: Nothing has this name.
        TypeError: What is given is no activation.

    Example:
        >>> td.activations.get("elu") is td.activations.elu
        True
        >>> td.activations.get("relu", negative_slope=0.5)([-2.0])
        Tensor([-1.], dtype=float32)
    """
    return registry.activations.get(identifier, **kwargs)


def serialize(activation: Any) -> str | dict[str, Any] | None:
    """Return what ``get`` makes the activation from again; see ``Registry.serialize``.

    Raises:
        ValueError: It is not registered.

    Example:
        >>> td.activations.serialize(td.activations.elu)
        'elu'
    """
    return registry.activations.serialize(activation)


@hookimpl
def register_activations(register: Register) -> None:
    """Register the built-in activations, as a plugin registers its own."""
    for activation in (
        linear, relu, relu6, leaky_relu, hard_sigmoid, elu, selu, celu, exponential, sigmoid, log_sigmoid,
        softplus, mish, tanh, softsign, softmax, log_softmax,
    ):  # fmt: skip
        register(activation)
    register(silu, aliases=("swish",))
