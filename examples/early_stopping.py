"""Stop when the validation loss stops improving, not when the training loss does.

A network learns its few training images by heart: the training loss goes on falling long after the validation loss has
begun to rise. EarlyStopping(monitor="loss") watches the wrong one, and says so in a warning; with monitor="val_loss" it
stops a few epochs after the best one (the star), and with restore_best_weights=True it takes that epoch's weights back.
What to look for: where the curves part, and what each way leaves on the test images. The accuracy does not suffer here:
what grows is the loss, as the network becomes surer of its errors too. Which of the two to watch depends on the use.

  python examples/early_stopping.py
  python examples/early_stopping.py --patience 3 --samples 3000 --out stopping.png
"""

from __future__ import annotations

import warnings
from typing import Any

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

RUNS: dict[str, dict[str, Any]] = {
    "loss": {"monitor": "loss"},
    "val_loss": {"monitor": "val_loss"},
    "val_loss, best weights restored": {"monitor": "val_loss", "restore_best_weights": True},
}
Measured = dict[str, list[dict[str, Any]]]  # by run: for each seed, what train returns


def train(name: str, images: lesson.Images, options: Any, seed: int) -> dict[str, Any]:
    """Train with an EarlyStopping; return the losses by epoch, the best epoch, and what is left on the test images."""
    td.utils.set_random_seed(seed)
    layers, he = td.layers, {"activation": "relu", "kernel_initializer": "he_normal"}
    model = td.Sequential(
        [layers.Flatten(), layers.Dense(300, **he), layers.Dense(100, **he), layers.Dense(10, activation="softmax")]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    stopping = td.callbacks.EarlyStopping(patience=options.patience, **RUNS[name])
    validation = images.x_valid, images.y_valid
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            images.x_train, images.y_train, epochs=options.epochs, verbose=0,
            validation_data=validation, validation_batch_size=500, callbacks=[stopping],
        ).history  # fmt: skip
    return {
        **history,
        "warnings": [str(warning.message) for warning in caught],
        "best_epoch": stopping.best_epoch + 1,  # callbacks count epochs from 0
        "left_val_loss": model.evaluate(*validation, verbose=0)[0],
        "test": model.evaluate(images.x_test, images.y_test, verbose=0),
    }


def draw(measured: Measured, patience: int) -> Any:
    """Return the losses of the first seed by epoch, the stops and the best epoch; and the test losses of all seeds."""
    figure, (curves, left) = plt.subplots(1, 2, figsize=(12, 5.5), gridspec_kw={"width_ratios": (3, 2)})
    wrong, right = measured["loss"][0], measured["val_loss"][0]
    best, stop = right["best_epoch"], len(right["val_loss"])
    epochs = np.arange(1, len(wrong["loss"]) + 1)
    curves.plot(epochs, wrong["loss"], "--", linewidth=2, label="training loss")
    curves.plot(epochs, wrong["val_loss"], linewidth=2, label="validation loss")
    curves.plot(best, right["val_loss"][best - 1], "k*", markersize=16, label=f"best epoch: {best}")
    curves.axvspan(best, stop, color="0.5", alpha=0.2, label=f"patience of {patience} epochs")
    curves.axvline(stop, color="k", linestyle=":", label=f'stop with monitor="val_loss": {stop}')
    curves.set(xlabel="epoch", ylabel="loss [nats]", title="The losses part", xlim=(0, len(epochs) + 1))
    curves.set_ylim(bottom=0)
    curves.legend()
    for place, runs in enumerate(measured.values()):
        losses = [run["test"][0] for run in runs]
        left.bar(place, np.mean(losses), color=f"C{place + 2}", alpha=0.6)
        left.plot([place] * len(losses), losses, "k.", label="each seed" if place == 0 else None)
    left.set_xticks(range(len(measured)), [name.replace(", ", ",\n").replace("s r", "s\nr") for name in measured])
    left.set(ylabel="loss on the test images [nats]", xlabel="monitor", title="What is left after training")
    left.legend()
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Train and draw what the options ask for; return what was measured by run."""
    counts = {"seeds": (3, "networks of each kind"), "samples": (1000, "images to train on")}
    more = {"epochs": (40, "epochs at most"), "patience": (5, "epochs to wait for a better one")}
    options = lesson.parser(__doc__, "early_stopping", **counts, **more).parse_args(arguments)
    images, seeds = lesson.images(options.samples), range(options.seed, options.seed + options.seeds)
    measured = {name: [train(name, images, options, seed) for seed in seeds] for name in RUNS}
    print(f"warned: {measured['loss'][0]['warnings'][0]}")
    print(f"{'monitor':34}{'epochs':>12}{'best epoch':>14}{'test loss':>17}{'test accuracy':>18}")
    for name, runs in measured.items():
        loss, accuracy = np.transpose([run["test"] for run in runs])
        trained, best = [len(run["loss"]) for run in runs], [run["best_epoch"] for run in runs]
        print(f"{name:34}{trained!s:>12}{best!s:>14}", end="")
        print(f"{loss.mean():9.3f} ± {loss.std():.3f}{100 * accuracy.mean():9.1f} ± {100 * accuracy.std():.1f} %")
    lesson.save(draw(measured, options.patience), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
