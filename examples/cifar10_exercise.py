"""Train the 20-layer network of the CIFAR-10 exercise four ways and compare the learning curves.

The network is 20 dense layers of 100 units, which is too many; that is the point. The variants:

  elu    ELU, He initialisation, Nadam with learning rate 5e-5, raw pixels
  bn     the same with batch normalisation on the input and before each activation, learning rate 5e-4
  selu   SELU, LeCun initialisation, standardised pixels, learning rate 7e-4
  alpha  the same with alpha dropout (rate 0.1) before the output, learning rate 5e-4

Each stops when its validation loss has not improved for --patience epochs. The folder --out receives results.json and
learning_curves.png; Ctrl-C writes what is finished by then.

  python examples/cifar10_exercise.py                       the small sample inside the package, nothing downloaded
  python examples/cifar10_exercise.py --dataset cifar10     the real exercise; downloads 170 MB once
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import layers

HIDDEN_LAYERS, UNITS, CLASSES = 20, 100, 10
EPOCHS, PATIENCE, BATCH_SIZE = 100, 20, 32


def elu(model: td.Sequential) -> None:
    """Add the hidden layers of part 1."""
    for _ in range(HIDDEN_LAYERS):
        model.add(layers.Dense(UNITS, activation="elu", kernel_initializer="he_normal"))


def batch_normalization(model: td.Sequential) -> None:
    """Add the hidden layers of part 2."""
    model.add(layers.BatchNormalization())
    for _ in range(HIDDEN_LAYERS):
        model.add(layers.Dense(UNITS, kernel_initializer="he_normal"))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("elu"))


def selu(model: td.Sequential) -> None:
    """Add the hidden layers of part 3."""
    for _ in range(HIDDEN_LAYERS):
        model.add(layers.Dense(UNITS, activation="selu", kernel_initializer="lecun_normal"))


def alpha_dropout(model: td.Sequential) -> None:
    """Add the hidden layers of part 4."""
    selu(model)
    model.add(layers.AlphaDropout(rate=0.1))


class Variant(NamedTuple):
    """One part of the exercise."""

    title: str
    add_hidden_layers: Callable[[td.Sequential], None]
    learning_rate: float
    standardized: bool


VARIANTS = {
    "elu": Variant("ELU, He", elu, 5e-5, standardized=False),
    "bn": Variant("batch normalisation", batch_normalization, 5e-4, standardized=False),
    "selu": Variant("SELU, LeCun", selu, 7e-4, standardized=True),
    "alpha": Variant("SELU, alpha dropout", alpha_dropout, 5e-4, standardized=True),
}


class Timer(td.callbacks.Callback):
    """Measures each epoch, its validation included."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class Data(NamedTuple):
    """Images and labels to train on and to validate on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray


def load(dataset: str) -> Data:
    """Load a data set; its first 5,000 images validate, of the small sample a twelfth."""
    (x, y), _ = getattr(td.datasets, dataset).load_data()
    held_out = 5000 if len(x) >= 50_000 else len(x) // 12
    return Data(x[held_out:], y[held_out:], x[:held_out], y[:held_out])


def standardize(data: Data) -> Data:
    """Bring each pixel to mean 0 and standard deviation 1 over the training images."""
    mean, std = data.x_train.mean(axis=0, dtype=np.float64), data.x_train.std(axis=0, dtype=np.float64)
    std[std == 0] = 1.0  # the corners of some data sets are always black

    def scaled(x: np.ndarray) -> np.ndarray:
        return ((x - mean.astype(np.float32)) / std.astype(np.float32)).astype(np.float32)

    return data._replace(x_train=scaled(data.x_train), x_valid=scaled(data.x_valid))


def build(variant: Variant, image_shape: tuple[int, ...]) -> td.Sequential:
    """Make and compile the network of a variant."""
    model = td.models.Sequential([layers.InputLayer(shape=image_shape), layers.Flatten()])
    variant.add_hidden_layers(model)
    model.add(layers.Dense(CLASSES, activation="softmax"))
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=td.optimizers.Nadam(learning_rate=variant.learning_rate),
        metrics=["accuracy"],
    )
    return model


def train(variant: Variant, data: Data, options: argparse.Namespace) -> dict[str, Any]:
    """Train one variant and return its learning curves and what the table shows, after Ctrl-C those so far."""
    td.utils.set_random_seed(options.seed)
    model = build(variant, data.x_train.shape[1:])
    timer = Timer()
    stopping = td.callbacks.EarlyStopping(patience=options.patience)
    interrupted = False
    try:
        model.fit(
            data.x_train, data.y_train, epochs=options.epochs, batch_size=options.batch_size, verbose=options.verbose,
            validation_data=(data.x_valid, data.y_valid), callbacks=[timer, stopping],
        )  # fmt: skip
    except KeyboardInterrupt:
        if not model.history.epoch:
            raise
        interrupted = True
    history = model.history.history
    accuracy = history["val_accuracy"]
    best = int(np.argmax(accuracy))
    return {
        "title": variant.title,
        "learning_rate": variant.learning_rate,
        "standardized": variant.standardized,
        "best_val_accuracy": accuracy[best],
        "best_epoch": best + 1,
        "epochs": len(accuracy),
        "seconds_per_epoch": float(np.median(timer.seconds)),
        "interrupted": interrupted,
        "history": history,
    }


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print what the variants reached, side by side."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="The exercise", title_justify="left")
    table.add_column("variant", no_wrap=True)
    for heading in ("best validation accuracy", "at epoch", "epochs run", "seconds an epoch"):
        table.add_column(heading, justify="right", max_width=13)
    for name, run in results.items():
        table.add_row(
            f"{name}: {run['title']}", f"{run['best_val_accuracy']:.1%}", str(run["best_epoch"]), str(run["epochs"]),
            f"{run['seconds_per_epoch']:.2f}",
        )  # fmt: skip
    Console().print(table)


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw each variant's loss and accuracy, on the training and the validation images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(results), figsize=(3.6 * len(results), 6), sharey="row", squeeze=False)
    for column, run in enumerate(results.values()):
        for row, key in enumerate(("loss", "accuracy")):
            ax = axes[row, column]
            epochs = range(1, run["epochs"] + 1)
            marker = "." if run["epochs"] < 5 else None  # a single epoch would draw no line
            ax.plot(epochs, run["history"][key], marker=marker, label="training")
            ax.plot(epochs, run["history"][f"val_{key}"], marker=marker, label="validation")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(alpha=0.3)
        axes[0, column].set_title(f"{run['title']}\nlearning rate {run['learning_rate']:g}")
        axes[1, column].plot(run["best_epoch"], run["best_val_accuracy"], "k.", label="best")
        axes[1, column].set_xlabel("epoch")
    # One bad first epoch would press all curves into the lower edge.
    losses = [v for run in results.values() for k in ("loss", "val_loss") for v in run["history"][k]]
    axes[0, 0].set_ylim(0, min(max(losses), 3.0) * 1.05)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy")
    axes[1, -1].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def peak_memory_mib() -> float | None:
    """Return the most memory this process has held, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write(results: dict[str, dict[str, Any]], options: argparse.Namespace, seconds: float) -> None:
    """Write results.json and the picture, and print the table."""
    options.out.mkdir(parents=True, exist_ok=True)
    draw(results, options.out / "learning_curves.png")
    peak_mib = peak_memory_mib()
    manifest = {
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "tinygrad_dnn": td.__version__},
        "machine": platform.platform(),
        "seconds": seconds,
        "peak_memory_mib": peak_mib,
        "results": results,
    }
    (options.out / "results.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print_table(results)
    memory = "" if peak_mib is None else f", peak memory {peak_mib:.0f} MiB"
    print(f"{seconds:.0f} s in all{memory}; see {options.out}/learning_curves.png")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options, refusing what no run could use."""

    def natural(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is no positive integer")
        return int(text)

    def chosen(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in VARIANTS:
                raise argparse.ArgumentTypeError(f"{name!r} is no variant; choose among {', '.join(VARIANTS)}")
        return names

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", default="sample", choices=("sample", "fashion_mnist", "cifar10"),
        help="7,000 images of Fashion-MNIST from inside the package (default), all of them, or CIFAR-10")
    add("--variants", type=chosen, default=list(VARIANTS), help="which parts, as elu,selu (default: all)")
    add("--epochs", type=natural, default=EPOCHS, help=f"at most so many (default {EPOCHS})")
    add("--patience", type=natural, default=PATIENCE, help=f"epochs to wait for an improvement (default {PATIENCE})")
    add("--batch-size", type=natural, default=BATCH_SIZE, help=f"images a step (default {BATCH_SIZE})")
    add("--backend", default=None, choices=("numpy", "cupy", "strict"),
        help="which arrays (default: TINYGRAD_DNN_BACKEND, else numpy)")
    add("--seed", type=int, default=42, help="of weights, shuffling and dropout (default 42)")
    add("--out", type=Path, default=Path("exercise-results"), help="the folder for results")
    add("--verbose", type=int, default=1, choices=(0, 1, 2), help="0 silent, 1 a live bar, 2 a line an epoch")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Train the variants asked for; return the exit status, 130 after Ctrl-C."""
    options = parse(arguments)
    if options.backend:
        td.backend.use(options.backend)
    started = time.perf_counter()
    raw = load(options.dataset)
    scaled = standardize(raw) if any(VARIANTS[name].standardized for name in options.variants) else raw
    results: dict[str, dict[str, Any]] = {}
    interrupted = False
    try:
        for name in options.variants:
            variant = VARIANTS[name]
            print(f"\n{name}: {variant.title}, {len(raw.x_train):,} training images of {options.dataset}", flush=True)
            results[name] = train(variant, scaled if variant.standardized else raw, options)
            if results[name]["interrupted"]:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        interrupted = True
        print(f"\ninterrupted; {'writing what is finished' if results else 'nothing is finished'}", file=sys.stderr)
    if results:
        write(results, options, time.perf_counter() - started)
    return 130 if interrupted else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (td.datasets.DatasetError, RuntimeError, ValueError) as problem:
        sys.exit(f"error: {problem}")
