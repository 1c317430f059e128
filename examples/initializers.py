"""Compare how weights can start: what each initializer makes of the signal in a deep network, and of its training.

The same network of 10 hidden layers with 100 units each, once with tanh and once with ReLU. With weights that are all
alike, zeros or another constant, so is what the units of a layer compute and learn: after any number of steps they are
100 copies of one unit, up to rounding. From zeros even that one learns nothing, only the output's biases do. Random
weights tell the units apart, and then their size decides. Too small, and each layer takes most of the signal away; too
large, and tanh saturates while ReLU's signal explodes until the loss is no number any more. Glorot, LeCun and
orthogonal weights keep the signal of tanh in its range, and lose half of its variance in each layer of ReLU: this is
what the 2 in He's variance 2 / fan_in is for. (LeCun's 1 / fan_in knows no activation: SELU was made for it.)

  python examples/initializers.py
  python examples/initializers.py --layers 20 --epochs 4 --out initializers.png
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td
from tinygrad_dnn import initializers, layers

ACTIVATIONS = ("tanh", "relu")
INITIALIZERS = {
    "zeros": initializers.Zeros(),
    "all 0.01": initializers.Constant(0.01),
    "N(0, 0.01²)": initializers.RandomNormal(stddev=0.01),
    "N(0, 0.5²)": initializers.RandomNormal(stddev=0.5),
    "Glorot normal": initializers.GlorotNormal(),
    "LeCun normal": initializers.LecunNormal(),
    "orthogonal": initializers.Orthogonal(),
    "He normal": initializers.HeNormal(),
}


class Measured(NamedTuple):
    """What an initializer does to a network with one activation, a row a seed."""

    signal: np.ndarray  # standard deviation of each hidden layer's outputs at the start
    loss: np.ndarray  # of the training images in the last epoch
    apart: np.ndarray  # how far the weights of two units of one hidden layer are apart at most, after training


def build(activation: str, initializer: Any, depth: int) -> td.Sequential:
    """Make and compile the network."""
    model = td.models.Sequential([layers.InputLayer(shape=(28, 28)), layers.Flatten()])
    for _ in range(depth):
        model.add(layers.Dense(100, activation=activation, kernel_initializer=initializer))
    model.add(layers.Dense(10, activation="softmax", kernel_initializer=initializer))
    model.compile(td.optimizers.SGD(0.02), "sparse_categorical_crossentropy")
    return model


def measure(activation: str, initializer: Any, x: np.ndarray, y: np.ndarray, options: Any) -> Measured:
    """Send images through the network, train it, and look at its units, with each seed."""
    found = []
    for seed in range(options.seed, options.seed + options.seeds):
        td.utils.set_random_seed(seed)
        model = build(activation, initializer, options.layers)
        signal, outputs = [], model.layers[0](x[:500])
        for layer in model.layers[1:-1]:
            outputs = layer(outputs)
            signal.append(float(td.std(outputs)))
        with np.errstate(over="ignore", invalid="ignore"):  # what explodes ends in infinity and NaN
            loss = model.fit(x, y, epochs=options.epochs, verbose=0).history["loss"][-1]
        apart = max(float(np.ptp(layer.kernel.numpy(), axis=1).max()) for layer in model.layers[1:-1])
        found.append((signal, loss, apart))
    return Measured(*(np.array(part) for part in zip(*found, strict=True)))


def draw(results: dict[str, dict[str, Measured]]) -> Any:
    """Return the signal by layer with each activation, and the losses that training ends with, and their range."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 6))
    for ax, shift, (activation, by_name) in zip(axes, (-0.2, 0.2), results.items(), strict=False):
        for place, (title, (signals, losses, _)) in enumerate(by_name.items()):
            signal, loss = signals.mean(0), losses.mean()
            label = title if signal.all() else f"{title} (no signal)"
            ax.plot(range(1, len(signal) + 1), signal, f"{'ov^sdP*X'[place]}-", label=label)
            if np.isnan(loss):
                axes[2].text(0.05, place + shift, "diverged", va="center")
            else:
                reach = [[loss - losses.min()], [losses.max() - loss]]
                shown = {"color": str(0.6 + shift), "label": "" if place else activation}
                axes[2].barh(place + shift, loss, 0.38, xerr=reach, **shown)
        ax.set(title=f"Signal at the start, {activation}", xlabel="hidden layer", ylabel="std of the outputs")
        ax.set_yscale("log")
        ax.grid(alpha=0.3)
    axes[0].legend(loc="lower left")
    axes[2].set(title="What comes of it", xlabel="last training loss [nats] (whiskers: all seeds)")
    axes[2].set_yticks(range(len(INITIALIZERS)), INITIALIZERS)
    axes[2].axvline(np.log(10), color="0.5", linestyle=":", label="guessing")
    axes[2].invert_yaxis()
    axes[2].legend()
    return figure


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Measured]]:
    """Measure what the options ask for; return it by activation and initializer."""
    counts = {"layers": (10, "hidden layers"), "epochs": (2, "of training"), "seeds": (3, "networks of each kind")}
    counts |= {"samples": (1600, "images to train on")}
    options = lesson.parser(__doc__, "initializers", **counts).parse_args(arguments)
    images = lesson.standardized(lesson.images(options.samples))
    results: dict[str, dict[str, Measured]] = {}
    print(f"{'':20} {'signal, first':>14} {'last layer':>11} {'units apart':>12} {'loss':>6}")
    for activation in ACTIVATIONS:
        results[activation] = {}
        for title, initializer in INITIALIZERS.items():
            results[activation][title] = measure(activation, initializer, *images[:2], options)
            signal, loss, apart = (part.mean(0) for part in results[activation][title])
            print(f"{activation}, {title:14} {signal[0]:14.2g} {signal[-1]:11.1e} {apart:12.2g} {loss:6.2f}")
    lesson.save(draw(results), options.out)
    return results


if __name__ == "__main__":
    lesson.run(main)
