"""Optimizers that grew out of Adam: AdamW, Adamax, RAdam, Lamb and Lion."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_dnn import backend, ops
from tinygrad_dnn.optimizers.adaptive import Adam, one_minus_power
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.tensor import Tensor


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    p -= lr weight_decay p; then as ``Adam``. ``Adam(weight_decay=...)`` is the same; here the decay has a default.

    Args:
        learning_rate: As for ``Optimizer``.
        weight_decay: The decay, at least 0.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        amsgrad: Divide by the largest squared mean so far (Reddi et al., 2018).
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range, or ``weight_decay`` is None.

    Example:
        >>> optimizer = td.optimizers.AdamW(learning_rate=1e-3, weight_decay=0.01)
        >>> optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)
        if self.weight_decay is None:
            raise ValueError(f"{self.name}: weight_decay must be a number of at least 0, not None; Adam has no decay.")


class _TwoMeans(Optimizer):
    """A rule of two running means, m and v, and Adam's arguments but for amsgrad."""

    _hyperparameters = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = self._number("beta_1", beta_1, "[0, 1)")
        self.beta_2 = self._number("beta_2", beta_2, "[0, 1)")
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")

    def init(self, param: Tensor) -> State:
        """Return the running means, zero at first."""
        return {"m": ops.zeros_like(param), "v": ops.zeros_like(param)}

    def _means(self, grad: Tensor, state: State) -> tuple[Tensor, Tensor]:
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * grad
        return m, self.beta_2 * state["v"] + (1 - self.beta_2) * (grad * grad)


class Adamax(_TwoMeans):
    """Adam with the largest gradient in the place of the root mean square (Kingma and Ba, 2015, section 7).

    m = beta_1 m + (1 - beta_1) g; u = max(beta_2 u, abs(g)); p -= lr / (1 - beta_1^t) m / (u + epsilon).

    Args:
        learning_rate: As for ``Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the largest gradient, in [0, 1).
        epsilon: What keeps the division finite.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> optimizer = td.optimizers.Adamax(learning_rate=2e-3)
    """

    def init(self, param: Tensor) -> State:
        """Return the running mean and the largest gradient, zero at first."""
        return {"m": ops.zeros_like(param), "u": ops.zeros_like(param)}

    def begin_step(self) -> None:
        """Compute the correction of the mean's start at zero."""
        self._correction = 1 / one_minus_power(self.beta_1, self.step)

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step, the new mean and the new largest gradient."""
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * grad
        u = ops.maximum(self.beta_2 * state["u"], ops.abs(grad))
        return param - (learning_rate * self._correction) * m / (u + self.epsilon), {"m": m, "u": u}


class RAdam(_TwoMeans):
    """Adam that trusts v only when it has seen enough gradients: its own warm-up (Liu et al., 2020).

    m and v as in ``Adam``; m_hat = m / (1 - beta_1^t); s = 2 / (1 - beta_2) - 1 and
    s_t = s - 2 t beta_2^t / (1 - beta_2^t), the number of gradients that v amounts to, at the end and now.
    While s_t <= 5: p -= lr m_hat; then p -= lr r_t m_hat sqrt(1 - beta_2^t) / (sqrt(v) + epsilon) with
    r_t = sqrt((s_t - 4) (s_t - 2) s / ((s - 4) (s - 2) s_t)). This is PyTorch's RAdam, whose epsilon is 1e-8; Keras
    has none. The paper itself has 4 for 5.

    Args:
        learning_rate: As for ``Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1); up to 2/3, s is at most 5 and v is never used.
        epsilon: What keeps the division finite.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> optimizer = td.optimizers.RAdam(learning_rate=1e-3)
    """

    def begin_step(self) -> None:
        """Compute the correction of the mean, whether v is used, and how far."""
        # In float64: s_t is a small difference of numbers of the size of s, about 2000.
        t = ops.cast(self.step, "float64")
        left = one_minus_power(self.beta_2, t)
        end = 2 / (1 - self.beta_2) - 1
        now = end - 2 * t * (1 - left) / left
        # Below 5 the number is not used, but its root must exist for where.
        safe = ops.maximum(now, 5.0)
        rectification = ops.sqrt((safe - 4) * (safe - 2) / safe * left)
        # With an end of at most 5 the root is never used, and there may be none.
        rectification = rectification * (math.sqrt(end / ((end - 4) * (end - 2))) if end > 5 else 0.0)
        self._uses_v = ops.greater(now, 5.0)
        self._rectification = ops.cast(rectification, backend.floatx())
        self._correction = 1 / one_minus_power(self.beta_1, self.step)

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        m, v = self._means(grad, state)
        factor = ops.where(self._uses_v, self._rectification / (ops.sqrt(v) + self.epsilon), 1.0)
        return param - (learning_rate * self._correction) * m * factor, {"m": m, "v": v}


class Lamb(_TwoMeans):
    """Adam's step, scaled for each weight to the length of the weight; for large batches (You et al., 2020).

    m and v as in ``Adam``; d = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon);
    p -= lr |p| / |d| d, with Euclidean norms over the whole weight, and 1 for the quotient where a norm is 0. As in
    Keras, ``weight_decay`` is taken off the weight before and is no part of d, as it is in the paper.

    Args:
        learning_rate: As for ``Optimizer``; the part of its own length that a weight moves.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> w = td.Variable([3.0, 4.0], trainable=True)
        >>> td.optimizers.Lamb(0.1).apply([td.tensor([0.0, 7.0])], [w])
        >>> print(w.numpy().round(3))
        [3.  3.5]
    """

    def begin_step(self) -> None:
        """Compute the corrections of both means' start at zero."""
        self._of_m = 1 / one_minus_power(self.beta_1, self.step)
        self._of_v = 1 / one_minus_power(self.beta_2, self.step)

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        m, v = self._means(grad, state)
        move = self._of_m * m / (ops.sqrt(self._of_v * v) + self.epsilon)
        length, stride = ops.norm(param), ops.norm(move)
        scaled = ops.logical_and(ops.greater(length, 0), ops.greater(stride, 0))
        ratio = ops.where(scaled, length / ops.where(scaled, stride, 1.0), 1.0)
        return param - (learning_rate * ratio) * move, {"m": m, "v": v}


class Lion(Optimizer):
    """Steps of one length, the learning rate, for every element: the sign of a running mean (Chen et al., 2023).

    p -= lr sign(beta_1 m + (1 - beta_1) g); then m = beta_2 m + (1 - beta_2) g. Its steps are longer than Adam's: the
    paper takes a learning rate 3 to 10 times smaller, and a weight decay as much larger.

    Args:
        learning_rate: As for ``Optimizer``.
        beta_1: The mean's part in the step, in (0, 1]; at 0 it would have none.
        beta_2: Decay of the mean, in [0, 1).
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> w = td.Variable([1.0, 1.0], trainable=True)
        >>> td.optimizers.Lion(0.25).apply([td.tensor([100.0, -1e-3])], [w])
        >>> w
        Variable([0.75, 1.25], dtype=float32, requires_grad=True)
    """

    _hyperparameters = ("beta_1", "beta_2")

    def __init__(
        self, learning_rate: float | Schedule = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = self._number("beta_1", beta_1, "(0, 1]")
        self.beta_2 = self._number("beta_2", beta_2, "[0, 1)")

    def init(self, param: Tensor) -> State:
        """Return the running mean, zero at first."""
        return {"m": ops.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new mean."""
        direction = ops.sign(self.beta_1 * state["m"] + (1 - self.beta_1) * grad)
        return param - learning_rate * direction, {"m": self.beta_2 * state["m"] + (1 - self.beta_2) * grad}
