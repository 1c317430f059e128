"""Layers that rearrange or rescale their inputs without learning: Reshape, Permute, Rescaling, Normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_axes, as_flag, as_integer
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.tensor import Tensor, TensorLike, Variable

# What keeps Normalization from dividing by 0, and how many samples it looks at together.
_EPSILON = 1e-7
_CHUNK = 1024


class Reshape(Layer):
    """Give each sample another shape of as many elements, in row-major order.

    Args:
        target_shape: The shape, without the batch; one length may be -1, which is then what remains.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``target_shape`` is no shape, or the inputs have another number of elements.

    Example:
        >>> td.layers.Reshape((2, -1))(td.zeros((5, 6))).shape
        (5, 2, 3)
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = as_axes(target_shape, f"Reshape {self.name!r}: target_shape")
        if any(n < -1 for n in self.target_shape) or self.target_shape.count(-1) > 1:
            raise ValueError(
                f"Reshape {self.name!r}: target_shape must hold lengths of at least 0, and -1 at most once, not "
                f"{self.target_shape}."
            )

    def build(self, input_shape: Shape) -> None:
        """Check that the number of elements fits."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs in the other shape."""
        return ops.reshape(inputs, [n or 0 for n in self.compute_output_shape(inputs.shape)])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the batch's length and ``target_shape``, its -1 replaced where the input's shape is known."""
        batch, *lengths = input_shape
        if None in lengths:
            return (batch, *(None if n == -1 else n for n in self.target_shape))
        size, given = math.prod(n or 0 for n in lengths), math.prod(n for n in self.target_shape if n != -1)
        if (size != given) if -1 not in self.target_shape else (not given or size % given):
            raise ValueError(
                f"Reshape {self.name!r} cannot give samples of shape {tuple(lengths)}, of {size} elements, the shape "
                f"{self.target_shape}."
            )
        return (batch, *(size // given if n == -1 else n for n in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "target_shape": list(self.target_shape)}


class Permute(Layer):
    """Put the axes of each sample in another order.

    Args:
        dims: The axes in their new order, counted from 1 for the first after the batch: (2, 1) exchanges two.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``dims`` does not name each axis once, or the inputs have another number of axes.

    Example:
        >>> td.layers.Permute((2, 1))(td.zeros((5, 2, 3))).shape
        (5, 3, 2)
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = as_axes(dims, f"Permute {self.name!r}: dims")
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute {self.name!r}: dims must name each axis from 1 to their number once, not {self.dims}."
            )

    def build(self, input_shape: Shape) -> None:
        """Check that the number of axes fits."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs with their axes in the other order."""
        self.compute_output_shape(inputs.shape)
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the lengths in the other order."""
        if len(input_shape) != len(self.dims) + 1:
            raise ValueError(
                f"Permute {self.name!r}: dims {self.dims} must name each axis after the batch; the inputs have shape "
                f"{input_shape}."
            )
        return (input_shape[0], *(input_shape[i] for i in self.dims))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "dims": list(self.dims)}


class RepeatVector(Layer):
    """Repeat each sample: (batch, features) becomes (batch, n, features).

    Args:
        n: How often, at least 1.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``n`` is no positive integer, or the inputs are not of shape (batch, features).

    Example:
        >>> td.layers.RepeatVector(2)(np.array([[1.0, 2.0]]))
        Tensor([[[1., 2.],
                 [1., 2.]]], dtype=float32)
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = as_integer(n, f"RepeatVector {self.name!r}: n", "[1, inf)")

    def build(self, input_shape: Shape) -> None:
        """Check that the number of axes fits."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Return each sample n times."""
        batch, _, features = self.compute_output_shape(inputs.shape)
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (batch or 0, self.n, features or 0))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, n, features)."""
        if len(input_shape) != 2:
            raise ValueError(f"RepeatVector {self.name!r} takes inputs of shape (batch, features), not {input_shape}.")
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "n": self.n}


class Rescaling(Layer):
    """Return inputs * scale + offset: 1 / 255 brings the bytes of an image to [0, 1].

    Args:
        scale: A number, or an array or nested list of numbers that broadcasts to the inputs.
        offset: As ``scale``.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``scale`` or ``offset`` holds no finite numbers.

    Example:
        >>> td.layers.Rescaling(1 / 127.5, offset=-1.0)(np.array([[0, 255]], np.uint8))
        Tensor([[-1.,  1.]], dtype=float32)
    """

    _keeps_width = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"Rescaling {self.name!r}"
        self.scale = _as_numbers(scale, f"{owner}: scale")
        self.offset = _as_numbers(offset, f"{owner}: offset")

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs rescaled."""
        return self._rounded(ops.add(ops.multiply(ops.cast(inputs, self.dtype), self.scale), self.offset))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


