"""Flip, shift, turn and stretch the training images at random, and see what the network learns to tolerate.

Each layer changes each image of a batch by a draw of its own, in training only (otherwise RandomCrop shrinks, the
others do nothing); a row of the pictures shows several draws. A network learns 1,000 images by heart, and its
validation loss turns and rises; one that never sees an image twice the same way is kept from that. On test images like
the training images it is no better, rather worse: these are all upright and centred, so tolerance is of no use. On test
images that are shifted, turned and stretched it is far better. So augment by what the network is to meet.

  python examples/augmentation.py
  python examples/augmentation.py --samples 5000 --epochs 15 --seeds 1
"""

from __future__ import annotations

from typing import NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

BLACK = {"fill_mode": "constant"}  # what comes in from beyond the edge
SHOWN = {
    'RandomFlip("horizontal")': td.layers.RandomFlip("horizontal"),
    "RandomTranslation(0.2, 0.2)": td.layers.RandomTranslation(0.2, 0.2, **BLACK),
    "RandomRotation(0.1)": td.layers.RandomRotation(0.1, **BLACK),
    "RandomZoom(0.4)": td.layers.RandomZoom(0.4, **BLACK),
    "RandomCrop(20, 20)": td.layers.RandomCrop(20, 20),
    "RandomContrast(0.8)": td.layers.RandomContrast(0.8, value_range=(0, 1)),
    "RandomBrightness(0.5)": td.layers.RandomBrightness(0.5, value_range=(0, 1)),
}
NAMES = ("without augmentation", "with augmentation")


class Run(NamedTuple):
    """Training and validation losses by epoch, and the accuracy on test images as they are and on changed ones."""

    train: list[float]
    valid: list[float]
    same: float
    changed: float


def changes() -> list[td.Layer]:
    """Return new layers that change images a little: shift by up to 3 pixels, turn by up to 11 degrees, stretch."""
    return [
        td.layers.RandomTranslation(0.1, 0.1, **BLACK),
        td.layers.RandomRotation(0.03, **BLACK),
        td.layers.RandomZoom(0.1, **BLACK),
    ]


def train(images: lesson.Images, augmented: bool, epochs: int, seed: int) -> Run:
    """Train a dense network with or without augmentation, and test it."""
    td.utils.set_random_seed(seed)
    x_train, x_valid, x_test = (x[..., np.newaxis] for x in (images.x_train, images.x_valid, images.x_test))
    model = td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28, 1)),
        *(changes() if augmented else ()),
        td.layers.Flatten(),
        td.layers.Dense(200, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = model.fit(x_train, images.y_train, epochs=epochs, validation_data=(x_valid, images.y_valid), verbose=0)
    x_changed = x_test
    for layer in changes():
        x_changed = layer(x_changed, training=True)
    accuracies = [model.evaluate(np.array(x), images.y_test, verbose=0)[1] for x in (x_test, x_changed)]
    return Run(fit.history["loss"], fit.history["val_loss"], *accuracies)


def draw(image: np.ndarray, runs: dict[str, list[Run]]) -> plt.Figure:
    """Return what becomes of an image on the left; losses and accuracies on the right."""
    figure = plt.figure(figsize=(14, 10))
    left, right = figure.add_gridspec(1, 2, width_ratios=(1.1, 1))
    pictures = left.subgridspec(len(SHOWN), 7).subplots()
    for row, (name, layer) in zip(pictures, SHOWN.items(), strict=True):
        draws = np.array(layer(np.repeat(image[np.newaxis, ..., np.newaxis], len(row) - 1, axis=0), training=True))
        for cell, pixels in zip(row, (image, *draws[..., 0]), strict=True):
            cell.imshow(pixels, cmap="gray", vmin=0, vmax=1)
            cell.axis("off")
        row[0].set_title("given", loc="left", fontsize=10)
        row[1].set_title(name, loc="left", fontsize=10)
    losses, accuracies = right.subgridspec(2, 1, hspace=0.3).subplots()
    for i, (name, each) in enumerate(runs.items()):
        for k, part, style in ((0, "training", ":"), (1, "validation", "-")):
            curve = np.mean([run[k] for run in each], axis=0)
            losses.plot(range(1, len(curve) + 1), curve, f"C{i}{style}", label=f"{name}, {part}")
        found = 100 * np.array([(run.same, run.changed) for run in each])
        accuracies.bar(np.arange(2) + 0.4 * i, found.mean(0), 0.38, color=f"C{i}", label=name)
        accuracies.plot(np.arange(2) + 0.4 * i, found.T, "k_", markersize=18)
    losses.set(title="Mean of the runs", xlabel="epoch", ylabel="cross-entropy [nats]", ylim=(0, 1.5))
    accuracies.set(title="Accuracy, a dash a run", ylabel="accuracy [%]", ylim=(0, 115), yticks=range(0, 101, 20))
    accuracies.set_xticks([0.2, 1.2], ["test images", "test images shifted,\nturned and stretched"])
    losses.legend()
    accuracies.legend(ncols=2)
    return figure


def main(arguments: list[str] | None = None) -> dict[str, list[Run]]:
    """Compare and draw what the options ask for; return the runs with and without augmentation."""
    counts = {"samples": (1000, "training images"), "epochs": (60, "of each run"), "seeds": (2, "runs each")}
    options = lesson.parser(__doc__, "augmentation", **counts).parse_args(arguments)
    images = lesson.images(options.samples)
    runs = {}
    print(f"{'':22} {'training loss':>14} {'validation loss':>16} {'test images':>12} {'changed ones':>13}")
    for name, augmented in zip(NAMES, (False, True), strict=True):
        each = [train(images, augmented, options.epochs, options.seed + i) for i in range(options.seeds)]
        runs[name] = each
        means = np.mean([(run.train[-1], run.valid[-1], run.same, run.changed) for run in each], axis=0)
        print("{:22} {:14.2f} {:16.2f} {:12.1%} {:13.1%}".format(name, *means))
    td.utils.set_random_seed(options.seed)
    lesson.save(draw(images.x_test[images.y_test == lesson.CLASS_NAMES.index("Sneaker")][0], runs), options.out)
    return runs


if __name__ == "__main__":
    lesson.run(main)
