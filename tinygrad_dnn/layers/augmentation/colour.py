"""Layers that change the contrast and the brightness of images at random in training."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.layers.augmentation.base import RandomImageLayer, as_bounds, as_factor, as_value_range
from tinygrad_dnn.tensor import Tensor


class RandomContrast(RandomImageLayer):
    """Move the pixels of each image away from the mean of their channel, or towards it, by a random factor in training.

    A pixel x becomes (x - mean) c + mean, clipped to ``value_range``, with one c for the image and a mean for each of
    its channels. Images are (batch, height, width, channels), of floats or integers; what comes out are floats. The
    layer acts in training, and when it is called by itself without ``training``.

    Args:
        factor: c is drawn between 1 - lower and 1 + upper for a pair (lower, upper) of numbers in [0, 1], and between
            1 - f and 1 + f for a number f.
        value_range: The least and the largest value of a pixel: (0, 255) for bytes, (0, 1) for scaled images.
        seed: Of the draws, as for ``RandomFlip``.
        **kwargs: Those of ``Layer``, and ``data_format``, None or "channels_last".

    Raises:
        ValueError: An argument is out of its range, or the inputs are no images.

    Example:
        >>> layer = td.layers.RandomContrast((1.0, 0.0), seed=1)
        >>> images = layer(np.array([0.0, 200.0]).reshape(1, 1, 2, 1))
        >>> bool(images.min() > 0), bool(images.max() < 200), round(images.mean().item(), 4)
        (True, True, 100.0)
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.factor = as_factor(factor, f"{self._title}: factor", "[0, 1]")
        self.value_range = as_value_range(value_range, f"{self._title}: value_range")

    def _changed(self, images: Tensor) -> Tensor:
        lower, upper = self.factor
        contrast = ops.cast(self._draw(images, (1.0 - lower, 1.0 + upper)), images.dtype)
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        return ops.clip((images - mean) * contrast + mean, *self.value_range)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "factor": list(self.factor), "value_range": list(self.value_range)}


class RandomBrightness(RandomImageLayer):
    """Add a random number to all pixels of each image in training.

    A pixel x becomes x + b (high - low), clipped to ``value_range``, with one b for the image. Images are (batch,
    height, width, channels), of floats or integers; what comes out are floats. The layer acts in training, and when it
    is called by itself without ``training``.

    Args:
        factor: b is drawn between the two numbers of a pair, each in [-1, 1], or from -f to f for a number f; -1 makes
            an image black, 1 white.
        value_range: The least and the largest value of a pixel, (low, high): (0, 255) for bytes, (0, 1) for scaled
            images.
        seed: Of the draws, as for ``RandomFlip``.
        **kwargs: Those of ``Layer``, and ``data_format``, None or "channels_last".

    Raises:
        ValueError: An argument is out of its range, or the inputs are no images.

    Example:
        >>> layer = td.layers.RandomBrightness((0.5, 0.5), value_range=(0, 1))
        >>> layer(np.array([0.25, 0.75]).reshape(1, 1, 2, 1))[0, 0, :, 0]
        Tensor([0.75, 1.  ], dtype=float32)
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.factor = as_bounds(factor, f"{self._title}: factor", "[-1, 1]")
        self.value_range = as_value_range(value_range, f"{self._title}: value_range")

    def _changed(self, images: Tensor) -> Tensor:
        low, high = self.value_range
        added = ops.cast(self._draw(images, self.factor) * (high - low), images.dtype)
        return ops.clip(images + added, low, high)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "factor": list(self.factor), "value_range": list(self.value_range)}
