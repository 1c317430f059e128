"""Layers that add noise in training and do nothing otherwise: Dropout, AlphaDropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_number, as_seed
from tinygrad_dnn.layers.arguments import Shape, as_shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.tensor import Tensor

# What SELU tends to for large negative inputs, -scale * alpha: a unit dropped to it looks like a saturated one.
_SELU_FLOOR = -1.7580993408473766


class Dropout(Layer):
    """Drop each unit with probability ``rate`` in training and divide the rest by 1 - rate (Srivastava et al., 2014).

    Args:
        rate: The probability of dropping a unit, in [0, 1).
        noise_shape: The shape of the mask, which broadcasts to the inputs; None for a length takes the input's.
        seed: Of the masks, an integer in [0, 2**63); by default they follow ``utils.set_random_seed`` and the layer's
            place in its model.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``rate`` or ``seed`` is out of range, or ``noise_shape`` is none.

    Example:
        >>> layer = td.layers.Dropout(0.5, seed=1)
        >>> sorted(set(layer(td.ones((1, 100)), training=True).tolist()[0]))
        [0.0, 2.0]
        >>> bool((layer(td.ones((1, 100))) == 1).all())
        True
    """

    is_dropout = True

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.rate = as_number(rate, f"{owner}: rate", "[0, 1)")
        self.noise_shape = None if noise_shape is None else as_shape(noise_shape, f"{owner}: noise_shape")
        self.seed = as_seed(seed, f"{owner}: seed")
        self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return the inputs with units dropped, in training; else as they are."""
        if not training or not self.rate:
            return inputs
        return self._drop(inputs, self._kept(inputs))

    def _kept(self, inputs: Tensor) -> Tensor:
        """Draw which units stay."""
        shape = inputs.shape
        if self.noise_shape is not None:
            if len(self.noise_shape) != len(shape):
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: noise_shape {self.noise_shape} must have as many axes as "
                    f"the inputs, of shape {shape}."
                )
            shape = tuple(n if m is None else m for n, m in zip(shape, self.noise_shape, strict=True))
        return ops.greater_equal(self.seed_generator.uniform(shape, dtype=self.dtype), self.rate)

    def _drop(self, inputs: Tensor, kept: Tensor) -> Tensor:
        return ops.where(kept, inputs * (1.0 / (1.0 - self.rate)), 0.0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        noise_shape = None if self.noise_shape is None else list(self.noise_shape)
        return {**super().get_config(), "rate": self.rate, "noise_shape": noise_shape, "seed": self.seed}


class AlphaDropout(Dropout):
    """Dropout for SELU: units fall to SELU's floor, and mean 0 and variance 1 are kept (Klambauer et al., 2017).

    A unit stays x with probability 1 - rate, else becomes a' = -1.7581; the result is a * that + b with
    a = ((1 - rate) (1 + rate a'^2))^-1/2 and b = -a rate a'.

    Args:
        rate: The probability of dropping a unit, in [0, 1).
        noise_shape: As for ``Dropout``.
        seed: As for ``Dropout``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: As for ``Dropout``.

    Example:
        >>> layer = td.layers.AlphaDropout(0.1)
        >>> layer(td.ones((2, 3)))
        Tensor([[1., 1., 1.],
                [1., 1., 1.]], dtype=float32)
    """

    def _drop(self, inputs: Tensor, kept: Tensor) -> Tensor:
        a: float = ((1 - self.rate) * (1 + self.rate * _SELU_FLOOR**2)) ** -0.5
        b = -a * self.rate * _SELU_FLOOR
        return ops.where(kept, inputs, _SELU_FLOOR) * a + b
