"""How sure a model is: Monte Carlo dropout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.data import is_arrays
from tinygrad_dnn.layers.surroundings import dropping
from tinygrad_dnn.models import Model


class Uncertainty(NamedTuple):
    """What ``mc_dropout`` returns; unpacks as ``mean, std, entropy``.

    Attributes:
        mean: The mean of the passes' outputs, (samples, ...): the prediction to use.
        std: Their standard deviation about it, of the same shape.
        entropy: The predictive entropy, that of the mean, in nats: (samples, ...) without the last axis. None where the
            outputs are not probabilities.

    Example:
        >>> model = td.models.Sequential([td.layers.Dropout(0.5), td.layers.Dense(3, activation="softmax")])
        >>> mean, std, entropy = td.mc_dropout(model, np.ones((2, 8)), n=10)
        >>> mean.shape, std.shape, entropy.shape
        ((2, 3), (2, 3), (2,))
    """

    mean: np.ndarray
    std: np.ndarray
    entropy: np.ndarray | None


def mc_dropout(model: Model, x: Any, n: int = 100, batch_size: int | None = None) -> Uncertainty:
    """Predict n times with dropout active, and return the mean, the standard deviation and the predictive entropy.

    Only the dropout layers act as in training, at any depth: those whose class says ``is_dropout``, as ``Dropout`` and
    what derives from it do. All else is as at inference: batch normalisation uses its moving averages, and does not
    move them. The random streams advance as in training, so that a second call draws other masks.

    The outputs count as probabilities where each row of the last axis sums to 1, or, where that axis has one element,
    where all are in [0, 1] (the probability of one of two classes).

    Args:
        model: A model with dropout layers.
        x: Inputs, (samples, ...), of a model with several in a list or dict.
        n: How many passes to make, at least 2.
        batch_size: Samples a step, 32 by default.

    Raises:
        ValueError: The model has no dropout layer or several outputs, ``n`` is out of its range, or the data do not fit
            the model.

    Example:
        >>> model = td.models.Sequential([td.layers.Dense(16), td.layers.Dropout(0.2), td.layers.Dense(1)])
        >>> mean, std, entropy = td.mc_dropout(model, np.ones((4, 3)), n=20)
        >>> bool((std > 0).all()), entropy is None
        (True, True)

    Reference:
        Gal and Ghahramani (2016): Dropout as a Bayesian approximation. ICML.
    """
    if not isinstance(model, Model):
        raise TypeError(f"mc_dropout: it takes a model, not {type(model).__name__}.")
    as_integer(n, "mc_dropout: n", "[2, inf)")
    if not is_arrays(x, None, "mc_dropout", model._number_of_inputs()):
        raise ValueError("mc_dropout: x must be an array, which can be gone through n times, not batches.")
    if not model.built:
        model.predict(x[:1])  # a layer may make those inside it when it is built
    if not any(layer.is_dropout for layer, _ in model._flatten()):
        raise ValueError(f"mc_dropout: model {model.name!r} has no dropout layer, so all passes would be the same.")
    # Welford's running sums: n outputs at once could be more than the memory holds.
    mean: Any = 0.0
    squares: Any = 0.0
    for count in range(1, n + 1):
        with dropping():
            outputs = model.predict(x, batch_size=batch_size)
        if not isinstance(outputs, np.ndarray):
            raise ValueError(
                f"mc_dropout: model {model.name!r} has several outputs: make a Model of its inputs and one output."
            )
        dtype = outputs.dtype
        away = outputs.astype(np.float64) - mean
        mean = mean + away / count
        squares = squares + away * (outputs - mean)
    return Uncertainty(mean.astype(dtype), np.sqrt(squares / n).astype(dtype), _entropy(mean, dtype))


def _entropy(p: np.ndarray, dtype: Any) -> np.ndarray | None:
    """Return the entropy over the last axis, or None where these are no probabilities."""
    # A row of float32 probabilities sums to 1 but for a rounding error each, and so does the mean of such rows.
    slack = 1e-5
    if p.min() < -slack or p.max() > 1 + slack:
        return None
    if p.shape[-1] == 1:
        p = np.concatenate([p, 1 - p], axis=-1)
    elif np.abs(p.sum(axis=-1) - 1).max() > slack:
        return None
    p = np.clip(p, 0, 1)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    entropy: np.ndarray = -(p * logs).sum(axis=-1).astype(dtype) + 0.0  # + 0.0: a certain prediction has 0, not -0
    return entropy