def _as_numbers(value: Any, owner: str) -> Any:
    """Return a number or an array of them as Python's float or nested list."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{owner} must be a finite number or an array of them, not {value!r}.")
    return array.astype(np.float64).tolist()


class Normalization(Layer):
    """Centre and scale each feature by the mean and the variance of a data set: (x - mean) / sqrt(variance).

    They are what ``adapt`` found in the data it was given, or what was given at construction; before that, 0 and 1.
    They do not change in training. A standard deviation below 1e-7 counts as 1e-7.

    Args:
        axis: The axis, or axes, of which each position has a mean and a variance of its own; None for a single mean
            and variance of all.
        mean: The mean, a number or an array of the shape that ``axis`` gives.
        variance: The variance, as ``mean``; both are given, or neither.
        invert: Do the opposite: x * sqrt(variance) + mean.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: One of ``mean`` and ``variance`` is missing or has another shape, a variance is negative, or the
            inputs do not have ``axis`` or have another length there.

    Example:
        >>> layer = td.layers.Normalization()
        >>> layer.adapt(np.array([[0.0, 10.0], [2.0, 30.0]]))
        >>> layer(np.array([[2.0, 20.0]]))
        Tensor([[1., 0.]], dtype=float32)
    """

    mean: Variable
    variance: Variable

    _keeps_width = True

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        owner = f"Normalization {self.name!r}"
        self.axis = () if axis is None else as_axes(axis, f"{owner}: axis")
        if (mean is None) != (variance is None):
            raise ValueError(f"{owner}: mean and variance must both be given, or neither.")
        self.input_mean = None if mean is None else _as_numbers(mean, f"{owner}: mean")
        self.input_variance = None if variance is None else _as_numbers(variance, f"{owner}: variance")
        if self.input_variance is not None and np.any(np.asarray(self.input_variance) < 0):
            raise ValueError(f"{owner}: a variance must be at least 0, not {variance!r}.")
        self.invert = as_flag(invert, f"{owner}: invert")

    def build(self, input_shape: Shape) -> None:
        """Make the mean and the variance."""
        shape = self._kept_lengths(input_shape)
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.variance = self.add_weight(shape, "ones", trainable=False, name="variance")
        for weight, given in ((self.mean, self.input_mean), (self.variance, self.input_variance)):
            if given is not None:
                if np.ndim(given) and np.shape(given) != shape:
                    raise ValueError(
                        f"Normalization {self.name!r}: the {weight.name} given has shape {np.shape(given)}; axis "
                        f"{self.axis} of inputs of shape {input_shape} needs {shape}."
                    )
                weight.assign(np.broadcast_to(given, shape))

    def adapt(self, data: TensorLike) -> None:
        """Set the mean and the variance to those of a data set; what an earlier call found is forgotten.

        Args:
            data: A Tensor or array of samples, at least one.

        Raises:
            ValueError: The mean was given at construction, there is no sample, or the samples have another shape than
                that which the layer was built for.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"Normalization {self.name!r} was given its mean and variance at construction: adapt would change them."
            )
        samples: Tensor = self._as_inputs(data)
        self.ensure_built((None, *samples.shape[1:]))
        lengths, kept = self._kept_lengths(samples.shape), self._kept(samples.shape)
        if lengths != self.mean.shape or not samples.size:
            raise ValueError(
                f"Normalization {self.name!r}: adapt needs samples with a mean of shape {self.mean.shape} along axis "
                f"{self.axis}, and at least one; the data have shape {samples.shape}."
            )
        others = tuple(i for i in range(samples.ndim) if i not in kept)
        mean, variance = ops.zeros(lengths, "float64"), ops.zeros(lengths, "float64")
        with no_grad():
            for start in range(0, len(samples), _CHUNK):
                # In double precision, since a sum of many numbers in single loses digits; a part of the data at a
                # time, since a copy of all in double would take up to eight times their memory.
                part = ops.cast(samples[start : start + _CHUNK], "float64")
                share = len(part) / (start + len(part))
                own, before = ops.mean(part, others), mean
                mean = before + share * (own - before)
                # Each of the two has its variance, and the distance of its mean from the common one.
                variance = (1 - share) * (variance + ops.square(before - mean)) + share * (
                    ops.var(part, others) + ops.square(own - mean)
                )
            self.mean.assign(ops.cast(mean, self.dtype))
            self.variance.assign(ops.cast(variance, self.dtype))

    def _kept(self, shape: Shape) -> list[int]:
        """Return the axes that have means of their own, in order."""
        rank = len(shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ValueError(
                f"Normalization {self.name!r}: axis {self.axis} is out of range for inputs of shape {shape}."
            )
        return sorted({axis % rank for axis in self.axis})

    def _kept_lengths(self, shape: Shape) -> tuple[int, ...]:
        lengths = [shape[axis] for axis in self._kept(shape)]
        if None in lengths:
            raise ValueError(
                f"Normalization {self.name!r}: axis {self.axis} must have a known length; the inputs have shape "
                f"{shape}."
            )
        return tuple(n or 0 for n in lengths)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs normalised, or with ``invert`` the opposite."""
        kept = self._kept(inputs.shape)
        along = tuple(n if i in kept else 1 for i, n in enumerate(inputs.shape))
        if tuple(inputs.shape[i] for i in kept) != self.mean.shape:
            raise ValueError(
                f"Normalization {self.name!r} has means of shape {self.mean.shape} along axis {self.axis} and got "
                f"inputs of shape {inputs.shape}."
            )
        mean = ops.reshape(self.mean, along)
        deviation = ops.maximum(ops.sqrt(ops.reshape(self.variance, along)), _EPSILON)
        inputs = ops.cast(inputs, self.dtype)
        return self._rounded(inputs * deviation + mean if self.invert else (inputs - mean) / deviation)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {
            **super().get_config(),
            "axis": list(self.axis) or None,
            "mean": self.input_mean,
            "variance": self.input_variance,
            "invert": self.invert,
        }
