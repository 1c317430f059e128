"""The layers every dense network is made of: InputLayer (and Input), Flatten, Dense, Activation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers.arguments import Shape, as_shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.layers.kernel import KernelLayer
from tinygrad_dnn.layers.symbolic import Call, SymbolicTensor, first_call
from tinygrad_dnn.precision import global_policy
from tinygrad_dnn.tensor import Tensor


class InputLayer(Layer):
    """Says the shape of one sample at the head of a ``Sequential`` model, which is then built at once.

    Args:
        shape: The shape of a sample, without the batch; an axis of any length is None.
        batch_size: The length of a batch where it is fixed, at least 1.
        **kwargs: Those of ``Layer``; its ``input_shape`` may stand for ``shape``; ``batch_shape``, the batch's length
            first, for both.

    Raises:
        ValueError: There is no shape, it is none, or there are two; or ``batch_size`` is out of its range.

    Example:
        >>> model = td.models.Sequential([td.layers.InputLayer(shape=(28, 28)), td.layers.Flatten()])
        >>> model.output_shape
        (None, 784)
    """

    def __init__(self, shape: Sequence[int | None] | None = None, batch_size: int | None = None, **kwargs: Any) -> None:
        given, batch_shape = kwargs.pop("input_shape", None), kwargs.pop("batch_shape", None)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = global_policy().variable_dtype  # data come as they are
        super().__init__(**kwargs)
        owner = f"InputLayer {self.name!r}"
        if batch_shape is not None:
            if shape is not None or batch_size is not None or given is not None:
                raise ValueError(f"{owner}: batch_shape stands for shape and batch_size: give it alone.")
            lengths = as_shape(batch_shape, f"{owner}: batch_shape")
            if not lengths:
                raise ValueError(f"{owner}: batch_shape has at least the batch's length, as (None, 784), not ().")
            batch_size, shape = lengths[0], lengths[1:]
        self.shape = as_shape(given if shape is None else shape, f"{owner}: shape")
        if batch_size is not None:
            words = "None or an integer of at least 1"
            batch_size = as_integer(batch_size, f"{owner}: batch_size", "[1, inf)", words)
        self.batch_size = batch_size
        self.ensure_built(self.batch_shape)

    @property
    def output(self) -> SymbolicTensor:
        """The symbolic tensor that layers are called on; the same for as long as anything holds it."""
        call = first_call(self) or Call(self, (), (), {}, self.batch_shape)
        return call.outputs  # type: ignore[no-any-return]

    @property
    def batch_shape(self) -> Shape:
        """The shape of a batch, its unknown length None."""
        return (self.batch_size, *self.shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "shape": list(self.shape), "batch_size": self.batch_size}


def Input(  # noqa: N802  # Keras's name
    shape: Sequence[int | None] | None = None, batch_size: int | None = None, **kwargs: Any
) -> SymbolicTensor:
    """Return a symbolic tensor for a model's input: call layers on it, and make a ``Model`` of what they give.

    Args:
        shape: The shape of a sample, without the batch; an axis of any length is None.
        batch_size: The length of a batch where it is fixed.
        **kwargs: The further ones of ``InputLayer``: ``batch_shape``, ``dtype``, ``name``.

    Raises:
        ValueError: There is no shape, it is none, or there are two.

    Example:
        >>> inputs = td.Input(shape=(8,))
        >>> hidden = td.layers.Dense(8, activation="elu")(inputs)
        >>> outputs = td.layers.Dense(1)(td.layers.Add()([inputs, hidden]))
        >>> td.Model(inputs, outputs).predict(np.zeros((2, 8))).shape
        (2, 1)
    """
    return InputLayer(shape, batch_size, **kwargs).output


class Flatten(Layer):
    """Make each sample a vector: (batch, a, b, ...) becomes (batch, a * b * ...).

    Example:
        >>> td.layers.Flatten()(td.zeros((2, 3, 4))).shape
        (2, 12)
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs with all axes but the first made one."""
        return ops.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, the product of the other lengths)."""
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(n or 0 for n in rest))


class Activation(Layer):
    """Apply an activation function.

    Args:
        activation: A registered name or a function of a Tensor.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> td.layers.Activation("relu")(np.array([[-1.0, 2.0]]))
        Tensor([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        found = registry.activations.given(activation, f"Activation {self.name!r}: activation")
        self.activation = found or registry.activations.get("linear")

    def call(self, inputs: Tensor) -> Tensor:
        """Return the activation of the inputs."""
        return self.activation(inputs)  # type: ignore[no-any-return]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the activation's values: as a rule the same, and half of an axis for "glu"."""
        probe = tuple(2 if n is None else n for n in input_shape)
        with no_grad():
            made = self.activation(ops.zeros(probe, dtype=self.dtype)).shape
        return input_shape if made == probe else super().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "activation": registry.activations.serialize(self.activation)}


class Dense(KernelLayer):
    """A fully connected layer: activation(inputs @ kernel + bias), on the last axis.

    Args:
        units: The length of the output's last axis, at least 1.
        activation: A registered name or a function of a Tensor; none by default.
        use_bias: Whether there is a bias.
        kernel_initializer: How the kernel, of shape (inputs, units), starts.
        bias_initializer: How the bias, of shape (units,), starts.
        kernel_regularizer: A penalty on the kernel that joins the loss.
        bias_regularizer: A penalty on the bias that joins the loss.
        kernel_constraint: What the kernel passes through after each update.
        bias_constraint: What the bias passes through after each update.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``units`` is no positive integer, a name is unknown, or the inputs have another number of features
            than those the layer was built for.

    Example:
        >>> layer = td.layers.Dense(2, activation="relu", kernel_initializer="ones")
        >>> layer(np.array([[1.0, 2.0, 3.0]])).detach()
        Tensor([[6., 6.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.units = as_integer(units, f"Dense {self.name!r}: units", "[1, inf)")

    def build(self, input_shape: Shape) -> None:
        """Make the kernel and the bias."""
        features = input_shape[-1] if len(input_shape) > 1 else None
        if features is None:
            raise ValueError(
                f"Dense {self.name!r} takes inputs of shape (batch, features); it was built for {input_shape}: add an "
                "axis to the data, or say the length of the last one."
            )
        self._add_kernel_and_bias((features, self.units))

    def call(self, inputs: Tensor) -> Tensor:
        """Return activation(inputs @ kernel + bias)."""
        if inputs.ndim < 2 or inputs.shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"Dense {self.name!r} was built for {self.kernel.shape[0]} features and got inputs of shape "
                f"{inputs.shape}: give it batches of {self.kernel.shape[0]} features, or flatten it first."
            )
        outputs = ops.matmul(inputs, self.kernel)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return self._activated(outputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with ``units`` as its last length."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "units": self.units,
        }
