"""Activations that are layers: those with arguments of their own, a learned one (PReLU), a random one (RReLU)."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.checks import as_axes, as_integer, as_number, as_seed
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.tensor import Tensor, Variable


class _Elementwise(Layer):
    """A layer that changes each element by itself, and so no shape."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape


class _Function(_Elementwise):
    """A registered activation whose arguments are the layer's."""

    # The activation's name, and those of the layer's attributes that are its arguments.
    _activation: str
    _arguments: tuple[str, ...]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._function = registry.activations.get(self._activation)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the activation of the inputs."""
        arguments = {name: getattr(self, name) for name in self._arguments}
        return self._function(inputs, **arguments)  # type: ignore[no-any-return]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self._arguments}}

    def _at_least_0(self, name: str, value: Any) -> float:
        owner = f"{type(self).__name__} {self.name!r}: {name}"
        return as_number(value, owner, "[0, inf)")


class ReLU(_Function):
    """The rectified linear unit: x above ``threshold``, else ``negative_slope * (x - threshold)``.

    Args:
        max_value: The greatest result, at least 0; None sets no limit.
        negative_slope: The slope below the threshold, at least 0.
        threshold: Where the linear part begins, at least 0.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is below 0.

    Example:
        >>> td.layers.ReLU(max_value=2.0)(np.array([[-1.0, 1.0, 3.0]]))
        Tensor([[0., 1., 2.]], dtype=float32)
    """

    _activation = "relu"
    _arguments = ("max_value", "negative_slope", "threshold")

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else self._at_least_0("max_value", max_value)
        self.negative_slope = self._at_least_0("negative_slope", negative_slope)
        self.threshold = self._at_least_0("threshold", threshold)


class LeakyReLU(_Function):
    """The leaky rectified linear unit: x where it is positive, else ``negative_slope * x``.

    The layer's default slope is 0.3, the function's 0.2, PyTorch's 0.01 (Maas, Hannun and Ng, 2013).

    Args:
        negative_slope: The slope below 0, at least 0.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``negative_slope`` is below 0.

    Example:
        >>> td.layers.LeakyReLU()(np.array([[-1.0, 1.0]]))
        Tensor([[-0.3,  1. ]], dtype=float32)
    """

    _activation = "leaky_relu"
    _arguments = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative_slope = self._at_least_0("negative_slope", negative_slope)


class ELU(_Function):
    """The exponential linear unit: x where it is positive, else ``alpha * (exp(x) - 1)`` (Clevert et al., 2016).

    Args:
        alpha: Minus the limit towards minus infinity, at least 0; also the slope at 0.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``alpha`` is below 0.

    Example:
        >>> td.layers.ELU(alpha=2.0)(np.array([[-1.0, 1.0]]))
        Tensor([[-1.264241,  1.      ]], dtype=float32)
    """

    _activation = "elu"
    _arguments = ("alpha",)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = self._at_least_0("alpha", alpha)


class Softmax(_Function):
    """``exp(x)`` divided by its sum along an axis: positive numbers that add up to 1.

    Over the last axis the result remembers its logits, as that of ``activations.softmax``.

    Args:
        axis: The axis along which they add up to 1.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``axis`` is no integer, or the inputs do not have it.

    Example:
        >>> td.layers.Softmax()(np.array([[1.0, 2.0, 3.0]]))
        Tensor([[0.090031, 0.244728, 0.665241]], dtype=float32)
    """

    _activation = "softmax"
    _arguments = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = as_integer(axis, f"Softmax {self.name!r}: axis")

    def build(self, input_shape: Shape) -> None:
        """Check that the inputs have the axis."""
        if not -len(input_shape) <= self.axis < len(input_shape):
            raise ValueError(
                f"Softmax {self.name!r}: axis {self.axis} is out of range for inputs of shape {input_shape}."
            )


class PReLU(_Elementwise):
    """The parametric rectified linear unit: x where it is positive, else ``alpha * x`` with a learned alpha.

    Args:
        alpha_initializer: How alpha, of the shape of one sample, starts.
        alpha_regularizer: A penalty on alpha that joins the loss.
        alpha_constraint: What alpha passes through after each update.
        shared_axes: The axes, counted from 1 for the first after the batch, along which one alpha serves all: [1, 2]
            for one alpha a channel of images.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: A name is unknown, ``shared_axes`` is out of range, or the inputs have another shape than that which
            the layer was built for.

    Example:
        >>> layer = td.layers.PReLU(alpha_initializer=td.initializers.Constant(0.25))
        >>> layer(np.array([[-1.0, 1.0]])).detach()
        Tensor([[-0.25,  1.  ]], dtype=float32)

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """

    alpha: Variable

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = f"PReLU {self.name!r}"
        self.alpha_initializer = registry.initializers.given(alpha_initializer, f"{owner}: alpha_initializer")
        self.alpha_regularizer = registry.regularizers.given(alpha_regularizer, f"{owner}: alpha_regularizer")
        self.alpha_constraint = registry.constraints.given(alpha_constraint, f"{owner}: alpha_constraint")
        self.shared_axes = None
        if shared_axes is not None:
            self.shared_axes = list(as_axes(shared_axes, f"{owner}: shared_axes"))

    def build(self, input_shape: Shape) -> None:
        """Make alpha."""
        shared, rank = self.shared_axes or [], len(input_shape)
        if any(not 1 <= axis < rank for axis in shared):
            raise ValueError(
                f"PReLU {self.name!r}: shared_axes {shared} must be axes from 1 to {rank - 1} of inputs of shape "
                f"{input_shape}."
            )
        shape = [1 if axis in shared else input_shape[axis] for axis in range(1, rank)]
        if None in shape:
            raise ValueError(
                f"PReLU {self.name!r}: axis {shape.index(None) + 1} of the inputs, of shape {input_shape}, must have a "
                "known length or be one of shared_axes."
            )
        self.alpha = self.add_weight(
            [int(n or 0) for n in shape],
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Return x where it is positive, else alpha * x."""
        shared, lengths = self.shared_axes or [], self.alpha.shape
        fits = inputs.ndim == len(lengths) + 1
        if not fits or any(n != inputs.shape[i] and i not in shared for i, n in enumerate(lengths, 1)):
            raise ValueError(
                f"PReLU {self.name!r} has an alpha of shape {lengths}, with shared_axes {shared}, and got inputs of "
                f"shape {inputs.shape}."
            )
        return ops.where(inputs > 0, inputs, self.alpha * inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "alpha_initializer": registry.initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": registry.regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": registry.constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class RReLU(_Elementwise):
    """The randomised rectified linear unit: x where it is positive, else x times a slope drawn anew for each element.

    Otherwise than in training the slope is the mean of the two limits. Keras has no such layer; the defaults are
    PyTorch's.

    Args:
        lower: The least slope, at least 0.
        upper: The greatest slope, at least ``lower``.
        seed: Of the slopes, as for ``Dropout``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> td.layers.RReLU(lower=0.1, upper=0.3)(np.array([[-1.0, 1.0]]))
        Tensor([[-0.2,  1. ]], dtype=float32)

    Reference:
        Xu, Wang, Chen and Li, "Empirical evaluation of rectified activations in convolutional network", 2015.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"RReLU {self.name!r}"
        self.lower = as_number(lower, f"{owner}: lower", "[0, inf)")
        least = f"a number of at least lower, {self.lower}"
        self.upper = as_number(upper, f"{owner}: upper", f"[{self.lower!r}, inf)", least)
        self.seed = as_seed(seed, f"{owner}: seed")
        self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return x where it is positive, else x times a slope."""
        slope: Tensor | float = (self.lower + self.upper) / 2
        if training and self.lower < self.upper:
            slope = self.seed_generator.uniform(inputs.shape, self.lower, self.upper, self.dtype)
        return self._rounded(ops.where(inputs > 0, inputs, slope * inputs))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "lower": self.lower, "upper": self.upper, "seed": self.seed}
