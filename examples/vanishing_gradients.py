"""Watch the gradient vanish in a deep network, or explode, and what keeps it alive.

Networks of 20 hidden layers with 100 units each, before any training: how long the loss's gradient is in each layer's
kernel, and how much each layer's outputs still differ from image to image. Then all train alike for a few epochs.

On its way back the gradient is multiplied by each activation's slope and each layer's weights. With sigmoids, sloping
0.25 at most, and Glorot's weights about a quarter is left each time: the first layers learn nothing, and for the last
ones all images are one, up to rounding. Weights from N(0, 1) make good for the slope but saturate the sigmoids, which
hardly learn; under tanh they explode the gradient (the weights do: no slope of tanh exceeds 1). Cures: weights whose
size suits the activation (He: ReLU, LeCun: SELU, Glorot: tanh), or batch normalisation, even for sigmoids.

  python examples/vanishing_gradients.py
  python examples/vanishing_gradients.py --layers 10 --seeds 5 --out gradients.png
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td
from tinygrad_dnn import layers

WIDE = td.initializers.RandomNormal(stddev=1.0)
# Activation, initializer, whether batch normalisation stands before the activation, line.
NETWORKS: dict[str, tuple[str, Any, bool, str]] = {
    "sigmoid, Glorot": ("sigmoid", "glorot_normal", False, "o-"),
    "sigmoid, N(0, 1)": ("sigmoid", WIDE, False, "o:"),
    "sigmoid, Glorot, BN": ("sigmoid", "glorot_normal", True, "o--"),
    "tanh, N(0, 1)": ("tanh", WIDE, False, "s:"),
    "tanh, Glorot": ("tanh", "glorot_normal", False, "s-"),
    "ReLU, He": ("relu", "he_normal", False, "^-"),
    "SELU, LeCun": ("selu", "lecun_normal", False, "d-"),
}


class Measured(NamedTuple):
    """What one kind of network shows, a row a seed, by layer from the first on, and by epoch."""

    gradients: np.ndarray  # norm of each kernel's gradient, the output layer's last
    signals: np.ndarray  # standard deviation of an output over the images, mean over the units, of each hidden layer
    losses: np.ndarray  # of training


def build(title: str, depth: int) -> td.Sequential:
    """Make and compile one kind of network."""
    activation, initializer, normalized, _ = NETWORKS[title]
    model = td.models.Sequential([layers.InputLayer(shape=(28, 28)), layers.Flatten()])
    for _ in range(depth):
        model.add(layers.Dense(100, kernel_initializer=initializer))
        if normalized:
            model.add(layers.BatchNormalization())
        model.add(layers.Activation(activation))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(td.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    return model


def look(model: td.Sequential, x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the norm of the loss's gradient in each kernel, and how much each hidden layer's outputs differ."""
    signals, outputs = [], x
    for layer in model.layers:
        outputs = layer(outputs, training=True)
        if isinstance(layer, layers.Activation):
            signals.append(float(td.std(outputs, axis=0).mean()))
    loss = td.losses.sparse_categorical_crossentropy(y, outputs).mean()
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, layers.Dense)]
    return [float(td.norm(gradient)) for gradient in td.grad(loss, kernels)], signals


def measure(title: str, x: np.ndarray, y: np.ndarray, options: Any) -> Measured:
    """Look at one kind of network at its start, and train it, with each seed."""
    found = []
    for seed in range(options.seed, options.seed + options.seeds):
        td.utils.set_random_seed(seed)
        model = build(title, options.layers)
        start = look(model, x[:500], y[:500])
        found.append((*start, model.fit(x, y, epochs=options.epochs, verbose=0).history["loss"]))
    return Measured(*(np.array(part) for part in zip(*found, strict=True)))


def draw(results: dict[str, Measured]) -> Any:
    """Return three panels with a line a network, the seeds' mean, and their whole range as a band."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 6))
    for title, measured in results.items():
        for ax, values in zip(axes, measured, strict=True):
            at = np.arange(1, values.shape[1] + 1)
            (line,) = ax.plot(at, np.exp(np.log(values).mean(0)), NETWORKS[title][3], markersize=4, label=title)
            ax.fill_between(at, values.min(0), values.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
    axes[0].set(title="Gradient at the start", xlabel="layer", ylabel="norm of the kernel's gradient", yscale="log")
    axes[1].set(title="Signal at the start", xlabel="layer", ylabel="std of an output over the images", yscale="log")
    axes[2].set(title="What comes of it", xlabel="epoch", ylabel="training loss [nats]")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    axes[0].legend(loc="lower right")
    return figure


def main(arguments: list[str] | None = None) -> dict[str, Measured]:
    """Measure what the options ask for; return it by network."""
    counts = {"layers": (20, "hidden layers"), "epochs": (3, "of training"), "seeds": (2, "networks of each kind")}
    options = lesson.parser(__doc__, "vanishing_gradients", samples=(3000, "images"), **counts).parse_args(arguments)
    images = lesson.standardized(lesson.images(options.samples))
    results = {}
    print(f"{'':20} {'gradient, first':>15} {'last layer':>11} {'signal, last':>13} {'loss':>6}")
    for title in NETWORKS:
        results[title] = measure(title, *images[:2], options)
        gradient, signal, loss = (values.mean(0) for values in results[title])
        print(f"{title:20} {gradient[0]:15.1e} {gradient[-1]:11.1e} {signal[-1]:13.1e} {loss[-1]:6.2f}")
    lesson.save(draw(results), options.out)
    return results


if __name__ == "__main__":
    lesson.run(main)
