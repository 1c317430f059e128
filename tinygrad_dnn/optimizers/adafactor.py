"""Adafactor: a matrix's squared gradients kept as sums of its rows and columns."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import backend, ops
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.tensor import Tensor


class Adafactor(Optimizer):
    """Steps relative to the size of the weight, with little memory (Shazeer and Stern, 2018).

    b = 1 - t^beta_2_decay; s = g^2 + epsilon_1. A weight with two axes or more keeps the means of s over its last
    axis, r = b r + (1 - b) mean_last(s), and over the one before, c = b c + (1 - b) mean_before(s), and v is the outer
    product r c / mean(r); another keeps v = b v + (1 - b) s itself. With u = g / sqrt(v) and rms the root mean square:
    p -= max(epsilon_2, rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / clip_threshold).

    Args:
        learning_rate: As for ``Optimizer``; the part of its own size that a weight moves, at first.
        beta_2_decay: How fast the memory of v grows with t, at most 0; at 0 there is none.
        epsilon_1: What keeps v from being 0, a positive number.
        epsilon_2: The least size of a weight that counts, at least 0; with 0 a weight of zeros never moves.
        clip_threshold: The largest root mean square of a step, before the rate; a positive number.
        relative_step: Accepted as Keras's, and without effect as there: the formula bounds the learning rate by
            1 / sqrt(t) whatever it says.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> kernel = td.Variable(td.ones((300, 200)), trainable=True)
        >>> optimizer = td.optimizers.Adafactor(learning_rate=0.01)
        >>> optimizer.apply([td.ones((300, 200))], [kernel])
        >>> sum(v.size for v in optimizer.variables if v.ndim)
        500
    """

    _hyperparameters = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_2_decay = self._number("beta_2_decay", beta_2_decay, "(-inf, 0]")
        self.epsilon_1 = self._number("epsilon_1", epsilon_1, "(0, inf)")
        self.epsilon_2 = self._number("epsilon_2", epsilon_2, "[0, inf)")
        self.clip_threshold = self._number("clip_threshold", clip_threshold, "(0, inf)")
        self.relative_step = self._flag("relative_step", relative_step)

    def init(self, param: Tensor) -> State:
        """Return the means of the squares over rows and columns, or of each element, zero at first."""
        shapes = {"v": param.shape}
        if param.ndim > 1:
            *leading, rows, columns = param.shape
            shapes = {"r": (*leading, rows), "c": (*leading, columns)}
        return {key: ops.zeros(shape, _dtype_of_squares(param)) for key, shape in shapes.items()}

    def begin_step(self) -> None:
        """Compute how much of the new squares is taken in, and the bound of the learning rate."""
        t = ops.cast(self.step, backend.floatx())
        self._taken = ops.power(t, self.beta_2_decay)
        self._largest_rate = 1 / ops.sqrt(t)

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        grad = ops.cast(grad, _dtype_of_squares(param))
        squares = grad * grad + self.epsilon_1
        if param.ndim < 2:
            new = {"v": self._mean(state["v"], squares)}
            move = grad / ops.sqrt(new["v"])
        else:
            new = {key: self._mean(state[key], ops.mean(squares, axis)) for key, axis in (("r", -1), ("c", -2))}
            # Root by root: where a row and a column are of zeros, r c is below the smallest float32, and 0 / 0 is NaN.
            of_rows = ops.sqrt(ops.mean(new["r"], -1, keepdims=True)) / ops.sqrt(new["r"])
            move = grad * ops.expand_dims(of_rows, -1) / ops.expand_dims(ops.sqrt(new["c"]), -2)
        size = ops.maximum(_rms(param), self.epsilon_2)
        rate = ops.minimum(learning_rate, self._largest_rate) * size
        return param - rate * move / ops.maximum(_rms(move) / self.clip_threshold, 1.0), new

    def _mean(self, before: Tensor, now: Tensor) -> Tensor:
        return (1 - self._taken) * before + self._taken * now


def _dtype_of_squares(param: Tensor) -> Any:
    # In float16 epsilon_1 is 0, and with it the divisor where the gradient is 0.
    return "float32" if param.dtype == "float16" else param.dtype


def _rms(x: Tensor) -> Tensor:
    return ops.sqrt(ops.mean(x * x))
