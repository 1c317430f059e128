"""Running the exercise: its options, its data, one training a variant, and what comes of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn import backend, callbacks, datasets, models, utils
from tinygrad_dnn.exercise.networks import VARIANTS, Variant, build
from tinygrad_dnn.exercise.results import write
from tinygrad_dnn.saving import replace

EPOCHS, PATIENCE, BATCH_SIZE = 100, 20, 32
# The options that decide what comes of a variant.
_OF_A_RUN = ("dataset", "epochs", "patience", "batch_size", "backend", "seed")

DESCRIPTION = """\
Train the 20-layer network of the CIFAR-10 exercise four ways and compare the learning curves.

The network is 20 dense layers of 100 units, which is too many; that is the point. The variants:

  elu    ELU, He initialisation, Nadam with learning rate 5e-5, raw pixels
  bn     the same with batch normalisation on the input and before each activation, learning rate 5e-4
  selu   SELU, LeCun initialisation, standardised pixels, learning rate 7e-4
  alpha  the same with alpha dropout (rate 0.1) before the output, learning rate 5e-4

Each stops when its validation loss has not improved for --patience epochs. The folder --out receives results.json and
learning_curves.png; Ctrl-C writes what is finished by then. With --resume DIR a run that was interrupted, or killed,
goes on where it was when it is started again in the same way.
"""


class Timer(callbacks.Callback):
    """Measures each epoch, its validation included."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now

    def get_state(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def set_state(self, state: dict[str, Any]) -> None:
        self.seconds = list(state["seconds"])


class Data(NamedTuple):
    """Images and labels to train on and to validate on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray


def load(dataset: str) -> Data:
    """Load a data set; its first 5,000 images validate, of the small sample a twelfth."""
    (x, y), _ = getattr(datasets, dataset).load_data()
    held_out = 5000 if len(x) >= 50_000 else len(x) // 12
    return Data(x[held_out:], y[held_out:], x[:held_out], y[:held_out])


def standardize(data: Data) -> Data:
    """Bring each pixel to mean 0 and standard deviation 1 over the training images."""
    mean, std = data.x_train.mean(axis=0, dtype=np.float64), data.x_train.std(axis=0, dtype=np.float64)
    std[std == 0] = 1.0  # the corners of some data sets are always black

    def scaled(x: np.ndarray) -> np.ndarray:
        whitened: np.ndarray = ((x - mean.astype(np.float32)) / std.astype(np.float32)).astype(np.float32)
        return whitened

    return data._replace(x_train=scaled(data.x_train), x_valid=scaled(data.x_valid))


def train(
    variant: Variant, data: Data, options: argparse.Namespace, backups: Path | None = None
) -> dict[str, Any]:
    """Train one variant and return its learning curves and what the table shows, after Ctrl-C those so far.

    Where there is a folder for backups, it goes on from what is there.
    """
    utils.set_random_seed(options.seed)
    model = build(variant, data.x_train.shape[1:])
    timer = Timer()
    stopping = callbacks.EarlyStopping(patience=options.patience)
    backing = [] if backups is None else [callbacks.BackupAndRestore(backups)]
    interrupted = False
    try:
        model.fit(
            data.x_train, data.y_train, epochs=options.epochs, batch_size=options.batch_size, verbose=options.verbose,
            validation_data=(data.x_valid, data.y_valid), callbacks=[timer, stopping, *backing],
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
        "plugins": models.provenance(model),
        "history": history,
    }


def train_or_recall(
    name: str, variant: Variant, data: Data, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Return what a folder says of a variant that is finished, or train it with backups in that folder.

    Raises:
        ValueError: What the folder says is damaged.
    """
    finished = folder / f"{name}.json"
    if finished.exists():
        print("finished before")
        recalled: dict[str, Any] = read(finished)
        return recalled
    result = train(variant, data, options, folder / name)
    if not result["interrupted"]:
        replace(finished, [json.dumps(result).encode("utf-8")])
    return result


def claim(folder: Path, options: argparse.Namespace) -> None:
    """Keep what a run is asked for in the folder that it is kept in.

    Backups bring their own random state along: under another seed, one would go on that was never asked for.

    Raises:
        ValueError: The folder is that of a run with other options.
        OSError: The folder cannot be made.
    """
    make_folder(folder, "--resume")
    file = folder / "options.json"
    asked = {key: value for key, value in vars(options).items() if key in _OF_A_RUN}
    said = read(file) if file.exists() else asked
    for key, value in asked.items():
        if said.get(key) != value:
            raise ValueError(
                f"{folder} is of a run with --{key.replace('_', '-')} {said.get(key)}, and this one has {value}: give "
                "this one a folder of its own."
            )
    replace(file, [json.dumps(asked).encode("utf-8")])


def make_folder(folder: Path, option: str) -> None:
    """Make a folder that an option names, unless it is there.

    Raises:
        NotADirectoryError: There is a file in its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"{option} {folder}: there is a file in the place of this folder: give another one."
        ) from error


def read(file: Path) -> Any:
    """Return what a JSON file of an interrupted run tells.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: delete it, and what it tells of is done again.") from error


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the exercise's options, which refuse what no run could use."""

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
    add("--resume", type=Path, default=None, metavar="DIR",
        help="keep the training in this folder after each epoch, and go on from what is there")
    add("--out", type=Path, default=Path("exercise-results"), help="the folder for results")
    add("--verbose", type=int, default=1, choices=(0, 1, 2), help="0 silent, 1 a live bar, 2 a line an epoch")


def run(options: argparse.Namespace) -> int:
    """Train the variants asked for; return the exit status, 130 after Ctrl-C."""
    if options.backend:
        backend.use(options.backend)
    make_folder(options.out, "--out")  # now: after hours of training it would be too late
    if options.resume is not None:
        claim(options.resume, options)
    started = time.perf_counter()
    raw = load(options.dataset)
    scaled = standardize(raw) if any(VARIANTS[name].standardized for name in options.variants) else raw
    results: dict[str, dict[str, Any]] = {}
    interrupted = False
    try:
        for name in options.variants:
            variant = VARIANTS[name]
            print(f"\n{name}: {variant.title}, {len(raw.x_train):,} training images of {options.dataset}", flush=True)
            data = scaled if variant.standardized else raw
            results[name] = (
                train(variant, data, options)
                if options.resume is None
                else train_or_recall(name, variant, data, options, options.resume)
            )
            if results[name]["interrupted"]:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        interrupted = True
        print(f"\ninterrupted; {'writing what is finished' if results else 'nothing is finished'}", file=sys.stderr)
    if results:
        write(results, options, time.perf_counter() - started)
    return 130 if interrupted else 0
