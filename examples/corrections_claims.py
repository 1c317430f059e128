"""Claims of two teaching texts, false, contested or unfairly tested, beside what is measured.

A low learning rate overshoots; tanh amplifies gradients; small batches overfit (they make more steps an epoch; stopped
at one training loss, batches of 8 and 256 have much the same test loss); reused layers are compared with new ones of
another activation. Each line has two numbers to compare. More: docs/corrections.md, by the same numbers.

  python examples/corrections_claims.py
  python examples/corrections_claims.py --seeds 5 --out claims.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np
from transfer_learning import split

import tinygrad_dnn as td
from tinygrad_dnn import layers


def classifier(seed: int, units: Any, activation: str, rate: float) -> td.Sequential:
    """Return a network of ten classes for the images, ready to train."""
    td.utils.set_random_seed(seed)
    hidden = [layers.Flatten(), *(layers.Dense(n, activation) for n in units)]
    model = td.Sequential([layers.InputLayer(shape=(28, 28)), *hidden, layers.Dense(10, activation="softmax")])
    model.compile(td.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    return model


def low_rate(panel: Any, options: Any) -> lesson.Pairs:
    """11. It is a high learning rate that overshoots; a low one creeps."""
    rules = td.optimizers.SGD(0.001), td.optimizers.SGD(0.04)
    paths = [td.minimize(lambda p: 20 * p[0] ** 2, [-3.0], rule, steps=40).path[:, 0] for rule in rules]
    lesson.beside(panel, range(41), *paths, ("rate .001", "rate .04"), title="11. On 20 a²", xlabel="step", ylabel="a")
    return {"steps of 40 that overshoot, rate 0.001, rate 0.04": tuple(sum(p[1:] * p[:-1] < 0) for p in paths)}


def tanh_gradient(panel: Any, options: Any) -> lesson.Pairs:
    """11. tanh's slope is 1 at most, and less for large inputs: it can only damp. What amplifies is weights."""
    ends = []
    for size, gain, style in ((0.1, 1.0, "C0:"), (5.0, 1.0, "C0-"), (0.1, 2.0, "C4--")):
        td.utils.set_random_seed(options.seed)
        outputs = [td.Variable(td.random.normal((100, 100), stddev=size), trainable=True)]
        weights = td.initializers.Orthogonal(gain)  # they turn a gradient, and multiply its length by the gain
        for _ in range(10):
            outputs.append(layers.Dense(100, "tanh", kernel_initializer=weights)(outputs[-1]))
        gradients = td.grad((outputs[-1] * td.random.normal((100, 100))).sum(), outputs)
        norms = np.array([float(td.norm(gradient)) for gradient in gradients])
        panel.semilogy(norms / norms[-1], style, linewidth=2, label=f"inputs of {size:g}, weights of norm {gain:g}")
        ends.append(norms[0] / norms[-1])
    panel.set(title="11. The gradient back through 10 tanh layers", xlabel="layer", ylabel="gradient / that at the end")
    found = {"inputs of 5, of 0.1": (ends[1], ends[0]), "weights of norm 1, of norm 2": (ends[0], ends[2])}
    return {f"gradient through 10 layers, {what}": pair for what, pair in found.items()}


def batch_size(panel: Any, options: Any) -> lesson.Pairs:
    """11. Small batches overfit? Contested: after as many epochs, yes; at an equal training loss, hardly."""
    images, found = lesson.images(options.samples), []
    data = images[:2], images[4:]
    for batch, rate, style in ((8, 0.05, "C4x"), (256, 0.4, "C0.")):
        for seed in range(options.seed, options.seed + options.seeds):
            model, losses = classifier(seed, (100,), "relu", rate), []
            while len(losses) < 300 and (not losses or losses[-1][0] > 0.3):
                model.fit(*data[0], batch_size=batch, verbose=0)
                losses.append([model.evaluate(*part, batch_size=1000, verbose=0) for part in data])
            panel.plot(*np.transpose(losses), style, label=f"batches of {batch}" if seed == options.seed else "")
            found.append([losses[min(9, len(losses) - 1)], losses[-1]])
    panel.set(title="11. Each epoch, down to a training loss of 0.3", xlabel="training loss", ylabel="test loss")
    panel.axis([0.25, 1.25, 0.4, 1.4])
    early, late = np.array(found).reshape(2, -1, 2, 2).mean(1).swapaxes(0, 1)  # (batch, data) each
    return {
        "test loss - training loss, 10 epochs, batches of 8, of 256": tuple(early[:, 1] - early[:, 0]),
        "the same at a training loss of 0.3": tuple(late[:, 1] - late[:, 0]),
        "test loss, 10 epochs": tuple(early[:, 1]),
    }


def learn(hidden: list[td.Layer], phases: Any, data: Any, test: Any) -> np.ndarray:
    """Train layers under a new output, in phases of (trainable, epochs); return the test accuracies by epoch, in %."""
    model, accuracy = td.Sequential([*hidden, layers.Dense(1, activation="sigmoid")]), []
    for trainable, epochs in phases:
        for layer in hidden:
            layer.trainable = trainable
        model.compile(td.optimizers.SGD(0.01), "binary_crossentropy", metrics=["accuracy"])
        accuracy += model.fit(*data, epochs=epochs, verbose=0, validation_data=test).history["val_accuracy"]
    return 100 * np.array(accuracy)


def transfer(panel: Any, options: Any) -> lesson.Pairs:
    """13. What reused ReLU layers are worth is told by ReLU layers from scratch, not by SELU layers."""
    found = {name: [] for name in ("relu, reused", "selu, new", "relu, new", "selu, reused")}
    images = lesson.images(3 * options.samples)
    (a, (x, y)), (_, test) = split(images.x_train, images.y_train), split(images.x_test, images.y_test)
    for seed in range(options.seed, options.seed + options.seeds):
        chosen = np.random.default_rng(seed).permutation(len(x))[:200]
        for kind in ("relu", "selu"):
            model = classifier(seed, (300, 100, 50, 50, 50), kind, 0.01)
            model.fit(*a, epochs=10, verbose=0)
            new, few = td.models.clone_model(model).layers[:-1], (x[chosen], y[chosen])
            found[f"{kind}, reused"].append(learn(model.layers[:-1], ((False, 4), (True, 6)), few, test))
            found[f"{kind}, new"].append(learn(new, ((True, 10),), few, test))
    for (name, curves), style in zip(found.items(), ("C0-", "C4--", "C0--", "C4-"), strict=True):
        panel.plot(range(1, 11), np.mean(curves, 0), style, linewidth=2, label=name)
    panel.set(title="13. Sandals and shirts, 200 images", xlabel="epoch", ylabel="accuracy on test images, %")
    relu, said, right, selu = (np.mean(curves, 0)[-1] for curves in found.values())
    gains = {"gained by ReLU layers reused, %, over new SELU, over new ReLU": (relu - said, relu - right)}
    return {**gains, "gained by SELU layers reused, %, over new SELU": (relu - said, selu - said)}


def main(arguments: list[str] | None = None) -> dict[str, lesson.Pairs]:
    """Measure and draw; return by correction the two numbers of each line."""
    counts = {"seeds": (3, "networks of each kind"), "samples": (1000, "images for batches; to reuse, 3 times")}
    options = lesson.parser(__doc__, "corrections_claims", **counts).parse_args(arguments)
    return lesson.compare(options, low_rate, tanh_gradient, batch_size, transfer)


if __name__ == "__main__":
    lesson.run(main)
