"""Learn a class that is rare: weigh it more, repeat its samples, or make new ones between them (SMOTE).

Of the shirts only a few are left among 2,000 images. The network learns to overlook them: its accuracy hardly suffers,
its recall (the share of the shirts that it finds) does. Weights, over-sampling and SMOTE raise it, by amounts that vary
much from run to run; with all shirts it is higher still, as a rule. SMOTE puts new samples on the segments between a
sample and its nearest of the class. Between images these are cross-fades, and help no more than repetition; and a
segment may cross another class, as the plane shows. Use it on training data only, after the split.

  python examples/smote.py
  python examples/smote.py --rare 60 --neighbors 3 --seeds 1
"""

from __future__ import annotations

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

SHIRT = lesson.CLASS_NAMES.index("Shirt")
WAYS = ("as they are", "class weight", "over-sampling", "SMOTE", "all shirts")
Samples = tuple[np.ndarray, np.ndarray]


def parents(points: np.ndarray, members: np.ndarray) -> list[tuple[int, int]]:
    """Return for each point which two members it lies between: those whose segment it is nearest to."""
    points, members = (part.reshape(len(part), -1).astype("float64") for part in (points, members))
    first, second = np.triu_indices(len(members), 1)
    along = members[second] - members[first]
    pairs = []
    for away in points[:, None] - members[first]:
        u = np.clip((away * along).sum(1) / (along**2).sum(1), 0, 1)
        best = np.linalg.norm(away - u[:, None] * along, axis=1).argmin()
        pairs.append((int(first[best]), int(second[best])))
    return pairs


def score(samples: Samples, weight: float, images: lesson.Images, epochs: int, seed: int) -> tuple[float, float, float]:
    """Return a network's accuracy on the test images, and its recall and precision on shirts, which count so much."""
    td.utils.set_random_seed(seed)
    model = td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28)),
        td.layers.Flatten(),
        td.layers.Dense(100, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*samples, epochs=epochs, class_weight={SHIRT: weight}, verbose=0)
    predicted = model.predict(images.x_test).argmax(1)
    hits, true, found = predicted == images.y_test, images.y_test == SHIRT, predicted == SHIRT
    return hits.mean(), hits[true].mean(), hits[found].mean() if found.any() else 0.0


def compare(images: lesson.Images, rare: int, neighbors: int, epochs: int, seed: int) -> tuple[np.ndarray, Samples]:
    """Return the scores of each way with as many shirts as said, and the shirts: the given ones, SMOTE's new ones."""
    rng = np.random.default_rng(seed)
    shirts, others = (np.flatnonzero((images.y_train == SHIRT) == which) for which in (True, False))
    few = rng.permutation(shirts)[:rare]
    x, y = (part[np.concatenate([few, others])] for part in images[:2])
    again = rng.choice(rare, len(shirts) - rare)
    new = td.datasets.smote(x, y, k_neighbors=neighbors, sampling={SHIRT: len(shirts)}, seed=seed)
    samples = ((x, y), (x, y), (np.concatenate([x, x[again]]), np.concatenate([y, y[again]])), new, images[:2])
    weights = (1, len(shirts) / rare, 1, 1, 1)
    scores = [score(*each, images, epochs, seed) for each in zip(samples, weights, strict=True)]
    return np.array(scores), (x[:rare], new[0][len(y) :])


def draw(scores: np.ndarray, old: np.ndarray, new: np.ndarray, neighbors: int) -> plt.Figure:
    """Return a scatter in the plane and the scores above, shirts with what SMOTE puts between them below."""
    figure = plt.figure(figsize=(12, 9))
    grid = figure.add_gridspec(2, 1, height_ratios=(1.7, 1))
    plane, marks = grid[0].subgridspec(1, 2).subplots()
    rng = np.random.default_rng(1)
    many = rng.normal((0, 0), (0.6, 1.1), (120, 2))
    few = np.concatenate([rng.normal((side, 0), (0.4, 0.9), (neighbors, 2)) for side in (-2.2, 2.2)])
    labels = np.repeat([0, 1], [len(many), len(few)])
    made = td.datasets.smote(np.concatenate([many, few]), labels, neighbors, seed=1)[0][len(labels) :]
    for pair in set(parents(made, few)):
        plane.plot(*few[list(pair)].T, color="0.7", linewidth=0.8, zorder=0)
    for points, style, name in ((many, "C0.", "the many"), (few, "C4o", "the few"), (made, "C1.", "SMOTE's")):
        plane.plot(*points.T, style, label=name)
    plane.set(title=f"Each with {neighbors} neighbours", xlabel="first feature", ylabel="second feature")
    for k, name in enumerate(("accuracy, all classes", "recall, shirts", "precision, shirts")):
        at, shares = np.arange(len(WAYS)) + 0.2 * k - 0.2, 100 * scores[:, :, k]
        marks.plot(at, shares.mean(0), f"C{k}_", markersize=16, markeredgewidth=3, label=name)
        marks.plot(at, shares.T, f"C{k}o", markersize=4)
    marks.set(title="Test images (dash: mean)", ylabel="share [%]", ylim=(0, 118), xticks=range(5), xticklabels=WAYS)
    for axis in (plane, marks):
        axis.legend()
    for k, (first, second) in enumerate(parents(new[:6], old)):
        cells = grid[1].subgridspec(2, 3, wspace=0.15)[k].subgridspec(1, 3, wspace=0).subplots()
        for cell, image, title in zip(cells, (old[first], new[k], old[second]), ("shirt", "new", "shirt"), strict=True):
            cell.imshow(image, cmap="Greys")
            cell.set_title(title, fontsize=9)
            cell.axis("off")
    return figure


def main(arguments: list[str] | None = None) -> np.ndarray:
    """Compare the ways; return the scores, (seeds, ways, scores)."""
    counts = {"samples": (2000, "training images"), "rare": (30, "shirts among them"), "neighbors": (5, "of a shirt")}
    parser = lesson.parser(__doc__, "smote", **counts, epochs=(10, "of each run"), seeds=(4, "runs of each way"))
    options = parser.parse_args(arguments)
    images = lesson.images(options.samples)
    if not options.neighbors < options.rare <= (images.y_train == SHIRT).sum():
        parser.error(f"argument --rare: {options.rare} is not above --neighbors, or more than all shirts")
    sizes = (options.rare, options.neighbors, options.epochs)
    runs = [compare(images, *sizes, options.seed + i) for i in range(options.seeds)]
    scores = np.array([run[0] for run in runs])
    print(f"{'':14} {'accuracy':>16} {'recall (shirts)':>16} {'precision':>16}")
    for i, way in enumerate(WAYS):
        means, spreads = 100 * scores[:, i].mean(0), 100 * scores[:, i].std(0)
        print(f"{way:14}", *(f"{m:9.1f} ±{s:4.1f}%" for m, s in zip(means, spreads, strict=True)))
    lesson.save(draw(scores, *runs[0][1], options.neighbors), options.out)
    return scores


if __name__ == "__main__":
    lesson.run(main)
