"""SMOTE: new samples for the classes that have few, between neighbours of one class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_dnn.checks import as_integer, as_seed
from tinygrad_dnn.ops.random import generator

# Distances held at once: a class of n samples would need n * n.
_DISTANCES = 1 << 22


def smote(
    x: Any,
    y: Any,
    k_neighbors: int = 5,
    sampling: Mapping[Any, int] | None = None,
    seed: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Add samples to the classes that have few, each on the segment from a sample to a near one of its class.

    A new sample is a + u (b - a): a is a sample of the class (each serves equally often, but for a remainder), b one of
    its ``k_neighbors`` nearest in the same class by Euclidean distance, u uniform in [0, 1). Use it on training data
    only, and after they were split: a validation sample between two training samples is no new one. Scale the features
    before, since the distances compare them.

    Args:
        x: Samples, (samples, ...): vectors, images or anything of one shape; integers are rounded to integers again.
        y: One label a sample, (samples,) or (samples, 1): numbers or strings.
        k_neighbors: How many neighbours a sample may be mixed with, at least 1.
        sampling: How many samples each class is to have in the end, by label; classes left out stay as they are. By
            default each gets as many as the largest has.
        seed: Of the draws, an integer in [0, 2**63); by default they follow ``utils.set_random_seed``.

    Returns:
        x and y with the given samples first, unchanged and in order, and the new ones after them, class by class.

    Raises:
        ValueError: An argument is out of its range, x holds NaN or infinity, or a class that is to grow has not more
            than ``k_neighbors`` samples.

    Example:
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [5.0, 6.0], [6.0, 5.0], [6.0, 6.0]])
        >>> new_x, new_y = td.datasets.smote(x, [1, 1, 0, 0, 0, 0], k_neighbors=1, seed=1)
        >>> new_y.tolist()
        [1, 1, 0, 0, 0, 0, 1, 1]
        >>> bool((new_x[6:, 0] > 0).all() and (new_x[6:, 0] < 1).all() and (new_x[6:, 1] == 0).all())
        True

    Reference:
        Chawla, Bowyer, Hall and Kegelmeyer (2002): SMOTE, synthetic minority over-sampling technique. JAIR 16.
    """
    x, y = _checked(x, y)
    k_neighbors = as_integer(k_neighbors, "smote: k_neighbors", "[1, inf)")
    seed = as_seed(seed, "smote: seed")
    labels, classes = np.unique(y.reshape(len(y)), return_inverse=True)
    counts = np.bincount(classes)
    missing = _missing(labels.tolist(), counts.tolist(), sampling)
    for label, count, wanted in zip(labels.tolist(), counts.tolist(), missing, strict=True):
        if wanted and count <= k_neighbors:
            remedy = f"give k_neighbors={count - 1} or less" if count > 1 else "give it more samples"
            raise ValueError(
                f"smote: the class {label!r} has {count} sample{'s' * (count != 1)}, and {k_neighbors} neighbours of "
                f"each need at least {k_neighbors + 1}: {remedy}, or leave the class out by sampling=."
            )
    rng = generator(seed)
    vectors = x.reshape(len(x), -1)
    new_x, new_y = [x], [y]
    for index, wanted in enumerate(missing):
        if wanted:
            members = np.flatnonzero(classes == index)
            drawn = _between(vectors[members].astype(np.float64), wanted, int(k_neighbors), rng)
            if x.dtype.kind in "iu":
                drawn = np.rint(drawn)
            new_x.append(drawn.astype(x.dtype).reshape(wanted, *x.shape[1:]))
            new_y.append(np.full((wanted, *y.shape[1:]), labels[index], y.dtype))
    return np.concatenate(new_x), np.concatenate(new_y)


def _checked(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "fiu" or x.ndim < 2:
        raise ValueError(
            f"smote: x must be an array of numbers of shape (samples, ...), not {x.dtype} of shape {x.shape}."
        )
    if y.shape not in ((len(x),), (len(x), 1)):
        hint = ": one label a sample, not one-hot rows" if y.ndim == 2 else ""
        raise ValueError(f"smote: y must have shape ({len(x)},) like x's samples, not {y.shape}{hint}.")
    if not len(x):
        raise ValueError("smote: x has no samples.")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        place = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"smote: x holds {x[tuple(place)]} at sample {place[0]}: replace or drop it.")
    return x, y


def _missing(labels: list[Any], counts: list[int], sampling: Mapping[Any, int] | None) -> list[int]:
    """Return how many samples each class is to gain."""
    if sampling is None:
        return [max(counts) - count for count in counts]
    if not isinstance(sampling, Mapping):
        raise ValueError(
            f"smote: sampling must be a dict from label to the number of samples in the end, not {sampling!r}."
        )
    unknown = [label for label in sampling if label not in labels]
    if unknown:
        raise ValueError(f"smote: sampling names the class {unknown[0]!r}, which y does not have; it has {labels}.")
    missing = []
    for label, count in zip(labels, counts, strict=True):
        target = sampling.get(label, count)
        if isinstance(target, bool) or not hasattr(target, "__index__") or target < count:
            raise ValueError(
                f"smote: sampling gives the class {label!r} {target!r} samples; it has {count}, and the number must be "
                "an integer of at least that."
            )
        missing.append(int(target) - count)
    return missing


def _between(vectors: np.ndarray, wanted: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return points on segments between rows of a class and near ones of it."""
    times, rest = divmod(wanted, len(vectors))
    bases = np.concatenate([np.tile(np.arange(len(vectors)), times), rng.permutation(len(vectors))[:rest]])
    used, position = np.unique(bases, return_inverse=True)
    near = _neighbors(vectors, used, k)
    mates = near[position, rng.integers(k, size=wanted)]
    u = rng.random((wanted, 1))
    points: np.ndarray = vectors[bases] + u * (vectors[mates] - vectors[bases])
    return points


def _neighbors(vectors: np.ndarray, of: np.ndarray, k: int) -> np.ndarray:
    """Return the ``k`` nearest other rows of some rows, (len(of), k)."""
    # Far from the origin, |a|^2 - 2ab + |b|^2 would lose the digits that tell near from nearest.
    centred = vectors - vectors.mean(axis=0)
    squares = np.einsum("ij,ij->i", centred, centred)
    found = np.empty((len(of), k), np.intp)
    rows = max(1, _DISTANCES // len(vectors))
    for start in range(0, len(of), rows):
        part = of[start : start + rows]
        distances = squares - 2.0 * centred[part] @ centred.T  # less |a|^2, which is the same along a row
        distances[np.arange(len(part)), part] = np.inf  # by its place: a twin at distance 0 is a neighbour
        found[start : start + len(part)] = np.argpartition(distances, k - 1, axis=1)[:, :k]
    return found
