"""Optimizers that add up the squares of all gradients or steps so far: Adagrad, Adadelta, Ftrl."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.tensor import Tensor


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients (Duchi, Hazan and Singer, 2011).

    n += g^2; p -= lr g / sqrt(n + epsilon): epsilon is inside the root, as in Keras. The sum only grows, so that the
    steps only shrink.

    Args:
        learning_rate: As for ``Optimizer``.
        initial_accumulator_value: What the sum begins with, at least 0; 0.1 is Keras's, 0 PyTorch's.
        epsilon: What keeps the division finite.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> w = td.Variable([1.0, 1.0], trainable=True)
        >>> optimizer = td.optimizers.Adagrad(0.5, initial_accumulator_value=0.0)
        >>> optimizer.apply([td.tensor([10.0, 0.1])], [w])
        >>> print(w.numpy().round(3))
        [0.5 0.5]
    """

    _hyperparameters = ("initial_accumulator_value", "epsilon")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = self._number(
            "initial_accumulator_value", initial_accumulator_value, "[0, inf)"
        )
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")

    def init(self, param: Tensor) -> State:
        """Return the sum of squares at its start."""
        return {"n": ops.full_like(param, self.initial_accumulator_value)}

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new sum."""
        n = state["n"] + grad * grad
        return param - learning_rate * grad / ops.sqrt(n + self.epsilon), {"n": n}


class Adadelta(Optimizer):
    """Steps whose length follows that of the steps before (Zeiler, 2012).

    v = rho v + (1 - rho) g^2; d = g sqrt(s + epsilon) / sqrt(v + epsilon); s = rho s + (1 - rho) d^2; p -= lr d.
    A step has the unit of the weight. The paper has no learning rate, which is 1 here; Keras's default of 0.001 makes
    the steps a thousand times shorter.

    Args:
        learning_rate: As for ``Optimizer``.
        rho: Decay of both running means, in [0, 1).
        epsilon: What lets the first step be other than 0, a positive number.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> optimizer = td.optimizers.Adadelta(learning_rate=1.0, rho=0.95)
    """

    _hyperparameters = ("rho", "epsilon")

    def __init__(
        self, learning_rate: float | Schedule = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = self._number("rho", rho, "[0, 1)")
        self.epsilon = self._number("epsilon", epsilon, "(0, inf)")

    def init(self, param: Tensor) -> State:
        """Return the running means of the squares of gradients and steps, zero at first."""
        return {"v": ops.zeros_like(param), "s": ops.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and the new means."""
        v = self.rho * state["v"] + (1 - self.rho) * (grad * grad)
        move = ops.sqrt(state["s"] + self.epsilon) / ops.sqrt(v + self.epsilon) * grad
        s = self.rho * state["s"] + (1 - self.rho) * (move * move)
        return param - learning_rate * move, {"v": v, "s": s}


class Ftrl(Optimizer):
    """Follow the regularized leader, which sets weights to exactly 0 (McMahan et al., 2013).

    With k = -learning_rate_power: n_new = n + g^2; z += g + 2 l2_shrinkage p - (n_new^k - n^k) / lr p;
    p = (clip(z, -l1, l1) - z) / ((beta + n_new^k) / lr + 2 l2); n = n_new.

    Every update computes the weight afresh from z, which begins with 0: what the weight was before training counts
    only through z, so the rule is for weights that begin with 0, as those of linear models do.

    Args:
        learning_rate: As for ``Optimizer``; an update at 0 changes nothing.
        learning_rate_power: How the steps shrink with the sum of squares, at most 0; 0 keeps them.
        initial_accumulator_value: What the sum begins with, at least 0.
        l1_regularization_strength: The larger, the more weights are exactly 0; at least 0.
        l2_regularization_strength: Pulls the weights towards 0; at least 0.
        l2_shrinkage_regularization_strength: An L2 penalty that is part of the gradient; at least 0.
        beta: Shortens the first steps most; at least 0.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> w = td.Variable([0.0, 0.0], trainable=True)
        >>> td.optimizers.Ftrl(0.5, l1_regularization_strength=1.0).apply([td.tensor([10.0, 0.5])], [w])
        >>> print(w.numpy().round(2))
        [-0.45  0.  ]
    """

    _hyperparameters = (
        "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength",
        "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta",
    )  # fmt: skip

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.learning_rate_power = self._number("learning_rate_power", learning_rate_power, "(-inf, 0]")
        self.initial_accumulator_value = self._at_least_0("initial_accumulator_value", initial_accumulator_value)
        self.l1_regularization_strength = self._at_least_0("l1_regularization_strength", l1_regularization_strength)
        self.l2_regularization_strength = self._at_least_0("l2_regularization_strength", l2_regularization_strength)
        self.l2_shrinkage_regularization_strength = self._at_least_0(
            "l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength
        )
        self.beta = self._at_least_0("beta", beta)

    def _at_least_0(self, key: str, value: Any) -> float:
        return self._number(key, value, "[0, inf)")

    def init(self, param: Tensor) -> State:
        """Return the sum of squares at its start, and z, zero at first."""
        return {"n": ops.full_like(param, self.initial_accumulator_value), "z": ops.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the new weight, the new sum and the new z."""
        moves = ops.greater(learning_rate, 0)
        rate = ops.where(moves, learning_rate, 1.0)
        n = state["n"] + grad * grad
        root, root_before = (ops.power(x, -self.learning_rate_power) for x in (n, state["n"]))
        shrinkage = 2 * self.l2_shrinkage_regularization_strength
        z = state["z"] + grad + shrinkage * param - (root - root_before) / rate * param
        scale = (self.beta + root) / rate + 2 * self.l2_regularization_strength
        # Where the sum begins with 0 and no gradient has come yet, the formula is 0 / 0.
        moves = ops.logical_and(moves, ops.greater(scale, 0))
        strength = self.l1_regularization_strength
        new = (ops.clip(z, -strength, strength) - z) / ops.where(moves, scale, 1.0)
        kept = {key: ops.where(moves, value, state[key]) for key, value in (("n", n), ("z", z))}
        return ops.where(moves, new, param), kept
