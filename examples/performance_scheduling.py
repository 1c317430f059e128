"""Lower the learning rate when the validation loss stops improving, and compare with two constant rates.

A high rate learns fast, then jumps about; a low one learns slowly. ReduceLROnPlateau starts high and halves the rate
whenever the validation loss has not improved for two epochs: as fast as the one, in the end quieter than either. What
to look for: after the first falls of the rate the loss stops jumping. The rate was lowered on the word of the
validation images, so that their loss flatters it: the table tells of the test images.

  python examples/performance_scheduling.py
  python examples/performance_scheduling.py --seeds 5 --epochs 60 --out plateau.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

HIGH, LOW = 0.2, 0.02
RUNS = {
    f"constant {HIGH:g}": (HIGH, ":"),
    f"constant {LOW:g}": (LOW, "--"),
    f"ReduceLROnPlateau from {HIGH:g}": (HIGH, "-"),
}
Measured = dict[str, dict[str, np.ndarray]]  # by run and value; (seeds, epochs), test values (seeds,)


def train(name: str, images: lesson.Images, epochs: int, seed: int) -> dict[str, Any]:
    """Train one network; return its history, with the learning rate, and its loss and accuracy on the test images."""
    td.utils.set_random_seed(seed)
    layers, he = td.layers, {"activation": "relu", "kernel_initializer": "he_normal"}
    model = td.Sequential(
        [layers.Flatten(), layers.Dense(100, **he), layers.Dense(50, **he), layers.Dense(10, activation="softmax")]
    )
    rate = RUNS[name][0]
    model.compile(td.optimizers.SGD(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks = []
    if name.startswith("ReduceLROnPlateau"):
        callbacks = [td.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=2, min_lr=1e-3)]
    valid = images.x_valid, images.y_valid
    fitted = model.fit(
        images.x_train, images.y_train, epochs=epochs, verbose=0,
        validation_data=valid, validation_batch_size=500, callbacks=callbacks,
    )  # fmt: skip
    history = {"learning_rate": [rate] * epochs, **fitted.history}
    history["test_loss"], history["test_accuracy"] = model.evaluate(images.x_test, images.y_test, verbose=0)
    return history


def draw(measured: Measured) -> Any:
    """Return the validation loss and, below it, the learning rate by epoch."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(10, 8), sharex=True, gridspec_kw={"height_ratios": (2, 1)})
    for number, (name, values) in enumerate(measured.items()):
        epochs, style = np.arange(1, values["val_loss"].shape[1] + 1), RUNS[name][1]
        upper.plot(epochs, values["val_loss"].T, style, color=f"C{number}", linewidth=1, alpha=0.45)
        upper.plot(epochs, values["val_loss"].mean(0), style, color=f"C{number}", linewidth=3, label=name)
        lower.step(epochs, values["learning_rate"].T, style, color=f"C{number}", where="mid", linewidth=1.5)
    upper.set(ylabel="validation loss [nats]", title="What comes of the rates below (thin: each seed)")
    upper.legend()
    lower.set(yscale="log", xlabel="epoch", ylabel="learning rate of the epoch")
    for panel in (upper, lower):
        panel.grid(alpha=0.3)
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Train and draw what the options ask for; return the values by run."""
    seeds, samples = (3, "networks of each kind"), (2000, "images to train on")
    parser = lesson.parser(__doc__, "performance_scheduling", seeds=seeds, samples=samples, epochs=(25, "epochs"))
    options = parser.parse_args(arguments)
    images = lesson.images(options.samples)
    measured = {}
    print(f"{'mean over seeds ± deviation':28}{'test loss':>16}{'test accuracy':>20}{'last rate':>12}")
    for name in RUNS:
        seeds_of = range(options.seed, options.seed + options.seeds)
        runs = [train(name, images, options.epochs, seed) for seed in seeds_of]
        measured[name] = {value: np.array([run[value] for run in runs]) for value in runs[0]}
        loss, accuracy = measured[name]["test_loss"], 100 * measured[name]["test_accuracy"]
        rate = measured[name]["learning_rate"][:, -1].mean()
        print(f"{name:28}{loss.mean():8.3f} ± {loss.std():.3f}", end="")
        print(f"{accuracy.mean():11.1f} ± {accuracy.std():.1f} %{rate:12.2g}")
    lesson.save(draw(measured), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
