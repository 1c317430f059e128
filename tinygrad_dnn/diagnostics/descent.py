"""The path of an optimizer down a function of a few numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn import autograd, backend, ops, registry
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.optimizers import Optimizer
from tinygrad_dnn.tensor import Tensor, TensorLike, Variable, as_tensor


class Descent(NamedTuple):
    """What ``minimize`` returns; unpacks as ``path, values``.

    Attributes:
        path: The points, (steps + 1, n), the start first.
        values: The function at each, (steps + 1,).

    Example:
        >>> path, values = td.minimize(lambda p: (p * p).sum(), [1.0, 2.0], "sgd", steps=3)
        >>> path.shape, values.shape
        ((4, 2), (4,))
    """

    path: np.ndarray
    values: np.ndarray


def minimize(f: Callable[[Tensor], Tensor], start: TensorLike, optimizer: Any, steps: int = 100) -> Descent:
    """Let an optimizer go down a function of a few numbers, and return where it went.

    Two optimizers that are to be compared begin at one point: neither ``start`` nor an ``Optimizer`` object is changed,
    for copies of them are worked on. A path that diverges is returned as it is, up to infinity and NaN.

    Args:
        f: A function of a Tensor of shape (n,) that returns one number, written in Tensor operations.
        start: Where to begin, (n,); an array of floats keeps its type, so that float64 computes in float64.
        optimizer: A registered name, with its default learning rate, or an ``Optimizer``.
        steps: How many steps to make, at least 1.

    Raises:
        ValueError: ``start`` is no vector of finite numbers, ``steps`` is out of its range, ``f`` returns several
            numbers, or one that does not depend on its argument.
        TypeError: ``f`` is no function or returns no Tensor, ``start`` is not made of numbers, or something is no
            optimizer.

    Example:
        >>> def bowl(p):
        ...     return 20 * p[0] ** 2 + p[1] ** 2
        >>> for optimizer in (td.optimizers.SGD(0.02), td.optimizers.SGD(0.02, momentum=0.9)):
        ...     path, values = td.minimize(bowl, [1.0, 2.0], optimizer, steps=100)
        ...     print(path.shape, bool(values[-1] < 0.01))
        (101, 2) True
        (101, 2) True
    """
    as_integer(steps, "minimize: steps", "[1, inf)")
    if not callable(f):
        raise TypeError(f"minimize: f must be a function of a Tensor, not {f!r}.")
    try:
        given = as_tensor(start)
    except TypeError as error:
        raise TypeError(f"minimize: start: {error}") from error
    if given.ndim != 1 or not given.size or not np.isfinite(given.numpy()).all():
        raise ValueError(f"minimize: start must be a vector of finite numbers, as [1.0, 2.0], not {start!r}.")
    rule = copy.deepcopy(registry.optimizers.get(optimizer))
    if not isinstance(rule, Optimizer):
        raise TypeError(f"minimize: optimizer must be a registered name or an Optimizer, not {optimizer!r}.")
    # A copy, whatever start was: the optimizer changes it in place.
    floating = given.dtype if given.dtype.kind == "f" else backend.floatx()
    point = Variable(ops.cast(given.detach(), floating), trainable=True, name="point")
    points, values = [point.numpy()], []
    for _ in range(steps):
        value = _value(f, point)
        rule.apply([_gradient(rule.scale_loss(value), point)], [point])
        points.append(point.numpy())
        values.append(value.item())
    values.append(_value(f, point).item())
    return Descent(np.stack(points), np.array(values, points[0].dtype))


def _value(f: Callable[[Tensor], Tensor], point: Variable) -> Tensor:
    value: Any = f(point)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"minimize: f must return a Tensor, written in Tensor operations, and returned {type(value).__name__}."
        )
    if value.size != 1:
        raise ValueError(f"minimize: f must return one number, and returned a Tensor of shape {value.shape}.")
    return value


def _gradient(value: Tensor, point: Variable) -> Tensor:
    gradient: Tensor | None = None
    if value.requires_grad:
        (gradient,) = autograd.grad(value, [point], allow_unused=True)
    if gradient is None:
        raise ValueError("minimize: what f returns does not depend on its argument: compute it from that Tensor.")
    return gradient
