"""Ask a network with dropout many times, and learn how sure it is: Monte Carlo dropout.

Predictions with dropout active differ from pass to pass. Their mean is a better prediction: its accuracy is much the
same, its cross-entropy falls with the number of passes and, after some ten, lies below that of the one prediction
without dropping. A network trained without dropout is far too sure of itself; one with dropout hardly, and the mean of
the passes is rather too modest. The predictive entropy H, that of the mean, sorts the images: of the surest half nearly
all are right, so a network that may pass the others on to a human is worth more than its accuracy tells. The whiskers
of the bars are the standard deviation over the passes.

  python examples/mc_dropout.py
  python examples/mc_dropout.py --samples 5000 --epochs 15 --passes 200
"""

from __future__ import annotations

from typing import NamedTuple

import lesson
import numpy as np
from lesson import CLASS_NAMES, plt

import tinygrad_dnn as td

WAYS = ("no dropout", "dropout, one prediction", "Monte Carlo dropout")


class Measured(NamedTuple):
    """Test probabilities by way, what ``mc_dropout`` returned, cross-entropies by number of passes."""

    probabilities: dict[str, np.ndarray]
    uncertainty: td.diagnostics.Uncertainty
    by_passes: dict[int, float]


def train(images: lesson.Images, rate: float, epochs: int) -> td.Model:
    """Return a trained network, with dropout after its hidden layers unless the rate is 0."""
    model = td.models.Sequential([
        td.layers.InputLayer(shape=(28, 28)),
        td.layers.Flatten(),
        td.layers.Dense(200, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dropout(rate),
        td.layers.Dense(100, activation="relu", kernel_initializer="he_normal"),
        td.layers.Dropout(rate),
        td.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images.x_train, images.y_train, epochs=epochs, verbose=0)
    return model


def cross_entropy(p: np.ndarray, y: np.ndarray) -> float:
    """Return the mean of -ln(probability of the right class)."""
    return float(-np.log(p[np.arange(len(y)), y] + 1e-7).mean())


def reliability(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each fifth of the probability of the predicted class, its mean and the share that is right."""
    sure, right = p.max(1), p.argmax(1) == y
    groups = [(sure > low) & (sure <= low + 0.2) for low in np.arange(0, 1, 0.2)]
    filled = [group for group in groups if group.sum() >= 10]
    return np.array([sure[group].mean() for group in filled]), np.array([right[group].mean() for group in filled])


def draw(found: Measured, y: np.ndarray, x: np.ndarray) -> plt.Figure:
    """Return three curves above; below, the surest and the least sure images with their likeliest classes."""
    mean, std, entropy = found.uncertainty
    figure = plt.figure(figsize=(13, 10))
    grid = figure.add_gridspec(3, 1, height_ratios=(2.2, 1, 1))
    passes, trust, kept = grid[0].subgridspec(1, 3, wspace=0.3).subplots()
    passes.plot([str(n) for n in found.by_passes], found.by_passes.values(), "C2o-", label=WAYS[2])
    passes.axhline(cross_entropy(found.probabilities[WAYS[1]], y), color="C1", label=WAYS[1])
    passes.set(title="More passes", xlabel="number of passes", ylabel="cross-entropy [nats]")
    order, count = np.argsort(entropy), np.arange(1, len(y) + 1)
    kept.plot(100 * count / len(y), 100 * np.cumsum((mean.argmax(1) == y)[order]) / count, "C2", label=WAYS[2])
    kept.set(title="Leave out what is unsure", xlabel="surest images that are kept [%]", ylabel="are right [%]")
    for i, way in enumerate(WAYS):
        trust.plot(*(100 * values for values in reliability(found.probabilities[way], y)), f"C{i}o-", label=way)
    trust.plot([20, 100], [20, 100], "k:", label="as sure as right")
    trust.set(title="How far to trust it", xlabel="probability of the predicted class [%]", ylabel="are right [%]")
    for axis in (passes, trust, kept):
        axis.grid(alpha=0.3)
        axis.legend()
    for row, chosen in ((1, order[:4]), (2, order[-4:])):
        cells = grid[row].subgridspec(1, 12, width_ratios=[1, 0.7, 1] * 4).subplots().reshape(4, 3)
        for (image, gap, bars), n in zip(cells, chosen, strict=True):
            image.imshow(x[n], cmap="Greys")
            image.set_title(f"{CLASS_NAMES[y[n]]}\nH = {entropy[n]:.2f} nats", fontsize=10)
            top = np.argsort(mean[n])[-3:]
            bars.barh([CLASS_NAMES[c] for c in top], 100 * mean[n, top], xerr=100 * std[n, top], color="C2")
            bars.set(xlim=(0, 100), xlabel="probability [%]")
            image.axis("off")
            gap.axis("off")
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Measure and draw what the options ask for; return what was measured."""
    counts = {"samples": (2000, "training images"), "epochs": (30, "of each network"), "passes": (100, "at most", 2)}
    options = lesson.parser(__doc__, "mc_dropout", **counts).parse_args(arguments)
    td.utils.set_random_seed(options.seed)
    images = lesson.images(options.samples)
    plain, model = (train(images, rate, options.epochs) for rate in (0.0, 0.5))
    x, y = images.x_test, images.y_test
    fewer = [n for n in (2, 5, 10, 20, 50) if n < options.passes]
    asked = {n: td.mc_dropout(model, x, n) for n in [*fewer, options.passes]}
    mean, _, entropy = asked[options.passes]
    probabilities = dict(zip(WAYS, (plain.predict(x), model.predict(x), mean), strict=True))
    print(f"{'test images':24} {'accuracy':>8} {'mean probability':>17} {'cross-entropy':>14}")
    for way, p in probabilities.items():
        print(f"{way:24} {(p.argmax(1) == y).mean():8.1%} {p.max(1).mean():17.1%} {cross_entropy(p, y):14.2f}")
    surest, others = np.array_split((mean.argmax(1) == y)[np.argsort(entropy)], 2)
    print(f"of the surest half are right: {surest.mean():.1%}, of the others: {others.mean():.1%}")
    by_passes = {n: cross_entropy(answer.mean, y) for n, answer in asked.items()}
    found = Measured(probabilities, asked[options.passes], by_passes)
    lesson.save(draw(found, y, x), options.out)
    return found


if __name__ == "__main__":
    lesson.run(main)
