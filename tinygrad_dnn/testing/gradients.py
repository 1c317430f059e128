"""Checks gradients of any order against central finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinygrad_dnn import backend, ops
from tinygrad_dnn.autograd import grad
from tinygrad_dnn.graph import enable_grad
from tinygrad_dnn.tensor import Tensor, TensorLike, tensor

_Results: TypeAlias = Callable[..., Sequence[Tensor]]

# Up to so many elements an input is checked element by element, above along so many random directions.
_SMALL = 64
_DIRECTIONS = 8


def check_grads(
    f: Callable[..., Tensor],
    inputs: TensorLike | Sequence[TensorLike],
    order: int = 2,
    eps: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Check the gradients of a function against central finite differences, in float64 on the current backend.

    The function's result is projected on a random direction, so that one number is left to differentiate; the second
    order checks a random projection of that gradient in the same way, and so on. An input of at most 64 elements is
    checked element by element, a larger one along 8 random directions. Choose inputs away from kinks and from the
    ends of the function's domain, by more than ``eps``.

    Args:
        f: A function of Tensors that returns a Tensor of any shape; the same inputs must give the same result.
        inputs: Its arguments: one number, array or Tensor, or a sequence of them; a list of plain numbers is one
            argument, a vector. Floats become float64; integers and booleans are passed on and not differentiated.
        order: The highest order of derivative to check, at least 1.
        eps: The step of the differences; their error is about its square times the third derivative.
        rtol: Which part of the greater of the two values they may differ by.
        atol: By how much more they may differ.

    Raises:
        AssertionError: A gradient is wrong or not finite; the message names the input, the order, both values and
            their place.
        TypeError: f returns no Tensor, or no float64 for float64 (what it computes in less cannot be checked).
        ValueError: ``order`` is below 1, or f gives two results for the same inputs.

    Example:
        >>> td.testing.check_grads(td.tanh, [0.5, -1.0])
        >>> td.testing.check_grads(lambda x: x * x.detach(), [0.5, -1.0])
        Traceback (most recent call last):
            ...
        AssertionError: order 1, input 0 of shape (2,): the projected gradient at (1,) is 0.132..., finite ...
    """
    if order < 1:
        raise ValueError(f"check_grads checks orders from 1, not {order}.")
    with _float64(), enable_grad():
        arguments = _as_arguments(inputs)
        # A generator of its own: the random state of the thread belongs to f and to the caller.
        random = np.random.default_rng(0)
        results = _checked(f, arguments)
        for reached in range(1, order + 1):
            projection = _Projection(results, [random.standard_normal(y.shape) for y in _called(results, arguments)])
            _compare(projection, arguments, reached, _Tolerance(eps, rtol, atol), random)
            results = projection.recorded_gradients


@contextmanager
def _float64() -> Iterator[None]:
    """Let what f makes itself be float64 too."""
    before = backend.floatx()
    backend.set_floatx("float64")
    try:
        yield
    finally:
        backend.set_floatx(before)


def _as_arguments(inputs: Any) -> list[np.ndarray]:
    """Return each argument on the host, floats in float64."""
    several = isinstance(inputs, (list, tuple)) and not all(isinstance(x, (int, float)) for x in inputs)
    hosts = [tensor(x).numpy() for x in (inputs if several else [inputs])]
    return [host.astype(np.float64) if host.dtype.kind == "f" else host for host in hosts]


def _called(results: _Results, arguments: Sequence[np.ndarray]) -> Sequence[Tensor]:
    return results(*(tensor(a, requires_grad=a.dtype.kind == "f") for a in arguments))


def _checked(f: Callable[..., Tensor], arguments: Sequence[np.ndarray]) -> _Results:
    """Return f as a function of one result, if it is one that can be checked."""
    first, second = (_called(lambda *tensors: [f(*tensors)], arguments)[0] for _ in range(2))
    if not isinstance(first, Tensor) or first.dtype != np.float64:
        came = first.dtype.name if isinstance(first, Tensor) else type(first).__name__
        raise TypeError(f"check_grads checks functions that return a float64 Tensor for float64, not {came}.")
    if not np.array_equal(first.numpy(), second.numpy(), equal_nan=True):
        raise ValueError("check_grads was given a function with two results for the same inputs: seed what it draws.")
    return lambda *tensors: [f(*tensors)]


