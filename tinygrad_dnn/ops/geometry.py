"""What the arguments of a sliding window mean: sizes and steps in pairs, padding, and how many windows there are."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TypeAlias

Pair: TypeAlias = tuple[int, int]


def as_pair(value: int | Sequence[int], owner: str) -> Pair:
    """Return what is said of rows and columns, by one number for both or by two; ``owner`` is what an error calls it.

    Raises:
        ValueError: It is neither a positive integer nor two of them.

    Example:
        >>> td.ops.geometry.as_pair(3, "strides")
        (3, 3)
    """
    try:
        first, second = (value, value) if hasattr(value, "__index__") else value
        pair = operator.index(first), operator.index(second)
    except (TypeError, ValueError):
        pair = (0, 0)
    if isinstance(value, bool) or pair[0] < 1 or pair[1] < 1:
        raise ValueError(f"{owner} must be a positive integer, or a pair of them for rows and columns, not {value!r}.")
    return pair


def as_padding(value: str, owner: str) -> str:
    """Return "valid" or "same", whatever the case; ``owner`` is what an error calls it.

    Raises:
        ValueError: It is neither.

    Example:
        >>> td.ops.geometry.as_padding("SAME", "padding")
        'same'
    """
    found = value.lower() if isinstance(value, str) else ""
    if found not in ("valid", "same"):
        raise ValueError(f"{owner} must be 'valid' or 'same', not {value!r}.")
    return found


def output_length(length: int, size: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Return how many windows an axis has; none where even one does not fit.

    Args:
        length: The axis's length.
        size: The elements of a window along it.
        stride: The step from one window to the next.
        padding: "same" has a window for each step that begins inside; "valid" those that lie inside.
        dilation: The step from one element of a window to the next.

    Example:
        >>> td.ops.geometry.output_length(28, 3, 2, "same"), td.ops.geometry.output_length(28, 3, 2, "valid")
        (14, 13)
    """
    if padding == "same":
        return -(-length // stride)
    span = (size - 1) * dilation + 1
    return (length - span) // stride + 1 if length >= span else 0


def check_data_format(value: str | None, owner: str) -> None:
    """Refuse another order of axes than (batch, height, width, channels), by a sentence that names ``owner``.

    Raises:
        ValueError: It is neither None nor "channels_last".
    """
    if not isinstance(value, str | None) or value not in (None, "channels_last"):
        raise ValueError(
            f"{owner}: data_format must be 'channels_last', images being (batch, height, width, channels), not "
            f"{value!r}; td.transpose(x, (0, 2, 3, 1)) brings the channels last."
        )


def check_images(shape: Sequence[int | None], owner: str) -> None:
    """Refuse inputs that are no images, by a sentence that names ``owner``.

    Raises:
        ValueError: The shape has not four axes.
    """
    if len(shape) != 4:
        hint = "; add an axis for the channels, as in x[..., None]" if len(shape) == 3 else ""
        raise ValueError(f"{owner} takes images of shape (batch, height, width, channels), not {tuple(shape)}{hint}.")


def output_lengths(
    shape: Sequence[int | None], size: Pair, strides: Pair, padding: str, owner: str, dilation: Pair = (1, 1)
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
                f"{tuple(shape)}): take a smaller one, padding='same', or larger images."
            )
        counts.append(count)
    return counts[0], counts[1]
