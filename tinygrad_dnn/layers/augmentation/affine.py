"""Layers that flip, shift, turn and stretch images at random in training."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_choice, as_number
from tinygrad_dnn.layers.augmentation.base import RandomImageLayer, as_bounds, as_given
from tinygrad_dnn.layers.augmentation.sampling import FILL_MODES, INTERPOLATIONS, positions, sample
from tinygrad_dnn.tensor import Tensor

_AXES = {"horizontal": (2,), "vertical": (1,), "horizontal_and_vertical": (1, 2)}


class RandomFlip(RandomImageLayer):
    """Mirror each image, or not, with equal chances in training.

    Images are (batch, height, width, channels), of floats or integers; what comes out are floats. The layer acts in
    training, and when it is called by itself without ``training``.

    Args:
        mode: "horizontal" exchanges left and right, "vertical" top and bottom, "horizontal_and_vertical" both at
            once, by one draw, which is half a turn. For the four combinations take two layers.
        seed: Of the draws, an integer in [0, 2**63); by default they follow ``utils.set_random_seed`` and the layer's
            place in its model.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, or the inputs are no images.

    Example:
        >>> images = np.array([[1.0, 2.0]] * 8).reshape(8, 1, 2, 1)
        >>> layer = td.layers.RandomFlip("horizontal", seed=1)
        >>> sorted(set(map(tuple, layer(images)[:, 0, :, 0].tolist())))
        [(1.0, 2.0), (2.0, 1.0)]
        >>> bool((layer(images, training=False) == images).all())
        True
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.mode = as_choice(mode, f"{self._title}: mode", tuple(_AXES))

    def _changed(self, images: Tensor) -> Tensor:
        flipped = self._draw(images, (0.0, 1.0)) < 0.5
        return ops.where(flipped, ops.flip(images, _AXES[self.mode]), images)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "mode": self.mode}


class _RandomAffine(RandomImageLayer):
    """What the layers share that read each image at places of their own; a subclass says where."""

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.fill_mode = as_choice(fill_mode, f"{self._title}: fill_mode", FILL_MODES)
        self.interpolation = as_choice(interpolation, f"{self._title}: interpolation", INTERPOLATIONS)
        self.fill_value = as_number(fill_value, f"{self._title}: fill_value")

    def _changed(self, images: Tensor) -> Tensor:
        height, width = images.shape[1:3]
        y = ops.reshape(positions(height, images, self._draws), (1, height, 1, 1))
        x = ops.reshape(positions(width, images, self._draws), (1, 1, width, 1))
        rows, columns = self._places(images, y, x)
        return sample(images, rows, columns, self.interpolation, self.fill_mode, self.fill_value)

    def _places(self, images: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row and the column of the images that the pixel (y, x) of the outputs shows."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "interpolation": self.interpolation,
            "fill_value": self.fill_value,
        }


