"""What the layers for images have in common: the order of their axes, and checks of what they are given."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.ops.window import Pair, output_length


def check_data_format(value: str | None, owner: str) -> None:
    """Refuse another order of axes than (batch, height, width, channels), by a sentence that names ``owner``.

    Raises:
        ValueError: It is neither None nor "channels_last".
    """
    if value not in (None, "channels_last"):
        raise ValueError(
            f"{owner}: data_format must be 'channels_last', images being (batch, height, width, channels), not "
            f"{value!r}; td.transpose(x, (0, 2, 3, 1)) brings the channels last."
        )


def check_images(shape: tuple[Any, ...], owner: str) -> None:
    """Refuse inputs that are no images, by a sentence that names ``owner``.

    Raises:
        ValueError: The shape has not four axes.
    """
    if len(shape) != 4:
        hint = "; add an axis for the channels, as in x[..., None]" if len(shape) == 3 else ""
        raise ValueError(f"{owner} takes images of shape (batch, height, width, channels), not {shape}{hint}.")


def output_lengths(
    shape: Shape, size: Pair, strides: Pair, padding: str, owner: str, dilation: Pair = (1, 1)
) -> tuple[int | None, int | None]:
    """Return how many windows there are along height and width of images of ``shape``; None where that is unknown.

    Raises:
        ValueError: No window fits.
    """
    check_images(shape, owner)
    counts: list[int | None] = []
    for n, k, s, d in zip(shape[1:3], size, strides, dilation, strict=True):
        count = None if n is None else output_length(n, k, s, padding, d)
        if count == 0:
            raise ValueError(
                f"{owner}: a window that spans {(k - 1) * d + 1} does not fit an axis of length {n} (images of shape "
                f"{shape}): take a smaller one, padding='same', or larger images."
            )
        counts.append(count)
    return counts[0], counts[1]
