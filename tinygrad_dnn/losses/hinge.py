"""The hinge losses: nothing once a prediction is right by a margin of 1, a line or a parabola until then."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.losses import targets
from tinygrad_dnn.losses.base import OfFunction
from tinygrad_dnn.losses.inputs import matched, sample_means, with_classes
from tinygrad_dnn.ops import maximum, square, where
from tinygrad_dnn.tensor import Tensor, TensorLike


@targets.expecting(targets.signs)
def hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``max(0, 1 - y_true * y_pred)``, averaged over the last axis.

    Args:
        y_true: -1 or 1, of shape (n, outputs); (n,) will do for one output. Where all are 0 or 1, 0 means -1.
        y_pred: Predictions of shape (n, outputs), any numbers, as from a ``tanh`` or no activation.

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.hinge([[-1.0], [1.0]], [[0.5], [2.0]])
        Tensor([1.5, 0. ], dtype=float32)
    """
    return sample_means("hinge", _missing_margin("hinge", y_true, y_pred))


@targets.expecting(targets.signs)
def squared_hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return ``max(0, 1 - y_true * y_pred)**2``, averaged over the last axis.

    Args:
        y_true: -1 or 1, of shape (n, outputs); (n,) will do for one output. Where all are 0 or 1, 0 means -1.
        y_pred: Predictions of shape (n, outputs), any numbers, as from a ``tanh`` or no activation.

    Returns:
        The values, of shape (n,); of predictions without an axis of outputs, each by itself.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> td.losses.squared_hinge([[-1.0], [1.0]], [[0.5], [2.0]])
        Tensor([2.25, 0.  ], dtype=float32)
    """
    return sample_means("squared_hinge", square(_missing_margin("squared_hinge", y_true, y_pred)))


@targets.expecting(targets.probabilities)
def categorical_hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Return by how much the true class's prediction misses a margin of 1 above the largest of the others'.

    That is ``max(0, 1 + max((1 - y_true) * y_pred) - sum(y_true * y_pred))``, both over the last axis.

    Args:
        y_true: One-hot rows, of shape (n, classes).
        y_pred: Predictions of the same shape, any numbers.

    Returns:
        The values, of shape (n,).

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> td.losses.categorical_hinge([[0.0, 1.0], [1.0, 0.0]], [[0.5, 1.0], [0.0, 3.0]])
        Tensor([0.5, 4. ], dtype=float32)
    """
    y_true, y_pred = with_classes("categorical_hinge", y_true, y_pred)
    others = ops.max((1.0 - y_true) * y_pred, -1)
    return maximum(0.0, 1.0 + others - ops.sum(y_true * y_pred, -1))


def _missing_margin(name: str, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    y_true, y_pred = matched(name, y_true, y_pred)
    of_zeros = ops.all((y_true == 0) | (y_true == 1))
    return maximum(0.0, 1.0 - where(of_zeros, 2.0 * y_true - 1.0, y_true) * y_pred)


class Hinge(OfFunction):
    """The hinge loss, see ``hinge``; its registered name is "hinge_loss".

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.Hinge()([[-1.0], [1.0]], [[0.5], [2.0]])
        Tensor(0.75, dtype=float32)
    """

    _function = staticmethod(hinge)


class SquaredHinge(OfFunction):
    """The squared hinge loss, see ``squared_hinge``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.SquaredHinge()([[-1.0], [1.0]], [[0.5], [2.0]])
        Tensor(1.125, dtype=float32)
    """

    _function = staticmethod(squared_hinge)


class CategoricalHinge(OfFunction):
    """The hinge loss of several classes, see ``categorical_hinge``.

    Args:
        reduction: As for ``Loss``.
        name: As for ``Loss``.

    Example:
        >>> td.losses.CategoricalHinge()([[0.0, 1.0], [1.0, 0.0]], [[0.5, 1.0], [0.0, 3.0]])
        Tensor(2.25, dtype=float32)
    """

    _function = staticmethod(categorical_hinge)
