"""What Dense and Conv2D share: a kernel, a bias, the activation of their sum, and the arguments that shape them."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.checks import as_flag
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.tensor import Tensor, Variable


class KernelLayer(Layer):
    """Base of the layers that compute activation(product of the inputs and a kernel + bias)."""

    kernel: Variable
    bias: Variable | None = None

    def __init__(
        self,
        *,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.activation = registry.activations.given(activation, f"{owner}: activation")
        self.use_bias = as_flag(use_bias, f"{owner}: use_bias")
        self.kernel_initializer = registry.initializers.given(kernel_initializer, f"{owner}: kernel_initializer")
        self.bias_initializer = registry.initializers.given(bias_initializer, f"{owner}: bias_initializer")
        self.kernel_regularizer = registry.regularizers.given(kernel_regularizer, f"{owner}: kernel_regularizer")
        self.bias_regularizer = registry.regularizers.given(bias_regularizer, f"{owner}: bias_regularizer")
        self.kernel_constraint = registry.constraints.given(kernel_constraint, f"{owner}: kernel_constraint")
        self.bias_constraint = registry.constraints.given(bias_constraint, f"{owner}: bias_constraint")

    def _add_kernel_and_bias(self, shape: tuple[int, ...]) -> None:
        """Make a kernel of a shape, and a bias as long as its last axis."""
        self.kernel = self.add_weight(
            shape=shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=shape[-1:],
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _activated(self, outputs: Tensor) -> Tensor:
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "activation": registry.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": registry.initializers.serialize(self.kernel_initializer),
            "bias_initializer": registry.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": registry.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": registry.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": registry.constraints.serialize(self.kernel_constraint),
            "bias_constraint": registry.constraints.serialize(self.bias_constraint),
        }
