"""Batch normalisation, its fusing and dropout as two teaching texts have them, wrong, beside the right ones.

A batch normalisation that keeps its first batch's statistics for ever, cannot predict untrained, and changes its gamma
whenever a gradient is taken; dropout scaled by the rate; normalisation fused without its epsilon, or across an
activation. Each line has the number as said, then the right one. More: docs/corrections.md, by the same numbers.

  python examples/corrections_normalisation.py
  python examples/corrections_normalisation.py --epochs 10 --out normalisation.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import layers


def keep_first(model: td.Layer, batch: Any) -> None:
    """Let batch normalisations of momentum 0 take in one batch, and keep its statistics for ever."""
    model(batch, training=True)
    for layer in getattr(model, "layers", [model]):
        layer.trainable = layer.trainable and not isinstance(layer, layers.BatchNormalization)


def statistics(panel: Any, options: Any) -> lesson.Pairs:
    """1. A batch is normalised by its own statistics, not the first one's; before any there are mean 0, variance 1."""
    td.utils.set_random_seed(options.seed)
    batches = [td.random.normal((64, 20), stddev=1 + 0.05 * t) for t in range(41)]
    said, right = layers.BatchNormalization(momentum=0), layers.BatchNormalization()
    keep_first(said, batches[0])
    untrained = np.nan, float(td.std(right(batches[0])))  # as said an error: there is no gamma yet
    found = [[float(td.std(layer(x, training=True))) for x in batches] for layer in (said, right)]
    axes = {"title": "1. Batches that spread more and more", "xlabel": "batch", "ylabel": "deviation of the outputs"}
    lesson.beside(panel, range(41), *found, ("by the first batch's statistics", "by each batch's own"), **axes)
    return {"deviation of batch 40": (found[0][-1], found[1][-1]), "deviation, untrained (nan: an error)": untrained}


def network(panel: Any, options: Any) -> lesson.Pairs:
    """1. With the first batch's statistics a network learns at low rates alone, with each batch's own at high ones."""
    images, rates, found = lesson.images(options.samples), (0.01, 0.03, 0.1, 0.3), []
    for momentum in (0.0, 0.9):
        for rate in rates:
            td.utils.set_random_seed(options.seed)
            model = td.Sequential([layers.Flatten()])
            for _ in range(5):
                model.add(layers.Dense(100, kernel_initializer="he_normal"))
                model.add(layers.BatchNormalization(momentum=momentum))
                model.add(layers.Activation("relu"))
            model.add(layers.Dense(10, activation="softmax"))
            if not momentum:
                keep_first(model, images.x_train[:32])
            model.compile(td.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
            with np.errstate(all="ignore"):  # what diverges ends in infinity and NaN
                model.fit(images.x_train, images.y_train, epochs=options.epochs, verbose=0)
                found.append(100 * model.evaluate(images.x_test, images.y_test, verbose=0)[1])
    axes = {"title": "1. Five ReLU layers", "xlabel": "learning rate", "ylabel": "accuracy on test images, %"}
    labels = "the first batch's statistics", "each batch's own"
    lesson.beside(panel, rates, found[:4], found[4:], labels, xscale="log", **axes)
    return {f"test accuracy at a learning rate of {rates[i]}, %": (found[i], found[4 + i]) for i in (0, 2)}


def learned_scale(panel: Any, options: Any) -> lesson.Pairs:
    """1. gamma is the optimizer's to change; changed by each gradient taken, with a rate of 1, it never settles."""
    x = np.random.default_rng(options.seed).normal(size=(64, 1)).astype("float32")
    layer, optimizer = layers.BatchNormalization(epsilon=0), td.optimizers.SGD(0.1)
    target, said, right = 3 * layer(x, training=True).detach(), [1.0], [1.0]
    for _ in range(20):
        said.append(said[-1] - 2 * (said[-1] - 3))  # the slope of the mean of (gamma x - 3 x)^2, x of variance 1
        gradients = td.grad(td.mean((layer(x, training=True) - target) ** 2), layer.trainable_weights)
        optimizer.apply(gradients, layer.trainable_weights)
        right.append(float(layer.gamma[0]))
    axes = {"title": "1. A gamma that should become 3", "xlabel": "gradients taken", "ylabel": "gamma", "ylim": (0, 7)}
    lesson.beside(panel, range(21), said, right, ("changed by each gradient", "by the optimizer, SGD(0.1)"), **axes)
    return {f"gamma after gradient {n}": (said[n], right[n]) for n in (1, 20)}


def dropout_scale(panel: Any, options: Any) -> lesson.Pairs:
    """6. Units stay with probability 1 - rate: predictions are scaled by that, or training by its inverse."""
    td.utils.set_random_seed(options.seed)
    rates, ones = np.linspace(0.1, 0.9, 17), td.ones((100_000,))
    said = rates / (1 - rates)  # predicted: rate, in training: 1 - rate
    right = [float(layer(ones).mean() / layer(ones, training=True).mean()) for layer in map(layers.Dropout, rates)]
    axes = {"title": "6. Dropout's mean output", "xlabel": "rate", "ylabel": "prediction / training", "yscale": "log"}
    lesson.beside(panel, rates, said, right, ("scaled by the rate", "td: divided by 1 - rate in training"), **axes)
    return {f"mean output, prediction / training, rate {rates[i]:g}": (said[i], right[i]) for i in (2, 8)}


def fusing(panel: Any, options: Any) -> lesson.Pairs:
    """7. A fused normalisation divides by sqrt(variance + epsilon); behind an activation, it goes into the next one."""
    td.utils.set_random_seed(options.seed)
    x, small = td.random.normal((50, 40)), td.initializers.RandomNormal(stddev=0.02)
    first, norm = layers.Dense(30, "sigmoid", kernel_initializer=small), layers.BatchNormalization(momentum=0)
    model = td.Sequential([first, norm, last := layers.Dense(3)])
    model(x, training=True)  # which sets the normalisation's averages
    exact, outputs = model(x), {"fused right: td.fuse": td.fuse(model)(x)}
    mean, variance = norm.moving_mean, norm.moving_variance  # gamma is 1, beta and the bias 0
    outputs["into the layer before"] = last(first.activation((x @ first.kernel - mean) / td.sqrt(variance + 1e-3)))
    outputs["without epsilon"] = last((first(x) - mean) / td.sqrt(variance))
    errors = {}
    for (label, values), style in zip(outputs.items(), ("C0.", "C4x", "C1+"), strict=True):
        panel.plot(exact.numpy().ravel(), values.numpy().ravel(), style, label=label)
        errors[label] = float(td.abs(values - exact).max())
    panel.set(title="7. Sigmoid layer, normalisation, layer", xlabel="output, not fused", ylabel="output, fused")
    right, *_ = errors.values()
    return {f"largest error, {label}": (error, right) for label, error in errors.items() if error != right}


def main(arguments: list[str] | None = None) -> dict[str, lesson.Pairs]:
    """Measure and draw; return by correction the numbers as said and right."""
    counts = {"epochs": (4, "of training"), "samples": (1000, "images to train on")}
    options = lesson.parser(__doc__, "corrections_normalisation", **counts).parse_args(arguments)
    return lesson.compare(options, statistics, network, learned_scale, dropout_scale, fusing)


if __name__ == "__main__":
    lesson.run(main)
