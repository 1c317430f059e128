"""How much each sample counts by its class, and which samples validate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_dnn import backend, nested, ops
from tinygrad_dnn.data.given import Batch, shown
from tinygrad_dnn.tensor import Tensor


def class_weights(y: Tensor | None, class_weight: Any, sample_weight: Tensor | None, caller: str) -> Tensor:
    """Return one weight a sample: that of its class, times ``sample_weight`` where there is one.

    Args:
        y: Labels, (samples,) or (samples, 1), or one-hot rows.
        class_weight: A dict from class to weight, 1 for those left out.
        sample_weight: One number a sample, or None.
        caller: What errors call the function that was given the data.

    Raises:
        ValueError: There are no targets to weigh by, or the weights are no such dict.
    """
    if not isinstance(y, Tensor):
        what = "targets y" if y is None else "one array of targets, and there are several: give sample_weight"
        raise ValueError(f"{caller}: class_weight needs {what}.")
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"{caller}: class_weight must be a dict from class to weight, as {{0: 1.0, 1: 2.5}}, not "
            f"{shown(class_weight)}."
        )
    if y.ndim > 2:
        raise ValueError(f"{caller}: class_weight needs one class a sample, and y has shape {y.shape}.")
    labels = y
    if y.ndim == 2:
        labels = ops.argmax(y, -1) if y.shape[-1] > 1 else ops.reshape(y, (-1,))
    weights = ops.ones_like(labels, backend.floatx())
    for label, weight in class_weight.items():
        if not (_is_number(label) and float(label).is_integer() and _is_number(weight) and 0 <= weight < math.inf):
            raise ValueError(
                f"{caller}: class_weight must give integer classes weights of at least 0, not {label!r} the weight "
                f"{weight!r}."
            )
        weights = ops.where(labels == int(label), float(weight), weights)
    if sample_weight is None:
        return weights
    return weights * ops.reshape(ops.cast(sample_weight, weights.dtype), weights.shape)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def split_validation(arrays: Batch, fraction: float) -> tuple[Batch, Batch]:
    """Cut the last ``fraction`` of the samples off each array; return the training and the validation part.

    Raises:
        ValueError: The fraction is not in (0, 1), or leaves one of the parts empty.
    """
    if not _is_number(fraction) or not 0 < fraction < 1:
        raise ValueError(f"fit: validation_split must be in [0, 1), not {fraction!r}.")
    n = len(nested.first(arrays.x))
    edge = math.floor(n * (1.0 - fraction))
    if edge in (0, n):
        raise ValueError(
            f"fit: validation_split={fraction} of {n} samples leaves {edge} to train on and {n - edge} to validate on."
        )
    return arrays.each(lambda array: array[:edge]), arrays.each(lambda array: array[edge:])
