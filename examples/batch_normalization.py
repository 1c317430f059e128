"""Train with batch normalisation and without, count what it costs, and fuse it away for inference.

A network of 6 hidden layers with ReLU and He's weights, which learns well without help: this is no rescue. It trains
plain, with a normalisation before each activation, and with one after, at each learning rate. Look at the rates first:
where the plain network has diverged the normalised ones still learn. That is what makes them faster; at a small
rate they are not. Then each at its best rate, by epochs and by time: a normalised epoch takes about 1.5 times as
long, which eats up the lead in a network as small as this. Other seeds show the same.

After training the normalisations can be folded into the weights beside them, before an activation into the Dense that
comes before, after it into the next one: td.fuse gives the same outputs to 1e-5 in the time of the plain network. All
networks predict in turn, so that whatever else the machine does hits them alike.

  python examples/batch_normalization.py
  python examples/batch_normalization.py --epochs 8 --seed 1 --out normalised.png
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td
from tinygrad_dnn import layers

PLACES = ("without", "before the activation", "after the activation")
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


class Run(NamedTuple):
    """A training."""

    model: td.Sequential
    losses: list[float]  # of the training images by epoch, NaN where it diverged
    seconds: list[float]  # until the end of each epoch


def train(place: str, rate: float, x: np.ndarray, y: np.ndarray, options: Any) -> Run:
    """Make and train a network."""
    td.utils.set_random_seed(options.seed)
    model = td.models.Sequential([layers.InputLayer(shape=(28, 28)), layers.Flatten()])
    for _ in range(6):
        model.add(layers.Dense(100, kernel_initializer="he_normal"))
        if place == "before the activation":
            model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        if place == "after the activation":
            model.add(layers.BatchNormalization())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(td.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    seconds: list[float] = []
    began = time.perf_counter()
    clock = td.callbacks.LambdaCallback(on_epoch_end=lambda *_: seconds.append(time.perf_counter() - began))
    with np.errstate(over="ignore", invalid="ignore"):  # what diverges ends in infinity and NaN
        history = model.fit(x, y, batch_size=64, epochs=options.epochs, verbose=0, callbacks=[clock]).history
    return Run(model, history["loss"], seconds)


def fuse(best: dict[str, Run], x: np.ndarray, times: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Fold the normalisations into the weights; return how far outputs are apart, and all networks' times in turn."""
    differences, models = {}, {"without": best["without"].model}
    for place in PLACES[1:]:
        models[place], models[f"{place}, fused"] = pair = best[place].model, td.fuse(best[place].model)
        one, other = (model.predict(x, verbose=0) for model in pair)
        differences[place] = float(np.abs(one - other).max())
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(times):
        for name, model in models.items():
            began = time.perf_counter()
            model.predict(x, verbose=0)
            seconds[name].append(time.perf_counter() - began)
    return differences, {name: np.array(each) for name, each in seconds.items()}


def draw(runs: dict[str, list[Run]], best: dict[str, Run], seconds: dict[str, np.ndarray]) -> Any:
    """Return the losses by rate, by epoch and by second, and the times of inference."""
    figure, ((by_rate, by_epoch), (by_time, inference)) = plt.subplots(2, 2, figsize=(12, 9))
    for line, (place, run) in zip(("o-", "s--", "^-."), best.items(), strict=True):
        by_rate.semilogx(RATES, [each.losses[-1] for each in runs[place]], line, label=place)
        by_epoch.plot(epochs := range(1, len(run.losses) + 1), run.losses, line)
        by_time.plot(run.seconds, run.losses, line)
    by_rate.set(xlabel="learning rate", ylabel="last training loss [nats]")
    by_rate.set_title("Which learning rates each bears (no point: diverged)")
    by_epoch.set(title="Each at its best rate", xlabel="epoch", ylabel="training loss [nats]", xticks=epochs)
    by_time.set(title="The same by time", xlabel="seconds of training", ylabel="training loss [nats]")
    names = [name.replace(" the activation", "") for name in seconds]
    inference.boxplot([1000 * each for each in seconds.values()], tick_labels=names, showfliers=False)
    inference.set(title="Inference", ylabel="time for the test images [ms]")
    inference.set_ylim(0, 1.1 * inference.get_ylim()[1])
    by_rate.legend(title="batch normalisation")
    return figure


def main(arguments: list[str] | None = None) -> tuple[dict[str, list[Run]], dict[str, float]]:
    """Measure what the options ask for; return the trainings in the order of the rates, and what fusing changes."""
    counts = {"epochs": (4, "of training"), "samples": (3000, "images to train on")}
    counts |= {"times": (20, "predictions with each network")}
    options = lesson.parser(__doc__, "batch_normalization", **counts).parse_args(arguments)
    images = lesson.standardized(lesson.images(options.samples))
    runs = {place: [train(place, rate, *images[:2], options) for rate in RATES] for place in PLACES}
    best = {place: min(each, key=lambda run: np.nan_to_num(run.losses[-1], nan=np.inf)) for place, each in runs.items()}
    differences, seconds = fuse(best, images.x_test, options.times)
    print(f"{'learning rate':22} {' '.join(f'{rate:5}' for rate in RATES)}   seconds an epoch")
    for place, each in runs.items():
        losses = " ".join(f"{run.losses[-1]:5.2f}" for run in each)
        print(f"{place:22} {losses}   {best[place].seconds[-1] / options.epochs:.2f}")
    for place, difference in differences.items():
        ratio = np.median(seconds[place] / seconds[f"{place}, fused"])
        print(f"{place}: fused, outputs differ by {difference:.0e} at most, and inference is {ratio:.2f} times as fast")
    lesson.save(draw(runs, best, seconds), options.out)
    return runs, differences


if __name__ == "__main__":
    lesson.run(main)
