"""Training as two teaching texts do it, beside the right ways: when to stop, which epoch counts, scaled pixels.

Early stopping that watches the training loss, which goes on falling; figures of the last epoch, though another one had
the least loss (its accuracy is hardly another); and pixels from 0 to 255 in an exercise's 20-layer network, without and
with batch normalisation, which scales them itself. Each printed line has the number as said, then the right one; those
of number 9 are means over the seeds. More: docs/corrections.md, by the same numbers.

  python examples/corrections_training.py
  python examples/corrections_training.py --seeds 8 --epochs 40 --out training.png
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import lesson
import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import layers

History = dict[str, Any]


def train(hidden: list[td.Layer], optimizer: Any, images: lesson.Images, scale: Any, **options: Any) -> History:
    """Train a network of these hidden layers on scaled images; return its history."""
    model = td.Sequential([layers.Flatten(), *hidden, layers.Dense(10, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    valid = scale(images.x_valid), images.y_valid
    return model.fit(scale(images.x_train), images.y_train, validation_data=valid, verbose=0, **options).history


@functools.cache
def stopped(monitor: str, epochs: int, seed: int) -> History:
    """Return the history of a training that a value stops, and under "best" the index of its best epoch."""
    td.utils.set_random_seed(seed)
    hidden = [layers.Dense(units, activation="relu", kernel_initializer="he_normal") for units in (300, 100)]
    callback = td.callbacks.EarlyStopping(monitor, patience=5)
    with warnings.catch_warnings(action="ignore"):  # td's own, that "loss" is the wrong one
        history = train(hidden, "adam", lesson.images(500), np.asarray, epochs=epochs, callbacks=[callback])
    return {**history, "best": callback.best_epoch}


def monitor(panel: Any, options: Any) -> lesson.Pairs:
    """9. EarlyStopping watches the validation loss; the training loss goes on falling."""
    seeds = range(options.seed, options.seed + options.seeds)
    said, right = ([stopped(name, options.epochs, seed) for seed in seeds] for name in ("loss", "val_loss"))
    for curve, style, label in (
        (said[0]["loss"], {"color": "C1", "linestyle": ":"}, "training loss"),
        (said[0]["val_loss"], lesson.SAID, 'validation loss, monitor="loss"'),
        (right[0]["val_loss"], lesson.RIGHT, 'validation loss, monitor="val_loss"'),
    ):
        panel.plot(range(1, len(curve) + 1), curve, **style, label=label)
    panel.set(title="9. Early stopping, patience 5, first seed", xlabel="epoch", ylabel="loss", ylim=(0, 1.5))
    numbers = [[(len(run["loss"]), run["val_loss"][-1]) for run in runs] for runs in (said, right)]
    epochs, losses = np.mean(numbers, axis=1).T
    return {f"epochs, at most {options.epochs}": tuple(epochs), "validation loss at the end": tuple(losses)}


def best_epoch(panel: Any, options: Any) -> lesson.Pairs:
    """9. What counts is the best epoch, whose weights restore_best_weights takes back, not the last one."""
    runs = [stopped("val_loss", options.epochs, options.seed + i) for i in range(options.seeds)]
    for i, run in enumerate(runs):
        best, losses, first = run["best"], run["val_loss"], i == 0
        panel.plot(range(1, len(losses) + 1), losses, color="0.7", label="validation loss, each seed" if first else "")
        panel.plot(len(losses), losses[-1], "o", color="C4", label="last epoch" if first else "")
        panel.plot(best + 1, losses[best], "*", color="C0", markersize=12, label="best epoch" if first else "")
    panel.set(title="9. The epoch that counts", xlabel="epoch", ylabel="loss", ylim=(0.4, 1.2))
    found = {name: [(run[name][-1], run[name][run["best"]]) for run in runs] for name in ("val_loss", "val_accuracy")}
    return {f"{name}, last epoch, best epoch": tuple(np.mean(pairs, 0)) for name, pairs in found.items()}


def exercise(panel: Any, options: Any, hidden: Any, rate: float) -> lesson.Pairs:
    """Train the network of the exercise on raw pixels and on scaled ones."""
    images, found = lesson.images(options.samples), []
    for scale in (lambda x: 255 * x, lambda x: x):
        td.utils.set_random_seed(options.seed)
        found.append(train(hidden(), td.optimizers.Nadam(rate), images, scale, epochs=6))
    said, right = (100 * np.array(history["val_accuracy"]) for history in found)
    axes = {"xlabel": "epoch", "ylabel": "validation accuracy, %", "ylim": (0, 100)}
    lesson.beside(panel, range(1, 7), said, right, ("pixels from 0 to 255", "pixels from 0 to 1"), **axes)
    losses = tuple(history["loss"][0] for history in found)
    return {"training loss, epoch 1": losses, "validation accuracy after epoch 6, %": (said[-1], right[-1])}


def raw_pixels(panel: Any, options: Any) -> lesson.Pairs:
    """10. Raw pixels make the outputs, and with them the loss, far too large: scale them."""

    def hidden() -> list[td.Layer]:
        return [layers.Dense(100, activation="elu", kernel_initializer="he_normal") for _ in range(20)]

    panel.set(title="10. The exercise: 20 ELU layers, Nadam(5e-5)")
    return exercise(panel, options, hidden, 5e-5)


def normalised_pixels(panel: Any, options: Any) -> lesson.Pairs:
    """10. Batch normalisation of the input scales the pixels itself: the exercise's second part does not suffer."""

    def hidden() -> list[td.Layer]:
        found = [layers.BatchNormalization()]
        for _ in range(20):
            found += [layers.Dense(100, kernel_initializer="he_normal"), layers.BatchNormalization(), layers.ELU()]
        return found

    panel.set(title="10. The same with batch normalisation, Nadam(5e-4)")
    return exercise(panel, options, hidden, 5e-4)


def main(arguments: list[str] | None = None) -> dict[str, lesson.Pairs]:
    """Measure and draw; return by correction the numbers as said and right."""
    counts = {"seeds": (4, "trainings to be stopped"), "epochs": (30, "of them at most")}
    counts |= {"samples": (1000, "images of the exercise")}
    options = lesson.parser(__doc__, "corrections_training", **counts).parse_args(arguments)
    return lesson.compare(options, monitor, best_epoch, raw_pixels, normalised_pixels)


if __name__ == "__main__":
    lesson.run(main)
