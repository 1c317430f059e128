"""Hold the norm of each unit's incoming weights below a bound, and see what learning rates that permits.

The constraint scales a unit's weights back to the bound after each step, if they are longer; it is no term of the loss.
At a small rate the norms hardly move by themselves, and the bound only limits what can be learned: the smaller it is,
the less well even the training images are fitted. At a large rate the weights explode within ten steps of plain
gradient descent, where a bound of 1 lets the same network train. At a still larger rate the bound keeps the numbers
finite, but little is learned.

  python examples/max_norm.py
  python examples/max_norm.py --samples 5000 --epochs 3 --seeds 1
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

RATES = (0.02, 0.1, 0.2, 0.4)
BOUNDS = (None, 1.0, 0.5)
NAMES = {None: "no bound", 1.0: "norm at most 1", 0.5: "norm at most 0.5"}


class Run(NamedTuple):
    """The last training loss, the last accuracy, and the norms of the second hidden layer's units by step."""

    loss: float
    accuracy: float
    norms: np.ndarray


class Norms(td.callbacks.Callback):
    """Remembers the norm of each unit's weights after each step."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.norms: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        kernel = np.array(self.model.layers[2].kernel, dtype="float64")
        self.norms.append(np.linalg.norm(kernel, axis=0))


def train(images: lesson.Images, bound: float | None, rate: float, epochs: int, seed: int) -> Run:
    """Train a network with five hidden layers by plain gradient descent."""
    td.utils.set_random_seed(seed)
    constraint = None if bound is None else td.constraints.MaxNorm(bound)
    hidden = {"activation": "elu", "kernel_initializer": "he_normal", "kernel_constraint": constraint}
    model = td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28)),
        td.layers.Flatten(),
        *(td.layers.Dense(100, **hidden) for _ in range(5)),
        td.layers.Dense(10, activation="softmax", kernel_constraint=constraint),
    ])  # fmt: skip
    model.compile(td.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    norms = Norms()
    with np.errstate(all="ignore"):  # numbers that overflow are what is to be seen
        history = model.fit(images.x_train, images.y_train, epochs=epochs, verbose=0, callbacks=[norms]).history
        _, accuracy = model.evaluate(images.x_valid, images.y_valid, verbose=0)
    return Run(history["loss"][-1], accuracy, np.array(norms.norms))


Runs = dict[float | None, dict[float, list[Run]]]


def draw(runs: Runs, rates: tuple[float, ...]) -> plt.Figure:
    """Return the norms at a small and a large rate, and the accuracy by rate."""
    figure, (small, large, accuracy) = plt.subplots(1, 3, figsize=(14, 5))
    for i, bound in enumerate(BOUNDS):
        for axis, rate in ((small, rates[0]), (large, rates[2])):
            norms = runs[bound][rate][0].norms
            norms = np.where(np.isfinite(norms) & (norms < 1e6), norms, np.nan)
            steps = range(1, len(norms) + 1)
            axis.plot(steps, norms, f"C{i}", linewidth=0.5, alpha=0.5)
            axis.plot([], [], f"C{i}", label=NAMES[bound])
            axis.set(title=f"Learning rate {rate:g}", xlabel="step", ylabel="norm of each unit's weights")
        found = 100 * np.array([[run.accuracy for run in runs[bound][rate]] for rate in rates])
        accuracy.plot(rates, found.mean(1), f"C{i}-", label=NAMES[bound])
        accuracy.plot(rates, found, f"C{i}o", markersize=5)
    small.set_ylim(0)
    large.set(yscale="log", xlim=(0, 40), ylim=(0.3, 1e6))
    accuracy.axhline(10, color="0.6", linestyle=":", label="chance")
    accuracy.set(title="What comes of it, a dot a network", xlabel="learning rate", ylabel="validation accuracy [%]")
    accuracy.set(ylim=(0, 110), yticks=range(0, 101, 20))
    accuracy.set_xscale("log")
    accuracy.minorticks_off()
    accuracy.set_xticks(rates, [f"{rate:g}" for rate in rates])
    for axis in (small, large, accuracy):
        axis.legend(ncols=2 if axis is accuracy else 1)
        axis.grid(alpha=0.3)
    return figure


def main(arguments: list[str] | None = None) -> Runs:
    """Train at each rate with each bound; return the runs by bound and rate."""
    counts = {"samples": (1000, "training images"), "epochs": (8, "of each run"), "seeds": (2, "runs each")}
    options = lesson.parser(__doc__, "max_norm", **counts).parse_args(arguments)
    images = lesson.images(options.samples)
    runs: Runs = {bound: {} for bound in BOUNDS}
    print(f"{'rate':>5}  {'':16} {'training loss':>13} {'validation accuracy':>20} {'greatest norm':>14}")
    for rate in RATES:
        for bound in BOUNDS:
            each = [train(images, bound, rate, options.epochs, options.seed + i) for i in range(options.seeds)]
            runs[bound][rate] = each
            loss, accuracy = np.mean([run[:2] for run in each], axis=0)
            greatest = max(run.norms[-1].max() for run in each)
            print(f"{rate:5g}  {NAMES[bound]:16} {loss:13.3g} {accuracy:20.1%} {greatest:14.3g}")
    lesson.save(draw(runs, RATES), options.out)
    return runs


if __name__ == "__main__":
    lesson.run(main)
