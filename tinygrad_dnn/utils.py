"""Small helpers that users expect by Keras's names: seeding everything, one-hot labels."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from tinygrad_dnn import backend, ops


def set_random_seed(seed: int) -> None:
    """Seed Python's ``random``, NumPy's global generator, and this thread's random numbers of the package.

    Args:
        seed: An integer in [0, 2**32).

    Raises:
        ValueError: It is none.

    Example:
        >>> td.utils.set_random_seed(42)
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"set_random_seed takes an integer from 0 to 2**32 - 1, not {seed!r}.")
    python_random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002  # for what the user draws from it
    ops.random.set_seed(int(seed))


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return one-hot rows for integer labels: shape ``labels.shape + (num_classes,)``, a last axis of 1 dropped.

    Args:
        x: Labels from 0 to ``num_classes`` - 1, an array or nested list.
        num_classes: The length of a row; by default the greatest label plus 1.

    Raises:
        ValueError: A label is not an integer in the range.

    Example:
        >>> td.utils.to_categorical([0, 2], num_classes=3)
        array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    given = np.asarray(x)
    if given.dtype.kind not in "fiub":
        raise ValueError(f"to_categorical: labels are integers of at least 0, not {given.dtype}.")
    if num_classes is not None and (not hasattr(num_classes, "__index__") or num_classes < 1):
        raise ValueError(f"to_categorical: num_classes must be an integer of at least 1, not {num_classes!r}.")
    wrong = given[~((given >= 0) & (given == np.floor(given)) & (given < np.inf))]
    if wrong.size:
        raise ValueError(f"to_categorical: labels are integers of at least 0; there is a {wrong[0]} among them.")
    labels = given.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    classes = num_classes if num_classes is not None else int(labels.max()) + 1 if labels.size else 0
    if labels.size and labels.max() >= classes:
        raise ValueError(f"to_categorical: label {labels.max()} does not fit {classes} classes; raise num_classes.")
    rows: np.ndarray = labels[..., None] == np.arange(classes)
    return rows.astype(backend.floatx())
