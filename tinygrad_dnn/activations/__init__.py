"""Activations: functions of a Tensor that a layer applies to its sums, by Keras's names and defaults."""

from __future__ import annotations

from tinygrad_dnn import registry
from tinygrad_dnn.activations.axes import glu, log_softmax, softmax, sparsemax
from tinygrad_dnn.activations.lines import (
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    linear,
    relu,
    relu6,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    threshold,
)
from tinygrad_dnn.activations.smooth import SELU_ALPHA as SELU_ALPHA
from tinygrad_dnn.activations.smooth import SELU_SCALE as SELU_SCALE
from tinygrad_dnn.activations.smooth import (
    celu,
    elu,
    exponential,
    gelu,
    log_sigmoid,
    mish,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
)
from tinygrad_dnn.hookspecs import Register, hookimpl

__all__ = [
    "celu", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish",
    "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "serialize",
    "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax",
    "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

hard_swish = hard_silu


def __dir__() -> list[str]:
    # What a user may want; and the hook, which the plugin host looks for here.
    return sorted([*__all__, "register_activations"])

get, serialize = registry.activations.get, registry.activations.serialize


@hookimpl
def register_activations(register: Register) -> None:
    """Register the built-in activations, as a plugin registers its own."""
    for activation in (
        linear, relu, relu6, leaky_relu, threshold, hard_sigmoid, hard_tanh, hard_shrink, soft_shrink, sparse_plus,
        sparse_sigmoid, elu, selu, celu, exponential, sigmoid, log_sigmoid, gelu, tanh, tanh_shrink, softsign,
        softplus, mish, squareplus, softmax, log_softmax, sparsemax, glu,
    ):  # fmt: skip
        register(activation)
    register(silu, aliases=("swish",))
    register(hard_silu, aliases=("hard_swish",))
