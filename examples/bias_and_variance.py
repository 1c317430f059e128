"""Show under- and overfitting on one data set, and measure bias and variance.

Networks too small, right and too large learn the same few images; the too large one also with dropout, and with four
times the images. Each is trained on several sets of images that share none. Their mean prediction still errs: that is
the bias (with what no network could know). How far each set's prediction is from the mean is the variance. The squared
error is the sum of the two. What to look for: the larger the network, the less bias; the too large one has about twice
the variance of the right one; dropout lowers the variance, more images lower both. Too large a network costs loss here,
rather than accuracy: it is too sure. Too small a one learns slowly, too: with more --steps it errs a little less.

  python examples/bias_and_variance.py
  python examples/bias_and_variance.py --sets 6 --samples 200 --out bias.png
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td


class Case(NamedTuple):
    """A network's hidden units, its dropout, and how many times the images it gets."""

    units: tuple[int, ...]
    dropout: float = 0.0
    times: int = 1


CASES = {
    "too small: 2 units": Case((2,)),
    "small: 8": Case((8,)),
    "right: 32": Case((32,)),
    "too large: 300 + 100": Case((300, 100)),
    "too large, dropout 0.5": Case((300, 100), dropout=0.5),
    "too large, 4 x images": Case((300, 100), times=4),
}
Measured = dict[str, dict[str, np.ndarray]]


def train(case: Case, x: np.ndarray, y: np.ndarray, validation: Any, steps: int) -> tuple[dict[str, Any], np.ndarray]:
    """Train one network; return its history and its predictions for the validation images."""
    inner: list[td.Layer] = []
    for units in case.units:
        inner.append(td.layers.Dense(units, activation="relu", kernel_initializer="he_normal"))
        inner += [td.layers.Dropout(case.dropout)] if case.dropout else []
    model = td.Sequential([td.layers.Flatten(), *inner, td.layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    # The loss that fit reports is taken while dropout acts and the weights change: not what it is compared with.
    train_loss: list[float] = []
    after = td.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: train_loss.append(model.evaluate(x, y, batch_size=500, verbose=0)[0])
    )
    epochs = max(1, steps // -(-len(x) // 32))
    at_once = {"validation_data": validation, "validation_batch_size": 500, "verbose": 0}
    history = model.fit(x, y, epochs=epochs, callbacks=[after], **at_once).history
    return {**history, "train_loss": train_loss}, model.predict(validation[0], verbose=0)


def decompose(predictions: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the squared bias and the variance of predictions of shape (sets, samples, classes)."""
    targets = np.eye(predictions.shape[-1])[labels]
    error = np.square(predictions - targets).sum(-1).mean()
    variance = predictions.var(0, ddof=1).sum(-1).mean()
    return error - variance, variance  # the mean of few sets varies too: the square of its error is no fair bias


def draw(measured: Measured, steps: int) -> Any:
    """Return the losses of each network by step, and the bars of bias and variance."""
    names = list(measured)
    figure, axes = plt.subplot_mosaic([names[:3], names[3:], ["bars"] * 3], figsize=(12, 11))
    for name in names:
        panel, values = axes[name], measured[name]
        at = np.linspace(0, steps, values["train_loss"].shape[1] + 1)[1:]
        for value, style, label in (("train_loss", "C0--", "training"), ("val_loss", "C1-", "validation")):
            panel.plot(at, values[value].T, style, linewidth=0.8, alpha=0.5)
            panel.plot(at, values[value].mean(0), style, linewidth=2.5, label=label)
        panel.set(title=name, xlabel="step", ylabel="loss [nats]", xlim=(0, 1.02 * steps), ylim=(0, 2.2))
        panel.grid(alpha=0.3)
    axes[names[0]].legend(loc="lower left")
    bias, variance = (np.array([measured[name][part] for name in names]) for part in ("bias", "variance"))
    bars = axes["bars"]
    bars.bar(range(len(names)), bias, color="C2", label="bias²")
    bars.bar(range(len(names)), variance, bottom=bias, color="C3", hatch="//", label="variance")
    bars.set_xticks(range(len(names)), [name.replace(": ", ":\n").replace(", ", ",\n") for name in names])
    bars.set(ylabel="squared error of the predictions", title="Bias and variance on the validation images")
    bars.legend()
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Train and draw what the options ask for; return what was measured by network."""
    counts = {"sets": (3, "disjoint sets of images"), "samples": (300, "images a set"), "steps": (400, "of training")}
    parser = lesson.parser(__doc__, "bias_and_variance", **counts)
    options = parser.parse_args(arguments)
    if options.sets < 2 or 4 * options.sets * options.samples > 5000:
        parser.error("there are at least 2 sets, which need 4 x sets x samples of the 5000 images")
    images, measured = lesson.images(), {}
    print(f"{'network':28}{'train loss':>12}{'val. loss':>11}{'accuracy':>10}{'bias²':>8}{'variance':>10}")
    for name, case in CASES.items():
        runs, size = [], options.samples * case.times
        for number in range(options.sets):
            td.utils.set_random_seed(options.seed + number)
            part, valid = slice(number * size, (number + 1) * size), (images.x_valid, images.y_valid)
            runs.append(train(case, images.x_train[part], images.y_train[part], valid, options.steps))
        values = {value: np.array([history[value] for history, _ in runs]) for value in runs[0][0]}
        values["bias"], values["variance"] = decompose(np.stack([p for _, p in runs]), images.y_valid)
        measured[name] = values
        last = (values[value][:, -1].mean() for value in ("train_loss", "val_loss", "val_accuracy"))
        print("{:28}{:12.3f}{:11.3f}{:9.1%}{:9.3f}{:10.3f}".format(name, *last, values["bias"], values["variance"]))
    lesson.save(draw(measured, options.steps), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