class RandomTranslation(_RandomAffine):
    """Shift each image by a random part of its height and of its width in training.

    Images are (batch, height, width, channels), of floats or integers; what comes out are floats. The layer acts in
    training, and when it is called by itself without ``training``.

    Args:
        height_factor: How far down, in heights: drawn between the two numbers of a pair, each in [-1, 1], or from -f
            to f for a number f. A negative shift goes up.
        width_factor: How far to the right, in widths, as ``height_factor``.
        fill_mode: What comes in beyond the edges of a b c d: "reflect", the default, d c b a | a b c d | d c b a;
            "wrap", a b c d | a b c d | a b c d; "nearest", a a a a | a b c d | d d d d; or "constant",
            ``fill_value``.
        interpolation: "bilinear", the default, weights the four pixels around a place; "nearest" takes the one next
            to it.
        seed: Of the draws, as for ``RandomFlip``.
        fill_value: What "constant" comes in with.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, or the inputs are no images.

    Example:
        >>> layer = td.layers.RandomTranslation((0.5, 0.5), 0.0, fill_mode="constant")
        >>> layer(np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1))[0, :, :, 0]
        Tensor([[0., 0.],
                [1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self._height_bounds = as_bounds(height_factor, f"{self._title}: height_factor", "[-1, 1]")
        self._width_bounds = as_bounds(width_factor, f"{self._title}: width_factor", "[-1, 1]")
        self.height_factor, self.width_factor = as_given(height_factor), as_given(width_factor)

    def _places(self, images: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = images.shape[1:3]
        down = self._draw(images, self._height_bounds) * float(height)
        right = self._draw(images, self._width_bounds) * float(width)
        return y - down, x - right

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "height_factor": self.height_factor, "width_factor": self.width_factor}


class RandomRotation(_RandomAffine):
    """Turn each image about its centre by a random angle in training.

    Images are (batch, height, width, channels), of floats or integers; what comes out are floats. The layer acts in
    training, and when it is called by itself without ``training``.

    Args:
        factor: The angle as a part of a full turn, counter-clockwise where positive: drawn between the two numbers of
            a pair, each in [-1, 1], or from -f to f for a number f. 0.1 is up to 36 degrees either way.
        fill_mode: As for ``RandomTranslation``.
        interpolation: As for ``RandomTranslation``.
        seed: Of the draws, as for ``RandomFlip``.
        fill_value: As for ``RandomTranslation``.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, or the inputs are no images.

    Example:
        >>> layer = td.layers.RandomRotation((0.25, 0.25), interpolation="nearest")
        >>> layer(np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1))[0, :, :, 0]
        Tensor([[2., 4.],
                [1., 3.]], dtype=float32)
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.factor = as_bounds(factor, f"{self._title}: factor", "[-1, 1]")

    def _places(self, images: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        angle = self._draw(images, self.factor) * (2 * math.pi)
        cosine, sine = ops.cos(angle), ops.sin(angle)
        middle_y, middle_x = ((n - 1) / 2 for n in images.shape[1:3])
        y, x = y - middle_y, x - middle_x
        return x * sine + y * cosine + middle_y, x * cosine - y * sine + middle_x

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "factor": list(self.factor)}


class RandomZoom(_RandomAffine):
    """Stretch or shrink each image about its centre by a random ratio in training, its size staying the same.

    Images are (batch, height, width, channels), of floats or integers; what comes out are floats. The layer acts in
    training, and when it is called by itself without ``training``.

    Args:
        height_factor: How much more of the height an image shows: drawn between the two numbers of a pair, each in
            (-1, 1], or from -f to f for a number f. 0.2 shows 1.2 heights, which shrinks what is seen; -0.2 shows 0.8,
            which enlarges it.
        width_factor: The same of the width; None, the default, takes what was drawn for the height, which keeps the
            proportions.
        fill_mode: As for ``RandomTranslation``.
        interpolation: As for ``RandomTranslation``.
        seed: Of the draws, as for ``RandomFlip``.
        fill_value: As for ``RandomTranslation``.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, or the inputs are no images.

    Example:
        >>> layer = td.layers.RandomZoom((-0.5, -0.5), interpolation="nearest")
        >>> layer(td.reshape(td.arange(4.0), (1, 1, 4, 1)))[0, 0, :, 0]
        Tensor([1., 1., 2., 2.], dtype=float32)
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float] | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        allowed = "(-1, 1]"
        self._height_bounds = as_bounds(height_factor, f"{self._title}: height_factor", allowed)
        self.height_factor, self.width_factor = as_given(height_factor), None
        if width_factor is not None:
            self._width_bounds = as_bounds(width_factor, f"{self._title}: width_factor", allowed)
            self.width_factor = as_given(width_factor)

    def _places(self, images: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        middle_y, middle_x = ((n - 1) / 2 for n in images.shape[1:3])
        tall = self._draw(images, self._height_bounds) + 1.0
        wide = tall if self.width_factor is None else self._draw(images, self._width_bounds) + 1.0
        return y * tall + (1.0 - tall) * middle_y, x * wide + (1.0 - wide) * middle_x

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "height_factor": self.height_factor, "width_factor": self.width_factor}
