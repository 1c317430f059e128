"""Let several networks vote: the mean of their predictions is better than each, if they err apart.

The members either start from different weights, each trained by itself, or are snapshots of one training whose learning
rate falls to 0 and restarts, taken before each restart. The mean of the members' probabilities has a lower
cross-entropy than any of them, and the lower, the more they are. The accuracy of networks trained apart rises by about
two percent; that of snapshots hardly above the latest one's, but they cost a third of the epochs and differ less.

  python examples/ensembles.py
  python examples/ensembles.py --members 12 --seeds 1
"""

from __future__ import annotations

from typing import NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

EPOCHS, CYCLE = 12, 4  # of a network trained apart, of a snapshot


class Votes(NamedTuple):
    """Cross-entropy and accuracy of each member, those of the first 1, 2, ... together, how often two differ."""

    members: np.ndarray
    together: np.ndarray
    differ: float


def build() -> td.Model:
    """Return a small network."""
    return td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28)),
        td.layers.Flatten(),
        td.layers.Dense(100, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dense(50, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip


def trained_apart(x: np.ndarray, y: np.ndarray, members: int) -> list[td.Model]:
    """Return networks that started from different weights and saw the samples in different orders."""
    models = [build() for _ in range(members)]
    for model in models:
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=EPOCHS, verbose=0)
    return models


def snapshots(x: np.ndarray, y: np.ndarray, members: int) -> list[td.Model]:
    """Return what one network was each time its learning rate had fallen to 0, the latest first."""
    model, taken = build(), []
    rate = td.optimizers.schedules.CosineDecayRestarts(5e-3, CYCLE * -(-len(x) // 32), t_mul=1.0)
    model.compile(td.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(members):
        model.fit(x, y, epochs=CYCLE, verbose=0)
        taken.append(td.models.clone_model(model))
        taken[-1].set_weights(model.get_weights())
    return taken[::-1]


WAYS = {"trained apart": trained_apart, "snapshots of one training": snapshots}


def vote(models: list[td.Model], images: lesson.Images) -> Votes:
    """Score the models on the test images, alone and together."""

    def score(*chosen: td.Model) -> list[float]:
        ensemble = td.models.Ensemble(chosen)
        ensemble.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return ensemble.evaluate(images.x_test, images.y_test, verbose=0)

    members = np.array([score(model) for model in models])
    together = np.array([score(*models[:n]) for n in range(1, len(models) + 1)])
    classes = np.array([model.predict(images.x_test).argmax(1) for model in models])
    first, second = np.triu_indices(len(models), 1)
    return Votes(members, together, float((classes[first] != classes[second]).mean()) if len(first) else 0.0)


def draw(votes: dict[str, list[Votes]]) -> plt.Figure:
    """Return cross-entropy and accuracy by the number of members, beside those of each."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.5))
    for k, (axis, unit, name) in enumerate(zip(axes, (1, 100), ("cross-entropy [nats]", "accuracy [%]"), strict=True)):
        for i, (way, runs) in enumerate(votes.items()):
            together = unit * np.array([run.together[:, k] for run in runs])
            alone = unit * np.concatenate([run.members[:, k] for run in runs])
            numbers = range(1, together.shape[1] + 1)
            axis.plot(numbers, together.mean(0), f"C{i}o-", label=f"{way}, together")
            axis.plot(np.full(len(alone), 0.6 * i - 0.6), alone, f"C{i}_", markersize=16, label=f"{way}, each alone")
        axis.set_xticks([-0.3, *numbers], ["alone", *numbers])
        axis.set(title="Test images", xlabel="members that vote (mean of the runs)", ylabel=name)
        axis.grid(alpha=0.3)
    axes[0].legend()
    return figure


def main(arguments: list[str] | None = None) -> dict[str, list[Votes]]:
    """Train, score and draw what the options ask for; return the votes by way."""
    counts = {"samples": (2000, "training images"), "members": (6, "networks that vote"), "seeds": (3, "runs each")}
    options = lesson.parser(__doc__, "ensembles", **counts).parse_args(arguments)
    images = lesson.images(options.samples)
    votes: dict[str, list[Votes]] = {way: [] for way in WAYS}
    print(f"{'':26} each alone: cross-entropy, accuracy   together: the same   two differ")
    for way, make in WAYS.items():
        for run in range(options.seeds):
            td.utils.set_random_seed(options.seed + run)
            votes[way].append(vote(make(*images[:2], options.members), images))
        alone = np.mean([run.members.mean(0) for run in votes[way]], axis=0)
        together = np.mean([run.together[-1] for run in votes[way]], axis=0)
        differ = np.mean([run.differ for run in votes[way]])
        print("{:26} {:25.2f}, {:8.1%} {:13.2f}, {:6.1%} {:12.1%}".format(way, *alone, *together, differ))
    lesson.save(draw(votes), options.out)
    return votes


if __name__ == "__main__":
    lesson.run(main)
