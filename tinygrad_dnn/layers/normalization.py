"""Normalisation: of each feature over the batch, and of each sample over its features."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.checks import as_axes, as_flag, as_integer, as_number
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.tensor import Tensor, Variable


class _Normalizing(Layer):
    """What layers that normalise have in common: epsilon, the learned gamma and beta, and what is done with them.

    They compute in the type of their weights, and round what they give: 16 bits do not hold a sum of squares.
    """

    gamma: Variable | None = None
    beta: Variable | None = None

    def __init__(
        self,
        *,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.epsilon = as_number(epsilon, f"{owner}: epsilon", "[0, inf)")
        self.center = as_flag(center, f"{owner}: center")
        self.scale = as_flag(scale, f"{owner}: scale")
        self.beta_initializer = registry.initializers.given(beta_initializer, f"{owner}: beta_initializer")
        self.gamma_initializer = registry.initializers.given(gamma_initializer, f"{owner}: gamma_initializer")
        self.beta_regularizer = registry.regularizers.given(beta_regularizer, f"{owner}: beta_regularizer")
        self.gamma_regularizer = registry.regularizers.given(gamma_regularizer, f"{owner}: gamma_regularizer")
        self.beta_constraint = registry.constraints.given(beta_constraint, f"{owner}: beta_constraint")
        self.gamma_constraint = registry.constraints.given(gamma_constraint, f"{owner}: gamma_constraint")

    def _add_gamma_and_beta(self, shape: tuple[int, ...]) -> None:
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

    def _scaled(self, centred: Tensor, variance: Tensor, along: tuple[int, ...]) -> Tensor:
        """Return centred / sqrt(variance + epsilon) * gamma + beta, whose weights take the shape ``along``."""
        factor = 1.0 / ops.sqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * ops.reshape(self.gamma, along)
        outputs = centred * factor
        return self._rounded(outputs if self.beta is None else outputs + ops.reshape(self.beta, along))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        plain = {key: getattr(self, key) for key in ("epsilon", "center", "scale")}
        named = {
            f"{weight}_{role}": getattr(registry, f"{role}s").serialize(getattr(self, f"{weight}_{role}"))
            for weight in ("beta", "gamma")
            for role in ("initializer", "regularizer", "constraint")
        }
        return {**super().get_config(), **plain, **named}


class BatchNormalization(_Normalizing):
    """Centre and scale each feature by the batch's mean and variance, then by a learned gamma and beta.

    In training: (x - mean) / sqrt(var + epsilon) * gamma + beta with the batch's own statistics, while the moving
    averages follow them, moving = moving * momentum + batch * (1 - momentum). Otherwise, and always while
    ``trainable`` is False, with the moving averages. Both variances are the biased ones (Ioffe and Szegedy, 2015).

    PyTorch's layer is momentum=0.9 (its "momentum" is 1 minus this one), epsilon=1e-5 and unbiased=True.

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
        unbiased: Let the moving variance follow the unbiased variance of the batch, n / (n - 1) times the other.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``axis``, ``momentum`` or ``epsilon`` is out of range, or the inputs do not have ``axis``.

    Example:
        >>> layer = td.layers.BatchNormalization()
        >>> layer(np.array([[1.0], [3.0]]), training=True).detach()
        Tensor([[-0.9995],
                [ 0.9995]], dtype=float32)
    """

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
        unbiased: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        owner = f"BatchNormalization {self.name!r}"
        self.axis = as_integer(axis, f"{owner}: axis")
        self.momentum = as_number(momentum, f"{owner}: momentum", "[0, 1]")
        self.unbiased = as_flag(unbiased, f"{owner}: unbiased")
        self.moving_mean_initializer = registry.initializers.given(
            moving_mean_initializer, f"{owner}: moving_mean_initializer"
        )
        self.moving_variance_initializer = registry.initializers.given(
            moving_variance_initializer, f"{owner}: moving_variance_initializer"
        )

    def build(self, input_shape: Shape) -> None:
        """Make gamma, beta and the moving averages."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank or input_shape[self.axis] is None:
            raise ValueError(
                f"BatchNormalization {self.name!r}: axis {self.axis} must be an axis of known length; the inputs have "
                f"shape {input_shape}."
            )
        shape = (int(input_shape[self.axis] or 0),)
        self._add_gamma_and_beta(shape)
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
            count = inputs.size // features
            factor = count / max(count - 1, 1) if self.unbiased else 1.0
            self._move(self.moving_variance, variance if factor == 1.0 else variance * factor)
        else:
            centred = inputs - ops.reshape(self.moving_mean, along)
            variance = ops.reshape(self.moving_variance, along)
        return self._scaled(centred, variance, along)

    def _move(self, moving: Variable, batch: Tensor) -> None:
        with no_grad():
            moving.assign(moving * self.momentum + ops.reshape(batch, moving.shape) * (1.0 - self.momentum))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "unbiased": self.unbiased,
            "moving_mean_initializer": registry.initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": registry.initializers.serialize(self.moving_variance_initializer),
        }


