"""Convolution of images, and the zeros around them: Conv2D, ZeroPadding2D."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.layers.kernel import KernelLayer
from tinygrad_dnn.ops.geometry import Pair, as_padding, as_pair, check_data_format, check_images, output_lengths
from tinygrad_dnn.ops.window import conv
from tinygrad_dnn.tensor import Tensor


class Conv2D(KernelLayer):
    """A convolution of images: activation(inputs * kernel + bias), the same small kernel at each place.

    Images are (batch, height, width, channels), the result is (batch, new height, new width, filters).

    Args:
        filters: The channels of the result, at least 1.
        kernel_size: The size of the kernel, one number for both axes or (rows, columns).
        strides: The step from one place to the next.
        padding: "valid" takes the places where the kernel lies inside the images; "same" surrounds them by zeros, so
            that there are ceil(length / stride) places along an axis.
        data_format: None or "channels_last", the only order of axes there is.
        dilation_rate: The step from one of the kernel's elements to the next, in the images.
        groups: 1; the channels are not divided.
        activation: A registered name or a function of a Tensor; none by default.
        use_bias: Whether there is a bias.
        kernel_initializer: How the kernel, of shape (rows, columns, channels, filters), starts.
        bias_initializer: How the bias, of shape (filters,), starts.
        kernel_regularizer: A penalty on the kernel that joins the loss.
        bias_regularizer: A penalty on the bias that joins the loss.
        kernel_constraint: What the kernel passes through after each update.
        bias_constraint: What the bias passes through after each update.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: An argument is out of its range, a name is unknown, the inputs are no images, their number of
            channels is not the one the layer was built for, or they are smaller than the kernel.

    Example:
        >>> layer = td.layers.Conv2D(32, 3, activation="relu", padding="same")
        >>> layer(td.zeros((2, 28, 28, 1))).shape
        (2, 28, 28, 32)

    Reference:
        LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        groups: int = 1,
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
        self.filters = as_integer(filters, f"{self._title}: filters", "[1, inf)")
        check_data_format(data_format, self._title)
        if as_integer(groups, f"{self._title}: groups") != 1:
            raise ValueError(
                f"{self._title}: groups must be 1, not {groups!r}; for several, split the channels with td.split and "
                "give each group a Conv2D of its own."
            )
        self.kernel_size = as_pair(kernel_size, f"{self._title}: kernel_size")
        self.strides = as_pair(strides, f"{self._title}: strides")
        self.padding = as_padding(padding, f"{self._title}: padding")
        self.dilation_rate = as_pair(dilation_rate, f"{self._title}: dilation_rate")

    @property
    def _title(self) -> str:
        return f"Conv2D {self.name!r}"

    def build(self, input_shape: Shape) -> None:
        """Make the kernel and the bias."""
        check_images(input_shape, self._title)
        channels = input_shape[3]
        if channels is None:
            raise ValueError(f"{self._title} must know the number of channels; it was built for {input_shape}.")
        self._add_kernel_and_bias((*self.kernel_size, channels, self.filters))

    def call(self, inputs: Tensor) -> Tensor:
        """Return activation(inputs * kernel + bias)."""
        self.compute_output_shape(inputs.shape)
        if inputs.shape[3] != self.kernel.shape[2]:
            raise ValueError(
                f"{self._title} was built for images of {self.kernel.shape[2]} channels and got inputs of shape "
                f"{inputs.shape}."
            )
        outputs = conv(inputs, self.kernel, self.strides, self.padding, self.dilation_rate, self.bias)
        return self._activated(outputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, new height, new width, filters)."""
        lengths = output_lengths(
            input_shape, self.kernel_size, self.strides, self.padding, self._title, self.dilation_rate
        )
        return (input_shape[0], *lengths, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "data_format": "channels_last",
            "dilation_rate": list(self.dilation_rate),
            "groups": 1,
        }


class ZeroPadding2D(Layer):
    """Surround images, (batch, height, width, channels), by zeros.

    Args:
        padding: How many rows and columns: one number for all four sides; (rows, columns), each on both sides; or
            ((top, bottom), (left, right)).
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``padding`` is none of these, or the inputs are no images.

    Example:
        >>> td.layers.ZeroPadding2D(((1, 0), (2, 2)))(td.ones((1, 3, 3, 1))).shape
        (1, 4, 7, 1)
    """

    def __init__(
        self,
        padding: int | Sequence[int] | Sequence[Sequence[int]] = (1, 1),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_data_format(data_format, self._title)
        self.padding = self._sides(padding)

    @property
    def _title(self) -> str:
        return f"ZeroPadding2D {self.name!r}"

    def _sides(self, padding: Any) -> tuple[Pair, Pair]:
        """Return ((top, bottom), (left, right))."""
        try:
            axes = (padding, padding) if hasattr(padding, "__index__") else tuple(padding)
            pairs = [(axis, axis) if hasattr(axis, "__index__") else tuple(axis) for axis in axes]
            (top, bottom), (left, right) = (tuple(operator.index(n) for n in pair) for pair in pairs)
        except (TypeError, ValueError):
            top = bottom = left = right = -1
        if isinstance(padding, bool) or min(top, bottom, left, right) < 0:
            raise ValueError(
                f"{self._title}: padding must be an integer of at least 0, (rows, columns), or ((top, bottom), (left, "
                f"right)), not {padding!r}."
            )
        return (top, bottom), (left, right)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs within zeros."""
        check_images(inputs.shape, self._title)
        return ops.pad(inputs, ((0, 0), *self.padding, (0, 0)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, new height, new width, channels)."""
        check_images(input_shape, self._title)
        lengths = (None if n is None else n + sum(pair) for n, pair in zip(input_shape[1:3], self.padding, strict=True))
        return (input_shape[0], *lengths, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        sides = [list(pair) for pair in self.padding]
        return {**super().get_config(), "padding": sides, "data_format": "channels_last"}
