"""Drop units in training, at several rates; and drop them after SELU layers without disturbing their scale.

On 1,000 images the validation loss of a network without dropout turns and rises; dropout makes the network learn more
slowly and keeps the loss down, while the accuracies are much alike. (Training figures are taken with units dropped, and
so begin worse than those of validation.) The units that stay are divided by the probability of staying, 1 - rate, in
training, so that nothing is rescaled when predicting. That keeps the mean of a layer's outputs but raises their spread,
which moves the next layer's mean too: SELU no longer normalises itself. Alpha dropout keeps mean and spread.

  python examples/dropout.py
  python examples/dropout.py --samples 5000 --epochs 20 --seeds 1
"""

from __future__ import annotations

from typing import NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

RATES = (0.0, 0.2, 0.5)
KINDS = (None, td.layers.Dropout, td.layers.AlphaDropout)


class Measured(NamedTuple):
    """By rate, the curves of ``fit`` of shape (seeds, epochs); by kind, mean and deviation after each SELU layer."""

    curves: dict[float, dict[str, np.ndarray]]
    statistics: dict[str, np.ndarray]


def train(images: lesson.Images, rate: float, epochs: int, seed: int) -> dict[str, list[float]]:
    """Return the learning curves of a network with dropout after each hidden layer."""
    td.utils.set_random_seed(seed)
    model = td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28)),
        td.layers.Flatten(),
        td.layers.Dense(200, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dropout(rate),
        td.layers.Dense(100, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dropout(rate),
        td.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    valid = (images.x_valid, images.y_valid)
    return model.fit(images.x_train, images.y_train, epochs=epochs, validation_data=valid, verbose=0).history


def through_layers(kind: type[td.layers.Dropout] | None, seed: int, layers: int = 20) -> np.ndarray:
    """Return mean and standard deviation of standard normal inputs after each of many SELU layers: (layers, 2)."""
    td.utils.set_random_seed(seed)
    x, statistics = td.random.normal((1000, 200)), []
    with td.no_grad():
        for _ in range(layers):
            x = td.layers.Dense(200, activation="selu", kernel_initializer="lecun_normal")(x)
            x = x if kind is None else kind(0.2)(x, training=True)
            statistics.append((np.array(x).mean(), np.array(x).std()))
    return np.array(statistics)


def draw(found: Measured) -> plt.Figure:
    """Return the learning curves above, what becomes of the mean and the spread below."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 9))
    for i, (rate, curves) in enumerate(found.curves.items()):
        for axis, measure, unit in ((axes[0, 0], "loss", 1), (axes[0, 1], "accuracy", 100)):
            epochs = range(1, curves["loss"].shape[1] + 1)
            axis.plot(epochs, unit * curves[f"val_{measure}"].mean(0), f"C{i}-", label=f"rate {rate:g}, validation")
            axis.plot(epochs, unit * curves[measure].mean(0), f"C{i}:", label=f"rate {rate:g}, training")
    axes[0, 0].set(title="Loss, mean of the networks", xlabel="epoch", ylabel="cross-entropy [nats]", ylim=(0, 1.3))
    axes[0, 1].set(title="Accuracy, mean of the networks", xlabel="epoch", ylabel="accuracy [%]", ylim=(60, 101))
    for i, (name, statistics) in enumerate(found.statistics.items()):
        for axis, values in zip(axes[1], statistics.T, strict=True):
            axis.plot(range(1, len(values) + 1), values, f"C{i + 3}o-", markersize=4, label=name)
            axis.set_xticks(range(0, len(values) + 1, 5))
    axes[1, 0].set(title="SELU layers with dropout, rate 0.2: mean", xlabel="layer", ylabel="mean", ylim=(-0.5, 0.5))
    axes[1, 1].set(title="and their spread", xlabel="layer", ylabel="standard deviation", ylim=(0, 2))
    for axis in axes.flat:
        axis.legend(ncols=1 if axis in axes[1] else 2, fontsize=9)
        axis.grid(alpha=0.3)
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Measure and draw what the options ask for; return what was measured."""
    counts = {"samples": (1000, "training images"), "epochs": (40, "of each network"), "seeds": (2, "networks a rate")}
    options = lesson.parser(__doc__, "dropout", **counts).parse_args(arguments)
    images = lesson.images(options.samples)
    found = Measured({}, {})
    print("rate   training loss   validation: least loss   last loss   accuracy of the last 5 epochs")
    for rate in RATES:
        runs = [train(images, rate, options.epochs, options.seed + i) for i in range(options.seeds)]
        curves = found.curves[rate] = {name: np.array([run[name] for run in runs]) for name in runs[0]}
        loss, valid, accuracy = (curves[name] for name in ("loss", "val_loss", "val_accuracy"))
        print(
            f"{rate:4.1f}   {loss[:, -1].mean():13.2f}   {valid.min(1).mean():22.2f}   {valid[:, -1].mean():9.2f}"
            f"   {accuracy[:, -5:].mean():29.1%}"
        )
    for kind in KINDS:
        name = "no dropout" if kind is None else kind.__name__
        statistics = found.statistics[name] = through_layers(kind, options.seed)
        print(f"after 20 SELU layers, {name}: mean {statistics[-1, 0]:.2f}, deviation {statistics[-1, 1]:.2f}")
    lesson.save(draw(found), options.out)
    return found


if __name__ == "__main__":
    lesson.run(main)