@dataclass(frozen=True)
class _Projection:
    """A function's results, each multiplied by weights of its shape, and all summed to one number.

    No operation is used for it: gradients start from the weights, and values are projected on the host, so that a
    wrong gradient of a product or sum cannot hide behind itself.
    """

    results: _Results
    weights: Sequence[np.ndarray]

    def value(self, arguments: Sequence[np.ndarray]) -> float:
        """Return the number for ``arguments``."""
        results = _called(self.results, arguments)
        return float(sum(np.sum(y.numpy() * w) for y, w in zip(results, self.weights, strict=True)))

    def gradients(self, tensors: Sequence[Tensor], create_graph: bool) -> dict[int, Tensor]:
        """Return the gradient for each differentiable argument by its position, zeros where it has no influence."""
        by = {i: x for i, x in enumerate(tensors) if x.requires_grad}
        found = [None] * len(by)
        recorded = [(y, w) for y, w in zip(self.results(*tensors), self.weights, strict=True) if y.requires_grad]
        if recorded:
            outputs, starts = [y for y, _ in recorded], [tensor(w) for _, w in recorded]
            found = grad(outputs, list(by.values()), starts, create_graph=create_graph, allow_unused=True)
        return {i: ops.zeros_like(x) if g is None else g for (i, x), g in zip(by.items(), found, strict=True)}

    def recorded_gradients(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Return the gradients as results that are differentiated in turn."""
        return list(self.gradients(tensors, create_graph=True).values())


@dataclass(frozen=True)
class _Tolerance:
    eps: float
    rtol: float
    atol: float


@dataclass(frozen=True)
class _Slope:
    """The gradient for one argument, and along any direction of it the finite difference that it should equal."""

    projection: _Projection
    arguments: Sequence[np.ndarray]
    position: int
    gradient: np.ndarray
    tolerance: _Tolerance

    def along(self, direction: np.ndarray) -> tuple[float, float]:
        """Return the gradient and the finite difference along ``direction``."""
        moved = direction != 0  # elsewhere an infinite gradient would make it NaN
        return float(np.sum(self.gradient[moved] * direction[moved])), self._difference(direction)

    def _difference(self, direction: np.ndarray) -> float:
        ends = []
        for step in (self.tolerance.eps * direction, -self.tolerance.eps * direction):
            arguments = list(self.arguments)
            arguments[self.position] = arguments[self.position] + step
            ends.append(self.projection.value(arguments))
        return (ends[0] - ends[1]) / (2 * self.tolerance.eps)

    def excess(self, direction: np.ndarray) -> float:
        """Return by how much the two differ beyond the relative tolerance."""
        ours, theirs = self.along(direction)
        deviation = abs(ours - theirs) - self.tolerance.rtol * max(abs(ours), abs(theirs))
        return deviation if np.isfinite(deviation) else np.inf

    def directions(self, random: np.random.Generator) -> list[np.ndarray]:
        """Return the directions to check: each element of a small argument by itself, random ones of a large one."""
        shape, size = self.gradient.shape, self.gradient.size
        if size <= _SMALL:
            return list(np.eye(size).reshape(size, *shape))
        drawn = random.standard_normal((_DIRECTIONS, *shape))
        return [direction / np.linalg.norm(direction) for direction in drawn]

    def element(self, direction: np.ndarray) -> np.ndarray:
        """Return the direction of one element along which the two differ, found by halving a ``direction``."""
        while np.count_nonzero(direction) > 1:
            moved = np.flatnonzero(direction)
            halves = [np.zeros_like(direction) for _ in range(2)]
            for half, chosen in zip(halves, np.array_split(moved, 2), strict=True):
                half.flat[chosen] = direction.flat[chosen]
            direction = max(halves, key=self.excess)
        unit: np.ndarray = np.sign(direction)
        return unit


def _compare(
    projection: _Projection,
    arguments: Sequence[np.ndarray],
    order: int,
    tolerance: _Tolerance,
    random: np.random.Generator,
) -> None:
    """Raise AssertionError for the worst deviation of the gradients, if it is more than the tolerances allow."""
    tensors = [tensor(a, requires_grad=a.dtype.kind == "f") for a in arguments]
    candidates = []
    for i, g in projection.gradients(tensors, create_graph=False).items():
        if g.shape != arguments[i].shape:
            raise AssertionError(
                f"order {order}, input {i} of shape {arguments[i].shape}: the gradient has shape {g.shape}."
            )
        slope = _Slope(projection, arguments, i, g.numpy(), tolerance)
        candidates += [(slope, direction) for direction in slope.directions(random)]
    excesses = [slope.excess(direction) for slope, direction in candidates]
    if max(excesses, default=0.0) <= tolerance.atol:
        return
    slope, direction = candidates[int(np.argmax(excesses))]
    direction = slope.element(direction)
    ours, theirs = slope.along(direction)
    place, shape = tuple(int(n) for n in np.argwhere(direction)[0]), slope.gradient.shape
    raise AssertionError(
        f"order {order}, input {slope.position} of shape {shape}: the projected gradient at {place} is {ours:.9g}, "
        f"finite differences give {theirs:.9g}; they differ by {abs(ours - theirs):.3g}, the most of all places."
    )
