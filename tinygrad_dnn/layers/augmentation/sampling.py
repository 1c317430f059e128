"""Reading images at other places than their own pixels: between them, beyond their edges, on a grid of another size."""

from __future__ import annotations

import functools
import operator

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.tensor import Tensor, tensor

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")


def positions(length: int, like: Tensor, dtype: str) -> Tensor:
    """Return 0, 1, ... as long as an axis, where ``like`` lives."""
    return tensor(np.arange(length, dtype=dtype), backend=like.backend)


def pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the pixels of each image at integer places, all of them inside.

    Args:
        images: (batch, height, width, channels).
        rows: Integers that with ``columns`` broadcast to (batch, new height, new width, 1).
        columns: As ``rows``.
    """
    batch, height, width, channels = images.shape
    first = ops.reshape(positions(batch, images, "int64") * height, (batch, 1, 1, 1))
    places = (ops.cast(rows, "int64") + first) * width + ops.cast(columns, "int64")
    flat = ops.reshape(images, (batch * height * width, channels))
    return ops.take(flat, ops.reshape(places, places.shape[:3]))


def sample(
    images: Tensor, rows: Tensor, columns: Tensor, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    """Return what images hold at places between their pixels and beyond their edges.

    Args:
        images: (batch, height, width, channels), of floats.
        rows: Places along the height, in pixels from the first row's centre: floats that with ``columns`` broadcast
            to (batch, new height, new width, 1).
        columns: Places along the width.
        interpolation: "bilinear" weights the four pixels around a place; "nearest" takes the one next to it.
        fill_mode: What lies beyond the edges; see ``_inside``.
        fill_value: What lies there for "constant".
    """
    vertical = _neighbours(rows, images.shape[1], interpolation, fill_mode)
    horizontal = _neighbours(columns, images.shape[2], interpolation, fill_mode)
    parts = [pixels(images, i, j) * (u * v) for i, u in vertical for j, v in horizontal]
    outputs = functools.reduce(operator.add, parts)
    if fill_mode == "constant" and fill_value:
        covered = functools.reduce(operator.add, [u for _, u in vertical]) * functools.reduce(
            operator.add, [v for _, v in horizontal]
        )
        outputs = outputs + (1.0 - covered) * fill_value
    return ops.cast(outputs, images.dtype)


def _neighbours(places: Tensor, length: int, interpolation: str, fill_mode: str) -> list[tuple[Tensor, Tensor]]:
    """Return the pixels around places along one axis, each with its weight; one beyond a constant's edge weighs 0."""
    if interpolation == "nearest":
        # Half a pixel is rounded away from 0.
        nearest = ops.sign(places) * ops.floor(ops.abs(places) + 0.5)
        found = [(nearest, ops.ones_like(places))]
    else:
        lower = ops.floor(places)
        share = places - lower
        found = [(lower, 1.0 - share), (lower + 1.0, share)]
    if fill_mode == "constant":
        found = [(i, ops.where(ops.logical_and(i >= 0, i < length), weight, 0.0)) for i, weight in found]
    return [(_inside(i, length, fill_mode), weight) for i, weight in found]


def _inside(places: Tensor, length: int, fill_mode: str) -> Tensor:
    """Return the pixel that stands for each place, a whole number, of an axis that goes on beyond its edges.

    Of a b c d, "reflect" makes d c b a | a b c d | d c b a, "wrap" a b c d | a b c d | a b c d, and "nearest" a a a a
    | a b c d | d d d d; so does "constant", whose places beyond the edges count for nothing.
    """
    if fill_mode == "wrap":
        return _remainder(places, length)
    if fill_mode == "reflect":
        along = _remainder(places, 2 * length)
        return ops.minimum(along, 2.0 * length - 1.0 - along)
    return ops.clip(places, 0.0, length - 1.0)


def _remainder(places: Tensor, length: int) -> Tensor:
    # The remainder of floats, which takes the sign of the divisor, is many times slower than these three.
    return places - ops.floor(places / float(length)) * float(length)


def resize(images: Tensor, height: int, width: int, interpolation: str, antialias: bool = False) -> Tensor:
    """Return images of another height and width, the edges of the old and of the new ones lying on each other.

    Args:
        images: (batch, height, width, channels); of floats, unless ``interpolation`` is "nearest".
        height: The new height.
        width: The new width.
        interpolation: "bilinear" weights the pixels around a new pixel's centre; "nearest" takes the one it lies in.
        antialias: Let "bilinear" weight, where images become smaller, all pixels under a new one and its neighbours.
    """
    for axis, length in ((1, height), (2, width)):
        if interpolation == "nearest":
            source = (2 * np.arange(length) + 1) * images.shape[axis] // (2 * length)
            images = ops.take(images, source, axis)
        else:
            weights = _weights(images.shape[axis], length, antialias).astype(images.dtype)
            first = ops.moveaxis(images, axis, 0)
            mixed = ops.matmul(tensor(weights, backend=images.backend), ops.reshape(first, (first.shape[0], -1)))
            images = ops.moveaxis(ops.reshape(mixed, (length, *first.shape[1:])), 0, axis)
    return images


def _weights(old: int, new: int, antialias: bool) -> np.ndarray:
    """Return a row for each new pixel: the weight of each old one, which falls with the distance to their centres."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    reach = max(old / new, 1.0) if antialias else 1.0
    distance = np.abs(centres[:, None] - np.arange(old)) / reach
    weights: np.ndarray = np.maximum(1.0 - distance, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def middle(images: Tensor, height: int, width: int) -> Tensor:
    """Return the largest part, in the middle of the images, that has the proportions of a height and a width."""
    old_height, old_width = images.shape[1:3]
    tall = max(min(old_height, old_width * height // width), 1)
    wide = max(min(old_width, old_height * width // height), 1)
    top, left = (old_height - tall) // 2, (old_width - wide) // 2
    return images[:, top : top + tall, left : left + wide]
