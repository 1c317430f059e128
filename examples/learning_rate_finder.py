"""Find a learning rate to begin with by a sweep, and check it against trainings with many rates.

lr_finder trains while the learning rate grows from step to step, watches the loss, and undoes it all. Its suggestion is
where the loss falls most steeply. What to look for: the loss does not move while the rate is too low, falls, and blows
up; the right rate depends on the optimizer (Adam's is far below SGD's). Below, networks trained with each rate: the
suggestion is about right, if not the best; the rate of the sweep's least loss is worse already.

  python examples/learning_rate_finder.py
  python examples/learning_rate_finder.py --seeds 5 --epochs 10 --out finder.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

# The optimizers, and the rates that networks are trained with.
OPTIMIZERS = {
    "SGD": (td.optimizers.SGD, np.geomspace(1e-3, 10, 9)),
    "Adam": (td.optimizers.Adam, np.geomspace(1e-5, 0.1, 9)),
}
Measured = dict[str, dict[str, Any]]


def compiled(optimizer: Any, seed: int) -> td.Sequential:
    """Return a new network."""
    td.utils.set_random_seed(seed)
    layers, he = td.layers, {"activation": "relu", "kernel_initializer": "he_normal"}
    hidden = [layers.Dense(100, **he), layers.Dense(50, **he)]
    model = td.Sequential([layers.Flatten(), *hidden, layers.Dense(10, activation="softmax")])
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def losses(make: Any, rates: np.ndarray, images: lesson.Images, options: Any) -> np.ndarray:
    """Return the validation loss after a training with each rate, (seeds, rates); one that is no number is infinite."""
    found = np.empty((options.seeds, len(rates)))
    for seed, column in np.ndindex(found.shape):
        model = compiled(make(rates[column]), options.seed + seed)
        # A rate far too high overflows; the loss that is no number is what is to be seen.
        with np.errstate(all="ignore"):
            model.fit(images.x_train, images.y_train, epochs=options.epochs, verbose=0)
            found[seed, column] = model.evaluate(images.x_valid, images.y_valid, batch_size=500, verbose=0)[0]
    return np.where(np.isfinite(found), found, np.inf)


def draw(measured: Measured) -> Any:
    """Return the sweep of each optimizer, and below it the losses after training with each rate."""
    figure, axes = plt.subplots(2, len(measured), figsize=(12, 8), sharex="col")
    for (upper, lower), (name, found) in zip(axes.T, measured.items(), strict=True):
        rates, after, curve = found["rates"], found["losses"], found["curve"]
        curve.plot(upper)
        upper.set(title=f"{name}: one sweep of {len(curve.losses)} steps", xlabel="", ylabel="loss of the batch")
        shown = np.minimum(after, 3.0)  # chance is log(10), about 2.3
        lower.plot(rates, shown.T, "o", color="0.6", markersize=4)
        lower.plot(rates, np.median(shown, 0), "k-", linewidth=2, label="median over seeds (grey: each)")
        lower.axvline(curve.suggestion, color="C3", linestyle="--", label=f"suggestion: {curve.suggestion:.1e}")
        lower.set(title=f"{name}: trained with each rate", ylim=(0.3, 3.7))
        lower.set(xlabel="learning rate", ylabel="validation loss [nats] (3: or more)")
        lower.legend(loc="upper center")
        lower.grid(alpha=0.3)
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Sweep, train and draw as the options ask for; return the sweeps and the losses by optimizer."""
    counts = {"seeds": (3, "networks a rate"), "samples": (2000, "training images"), "epochs": (3, "of training")}
    options = lesson.parser(__doc__, "learning_rate_finder", **counts).parse_args(arguments)
    images, measured = lesson.images(options.samples), {}
    for name, (make, rates) in OPTIMIZERS.items():
        model = compiled(make(), options.seed)
        before = model.evaluate(images.x_valid, images.y_valid, verbose=0)
        curve = td.lr_finder(model, images.x_train, images.y_train, min_lr=rates[0] / 10, max_lr=rates[-1])
        after = model.evaluate(images.x_valid, images.y_valid, verbose=0)
        found = losses(make, rates, images, options)
        measured[name] = {"curve": curve, "rates": rates, "losses": found, "undone": before == after}
        best = rates[np.median(found, 0).argmin()]
        print(f"{name:5} suggestion {curve.suggestion:.1e}; least loss of the sweep at ", end="")
        print(f"{curve.learning_rates[curve.smoothed.argmin()]:.1e}; best of the trained rates {best:.1e}")
    lesson.save(draw(measured), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
