"""Initializers: the first values of a layer's weights, drawn on the host, by Keras's names and defaults."""

from __future__ import annotations

from tinygrad_dnn import registry
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.initializers.base import Constant, Identity, Initializer, Ones, Zeros
from tinygrad_dnn.initializers.random import Orthogonal, RandomNormal, RandomUniform, TruncatedNormal
from tinygrad_dnn.initializers.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
    compute_fans,
)

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "Initializer", "LecunNormal",
    "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
    "Zeros", "compute_fans", "constant", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "identity", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "ones", "orthogonal",
    "random_normal", "random_uniform", "serialize", "truncated_normal", "variance_scaling", "xavier_normal",
    "xavier_uniform", "zeros",
]  # fmt: skip

zeros = Zeros
ones = Ones
constant = Constant
identity = Identity
random_normal = RandomNormal
truncated_normal = TruncatedNormal
random_uniform = RandomUniform
variance_scaling = VarianceScaling
glorot_uniform = xavier_uniform = GlorotUniform
glorot_normal = xavier_normal = GlorotNormal
he_uniform = kaiming_uniform = HeUniform
he_normal = kaiming_normal = HeNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal
orthogonal = Orthogonal


def __dir__() -> list[str]:
    # What a user may want; and the hook, which the plugin host looks for here.
    return sorted([*__all__, "register_initializers"])

get, serialize = registry.initializers.get, registry.initializers.serialize


@hookimpl
def register_initializers(register: Register) -> None:
    """Register the built-in initializers, as a plugin registers its own."""
    register(Zeros, aliases=("zero",))
    register(Ones, aliases=("one",))
    register(RandomNormal, aliases=("normal",))
    register(RandomUniform, aliases=("uniform",))
    register(GlorotUniform, aliases=("xavier_uniform",))
    register(GlorotNormal, aliases=("xavier_normal",))
    register(HeUniform, aliases=("kaiming_uniform",))
    register(HeNormal, aliases=("kaiming_normal",))
    for initializer in (
        Constant, Identity, TruncatedNormal, VarianceScaling, LecunUniform, LecunNormal, Orthogonal,
    ):  # fmt: skip
        register(initializer)
