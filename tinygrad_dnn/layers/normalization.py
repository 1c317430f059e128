"""Batch normalisation."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers.arguments import Shape, as_number
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.tensor import Tensor, Variable


class BatchNormalization(Layer):
    """Centre and scale each feature by the batch's mean and variance, then by a learned gamma and beta.

    In training: (x - mean) / sqrt(var + epsilon) * gamma + beta with the batch's own statistics, while the moving
    averages follow them, moving = moving * momentum + batch * (1 - momentum). Otherwise, and always while
    ``trainable`` is False, with the moving averages. Both variances are the biased ones (Ioffe and Szegedy, 2015).

    PyTorch's layer is momentum=0.9 (its "momentum" is 1 minus this one) and epsilon=1e-5.

    Args:
        axis: The axis of the features.
        momentum: How much of the moving averages stays at each step, in [0, 1].
        epsilon: What keeps the division finite.
        center: Whether there is a beta.
        scale: Whether there is a gamma.
        beta_initializer: How beta starts.
        gamma_initializer: How gamma starts.
        moving_mean_initializer: How the moving mean starts.
        moving_variance_initializer: How the moving variance starts.
        beta_regularizer: A penalty on beta that joins the loss.
        gamma_regularizer: A penalty on gamma that joins the loss.
        beta_constraint: What beta passes through after each update.
        gamma_constraint: What gamma passes through after each update.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``axis``, ``momentum`` or ``epsilon`` is out of range, or the inputs do not have ``axis``.

    Example:
        >>> layer = td.layers.BatchNormalization()
        >>> layer(np.array([[1.0], [3.0]]), training=True).detach()
        Tensor([[-0.9995],
                [ 0.9995]], dtype=float32)
    """

    gamma: Variable | None = None
    beta: Variable | None = None
    moving_mean: Variable
    moving_variance: Variable

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = f"BatchNormalization {self.name!r}"
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise ValueError(f"{owner}: axis must be an integer, not {axis!r}.")
        self.axis = int(axis)
        self.momentum = as_number(momentum, f"{owner}: momentum", "a number in [0, 1]", lambda v: 0 <= v <= 1)
        self.epsilon = as_number(epsilon, f"{owner}: epsilon", "a number of at least 0", lambda v: 0 <= v < math.inf)
        self.center = center
        self.scale = scale
        self.beta_initializer = registry.initializers.get(beta_initializer)
        self.gamma_initializer = registry.initializers.get(gamma_initializer)
        self.moving_mean_initializer = registry.initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = registry.initializers.get(moving_variance_initializer)
        self.beta_regularizer = registry.regularizers.get(beta_regularizer)
        self.gamma_regularizer = registry.regularizers.get(gamma_regularizer)
        self.beta_constraint = registry.constraints.get(beta_constraint)
        self.gamma_constraint = registry.constraints.get(gamma_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make gamma, beta and the moving averages."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank or input_shape[self.axis] is None:
            raise ValueError(
                f"BatchNormalization {self.name!r}: axis {self.axis} must be an axis of known length; the inputs have "
                f"shape {input_shape}."
            )
        shape = (int(input_shape[self.axis] or 0),)
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint, name="gamma",
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, regularizer=self.beta_regularizer,
                constraint=self.beta_constraint, name="beta",
            )  # fmt: skip
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return the normalised inputs; in training, move the averages too."""
        features = self.moving_mean.shape[0]
        axis = range(inputs.ndim)[self.axis] if -inputs.ndim <= self.axis < inputs.ndim else -1
        if axis < 1 or inputs.shape[axis] != features:
            raise ValueError(
                f"BatchNormalization {self.name!r} was built for {features} features on axis {self.axis} and got "
                f"inputs of shape {inputs.shape}."
            )
        inputs = ops.cast(inputs, self.dtype)
        along = tuple(1 if i != axis else features for i in range(inputs.ndim))
        if training and self.trainable:
            others = tuple(i for i in range(inputs.ndim) if i != axis)
            mean = ops.mean(inputs, others, keepdims=True)
            centred = inputs - mean
            variance = ops.mean(centred * centred, others, keepdims=True)
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
        else:
            centred = inputs - ops.reshape(self.moving_mean, along)
            variance = ops.reshape(self.moving_variance, along)
        factor = 1.0 / ops.sqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * ops.reshape(self.gamma, along)
        outputs = centred * factor
        return outputs if self.beta is None else outputs + ops.reshape(self.beta, along)

    def _move(self, moving: Variable, batch: Tensor) -> None:
        with no_grad():
            moving.assign(moving * self.momentum + ops.reshape(batch, moving.shape) * (1.0 - self.momentum))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        plain = {key: getattr(self, key) for key in ("axis", "momentum", "epsilon", "center", "scale")}
        named = {
            f"{weight}_{role}": getattr(registry, f"{role}s").serialize(getattr(self, f"{weight}_{role}"))
            for weight in ("beta", "gamma")
            for role in ("initializer", "regularizer", "constraint")
        }
        for key in ("moving_mean_initializer", "moving_variance_initializer"):
            named[key] = registry.initializers.serialize(getattr(self, key))
        return {**super().get_config(), **plain, **named}
