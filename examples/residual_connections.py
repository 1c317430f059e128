"""Let the signal skip the layers of a deep network: shortcuts with Add, gradient by layer, and what they need to work.

Plain: 30 hidden layers in a row. With shortcuts, each layer's output is added to its input, one line of the functional
API: the gradient reaches every layer past all those above. What to look for: the plain network trains slowly, though
He's weights keep its gradient alive. Shortcuts alone make it worse: with He's weights each layer adds as much as there
is, so that signal and gradient explode. With weights so small that all layers together add about as much as there is,
the deep network learns fast (batch normalisation in each layer is the usual cure). All train with Adam, which makes up
for the mere size of a gradient.

  python examples/residual_connections.py
  python examples/residual_connections.py --layers 20 --seeds 5 --out residual.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td
from tinygrad_dnn import layers

# Whether there are shortcuts, and whether each layer's variance is shared by all; the line's style.
NETWORKS = {
    "plain, He": (False, False, "o:"),
    "shortcuts, He": (True, False, "s--"),
    "shortcuts, He / layers": (True, True, "^-"),
}
Measured = dict[str, dict[str, np.ndarray]]


def build(title: str, depth: int) -> tuple[td.Model, td.Model]:
    """Return a compiled network, and one that shares its layers and gives what each of them passes on."""
    shortcuts, shared, _ = NETWORKS[title]
    he = td.initializers.VarianceScaling(scale=2.0 / depth if shared else 2.0, mode="fan_in")
    inputs = td.Input(shape=(28, 28))
    outputs = layers.Dense(50, activation="relu", kernel_initializer="he_normal")(layers.Flatten()(inputs))
    passed_on = []
    for _ in range(depth):
        before = outputs
        outputs = layers.Dense(50, activation="relu", kernel_initializer=he)(before)
        if shortcuts:
            outputs = layers.Add()([before, outputs])
        passed_on.append(outputs)
    model = td.Model(inputs, layers.Dense(10, activation="softmax")(outputs))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, td.Model(inputs, passed_on)


def measure(title: str, images: lesson.Images, options: Any) -> dict[str, np.ndarray]:
    """Return, a row a seed: signal and gradient by layer before training, the losses, the accuracy on test images."""
    found: dict[str, list[Any]] = {"signal": [], "gradient": [], "loss": [], "accuracy": []}
    x, y = images.x_train[:200], images.y_train[:200]
    for seed in range(options.seed, options.seed + options.seeds):
        td.utils.set_random_seed(seed)
        model, inside = build(title, options.layers)
        found["signal"].append([float(td.std(signal)) for signal in inside(x)])
        loss = td.losses.sparse_categorical_crossentropy(y, model(x)).mean()
        kernels = [layer.kernel for layer in model.layers if isinstance(layer, layers.Dense)][1:-1]
        found["gradient"].append([float(td.norm(gradient)) for gradient in td.grad(loss, kernels)])
        with np.errstate(over="ignore", invalid="ignore"):  # where the signal explodes, which is to be seen
            history = model.fit(images.x_train, images.y_train, epochs=options.epochs, verbose=0).history
        found["loss"].append(history["loss"])
        found["accuracy"].append(100 * model.evaluate(images.x_test, images.y_test, batch_size=500, verbose=0)[1])
    return {what: np.array(values) for what, values in found.items()}


def draw(measured: Measured) -> Any:
    """Return signal and gradient by layer at the start, and the training loss by epoch."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 5))
    for panel, what in zip(axes, ("signal", "gradient", "loss"), strict=True):
        for title, values in measured.items():
            at, rows = np.arange(1, values[what].shape[1] + 1), values[what]
            (line,) = panel.plot(at, np.median(rows, 0), NETWORKS[title][2], markersize=4, label=title)
            panel.fill_between(at, rows.min(0), rows.max(0), color=line.get_color(), alpha=0.2)
        panel.grid(alpha=0.3)
    axes[0].set(title="Signal before training", yscale="log", xlabel="layer", ylabel="deviation of the outputs")
    axes[1].set(title="Gradient before training", yscale="log", xlabel="layer", ylabel="norm of the kernel's gradient")
    axes[2].set(title="Training (no line: far above)", xlabel="epoch", ylabel="training loss [nats]", ylim=(0, 2.6))
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(title="median over seeds, least to greatest")
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Measure and draw what the options ask for; return what was measured by network."""
    size = {"layers": (30, "hidden layers after the first"), "samples": (2000, "training images")}
    run = {"epochs": (5, "of training"), "seeds": (3, "networks of each kind")}
    options = lesson.parser(__doc__, "residual_connections", **size, **run).parse_args(arguments)
    images, measured = lesson.images(options.samples), {}
    print(f"{'median over seeds':24}{'gradient, first':>17}{'last layer':>12}{'loss':>8}{'test accuracy':>15}")
    for title in NETWORKS:
        measured[title] = found = measure(title, images, options)
        first, last = np.median(found["gradient"][:, [0, -1]], 0)
        print(f"{title:24}{first:17.2g}{last:12.2g}{np.median(found['loss'][:, -1]):8.2g}", end="")
        print(f"{np.median(found['accuracy']):13.1f} %")
    lesson.save(draw(measured), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