class LayerNormalization(_Normalizing):
    """Centre and scale each sample by its own mean and variance over its features, then by a learned gamma and beta.

    (x - mean) / sqrt(var + epsilon) * gamma + beta, in training and at inference alike; the variance is the biased
    one. PyTorch's layer is epsilon=1e-5.

    Args:
        axis: The axis, or axes, of the features, not the batch's; gamma and beta have their shape.
        epsilon: What keeps the division finite.
        center: Whether there is a beta.
        scale: Whether there is a gamma.
        beta_initializer: How beta starts.
        gamma_initializer: How gamma starts.
        beta_regularizer: A penalty on beta that joins the loss.
        gamma_regularizer: A penalty on gamma that joins the loss.
        beta_constraint: What beta passes through after each update.
        gamma_constraint: What gamma passes through after each update.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``axis`` or ``epsilon`` is out of range, or the inputs do not have ``axis`` or have another length
            there.

    Example:
        >>> layer = td.layers.LayerNormalization()
        >>> layer(np.array([[1.0, 3.0]])).detach()
        Tensor([[-0.9995,  0.9995]], dtype=float32)

    Reference:
        Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        self.axis = as_axes(axis, f"LayerNormalization {self.name!r}: axis")

    def build(self, input_shape: Shape) -> None:
        """Make gamma and beta."""
        lengths = [input_shape[axis] for axis in self._axes(input_shape)]
        if None in lengths:
            raise ValueError(
                f"LayerNormalization {self.name!r}: axis {self.axis} must have a known length; the inputs have shape "
                f"{input_shape}."
            )
        self._lengths = tuple(n or 0 for n in lengths)
        self._add_gamma_and_beta(self._lengths)

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        """Return the axes of the features in order."""
        rank = len(shape)
        axes = sorted({axis % rank for axis in self.axis if -rank <= axis < rank})
        if len(axes) != len(self.axis) or 0 in axes or not axes:
            raise ValueError(
                f"LayerNormalization {self.name!r}: axis {self.axis} must be axes after the batch's, each once; the "
                f"inputs have shape {shape}."
            )
        return tuple(axes)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the normalised inputs."""
        axes = self._axes(inputs.shape)
        if tuple(inputs.shape[axis] for axis in axes) != self._lengths:
            raise ValueError(
                f"LayerNormalization {self.name!r} was built for lengths {self._lengths} of axis {self.axis} and got "
                f"inputs of shape {inputs.shape}."
            )
        inputs = ops.cast(inputs, self.dtype)
        centred = inputs - ops.mean(inputs, axes, keepdims=True)
        variance = ops.mean(centred * centred, axes, keepdims=True)
        along = tuple(n if axis in axes else 1 for axis, n in enumerate(inputs.shape))
        return self._scaled(centred, variance, along)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "axis": list(self.axis)}
