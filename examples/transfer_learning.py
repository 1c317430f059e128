"""Teach a network that knows eight kinds of clothes to tell sandals from shirts, with few images.

Network A learns the eight other classes. Network B tells a sandal from a shirt: from scratch; with A's hidden layers
reused; and with them frozen at first, then fine-tuned at a tenth of the rate. A fair comparison: one architecture, the
same images, epochs and optimizer, several seeds. What to look for: with 20 images A's layers are worth a lot, above all
in the first epochs; with 200 they only save epochs, and what is left between the curves is a test image or two of 200.
Convolutional layers learn more from 20 images themselves, so that here A adds less to them than to dense ones.

  python examples/transfer_learning.py
  python examples/transfer_learning.py --seeds 10 --epochs 40 --out transfer.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

IMAGES = (20, 200)
WAYS = {"from scratch": ("C1", ":"), "A's layers reused": ("C0", "--"), "frozen, then fine-tuned": ("C2", "-")}
CASES = [(count, way) for count in IMAGES for way in WAYS]
Measured = dict[Any, np.ndarray]  # in %, by images and way, (seeds, epochs)


def split(x: np.ndarray, y: np.ndarray) -> Any:
    """Return the images of the other classes with labels 0 to 7, and of sandals (0) and shirts (1)."""
    of_b = (y == 5) | (y == 6)
    return (x[~of_b], np.where(y > 6, y - 2, y)[~of_b]), (x[of_b], (y[of_b] == 6).astype("float32"))


def train_a(kind: str, x: np.ndarray, y: np.ndarray) -> td.Sequential:
    """Return network A, dense or convolutional, after it learned the eight classes."""
    layers, he = td.layers, {"activation": "relu", "kernel_initializer": "he_normal"}
    if kind == "dense":
        hidden = [layers.Flatten(), *(layers.Dense(units, **he) for units in (300, 100, 50, 50, 50))]
    else:
        convolutions = [layers.Conv2D(filters, 3, strides=2, padding="same", **he) for filters in (16, 32, 32)]
        hidden = [layers.Reshape((28, 28, 1)), *convolutions, layers.Flatten(), layers.Dense(50, **he)]
    model = td.Sequential([layers.InputLayer(shape=(28, 28)), *hidden, layers.Dense(8, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=4, verbose=0)
    return model


def train_b(hidden: list[td.Layer], way: str, data: Any, test: Any, epochs: int) -> list[float]:
    """Train the layers under a new output layer; return the accuracy on the test images after each epoch."""
    model = td.Sequential([*hidden, td.layers.Dense(1, activation="sigmoid")])
    frozen = 2 * epochs // 5 if way.startswith("frozen") else 0
    accuracy: list[float] = []
    for trainable, rate, count in ((False, 0.05, frozen), (True, 0.005 if frozen else 0.05, epochs - frozen)):
        for layer in hidden:
            layer.trainable = trainable
        model.compile(td.optimizers.SGD(rate), loss="binary_crossentropy", metrics=["accuracy"])
        if count:
            fitted = model.fit(*data, epochs=count, verbose=0, validation_data=test, validation_batch_size=500)
            accuracy += fitted.history["val_accuracy"]
    return accuracy


def measure(kind: str, options: Any) -> Measured:
    """Return B's accuracies, (seeds, epochs), by images and way; under "A" its own before, after, and ruined."""
    x_train, y_train, _, _, x_test, y_test = lesson.images()
    ((x_a, y_a), (x, y)), (test_a, test) = split(x_train, y_train), split(x_test, y_test)
    measured: dict[Any, list[Any]] = {case: [] for case in ("A", *CASES)}
    for seed in range(options.seed, options.seed + options.seeds):
        td.utils.set_random_seed(seed)
        model_a = train_a(kind, x_a[: options.samples], y_a[: options.samples])
        before = model_a.evaluate(*test_a, verbose=0)[1]
        order = np.random.default_rng(seed).permutation(len(x))
        for count, way in CASES:
            td.utils.set_random_seed(seed)
            clone = td.models.clone_model(model_a)  # A's own layers would change while B learns
            if way != "from scratch":
                clone.set_weights(model_a.get_weights())
            b = x[order[:count]], y[order[:count]]
            measured[count, way].append(train_b(clone.layers[:-1], way, b, test, options.epochs))
        after = model_a.evaluate(*test_a, verbose=0)[1]
        train_b(model_a.layers[:-1], "A's layers reused", b, test, options.epochs)
        measured["A"].append([before, after, model_a.evaluate(*test_a, verbose=0)[1]])
    return {what: 100 * np.array(values) for what, values in measured.items()}


def draw(measured: dict[str, Measured]) -> Any:
    """Return the accuracies by epoch: a row for each number of images, a column for each kind of network."""
    figure, axes = plt.subplots(len(IMAGES), len(measured), figsize=(11, 8.5), sharex=True, sharey="row")
    for panel, (count, kind) in zip(axes.flat, ((count, kind) for count in IMAGES for kind in measured), strict=True):
        for way, (colour, style) in WAYS.items():
            accuracy = measured[kind][count, way]
            epochs, mean, spread = np.arange(1, accuracy.shape[1] + 1), accuracy.mean(0), accuracy.std(0)
            panel.plot(epochs, mean, style, color=colour, label=way, linewidth=2)
            panel.fill_between(epochs, mean - spread, np.minimum(mean + spread, 100), color=colour, alpha=0.15)
        panel.set(title=f"{kind} network, {count} images", ylim=(40 if count == 20 else 90, 100.5))
        panel.set(xlabel="epoch of B", ylabel="accuracy on test images [%]")
        panel.grid(alpha=0.3)
    axes[0, -1].legend(loc="lower right", title="mean and standard deviation over seeds")
    return figure


def main(arguments: list[str] | None = None) -> dict[str, Measured]:
    """Measure and draw what the options ask for; return the accuracies by kind of network, images and way."""
    counts = {"seeds": (4, "networks A, each with other images for B"), "samples": (4000, "images that A learns from")}
    options = lesson.parser(__doc__, "transfer_learning", **counts, epochs=(12, "epochs of B")).parse_args(arguments)
    measured = {kind: measure(kind, options) for kind in ("dense", "convolutional")}
    for kind, by_way in measured.items():
        before, after, shared = by_way["A"].mean(0)
        print(f"{kind} A: {before:.1f} % before B, {after:.1f} % after; {shared:.1f} % where B trained A's own layers")
        for count, way in CASES:
            chosen = by_way[count, way][:, [min(3, options.epochs) - 1, -1]]
            early, last = (f"{values.mean():5.1f} ± {values.std():4.1f} %" for values in chosen.T)
            print(f"  {count:3} images, {way:24}epoch 3: {early}   last: {last}")
    lesson.save(draw(measured), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
