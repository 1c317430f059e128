"""Activations made of straight lines and parabolas: ReLU and its kin, the hard and the sparse ones, shrinkage."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.ops import clip, floating, maximum, minimum, square, where
from tinygrad_dnn.tensor import Tensor, TensorLike, as_tensor


def linear(x: TensorLike) -> Tensor:
    """Return x itself.

    Example:
        >>> td.activations.linear([1.0, -2.0])
        Tensor([ 1., -2.], dtype=float32)
    """
    return as_tensor(x)


def relu(x: TensorLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
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


def threshold(x: TensorLike, threshold: float, default_value: float) -> Tensor:
    """Return x where it is above ``threshold``, else ``default_value``.

    Example:
        >>> td.activations.threshold([-2.0, 0.5, 3.0], threshold=1.0, default_value=-1.0)
        Tensor([-1., -1.,  3.], dtype=float32)
    """
    x = floating(x)
    return where(x > threshold, x, default_value)


# -- limited to an interval ---------------------------------------------------------------------------------------


def hard_sigmoid(x: TensorLike) -> Tensor:
    """Return x / 6 + 1/2 limited to [0, 1], a sigmoid made of straight lines.

    Example:
        >>> td.activations.hard_sigmoid([-4.0, 0.0, 1.5])
        Tensor([0.  , 0.5 , 0.75], dtype=float32)
    """
    return relu6(as_tensor(x) + 3.0) * (1 / 6)


def hard_silu(x: TensorLike) -> Tensor:
    """Return ``x * hard_sigmoid(x)``, also known as hard_swish.

    Example:
        >>> td.activations.hard_silu([-4.0, 0.0, 1.5])
        Tensor([-0.   ,  0.   ,  1.125], dtype=float32)

    Reference:
        Howard et al., "Searching for MobileNetV3", 2019.
    """
    x = floating(x)
    return x * hard_sigmoid(x)


def hard_tanh(x: TensorLike) -> Tensor:
    """Return x limited to [-1, 1], a tanh made of straight lines.

    Example:
        >>> td.activations.hard_tanh([-4.0, 0.5, 1.5])
        Tensor([-1. ,  0.5,  1. ], dtype=float32)
    """
    return clip(floating(x), -1.0, 1.0)


def sparse_sigmoid(x: TensorLike) -> Tensor:
    """Return ``x / 2 + 1/2`` limited to [0, 1], the slope of ``sparse_plus``.

    Example:
        >>> td.activations.sparse_sigmoid([-2.0, 0.0, 0.5])
        Tensor([0.  , 0.5 , 0.75], dtype=float32)
    """
    return 0.5 * clip(floating(x), -1.0, 1.0) + 0.5


def sparse_plus(x: TensorLike) -> Tensor:
    """Return 0 up to -1, x from 1 upwards, and the parabola ``(x + 1)^2 / 4`` in between.

    It is a softplus that reaches 0, and its slope is ``sparse_sigmoid``.

    Example:
        >>> td.activations.sparse_plus([-2.0, 0.0, 3.0])
        Tensor([0.  , 0.25, 3.  ], dtype=float32)
    """
    x = floating(x)
    return where(x >= 1.0, x, 0.25 * square(clip(x, -1.0, 1.0) + 1.0))


# -- nothing around zero ------------------------------------------------------------------------------------------


def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Return x where its absolute value is above ``threshold``, else 0.

    Example:
        >>> td.activations.hard_shrink([-2.0, 0.5, 3.0])
        Tensor([-2.,  0.,  3.], dtype=float32)
    """
    x = floating(x)
    return where(ops.abs(x) > threshold, x, 0.0)


def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Return x moved towards 0 by ``threshold``, and 0 where it is nearer than that.

    Example:
        >>> td.activations.soft_shrink([-2.0, 0.5, 3.0])
        Tensor([-1.5,  0. ,  2.5], dtype=float32)
    """
    x = floating(x)
    return x - clip(x, -threshold, threshold)
