"""Broken optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tinygrad_dnn as td
from tests.testing.specimens.breaking import breaks
from tinygrad_dnn.tensor import Tensor


class Plain(td.optimizers.Optimizer):
    """Gradient descent, in which there is nothing wrong."""

    def init(self, param: Tensor) -> dict[str, Tensor]:
        return {}

    def update(self, param: Tensor, grad: Tensor, state: Any, learning_rate: Tensor) -> Any:
        return param - learning_rate * self.direction(param, grad), state

    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        return grad


@breaks("optimizers", "quadratic", "the quadratic went from 11 to", also=["rosenbrock", "network"])
class Uphill(Plain):
    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        return -grad


@breaks("optimizers", "rosenbrock", "Rosenbrock's function went from 24.2 to")
class NeverLeft(Plain):
    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        return td.where(param < -1.19, 0.0, grad) if param.shape == (1, 2) else grad


@breaks("optimizers", "network", "the network's loss went from")
class AfraidOfEight(Plain):
    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        return grad * 0.0 if 8 in param.shape else grad


@breaks("optimizers", "state_saved", "resumed after 4 of 8 steps it gave something else")
class Hides(Plain):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hidden: dict[Any, td.Variable] = {}

    def init(self, param: Tensor) -> dict[str, Tensor]:
        self.hidden[param.shape] = td.Variable(td.zeros_like(param))
        return {}

    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        momentum = self.hidden[param.shape]
        momentum.assign(0.9 * momentum + grad)
        return momentum


@breaks("optimizers", "shape_and_dtype", "it raised")
class OfAtMostThreeAxes(Plain):
    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        return grad if grad.ndim < 4 else td.reshape(grad, (-1,))


@breaks("optimizers", "frozen_weights", "a weight without gradient changed")
class Thaws(Plain):
    def apply(self, grads: Sequence[Tensor | None], weights: Sequence[Tensor]) -> None:
        super().apply([td.ones_like(w) if g is None else g for g, w in zip(grads, weights, strict=True)], weights)


@breaks("optimizers", "schedules", "a smaller rate changed nothing")
class KeepsItsFirstRate(Plain):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first = self.learning_rate.item()

    def update(self, param: Tensor, grad: Tensor, state: Any, learning_rate: Tensor) -> Any:
        return param - self.first * grad, state


@breaks("optimizers", "clipping", "with clipvalue=0.2 it moved otherwise")
class Unclipped(Plain):
    def _clip(self, grads: list[Tensor]) -> list[Tensor]:
        return grads


@breaks("optimizers", "weight_decay", "with weight_decay=0.5 it moved otherwise")
class Undecayed(Plain):
    def decay_of(self, weight: Tensor) -> float | None:
        return None


@breaks("optimizers", "zero_gradients", "for gradients of 0 a weight becomes nan")
class DividesByTheGradient(Plain):
    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        return grad / td.abs(grad)


@breaks("optimizers", "zero_gradients_keep", "gradients of 0 moved a weight")
class Shrinks(Plain):
    def update(self, param: Tensor, grad: Tensor, state: Any, learning_rate: Tensor) -> Any:
        return param * 0.999 - learning_rate * grad, state


@breaks("optimizers", "extreme_gradients", "a weight or state becomes")
class Underflows(Plain):
    def direction(self, param: Tensor, grad: Tensor) -> Tensor:
        safe = td.where(td.equal(grad, 0), 1.0, grad)
        return td.where(td.equal(grad, 0), 0.0, grad / td.sqrt(td.sqrt(safe**4)))


@breaks("optimizers", "constraints", "at most its constraint's 0.25")
class Unconstrained(Plain):
    def apply(self, grads: Sequence[Tensor | None], weights: Sequence[Any]) -> None:
        constrained = [(w, w.constraint) for w in weights if getattr(w, "constraint", None) is not None]
        for weight, _ in constrained:
            weight.constraint = None
        super().apply(grads, weights)
        for weight, constraint in constrained:
            weight.constraint = constraint
