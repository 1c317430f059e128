"""Layers that disturb their inputs in training: Gaussian noise, added or multiplied, and the dropping of channels."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_number, as_seed
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.layers.dropout import Dropout
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.tensor import Tensor


class _Gaussian(Layer):
    """A layer that draws a normal number of mean 0 for each element of its input, in training."""

    # The standard deviation of what is drawn.
    _deviation: float

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = as_seed(seed, f"{type(self).__name__} {self.name!r}: seed")
        self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return the inputs disturbed, in training; else as they are."""
        if not training or not self._deviation:
            return inputs
        noise = self.seed_generator.normal(inputs.shape, stddev=self._deviation, dtype=self.dtype)
        return self._rounded(self._disturbed(ops.cast(inputs, self.dtype), noise))

    def _disturbed(self, inputs: Tensor, noise: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "seed": self.seed}


class GaussianNoise(_Gaussian):
    """Add normal noise of mean 0 in training.

    Args:
        stddev: Its standard deviation, at least 0.
        seed: Of the noise, as for ``Dropout``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``stddev`` or ``seed`` is out of range.

    Example:
        >>> layer = td.layers.GaussianNoise(0.1, seed=1)
        >>> layer(td.ones((1, 2)))
        Tensor([[1., 1.]], dtype=float32)
        >>> 0.05 < layer(td.ones((1, 1000)), training=True).std().item() < 0.15
        True
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        owner = f"GaussianNoise {self.name!r}: stddev"
        self.stddev = self._deviation = as_number(stddev, owner, "[0, inf)")

    def _disturbed(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return inputs + noise

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "stddev": self.stddev}


class GaussianDropout(_Gaussian):
    """Multiply by normal noise of mean 1 and standard deviation sqrt(rate / (1 - rate)) in training.

    These are the mean and the standard deviation of what ``Dropout`` multiplies by (Srivastava et al., 2014).

    Args:
        rate: That of the ``Dropout`` it resembles, in [0, 1).
        seed: Of the noise, as for ``Dropout``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``rate`` or ``seed`` is out of range.

    Example:
        >>> layer = td.layers.GaussianDropout(0.5, seed=1)
        >>> layer(td.ones((1, 2)))
        Tensor([[1., 1.]], dtype=float32)
        >>> 0.9 < layer(td.ones((1, 1000)), training=True).std().item() < 1.1
        True
    """

    is_dropout = True

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        owner = f"GaussianDropout {self.name!r}: rate"
        self.rate = as_number(rate, owner, "[0, 1)")
        self._deviation = math.sqrt(self.rate / (1.0 - self.rate))

    def _disturbed(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return inputs * (noise + 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "rate": self.rate}


class _SpatialDropout(Dropout):
    """Dropout whose mask has length 1 along the axes of space."""

    _axes: str

    def build(self, input_shape: Shape) -> None:
        """Check that the inputs have the axes."""
        if len(input_shape) != len(self.noise_shape or ()):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} takes inputs of shape ({self._axes}), not {input_shape}."
            )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        config = super().get_config()
        del config["noise_shape"]
        return config


class SpatialDropout1D(_SpatialDropout):
    """Drop whole channels of sequences in training: each is 0 at every step, or divided by 1 - rate at every step.

    Args:
        rate: The probability of dropping a channel, in [0, 1).
        seed: As for ``Dropout``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``rate`` or ``seed`` is out of range, or the inputs are not of shape (batch, steps, channels).

    Example:
        >>> layer = td.layers.SpatialDropout1D(0.5, seed=1)
        >>> outputs = layer(td.ones((1, 4, 10)), training=True)
        >>> bool((outputs == outputs[:, :1]).all())
        True

    Reference:
        Tompson et al., "Efficient object localization using convolutional networks", 2015.
    """

    _axes = "batch, steps, channels"

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), seed=seed, **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """Drop whole channels of images in training: each is 0 everywhere, or divided by 1 - rate everywhere.

    Args:
        rate: The probability of dropping a channel, in [0, 1).
        data_format: "channels_last", the default, or "channels_first": where the axis of channels stands.
        seed: As for ``Dropout``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``rate``, ``data_format`` or ``seed`` is out of range, or the inputs have not 4 axes.

    Example:
        >>> layer = td.layers.SpatialDropout2D(0.5, seed=1)
        >>> outputs = layer(td.ones((1, 2, 2, 10)), training=True)
        >>> bool((outputs == outputs[:, :1, :1]).all())
        True

    Reference:
        Tompson et al., "Efficient object localization using convolutional networks", 2015.
    """

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        data_format = "channels_last" if data_format is None else data_format
        last = isinstance(data_format, str) and data_format == "channels_last"
        super().__init__(rate, noise_shape=(None, 1, 1, None) if last else (None, None, 1, 1), seed=seed, **kwargs)
        if not isinstance(data_format, str) or data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                f"SpatialDropout2D {self.name!r}: data_format must be 'channels_last' or 'channels_first', not "
                f"{data_format!r}."
            )
        self.data_format = data_format
        self._axes = "batch, height, width, channels" if last else "batch, channels, height, width"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "data_format": self.data_format}
