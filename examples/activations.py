"""Draw every registered activation with its slope; see ReLUs stay dead, and SELU normalise itself.

Small pictures: each activation and its derivative, found by automatic differentiation, between -4 and 4. Those of
several numbers (glu, softmax, log_softmax, sparsemax) get the pair (x, 0), and their first output is drawn. A slope
near 0 on both sides is what makes gradients vanish; where it is 0 on a whole side, units can die.

Below, left: biases of -10, such as one step too long can leave behind, put all units below 0 for all images. ReLUs have
no gradient there and never learn again. Leaky ReLUs recover; ELUs hardly do, since so far down their slope is exp(-10).
Right: images of standard deviation 0.5, 1 and 2 go through 50 layers with LeCun's weights. SELU draws all three close
to mean 0 and standard deviation 1; ELU and ReLU let the signal fade.

  python examples/activations.py
  python examples/activations.py --epochs 20 --out activations.png
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td
from tinygrad_dnn import layers

X = np.linspace(-4, 4, 401, dtype="float32")
ARGUMENTS = {"threshold": {"threshold": 1.0, "default_value": -1.0}}  # of those without defaults
LEFT_BEHIND = ("relu", "leaky_relu", "elu")
PASSED_THROUGH = {"selu": "C3", "elu": "C2", "relu": "C0"}  # and their colours, those of the panel beside
STARTS = {0.5: ":", 1.0: "-", 2.0: "--"}  # and their lines


class Measured(NamedTuple):
    """What the lesson draws."""

    curves: dict[str, tuple[np.ndarray, np.ndarray]]  # values and derivative at X, by activation
    losses: dict[str, list[float]]  # by epoch, of networks whose units start far below 0
    statistics: dict[tuple[str, float], np.ndarray]  # mean and std of each layer's outputs, by activation and start


def curve(activation: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return an activation's values and derivative at ``X``."""

    def first(x: td.Tensor) -> td.Tensor:
        return activation(td.stack([x, td.zeros_like(x)], axis=1))[:, 0]

    return first(td.tensor(X)).numpy(), td.grad(lambda x: first(x).sum())(X).numpy()


def recover(activation: str, x: np.ndarray, y: np.ndarray, epochs: int) -> list[float]:
    """Train a network whose units all start far below 0, and return its losses."""
    below = td.initializers.Constant(-10)
    model = td.models.Sequential([layers.InputLayer(shape=(28, 28)), layers.Flatten()])
    model.add(layers.Dense(100, activation, kernel_initializer="he_normal", bias_initializer=below))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(td.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    return model.fit(x, y, epochs=epochs, verbose=0).history["loss"]


def pass_through(activation: str, x: np.ndarray, depth: int) -> np.ndarray:
    """Return the mean and the standard deviation of what each of many layers gives, those of ``x`` first."""
    outputs, found = td.reshape(x, (len(x), -1)), [(x.mean(), x.std())]
    for _ in range(depth):
        outputs = layers.Dense(100, activation, kernel_initializer="lecun_normal")(outputs)
        found.append((float(outputs.mean()), float(td.std(outputs))))
    return np.array(found)


def draw(measured: Measured) -> Any:
    """Return all activations in rows of six, and below them what becomes of dead units and of signals."""
    rows = math.ceil(len(measured.curves) / 6)
    figure = plt.figure(figsize=(12, 1.7 * rows + 4.5))
    grid = figure.add_gridspec(rows + 2, 6)
    for place, (name, (values, slope)) in enumerate(measured.curves.items()):
        ax = figure.add_subplot(grid[divmod(place, 6)])
        ax.plot(X, values, linewidth=2, label="value")
        ax.plot(X, slope, "--", label="slope")
        ax.set(title=name, ylim=(-2.2, 4.2), xticks=(-4, 0, 4), yticks=(-2, 0, 2, 4))
        ax.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    left, right = figure.add_subplot(grid[rows:, :3]), figure.add_subplot(grid[rows:, 3:])
    for name, losses in measured.losses.items():
        epochs = range(1, len(losses) + 1)
        left.plot(epochs, losses, "o-", label=name)
    left.set(title="Learning from biases of -10", xlabel="epoch", ylabel="training loss [nats]", xticks=epochs)
    for (name, start), statistics in measured.statistics.items():
        line = STARTS[start] + PASSED_THROUGH[name]
        right.semilogy(statistics[:, 1], line, label=name if start == 1 else "")
    right.set(title="Signals from std 0.5 (dotted), 1, 2 (dashed)", ylim=(1e-4, 4), xlabel="layer", ylabel="std")
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend()
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Measure what the options ask for; return it."""
    counts = {"epochs": (5, "of training"), "layers": (50, "that a signal passes through")}
    options = lesson.parser(__doc__, "activations", **counts, samples=(2000, "training images")).parse_args(arguments)
    images = lesson.standardized(lesson.images(options.samples))
    td.utils.set_random_seed(options.seed)
    names = td.registry.activations.names()
    curves = {name: curve(td.activations.get(name, **ARGUMENTS.get(name, {}))) for name in names}
    losses = {name: recover(name, *images[:2], options.epochs) for name in LEFT_BEHIND}
    x = images.x_train[:500]
    passed = {(a, std): pass_through(a, std * x, options.layers) for a in PASSED_THROUGH for std in STARTS}
    print(f"steepest slopes: {', '.join(f'{name} {slope.max():.2f}' for name, (_, slope) in curves.items())}")
    for name, by_epoch in losses.items():
        print(f"from biases of -10, {name:10} loss {by_epoch[0]:.2f} -> {by_epoch[-1]:.2f}")
    for (name, start), statistics in passed.items():
        mean, std = statistics[-1]
        print(f"from std {start}, {name:4} after {options.layers} layers: mean {mean:5.2f}, std {std:.1e}")
    lesson.save(draw(measured := Measured(curves, losses, passed)), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
