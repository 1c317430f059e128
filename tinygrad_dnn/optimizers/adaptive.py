"""Optimizers that scale each weight's step by its gradients so far: RMSprop, Adam, Nadam."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_dnn import backend, ops
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.tensor import Tensor, Variable


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman and Hinton, 2012).

    v = rho v + (1 - rho) g^2; p -= lr g / sqrt(v + epsilon): epsilon is inside the root, as in Keras. ``centered``
    takes the square of the running mean away from v; ``momentum`` accumulates the steps.

    PyTorch's has rho=0.99, epsilon=1e-8 and epsilon_outside=True.

    Args:
        learning_rate: As for ``Optimizer``.
        rho: Decay of the squared mean, in [0, 1).
        momentum: How much of the last step is kept, in [0, 1].
        epsilon: What keeps the division finite.
        centered: Divide by an estimate of the variance instead of the square.
        epsilon_outside: Divide by sqrt(v) + epsilon, as PyTorch does.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> optimizer = td.optimizers.RMSprop(rho=0.9)
    """

    _hyperparameters = ("rho", "momentum", "epsilon", "centered", "epsilon_outside")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        epsilon_outside: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = self._number("rho", rho, "[0, 1)")
        self.momentum = self._number("momentum", momentum, "[0, 1]")
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")
        self.centered = self._flag("centered", centered)
        self.epsilon_outside = self._flag("epsilon_outside", epsilon_outside)

    def init(self, param: Tensor) -> State:
        """Return the running means and the momentum, zero at first."""
        keys = ["v"] + ["mean"] * self.centered + ["momentum"] * bool(self.momentum)
        return {key: ops.zeros_like(param) for key in keys}

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        v = self.rho * state["v"] + (1 - self.rho) * (grad * grad)
        new = {"v": v}
        if self.centered:
            mean = new["mean"] = self.rho * state["mean"] + (1 - self.rho) * grad
            # Rounding can make this variance negative, and its root NaN, where the gradient hardly changes.
            v = ops.maximum(v - mean * mean, 0.0)
        root = ops.sqrt(v) + self.epsilon if self.epsilon_outside else ops.sqrt(v + self.epsilon)
        move = learning_rate * grad / root
        if self.momentum:
            move = new["momentum"] = self.momentum * state["momentum"] + move
        return param - move, new


class Adam(Optimizer):
    """Adam: steps by running means of the gradient and of its square (Kingma and Ba, 2015).

    m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
    p -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon): epsilon joins the uncorrected root, as in
    Keras.

    Args:
        learning_rate: As for ``Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        amsgrad: Divide by the largest squared mean so far (Reddi et al., 2018).
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: A decay is out of range.

    Example:
        >>> optimizer = td.optimizers.Adam(learning_rate=1e-3, beta_1=0.9, beta_2=0.999)
    """

    _hyperparameters = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = self._number("beta_1", beta_1, "[0, 1)")
        self.beta_2 = self._number("beta_2", beta_2, "[0, 1)")
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")
        self.amsgrad = self._flag("amsgrad", amsgrad)

    def init(self, param: Tensor) -> State:
        """Return the running means, zero at first."""
        keys = ("m", "v", "v_max") if self.amsgrad else ("m", "v")
        return {key: ops.zeros_like(param) for key in keys}

    def begin_step(self) -> None:
        """Compute the correction of both means' start at zero."""
        self._correction = ops.sqrt(one_minus_power(self.beta_2, self.step)) / one_minus_power(self.beta_1, self.step)

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * grad
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * (grad * grad)
        new = {"m": m, "v": v}
        if self.amsgrad:
            v = new["v_max"] = ops.maximum(state["v_max"], v)
        return param - (learning_rate * self._correction) * m / (ops.sqrt(v) + self.epsilon), new


class Nadam(Optimizer):
    """Adam with Nesterov's look-ahead and a momentum that warms up (Dozat, 2016).

    u_t = beta_1 (1 - 0.5 * 0.96^(momentum_decay t)), U_t their product up to t; m and v as in ``Adam``;
    m_hat = u_(t+1) m / (1 - U_(t+1)) + (1 - u_t) g / (1 - U_t); v_hat = v / (1 - beta_2^t);
    p -= lr m_hat / (sqrt(v_hat) + epsilon).

    Args:
        learning_rate: As for ``Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        momentum_decay: How fast the momentum warms up; 1 is Keras's, 0.004 PyTorch's.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> optimizer = td.optimizers.Nadam(learning_rate=5e-5)
    """

    _hyperparameters = ("beta_1", "beta_2", "epsilon", "momentum_decay")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        momentum_decay: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = self._number("beta_1", beta_1, "[0, 1)")
        self.beta_2 = self._number("beta_2", beta_2, "[0, 1)")
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")
        self.momentum_decay = self._number("momentum_decay", momentum_decay, "[0, inf)")
        self.u_product = Variable(1.0, backend.floatx(), name=f"{self.name}/u_product")

    def init(self, param: Tensor) -> State:
        """Return the running means, zero at first."""
        return {"m": ops.zeros_like(param), "v": ops.zeros_like(param)}

    def begin_step(self) -> None:
        """Advance the product of the momenta, one for all weights, and compute the corrections from it."""
        u, u_next = self._momentum(self.step), self._momentum(self.step + 1)
        self.u_product.assign(self.u_product * u)
        self._of_m = u_next / (1 - self.u_product * u_next)
        self._of_grad = (1 - u) / (1 - self.u_product)
        self._of_v = 1 / one_minus_power(self.beta_2, self.step)

    def _momentum(self, t: Tensor) -> Tensor:
        return self.beta_1 * (1 - 0.5 * ops.exp(t * (self.momentum_decay * math.log(0.96))))

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * grad
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * (grad * grad)
        move = (learning_rate * self._of_m) * m + (learning_rate * self._of_grad) * grad
        return param - move / (ops.sqrt(self._of_v * v) + self.epsilon), {"m": m, "v": v}


def one_minus_power(beta: float, t: Tensor) -> Tensor:
    """Return 1 - beta^t; computed as such, float32 would lose four digits of it at the first step."""
    return -ops.expm1(t * math.log(beta)) if beta else ops.ones_like(t, backend.floatx())
