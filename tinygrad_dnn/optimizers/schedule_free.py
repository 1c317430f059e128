"""ScheduleFreeAdamW: averaging in the place of a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import backend, ops
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.optimizers.adaptive import one_minus_power
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.tensor import Tensor


class ScheduleFreeAdamW(Optimizer):
    """Adam's steps, and an average of where they led in the place of a schedule (Defazio et al., 2024).

    Three sequences, of which the weight is y and all begin with it: z makes the steps, x is the mean of z so far, and
    the gradient is taken at y between the two. v = beta_2 v + (1 - beta_2) g^2;
    z -= lr g / (sqrt(v / (1 - beta_2^t)) + epsilon); x = (1 - 1/t) x + z/t; y = (1 - beta_1) z + beta_1 x.
    ``weight_decay`` takes its part of y off y, as in Keras, and so off x, which is computed from y and z; the paper
    takes it off z.

    As in Keras the weights stay at y, when a model is evaluated and when training ends. ``evaluation_weights`` gives x,
    which the paper evaluates.

    Args:
        learning_rate: As for ``Optimizer``.
        beta_1: The part of x in y, in (0, 1].
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        warmup_steps: The updates in which the learning rate grows linearly to its value; none if 0.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> w = td.Variable([1.0], trainable=True)
        >>> optimizer = td.optimizers.ScheduleFreeAdamW(0.5)
        >>> for _ in range(40):
        ...     optimizer.apply([w.detach()], [w])
        >>> abs(optimizer.evaluation_weights([w])[0].item()) < 0.1
        True
    """

    _hyperparameters = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = self._number("beta_1", beta_1, "(0, 1]")
        self.beta_2 = self._number("beta_2", beta_2, "[0, 1)")
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")
        self.warmup_steps = self._integer("warmup_steps", warmup_steps, "[0, inf)")

    def init(self, param: Tensor) -> State:
        """Return z, which begins with the weight, and the squared mean, zero at first."""
        return {"z": param.detach(), "v": ops.zeros_like(param)}

    def begin_step(self) -> None:
        """Compute the correction of the squared mean's start at zero, z's part in x, and the warm-up."""
        t = ops.cast(self.step, backend.floatx())
        self._correction = 1 / one_minus_power(self.beta_2, self.step)
        self._part = 1 / t
        self._warmth = ops.minimum(t / self.warmup_steps, 1.0) if self.warmup_steps else ops.ones_like(t)

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the new y, and the new z and squared mean."""
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * (grad * grad)
        z = state["z"] - (learning_rate * self._warmth) * grad / (ops.sqrt(self._correction * v) + self.epsilon)
        x = (1 - self._part) * self._mean_of(param, state["z"]) + self._part * z
        return (1 - self.beta_1) * z + self.beta_1 * x, {"z": z, "v": v}

    def _mean_of(self, y: Tensor, z: Tensor) -> Tensor:
        return (y - (1 - self.beta_1) * z) / self.beta_1

    def evaluation_weights(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return x for each of ``weights``: what to evaluate or to keep, in the place of the weight itself.

        A weight that was not updated yet is its own x.

        Example:
            >>> model = td.models.Sequential([td.layers.InputLayer((1,)), td.layers.Dense(1)])
            >>> optimizer = td.optimizers.ScheduleFreeAdamW()
            >>> model.compile(optimizer, loss="mse")
            >>> _ = model.fit(td.ones((8, 1)), td.ones((8, 1)), verbose=0)
            >>> for weight, x in zip(model.trainable_weights, optimizer.evaluation_weights(model.trainable_weights)):
            ...     _ = weight.assign(x)
        """
        with no_grad():
            return [
                self._mean_of(w, self._slots[id(w)].state["z"]) if id(w) in self._slots else w.detach() for w in weights
            ]
