"""Penalise the weights: none, L2, L1 and the elastic net (both) on few samples whose labels are partly wrong.

A network that can memorise learns the wrong labels too, and pays for it on new images. Each penalty makes memorising
dearer. L2 shrinks all weights and leaves a third at 0, most of these in units that it gave up whole; L1 takes most
weights there, in all units; the elastic net lies between. Gradient steps leave a weight hovering about 0, not on it, so
"at 0" means nearer than 0.001. The cross-entropy is without the penalty, which the loss that fit reports contains. With
--wrong-labels 0 the accuracies hardly differ, and only the cross-entropy improves.

  python examples/weight_penalties.py
  python examples/weight_penalties.py --wrong-labels 0 --samples 1000 --seeds 1
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

PENALTIES = {
    "none": None,
    "L2 (0.01)": td.regularizers.l2(0.01),
    "L1 (0.001)": td.regularizers.l1(0.001),
    "elastic net (0.0005, 0.005)": td.regularizers.l1_l2(l1=0.0005, l2=0.005),
}
NEAR = 0.001


class Result(NamedTuple):
    """What the runs with one penalty gave: accuracies and cross-entropy by run, the first layer's weights of all."""

    train: np.ndarray
    valid: np.ndarray
    cross_entropy: np.ndarray
    weights: np.ndarray

    @property
    def at_zero(self) -> float:
        """The share of the weights that are next to 0."""
        return float((np.abs(self.weights) < NEAR).mean())


def train(penalty: Any, images: lesson.Images, epochs: int, seed: int) -> tuple[float, float, float, np.ndarray]:
    """Return the accuracy on the training and the validation images, the latter's cross-entropy, and the weights."""
    td.utils.set_random_seed(seed)
    model = td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28)),
        td.layers.Flatten(),
        td.layers.Dense(100, activation="relu", kernel_initializer="he_normal", kernel_regularizer=penalty),
        td.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    # A rate that falls a hundredfold lets the weights come to rest.
    steps = epochs * -(-len(images.x_train) // 50)
    rate = td.optimizers.schedules.ExponentialDecay(3e-3, decay_steps=steps, decay_rate=0.01)
    entropy = td.metrics.MeanMetricWrapper(td.losses.sparse_categorical_crossentropy, name="entropy")
    model.compile(td.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy", entropy])
    model.fit(images.x_train, images.y_train, batch_size=50, epochs=epochs, verbose=0)
    fitted = model.evaluate(images.x_train, images.y_train, verbose=0, return_dict=True)
    unseen = model.evaluate(images.x_valid, images.y_valid, verbose=0, return_dict=True)
    return fitted["accuracy"], unseen["accuracy"], unseen["entropy"], model.get_weights()[0]


def draw(results: dict[str, Result]) -> Any:
    """Return the histograms of the weights above; below, how many are how small, and the accuracies."""
    figure = plt.figure(figsize=(12, 8))
    upper = figure.add_gridspec(2, 4, height_ratios=(1, 1.3))[0, :].subgridspec(1, 4).subplots(sharex=True, sharey=True)
    small, gaps = (figure.add_subplot(2, 2, place) for place in (3, 4))
    for i, ((name, result), axis) in enumerate(zip(results.items(), upper, strict=True)):
        axis.hist(result.weights.ravel(), bins=np.linspace(-0.4, 0.4, 121), color=f"C{i}", log=True)
        axis.set(title=f"{name}\n{result.at_zero:.0%} at 0", xlabel="weight")
        sizes = np.sort(np.abs(result.weights).ravel())[:: max(1, result.weights.size // 2000)]
        small.semilogx(np.maximum(sizes, 1e-7), np.linspace(0, 100, len(sizes)), color=f"C{i}", label=name)
        gaps.plot([i, i], [100 * result.train.mean(), 100 * result.valid.mean()], color=f"C{i}", linewidth=1)
        for accuracies, marker, meaning in ((result.train, "^", "training"), (result.valid, "o", "validation")):
            label = None if i else f"{meaning}, a mark a run"
            gaps.plot(np.full(len(accuracies), i), 100 * accuracies, marker, color=f"C{i}", alpha=0.7, label=label)
    upper[0].set_ylabel("number of weights")
    small.axvline(NEAR, color="k", linestyle=":", linewidth=1)
    small.set(title="How many weights are smaller", xlabel="size of the weight", ylabel="smaller weights [%]")
    small.set(xlim=(1e-6, 1), ylim=(0, 135), yticks=range(0, 101, 20))
    small.legend(loc="upper left", ncols=2)
    gaps.set(title="The gap between training and validation", ylabel="accuracy [%]")
    gaps.set_xticks(range(len(results)), [name.split(" (")[0] for name in results])
    gaps.margins(x=0.15)
    gaps.legend()
    return figure


def main(arguments: list[str] | None = None) -> dict[str, Result]:
    """Train with each penalty as the options say; return the results by penalty."""
    counts = {"samples": (500, "training images"), "epochs": (80, "of each run"), "seeds": (3, "runs a penalty")}
    parser = lesson.parser(__doc__, "weight_penalties", **counts)
    parser.add_argument("--wrong-labels", type=float, default=0.3, help="share drawn at random, 0 to 1 (default 0.3)")
    options = parser.parse_args(arguments)
    if not 0 <= options.wrong_labels <= 1:
        parser.error(f"argument --wrong-labels: {options.wrong_labels} is not in [0, 1]")
    images = lesson.images(options.samples)
    rng = np.random.default_rng(options.seed)
    drawn = rng.random(options.samples) < options.wrong_labels
    images = images._replace(y_train=np.where(drawn, rng.integers(0, 10, options.samples), images.y_train))
    print(f"{'penalty':28} {'train':>6} {'validation':>13} {'cross-entropy':>14} {'weights at 0':>13}")
    results = {}
    for name, penalty in PENALTIES.items():
        runs = [train(penalty, images, options.epochs, options.seed + run) for run in range(options.seeds)]
        result = results[name] = Result(*(np.array(values) for values in zip(*runs, strict=True)))
        valid = f"{result.valid.mean():.1%} ±{100 * result.valid.std():4.1f}"
        entropy = result.cross_entropy.mean()
        print(f"{name:28} {result.train.mean():6.1%} {valid:>13} {entropy:14.2f} {result.at_zero:13.1%}")
    lesson.save(draw(results), options.out)
    return results


if __name__ == "__main__":
    lesson.run(main)
