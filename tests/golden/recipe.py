"""The exercise's four networks on the embedded sample, to the last digit: weights, inputs, order of the batches.

NumPy alone, so that whatever makes the golden learning curves and whatever is compared with them start alike.
Random numbers come from ``np.random.RandomState``, whose streams NumPy promises never to change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

DEPTH, UNITS, CLASSES = 20, 100, 10
BATCH, STEPS = 32, 200
SHAPE = (28, 28)
# Standard deviation of a standard normal cut off at 2.
TRUNCATED_STD = 0.87962566103423978


@dataclass(frozen=True)
class Variant:
    """One part of the exercise.

    ``scale`` is the numerator of the initial kernels' variance (scale / fan_in); ``standardize`` says whether
    the pixels are standardised or stay at 0 to 255; ``dropout`` is alpha dropout's rate before the output;
    ``seed`` is that of the first weights, chosen so that a rounding error grows little in the steps that follow.
    """

    activation: str
    initializer: str
    scale: float
    learning_rate: float
    batch_normalization: bool = False
    standardize: bool = False
    dropout: float | None = None
    seed: int = 0


VARIANTS = {
    "elu": Variant("elu", "he_normal", 2.0, 5e-5),
    "bn": Variant("elu", "he_normal", 2.0, 5e-4, batch_normalization=True),
    "selu": Variant("selu", "lecun_normal", 1.0, 7e-4, standardize=True, seed=86),
    "alpha": Variant("selu", "lecun_normal", 1.0, 5e-4, standardize=True, dropout=0.1),
}


def build(keras: Any, variant: str, dropout: float | None = None, head: str | None = None) -> Any:
    """Return the network, not compiled, made of the layers of ``keras`` or of a module with its names.

    ``dropout`` replaces the variant's own rate, and ``head`` is the output layer's activation: ``None`` leaves
    logits.
    """
    part = VARIANTS[variant]
    layers = keras.layers
    model = keras.models.Sequential([layers.InputLayer(shape=SHAPE), layers.Flatten()])
    if part.batch_normalization:
        model.add(layers.BatchNormalization())
    for _ in range(DEPTH):
        if part.batch_normalization:
            model.add(layers.Dense(UNITS, kernel_initializer=part.initializer))
            model.add(layers.BatchNormalization())
            model.add(layers.Activation(part.activation))
        else:
            model.add(layers.Dense(UNITS, activation=part.activation, kernel_initializer=part.initializer))
    if part.dropout is not None:
        model.add(layers.AlphaDropout(rate=part.dropout if dropout is None else dropout))
    model.add(layers.Dense(CLASSES, activation=head))
    return model


def initial_weights(variant: str) -> list[np.ndarray]:
    """Return the first weights, float32, in the order of ``get_weights()`` of what ``build`` returns.

    Each kernel comes from a generator of its own, ``RandomState([seed, index])``, the index counting the dense
    layers from 0. A hidden kernel is normal with variance scale / fan_in, cut off at 2 sigma: draw all values,
    then, in C order, draw again those outside until none is left. The output's kernel is Glorot's uniform one.
    Biases are 0; normalisation starts with gamma 1, beta 0, mean 0, variance 1.
    """
    part = VARIANTS[variant]
    weights: list[np.ndarray] = []

    def normalization(width: int) -> None:
        if part.batch_normalization:
            weights.extend(np.full(width, value, np.float32) for value in (1, 0, 0, 1))

    fan_in = math.prod(SHAPE)
    normalization(fan_in)
    for index in range(DEPTH):
        random = np.random.RandomState([part.seed, index])
        sigma = math.sqrt(part.scale / fan_in) / TRUNCATED_STD
        weights.append((sigma * truncated_normal(random, (fan_in, UNITS))).astype(np.float32))
        weights.append(np.zeros(UNITS, np.float32))
        normalization(UNITS)
        fan_in = UNITS
    limit = math.sqrt(6 / (fan_in + CLASSES))
    random = np.random.RandomState([part.seed, DEPTH])
    weights.append(random.uniform(-limit, limit, size=(fan_in, CLASSES)).astype(np.float32))
    weights.append(np.zeros(CLASSES, np.float32))
    return weights


def truncated_normal(random: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal values, those beyond 2 drawn again until none is left; float64."""
    values = random.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = random.standard_normal(int(outside.sum()))
    return values


def inputs(variant: str, x_train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return the images as float32 for the variant: 0 to 255, or standardised pixel by pixel.

    Mean and standard deviation are those of ``x_train``, in float64; a pixel that never changes there has
    standard deviation 0 and is divided by 1 instead.
    """
    images = [array.astype(np.float64) for array in (x_train, *others)]
    if VARIANTS[variant].standardize:
        mean, std = images[0].mean(axis=0), images[0].std(axis=0)
        std[std == 0] = 1
        images = [(array - mean) / std for array in images]
    return [array.astype(np.float32) for array in images]


def batch_indices(step: int, samples: int) -> np.ndarray:
    """Return the rows of batch ``step``, counted from 0: the data in order, over and over, never a short batch.

    >>> batch_indices(1, 40)[:10].tolist()
    [32, 33, 34, 35, 36, 37, 38, 39, 0, 1]
    """
    return (step * BATCH + np.arange(BATCH)) % samples
