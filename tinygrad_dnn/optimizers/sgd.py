"""Gradient descent, with momentum and Nesterov's look-ahead."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.tensor import Tensor


class SGD(Optimizer):
    """Gradient descent with momentum: m = momentum m - lr g; p += m.

    Args:
        learning_rate: As for ``Optimizer``.
        momentum: How much of the last step is kept, in [0, 1]; 0 keeps no state.
        nesterov: Look ahead: p += momentum m - lr g, with the new m (Nesterov, 1983, as Sutskever et al., 2013).
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: ``momentum`` is out of range.

    Example:
        >>> optimizer = td.optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True)
    """

    _hyperparameters = ("momentum", "nesterov")

    def __init__(
        self, learning_rate: float | Schedule = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = self._number("momentum", momentum, "[0, 1]")
        self.nesterov = self._flag("nesterov", nesterov)

    def init(self, param: Tensor) -> State:
        """Return the momentum, zero at first."""
        return {"momentum": ops.zeros_like(param)} if self.momentum else {}

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new momentum."""
        move = -(learning_rate * grad)
        if not self.momentum:
            return param + move, state
        m = self.momentum * state["momentum"] + move
        return param + (self.momentum * m + move if self.nesterov else m), {"momentum": m}
