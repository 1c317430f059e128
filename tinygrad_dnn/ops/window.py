"""Sliding windows over images, with their gradients: the windows themselves, convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn.backend.element_types import is_narrow
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops import reduce
from tinygrad_dnn.ops.cast import cast, floating, promote
from tinygrad_dnn.ops.create import ones_like
from tinygrad_dnn.ops.elementwise import divide
from tinygrad_dnn.ops.geometry import Pair, as_padding, as_pair, output_lengths
from tinygrad_dnn.ops.shape import pad
from tinygrad_dnn.tensor import Tensor, TensorLike, apply, as_tensor

# The windows of a convolution are copied and multiplied a block at a time: on a CPU they then come from the cache
# of a core, on a GPU a block is large enough to make it busy, and nowhere are all of them in memory at once.
_HOST_BYTES = 2**20
_DEVICE_BYTES = 2**28


# -- arrays ---------------------------------------------------------------------------------------------------------


def _view(xp: Any, x: Any, size: Pair, strides: Pair, dilation: Pair) -> Any:
    """Return the windows of images as a view: (batch, rows, columns, window rows, window columns, channels)."""
    spans = tuple((n - 1) * d + 1 for n, d in zip(size, dilation, strict=True))
    view = xp.lib.stride_tricks.sliding_window_view(x, spans, axis=(1, 2))
    (down, right), (below, beside) = strides, dilation
    return view[:, ::down, ::right, :, ::below, ::beside].transpose(0, 1, 2, 4, 5, 3)


def _spots(start: int, count: int, stride: int) -> slice:
    """Return the slice of so many places, ``stride`` apart."""
    return slice(start, start + (count - 1) * stride + 1, stride)


def _fold(xp: Any, x: Any, *, size: Pair, strides: Pair, dilation: Pair) -> Any:
    batch, rows, columns, height, width, channels = x.shape
    out = xp.zeros((batch, *size, channels), dtype=x.dtype)
    for i in range(height):
        down = _spots(i * dilation[0], rows, strides[0])
        for j in range(width):
            target = out[:, down, _spots(j * dilation[1], columns, strides[1])]
            target += x[:, :, :, i, j]
    return out


def _blocks(xp: Any, batch: int, rows: int, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Cut (batch, rows) into contiguous blocks, the first the largest: whole images, or some rows of one."""
    count = max(1, (_HOST_BYTES if xp.name == "numpy" else _DEVICE_BYTES) // max(1, row_bytes))
    images, each = (_even(batch, count // rows), rows) if count >= rows else (1, _even(rows, count))
    for i in range(0, batch, images):
        for j in range(0, rows, each):
            yield slice(i, min(i + images, batch)), slice(j, min(j + each, rows))


def _even(length: int, most: int) -> int:
    """Return the length of the parts, of at most so many, into which an axis is cut nearly evenly."""
    parts = -(-length // most)
    return max(1, -(-length // max(1, parts)))


def _matrices(xp: Any, windows: Any) -> Iterator[tuple[tuple[slice, slice], Any]]:
    """Yield blocks of windows, each window a row of a matrix, which is overwritten by the next."""
    batch, rows, columns, *window = windows.shape
    length = math.prod(window)
    buffer = None
    for place in _blocks(xp, batch, rows, columns * length * windows.dtype.itemsize):
        part = windows[place]
        if buffer is None:
            buffer = xp.empty(part.shape, dtype=part.dtype)
        block = buffer[: part.shape[0], : part.shape[1]]
        block[...] = part
        yield place, xp.reshape(block, (part.shape[0] * part.shape[1] * columns, length))


def _convolve(xp: Any, x: Any, kernel: Any, bias: Any, *, strides: Pair, dilation: Pair) -> Any:
    height, width, channels, filters = kernel.shape
    windows = _view(xp, x, (height, width), strides, dilation)
    out = xp.empty((*windows.shape[:3], filters), dtype=x.dtype)
    weights = xp.reshape(kernel, (height * width * channels, filters))
    for place, matrix in _matrices(xp, windows):
        block = xp.reshape(out[place], (len(matrix), filters))
        xp.matmul(matrix, weights, out=block)
        if not isinstance(bias, float):
            block += bias
    return out


def _convolve_transposed(xp: Any, y: Any, kernel: Any, *, size: Pair, strides: Pair, dilation: Pair) -> Any:
    height, width, channels, filters = kernel.shape
    batch, rows, columns, _ = y.shape
    out = xp.zeros((batch, *size, channels), dtype=y.dtype)
    weights = xp.ascontiguousarray(xp.transpose(kernel, (0, 1, 3, 2)))
    buffer = None
    for images, lines in _blocks(xp, batch, rows, columns * (channels + filters) * y.dtype.itemsize):
        block = y[images, lines]
        matrix = xp.reshape(block, (math.prod(block.shape[:3]), filters))
        if buffer is None:
            buffer = xp.empty((*block.shape[:3], channels), dtype=y.dtype)
        part = buffer[: block.shape[0], : block.shape[1]]
        product = xp.reshape(part, (len(matrix), channels))
        # Added place by place in the window, since the sums are then long runs of memory.
        for i in range(height):
            down = _spots(lines.start * strides[0] + i * dilation[0], block.shape[1], strides[0])
            for j in range(width):
                xp.matmul(matrix, weights[i, j], out=product)
                target = out[images, down, _spots(j * dilation[1], columns, strides[1])]
                target += part
    return out


def _convolve_kernel(xp: Any, x: Any, y: Any, *, size: Pair, strides: Pair, dilation: Pair) -> Any:
    windows = _view(xp, x, size, strides, dilation)
    filters = y.shape[3]
    out = xp.zeros((math.prod(windows.shape[3:]), filters), dtype=x.dtype)
    part = xp.empty(out.shape, dtype=x.dtype)
    for place, matrix in _matrices(xp, windows):
        xp.matmul(matrix.T, xp.reshape(y[place], (len(matrix), filters)), out=part)
        out += part
    return xp.reshape(out, (*windows.shape[3:], filters))


# -- primitives -----------------------------------------------------------------------------------------------------

# The windows of images and the sum of overlapping windows: linear, and each the other's transpose.
WINDOWS: Primitive = Primitive(
    "windows",
    lambda xp, x, *, size, strides, dilation: _view(xp, x, size, strides, dilation),
    x=lambda g, x_shape, strides, dilation: _geometric(FOLD, (g,), x_shape[1:3], strides, dilation),
)
FOLD: Primitive = Primitive(
    "fold",
    _fold,
    x=lambda g, x_shape, strides, dilation: _geometric(WINDOWS, (g,), x_shape[3:5], strides, dilation),
)

# A convolution is linear in the images and in the kernel: y = x * k has three corners, each of them is bilinear in the
# other two, and the gradient of any is made of the others. It is no product of WINDOWS, which would hold each input
# element as often as the kernel has places. The bias, 0.0 for none, is added while a block is in the cache.
CONVOLVE: Primitive = Primitive(
    "convolve",
    _convolve,
    x=lambda g, kernel, x_shape, strides, dilation: _geometric(
        CONVOLVE_TRANSPOSED, (g, kernel), x_shape[1:3], strides, dilation
    ),
    kernel=lambda g, x, kernel_shape, strides, dilation: _geometric(
        CONVOLVE_KERNEL, (x, g), kernel_shape[:2], strides, dilation
    ),
    bias=lambda g: reduce.sum(g, (0, 1, 2)),
)
CONVOLVE_TRANSPOSED: Primitive = Primitive(
    "convolve_transposed",
    _convolve_transposed,
    y=lambda g, kernel, strides, dilation: _plain(g, kernel, strides, dilation),
    kernel=lambda g, y, kernel_shape, strides, dilation: _geometric(
        CONVOLVE_KERNEL, (g, y), kernel_shape[:2], strides, dilation
    ),
)
CONVOLVE_KERNEL: Primitive = Primitive(
    "convolve_kernel",
    _convolve_kernel,
    x=lambda g, y, x_shape, strides, dilation: _geometric(CONVOLVE_TRANSPOSED, (y, g), x_shape[1:3], strides, dilation),
    y=lambda g, x, strides, dilation: _plain(x, g, strides, dilation),
)


def _plain(x: Tensor, kernel: Tensor, strides: Pair, dilation: Pair) -> Tensor:
    return apply(CONVOLVE, (x, kernel, 0.0), {"strides": strides, "dilation": dilation})


def _geometric(
    primitive: Primitive, inputs: tuple[Tensor, ...], size: Sequence[int], strides: Pair, dilation: Pair
) -> Tensor:
    return apply(primitive, inputs, {"size": tuple(size), "strides": strides, "dilation": dilation})


# -- operations -----------------------------------------------------------------------------------------------------


def _surround(
    x: Tensor, size: Pair, strides: Pair, dilation: Pair, padding: str, operation: str, value: float = 0.0
) -> Tensor:
    """Return images with what "same" adds, half of it in front, the odd one behind; check that a window fits."""
    counts = output_lengths(x.shape, size, strides, padding, operation, dilation)
    if padding == "valid":
        return x
    widths = [(0, 0)]
    for n, count, k, s, d in zip(x.shape[1:3], counts, size, strides, dilation, strict=True):
        missing = max(0, ((count or 0) - 1) * s + (k - 1) * d + 1 - n)
        widths.append((missing // 2, missing - missing // 2))
    widths.append((0, 0))
    return pad(x, widths, value) if any(pair != (0, 0) for pair in widths) else x


def windows(
    inputs: TensorLike,
    size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Return all windows that lie inside images, without a copy.

    Args:
        inputs: Images, (batch, height, width, channels).
        size: The elements of a window, for both axes or for (rows, columns).
        strides: The step from one window to the next.
        dilation_rate: The step from one element of a window to the next.

    Returns:
        (batch, rows, columns, window rows, window columns, channels).

    Raises:
        ValueError: The images have not four axes, no window fits, or an argument is no positive integer.

    Example:
        >>> x = td.reshape(td.arange(9.0), (1, 3, 3, 1))
        >>> td.ops.window.windows(x, 2)[0, 1, 1, :, :, 0]
        Tensor([[4., 5.],
                [7., 8.]], dtype=float32)
    """
    x = as_tensor(inputs)
    lengths, steps = as_pair(size, "windows: size"), as_pair(strides, "windows: strides")
    dilation = as_pair(dilation_rate, "windows: dilation_rate")
    x = _surround(x, lengths, steps, dilation, "valid", "windows")
    return _geometric(WINDOWS, (x,), lengths, steps, dilation)


def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation_rate: int | Sequence[int] = 1,
    bias: TensorLike | None = None,
) -> Tensor:
    """Return the convolution of images with a kernel, as networks have it: the kernel is not reversed.

    Args:
        inputs: Images, (batch, height, width, channels).
        kernel: (rows, columns, channels, filters).
        strides: The step from one window to the next, for both axes or for (rows, columns).
        padding: "valid" takes the windows inside the images; "same" surrounds them by zeros, so that there are
            ceil(length / stride) windows along an axis.
        dilation_rate: The step from one element of a window to the next.
        bias: What is added to each filter, (filters,).

    Returns:
        (batch, new height, new width, filters).

    Raises:
        ValueError: Shapes do not fit, or an argument is out of its range.

    Example:
        >>> x, kernel = td.ones((1, 3, 3, 1)), td.ones((2, 2, 1, 1))
        >>> td.ops.window.conv(x, kernel, padding="same")[0, :, :, 0]
        Tensor([[4., 4., 2.],
                [4., 4., 2.],
                [2., 2., 1.]], dtype=float32)

    Reference:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """
    x, weights = promote(as_tensor(inputs), as_tensor(kernel), to_float=True)
    if is_narrow(x.data.dtype):  # its sums, too, are computed in float32
        wide, wide_weights = cast(x, np.float32), cast(weights, np.float32)
        return cast(conv(wide, wide_weights, strides, padding, dilation_rate, bias), x.data.dtype)
    steps, dilation = as_pair(strides, "conv: strides"), as_pair(dilation_rate, "conv: dilation_rate")
    if x.ndim != 4 or weights.ndim != 4 or x.shape[3] != weights.shape[2]:
        raise ValueError(
            f"conv: images of shape {x.shape} and a kernel of shape {weights.shape} do not fit: expected (batch, "
            "height, width, channels) and (rows, columns, channels, filters)."
        )
    added: Any = 0.0 if bias is None else cast(as_tensor(bias, like=weights), weights.dtype)
    if bias is not None and added.shape != weights.shape[3:]:
        raise ValueError(f"conv: a bias of shape {added.shape} does not fit {weights.shape[3]} filters.")
    x = _surround(x, weights.shape[:2], steps, dilation, as_padding(padding, "conv: padding"), "conv")
    return apply(CONVOLVE, (x, weights, added), {"strides": steps, "dilation": dilation})


def max_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
) -> Tensor:
    """Return the maximum of each window and channel of images; elements that tie share the gradient.

    Args:
        inputs: Images, (batch, height, width, channels).
        pool_size: The size of a window, for both axes or for (rows, columns).
        strides: The step from one window to the next; ``pool_size`` by default.
        padding: "valid" or "same", where what is added is never the maximum.

    Raises:
        ValueError: The images have not four axes, no window fits, or an argument is out of its range.

    Example:
        >>> td.ops.window.max_pool(td.reshape(td.arange(16.0), (1, 4, 4, 1)), 2)[0, :, :, 0]
        Tensor([[ 5.,  7.],
                [13., 15.]], dtype=float32)
    """
    return reduce.max(_pooled(inputs, pool_size, strides, padding, "max_pool", -math.inf), (3, 4))


@reduce.in_float32
def average_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
) -> Tensor:
    """Return the mean of each window and channel of images.

    Args:
        inputs: Images, (batch, height, width, channels).
        pool_size: The size of a window, for both axes or for (rows, columns).
        strides: The step from one window to the next; ``pool_size`` by default.
        padding: "valid" or "same", where what is added does not count.

    Raises:
        ValueError: The images have not four axes, no window fits, or an argument is out of its range.

    Example:
        >>> td.ops.window.average_pool(td.reshape(td.arange(16.0), (1, 4, 4, 1)), 2)[0, :, :, 0]
        Tensor([[ 2.5,  4.5],
                [10.5, 12.5]], dtype=float32)
    """
    x = floating(inputs)
    pooled = _pooled(x, pool_size, strides, padding, "average_pool", 0.0)
    counted = _pooled(ones_like(x[:1, :, :, :1]), pool_size, strides, padding, "average_pool", 0.0)
    return divide(reduce.sum(pooled, (3, 4)), reduce.sum(counted, (3, 4)))


def _pooled(inputs: TensorLike, pool_size: Any, strides: Any, padding: str, operation: str, value: float) -> Tensor:
    """Return the windows to pool, of images surrounded by ``value`` where padding wants it."""
    size = as_pair(pool_size, f"{operation}: pool_size")
    steps = size if strides is None else as_pair(strides, f"{operation}: strides")
    mode = as_padding(padding, f"{operation}: padding")
    x = _surround(floating(inputs), size, steps, (1, 1), mode, operation, value)
    return _geometric(WINDOWS, (x,), size, steps, (1, 1))
