"""Muon: steps of matrices that are made orthogonal, and Adam for all other weights."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.optimizers.adaptive import one_minus_power
from tinygrad_dnn.optimizers.base import Optimizer, Schedule, State
from tinygrad_dnn.optimizers.exclusion import as_patterns
from tinygrad_dnn.tensor import Tensor


class Muon(Optimizer):
    """Momentum whose step is made orthogonal, so that it moves all directions of a matrix alike (Jordan et al., 2024).

    For a matrix of n rows and k columns: m = momentum m + g; d = g + momentum m, or m without ``nesterov``;
    p -= lr rms_rate sqrt(max(n, k)) O(d). O makes all singular values of d about 1, by ``ns_steps`` rounds of
    X = a X + (b A + c A A) X with A = X X^T, beginning with d divided by its norm. The factor before O gives the step
    the root mean square ``rms_rate``, about that of Adam's, so that Adam's learning rates and decays fit (Liu et al.,
    2025).

    Weights that are no matrix (biases, kernels of convolutions), embeddings, and those of ``exclude_layers`` are
    updated as by ``AdamW``. The layer of the outputs should be among them.

    Args:
        learning_rate: As for ``Optimizer``.
        adam_beta_1: Decay of Adam's mean, in [0, 1).
        adam_beta_2: Decay of Adam's squared mean, in [0, 1).
        adam_weight_decay: The decay of the weights that Adam updates, at least 0; none if None.
        epsilon: What keeps Adam's division finite.
        weight_decay: The decay of the matrices, at least 0; none if None.
        exclude_layers: Regular expressions, searched in the weights' paths, as "dense_2/kernel".
        exclude_embeddings: Leave weights with "embedding" in their path to Adam.
        muon_a: The polynomial's a; with b and c it sets how fast the singular values come near 1, and how near.
        muon_b: The polynomial's b.
        muon_c: The polynomial's c.
        adam_lr_ratio: Adam's learning rate as a part of ``learning_rate``, at least 0.
        momentum: How much of the sum of gradients is kept, in [0, 1].
        ns_steps: Rounds of the polynomial (Newton and Schulz's iteration), at least 0.
        nesterov: Look ahead: orthogonalise what the sum will be after one more gradient like this one.
        rms_rate: The root mean square of a step, a positive number; None leaves the orthogonal matrix as it is.
        **kwargs: Those of ``Optimizer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> w = td.Variable([[0.0, 0.0], [0.0, 0.0]], trainable=True)
        >>> optimizer = td.optimizers.Muon(0.1, rms_rate=None, ns_steps=10)
        >>> optimizer.apply([td.tensor([[100.0, 0.0], [0.0, 25.0]])], [w])
        >>> print(w.numpy().round(1))
        [[-0.1  0. ]
         [ 0.  -0.1]]
    """

    _hyperparameters = (
        "adam_beta_1", "adam_beta_2", "adam_weight_decay", "epsilon", "exclude_layers", "exclude_embeddings", "muon_a",
        "muon_b", "muon_c", "adam_lr_ratio", "momentum", "ns_steps", "nesterov", "rms_rate",
    )  # fmt: skip

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.adam_beta_1 = self._number("adam_beta_1", adam_beta_1, "[0, 1)")
        self.adam_beta_2 = self._number("adam_beta_2", adam_beta_2, "[0, 1)")
        self.adam_weight_decay = self._optional("adam_weight_decay", adam_weight_decay, "[0, inf)")
        self.epsilon = self._number("epsilon", epsilon, "[0, inf)")
        self.exclude_layers = as_patterns(exclude_layers, f"{self.name}: exclude_layers")
        self.exclude_embeddings = self._flag("exclude_embeddings", exclude_embeddings)
        self.muon_a = self._number("muon_a", muon_a)
        self.muon_b = self._number("muon_b", muon_b)
        self.muon_c = self._number("muon_c", muon_c)
        self.adam_lr_ratio = self._number("adam_lr_ratio", adam_lr_ratio, "[0, inf)")
        self.momentum = self._number("momentum", momentum, "[0, 1]")
        self.ns_steps = self._integer("ns_steps", ns_steps, "[0, inf)")
        self.nesterov = self._flag("nesterov", nesterov)
        self.rms_rate = self._optional("rms_rate", rms_rate, "(0, inf)")

    def _left_to_adam(self, weight: Tensor) -> bool:
        if weight.ndim != 2:
            return True
        path = getattr(weight, "path", None) or getattr(weight, "name", None) or ""
        if self.exclude_embeddings and "embedding" in path.lower():
            return True
        return any(re.search(pattern, path) for pattern in self.exclude_layers)

    def decay_of(self, weight: Tensor) -> float | None:
        """Return ``weight_decay`` for a matrix, and ``adam_weight_decay`` for what is left to Adam."""
        return self.adam_weight_decay if self._left_to_adam(weight) else self.weight_decay

    def init(self, param: Tensor) -> State:
        """Return the momentum and, for what is left to Adam, the squared mean, zero at first."""
        return {key: ops.zeros_like(param) for key in (("m", "v") if self._left_to_adam(param) else ("m",))}

    def begin_step(self) -> None:
        """Compute Adam's correction of both means' start at zero."""
        of_m, of_v = one_minus_power(self.adam_beta_1, self.step), one_minus_power(self.adam_beta_2, self.step)
        self._correction = self.adam_lr_ratio * ops.sqrt(of_v) / of_m

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight after one step and its new state."""
        if "v" in state:
            m = self.adam_beta_1 * state["m"] + (1 - self.adam_beta_1) * grad
            v = self.adam_beta_2 * state["v"] + (1 - self.adam_beta_2) * (grad * grad)
            return param - (learning_rate * self._correction) * m / (ops.sqrt(v) + self.epsilon), {"m": m, "v": v}
        m = self.momentum * state["m"] + grad
        move = self._orthogonal(grad + self.momentum * m if self.nesterov else m)
        rate = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(param.shape))
        return param - (learning_rate * rate) * move, {"m": m}

    def _orthogonal(self, x: Tensor) -> Tensor:
        """Bring the singular values of a matrix near 1, with the singular vectors kept."""
        tall = x.shape[0] > x.shape[1]
        x = ops.transpose(x) if tall else x  # X X^T is then the smaller one of the two products
        x = x / (ops.norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            gram = x @ ops.transpose(x)
            x = self.muon_a * x + (self.muon_b * gram + self.muon_c * (gram @ gram)) @ x
        return ops.transpose(x) if tall else x
