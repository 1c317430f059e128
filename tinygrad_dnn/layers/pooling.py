"""Layers that make images smaller: MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_flag
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.ops.geometry import as_padding, as_pair, check_data_format, check_images, output_lengths
from tinygrad_dnn.ops.window import average_pool, max_pool
from tinygrad_dnn.tensor import Tensor


class _Pooling(Layer):
    """What the layers that pool the windows of images share; a subclass says what it makes of a window."""

    _pool: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        pool_size: int | Sequence[int] = (2, 2),
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_data_format(data_format, self._title)
        self.pool_size = as_pair(pool_size, f"{self._title}: pool_size")
        self.strides = self.pool_size if strides is None else as_pair(strides, f"{self._title}: strides")
        self.padding = as_padding(padding, f"{self._title}: padding")

    @property
    def _title(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def call(self, inputs: Tensor) -> Tensor:
        """Return what becomes of each window."""
        self.compute_output_shape(inputs.shape)
        return type(self)._pool(inputs, self.pool_size, self.strides, self.padding)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, new height, new width, channels)."""
        lengths = output_lengths(input_shape, self.pool_size, self.strides, self.padding, self._title)
        return (input_shape[0], *lengths, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "pool_size": list(self.pool_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "data_format": "channels_last",
        }


class MaxPooling2D(_Pooling):
    """Keep the maximum of each window of images, in each channel; elements that tie share the gradient.

    Images are (batch, height, width, channels).

    Args:
        pool_size: The size of a window, one number for both axes or (rows, columns).
        strides: The step from one window to the next; by default ``pool_size``, so that each element is in one window.
        padding: "valid" takes the windows inside the images; "same" has ceil(length / stride) of them along an axis,
            and what lies outside is never the maximum.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, the inputs are no images, or no window fits.

    Example:
        >>> layer = td.layers.MaxPooling2D(2)
        >>> layer(td.reshape(td.arange(16.0), (1, 4, 4, 1)))[0, :, :, 0]
        Tensor([[ 5.,  7.],
                [13., 15.]], dtype=float32)
    """

    _pool = staticmethod(max_pool)


class AveragePooling2D(_Pooling):
    """Take the mean of each window of images, in each channel.

    Images are (batch, height, width, channels).

    Args:
        pool_size: The size of a window, one number for both axes or (rows, columns).
        strides: The step from one window to the next; by default ``pool_size``, so that each element is in one window.
        padding: "valid" takes the windows inside the images; "same" has ceil(length / stride) of them along an axis,
            and what lies outside does not count.
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, the inputs are no images, or no window fits.

    Example:
        >>> layer = td.layers.AveragePooling2D(2)
        >>> layer(td.reshape(td.arange(16.0), (1, 4, 4, 1)))[0, :, :, 0]
        Tensor([[ 2.5,  4.5],
                [10.5, 12.5]], dtype=float32)
    """

    _pool = staticmethod(average_pool)


class GlobalAveragePooling2D(Layer):
    """Take the mean of each channel over whole images: (batch, height, width, channels) becomes (batch, channels).

    Args:
        data_format: None or "channels_last", the only order of axes there is.
        keepdims: Keep height and width as axes of length 1.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``data_format`` is another, or the inputs are no images.

    Example:
        >>> td.layers.GlobalAveragePooling2D()(td.ones((2, 4, 4, 3))).shape
        (2, 3)
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_data_format(data_format, self._title)
        self.keepdims = as_flag(keepdims, f"{self._title}: keepdims")

    @property
    def _title(self) -> str:
        return f"GlobalAveragePooling2D {self.name!r}"

    def call(self, inputs: Tensor) -> Tensor:
        """Return the mean over height and width."""
        check_images(inputs.shape, self._title)
        return ops.mean(inputs, (1, 2), keepdims=self.keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, channels), or (batch, 1, 1, channels) if the axes are kept."""
        check_images(input_shape, self._title)
        return (input_shape[0], *((1, 1) if self.keepdims else ()), input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "data_format": "channels_last", "keepdims": self.keepdims}


# Keras has these names too.
MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
