"""Activations over an axis: what makes probabilities of numbers, and gates."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.activations.smooth import sigmoid
from tinygrad_dnn.ops import cast, exp, floating, log, maximum, where
from tinygrad_dnn.ops.cast import widened
from tinygrad_dnn.tensor import Tensor, TensorLike


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return ``exp(x)`` divided by its sum along ``axis``: positive numbers that add up to 1.

    Over the last axis the result remembers x as its logits (``Tensor._logits``):
    ``losses.sparse_categorical_crossentropy`` and ``losses.categorical_crossentropy`` compute from them, since the
    logarithm of a probability that rounds to 0 has lost what it was. That of float16 and bfloat16 is computed in
    float32, and rounded.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.activations.softmax([[1.0, 2.0, 3.0]])
        Tensor([[0.090031, 0.244728, 0.665241]], dtype=float32)
    """
    x = floating(x)
    powers = exp(_below_zero(widened(x), axis))
    out = cast(powers / ops.sum(powers, axis, keepdims=True), x.dtype)
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
    x = floating(x)
    shifted = _below_zero(widened(x), axis)
    return cast(shifted - log(ops.sum(exp(shifted), axis, keepdims=True)), x.dtype)


def sparsemax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the nearest point to x along ``axis`` whose elements are at least 0 and add up to 1: many are 0.

    For n elements along the axis, n^2 differences are computed for each line of them.

    Raises:
        ValueError: ``axis`` is out of range.

    Example:
        >>> td.activations.sparsemax([[1.0, 2.0, 2.5]])
        Tensor([[0.  , 0.25, 0.75]], dtype=float32)

    Reference:
        Martins and Astudillo, "From softmax to sparsemax: a sparse model of attention and multi-label
        classification", 2016.
    """
    shifted = _below_zero(floating(x), axis)
    # An element is above 0 if those greater than it exceed it by less than 1 in sum. Which ones are is constant
    # around x, so that no gradient flows through it.
    lines = ops.moveaxis(shifted.detach(), axis, -1)
    excess = maximum(0.0, ops.expand_dims(lines, -2) - ops.expand_dims(lines, -1))
    above = ops.moveaxis(ops.sum(excess, -1) < 1.0, -1, axis)
    kept = where(above, shifted, 0.0)
    count = ops.cast(ops.sum(above, axis, keepdims=True), shifted.dtype)
    return where(above, shifted - (ops.sum(kept, axis, keepdims=True) - 1.0) / count, 0.0)


def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the first half of x along ``axis`` times the ``sigmoid`` of the second half.

    Raises:
        ValueError: ``axis`` is out of range, or has an odd length.

    Example:
        >>> td.activations.glu([[2.0, 4.0, 0.0, 2.0]])
        Tensor([[1.      , 3.523188]], dtype=float32)

    Reference:
        Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks", 2017.
    """
    x = floating(x)
    if -x.ndim <= axis < x.ndim and x.shape[axis] % 2:
        raise ValueError(f"glu: axis {axis} is cut in two halves and must have an even length; x has shape {x.shape}.")
    values, gates = ops.split(x, 2, axis)
    return values * sigmoid(gates)


def _below_zero(x: Tensor, axis: int) -> Tensor:
    """Subtract the maximum, which cancels in softmax and so carries no gradient."""
    return x - ops.max(x.detach(), axis, keepdims=True)
