"""Layers that cut or scale images to another size: RandomCrop, CenterCrop, Resizing."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.checks import as_choice, as_flag, as_integer, as_number
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.augmentation.base import ImageLayer, RandomImageLayer
from tinygrad_dnn.layers.augmentation.sampling import INTERPOLATIONS, middle, pixels, positions, resize
from tinygrad_dnn.tensor import Tensor


class _Sized(ImageLayer):
    """A layer whose outputs have a height and a width of their own.

    Args:
        height: That of the outputs.
        width: That of the outputs.
        **kwargs: Those of ``ImageLayer``.
    """

    # Whether what comes out is a part of what comes in.
    _cuts = True

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = as_integer(height, f"{self._title}: height", "[1, inf)")
        self.width = as_integer(width, f"{self._title}: width", "[1, inf)")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, height, width, channels) with the layer's own height and width."""
        self._check(input_shape)
        least = (self.height, self.width) if self._cuts else (1, 1)
        for name, given, needed in zip(("height", "width"), input_shape[1:3], least, strict=True):
            if given is not None and given < needed:
                hint = f"; Resizing({self.height}, {self.width}, crop_to_aspect_ratio=True) also enlarges images"
                raise ValueError(
                    f"{self._title} needs images of a {name} of at least {needed}, not {given} (images of shape "
                    f"{tuple(input_shape)}){hint if self._cuts else ''}."
                )
        return (input_shape[0], self.height, self.width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "height": self.height, "width": self.width}


class RandomCrop(_Sized, RandomImageLayer):
    """Cut a part of a given size out of each image, at a random place in training.

    At inference it is the largest part in the middle that has the proportions, scaled to the size (bilinear), so that
    all of an object is seen. Images are (batch, height, width, channels), of floats or integers; what comes out are
    floats. The layer acts as in training when it is called by itself without ``training``.

    Args:
        height: The height of the part, at most that of the images.
        width: The width of the part, at most that of the images.
        seed: Of the draws, as for ``RandomFlip``.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, the inputs are no images, or they are smaller than the part.

    Example:
        >>> layer = td.layers.RandomCrop(1, 2, seed=1)
        >>> images = np.arange(3.0).reshape(1, 1, 3, 1).repeat(8, axis=0)
        >>> sorted(set(map(tuple, layer(images)[:, 0, :, 0].tolist())))
        [(0.0, 1.0), (1.0, 2.0)]
    """

    def __init__(
        self, height: int, width: int, seed: int | None = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(height, width, seed=seed, data_format=data_format, **kwargs)

    def _changed(self, images: Tensor) -> Tensor:
        top = self._first(images, images.shape[1] - self.height)
        left = self._first(images, images.shape[2] - self.width)
        y = ops.reshape(positions(self.height, images, "int64"), (1, self.height, 1, 1))
        x = ops.reshape(positions(self.width, images, "int64"), (1, 1, self.width, 1))
        return pixels(images, top + y, left + x)

    def _first(self, images: Tensor, last: int) -> Tensor:
        """Draw where the part of each image begins, from 0 to ``last``."""
        # A number just below 1 times the count may round to the count.
        return ops.minimum(ops.cast(self._draw(images, (0.0, last + 1.0)), "int64"), last)

    def _unchanged(self, images: Tensor) -> Tensor:
        return resize(middle(images, self.height, self.width), self.height, self.width, "bilinear")


class CenterCrop(_Sized):
    """Cut a part of a given size out of the middle of each image.

    Images are (batch, height, width, channels), of floats or integers; what comes out are floats. Where what is cut
    off is an odd number of pixels, one more goes at the bottom, or at the right.

    Args:
        height: The height of the part, at most that of the images.
        width: The width of the part, at most that of the images.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, the inputs are no images, or they are smaller than the part.

    Example:
        >>> td.layers.CenterCrop(1, 2)(np.arange(4.0).reshape(1, 1, 4, 1))[0, 0, :, 0]
        Tensor([1., 2.], dtype=float32)
    """

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(height, width, data_format=data_format, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the middle of the images."""
        self.compute_output_shape(inputs.shape)
        top, left = (inputs.shape[1] - self.height) // 2, (inputs.shape[2] - self.width) // 2
        part = ops.cast(inputs, self.dtype)[:, top : top + self.height, left : left + self.width]
        return self._rounded(part)


class Resizing(_Sized):
    """Scale images to a given size.

    Images are (batch, height, width, channels). Images of integers stay so, rounded to the nearest, and to the even
    one of two as near.

    Args:
        height: The height that images get.
        width: The width that images get.
        interpolation: "bilinear", the default, or "nearest".
        crop_to_aspect_ratio: Scale the largest part in the middle that has the new proportions, so that nothing is
            distorted.
        pad_to_aspect_ratio: Surround the images, before they are scaled, so that they have the new proportions.
        fill_mode: "constant": what they are surrounded with is ``fill_value``.
        fill_value: What they are surrounded with.
        antialias: Let "bilinear" weight all pixels under a new one where images become smaller, so that fine patterns
            do not turn into coarse ones.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, the images are to be cut and surrounded at once, or the inputs
            are no images.

    Example:
        >>> td.layers.Resizing(1, 4)(np.array([0.0, 8.0]).reshape(1, 1, 2, 1))[0, 0, :, 0]
        Tensor([0., 2., 6., 8.], dtype=float32)
    """

    _cuts = False

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format=data_format, **kwargs)
        self.interpolation = as_choice(interpolation, f"{self._title}: interpolation", INTERPOLATIONS)
        self.crop_to_aspect_ratio = as_flag(crop_to_aspect_ratio, f"{self._title}: crop_to_aspect_ratio")
        self.pad_to_aspect_ratio = as_flag(pad_to_aspect_ratio, f"{self._title}: pad_to_aspect_ratio")
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(f"{self._title}: crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other.")
        self.fill_mode = as_choice(fill_mode, f"{self._title}: fill_mode", ("constant",))
        self.fill_value = as_number(fill_value, f"{self._title}: fill_value")
        self.antialias = as_flag(antialias, f"{self._title}: antialias")

    def call(self, inputs: Tensor) -> Tensor:
        """Return the images in the other size."""
        self.compute_output_shape(inputs.shape)
        images = inputs if self.interpolation == "nearest" else ops.cast(inputs, self.dtype)
        if self.crop_to_aspect_ratio:
            images = middle(images, self.height, self.width)
        elif self.pad_to_aspect_ratio:
            images = self._padded(images)
        outputs = resize(images, self.height, self.width, self.interpolation, self.antialias)
        if inputs.dtype.kind in FLOATING:
            return self._rounded(outputs)
        return ops.cast(outputs if self.interpolation == "nearest" else _rounded(outputs), inputs.dtype)

    def _padded(self, images: Tensor) -> Tensor:
        height, width = images.shape[1:3]
        above = max(width * self.height // self.width - height, 0) // 2
        beside = max(height * self.width // self.height - width, 0) // 2
        return ops.pad(images, ((0, 0), (above, above), (beside, beside), (0, 0)), self.fill_value)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        names = ("interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value", "antialias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _rounded(x: Tensor) -> Tensor:
    """Return whole numbers, halves rounded to the even one."""
    lower = ops.floor(x)
    share = x - lower
    up = ops.logical_or(share > 0.5, ops.logical_and(ops.equal(share, 0.5), ops.equal(ops.remainder(lower, 2.0), 1.0)))
    return ops.where(up, lower + 1.0, lower)
