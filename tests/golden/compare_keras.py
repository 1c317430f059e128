"""Compares accuracies with Keras 3: the same code trains the exercise's networks with either framework.

    python compare_keras.py --framework keras          (Keras on JAX, or on what KERAS_BACKEND says)
    python compare_keras.py --framework tinygrad_dnn
    python compare_keras.py --report

Each run (variant, seed) is one line of a JSON Lines file; a run that stands there already is not done again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import recipe
import storage

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[2]))

SETTINGS = ("epochs", "train", "validation", "batch_size", "head")
FRAMEWORKS = ("keras", "tinygrad_dnn")


def train(keras: Any, variant: str, seed: int, options: argparse.Namespace, data: list[np.ndarray]) -> dict[str, Any]:
    """Fit one network from the framework's own initial weights and order of batches; return the history."""
    x_train, y_train, x_validation, y_validation = data
    keras.utils.set_random_seed(seed)
    x_train, x_validation = recipe.inputs(variant, x_train, x_validation)
    softmax = options.head == "softmax"
    model = recipe.build(keras, variant, head="softmax" if softmax else None)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax),
        optimizer=keras.optimizers.Nadam(learning_rate=recipe.VARIANTS[variant].learning_rate),
        metrics=["accuracy"],
    )
    start = time.perf_counter()
    history = model.fit(
        x_train,
        y_train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(x_validation, y_validation),
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    return {**{key: [float(value) for value in values] for key, values in history.items()}, "seconds": seconds}


def load_data(options: argparse.Namespace) -> list[np.ndarray]:
    """Return training and validation images and labels; validation comes first in the data, as in the exercise."""
    fashion_mnist = importlib.import_module("tinygrad_dnn.datasets.fashion_mnist")
    (x, y), _ = fashion_mnist.load_data()
    y = y.astype(np.int32)
    first, last = options.validation, options.validation + options.train
    return [x[first:last], y[first:last], x[:first], y[:first]]


def run(options: argparse.Namespace) -> None:
    """Do what is missing, a line at a time."""
    keras = importlib.import_module(options.framework)
    data = load_data(options)
    settings = {key: getattr(options, key) for key in SETTINGS}
    done = {(r["framework"], r["variant"], r["seed"]) for r in read(options)}
    for variant in options.variants:
        for seed in range(options.seeds):
            if (options.framework, variant, seed) in done:
                continue
            history = train(keras, variant, seed, options, data)
            accuracies = history["val_accuracy"]
            record = {
                "framework": options.framework,
                "version": keras.__version__,
                "backend": keras.config.backend() if options.framework == "keras" else "numpy",
                "variant": variant,
                "seed": seed,
                **settings,
                "last": accuracies[-1],
                "best": max(accuracies),
                **history,
            }
            options.out.parent.mkdir(parents=True, exist_ok=True)
            with options.out.open("a") as lines:
                lines.write(json.dumps(record) + "\n")
            print(
                f"{options.framework} {variant} seed {seed}: last {record['last']:.4f}, "
                f"best {record['best']:.4f}, {record['seconds']:.1f} s",
                flush=True,
            )


def read(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the records made with the same settings."""
    if not options.out.exists():
        return []
    records = [json.loads(line) for line in options.out.read_text().splitlines()]
    return [r for r in records if all(r[key] == getattr(options, key) for key in SETTINGS)]


def report(options: argparse.Namespace) -> None:
    """Print mean and standard error of each framework, and the difference in units of its standard error."""
    records = read(options)
    print(", ".join(f"{key} {getattr(options, key)}" for key in SETTINGS))
    for which in ("last", "best"):
        print(f"\n{which} validation accuracy, %")
        print(f"{'variant':8}{'n':>6}{'keras':>16}{'tinygrad_dnn':>18}{'difference':>18}{'in s.e.':>9}")
        for variant in options.variants:
            values = [
                100 * np.array([r[which] for r in records if r["framework"] == f and r["variant"] == variant])
                for f in FRAMEWORKS
            ]
            print(row(variant, *values))


def row(variant: str, theirs: np.ndarray, ours: np.ndarray) -> str:
    """Return one line of the table; a standard error needs two runs."""
    cells = f"{variant:8}{f'{len(theirs)}, {len(ours)}':>6}"
    errors = []
    for values, width in ((theirs, 16), (ours, 18)):
        errors.append(values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan)
        cells += f"{f'{values.mean():.2f} +- {errors[-1]:.2f}' if len(values) else '-':>{width}}"
    if not len(theirs) or not len(ours):
        return cells
    difference, error = ours.mean() - theirs.mean(), math.hypot(*errors)
    return cells + f"{f'{difference:+.2f} +- {error:.2f}':>18}{difference / error if error else math.nan:>9.2f}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", choices=FRAMEWORKS)
    parser.add_argument("--report", action="store_true", help="print the table of what the file holds")
    parser.add_argument("--variants", nargs="+", choices=list(recipe.VARIANTS), default=list(recipe.VARIANTS))
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 (default: 5)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train", type=int, default=15_000, help="training images (default: 15000)")
    parser.add_argument("--validation", type=int, default=5_000, help="other images (default: 5000)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--head",
        choices=("logits", "softmax"),
        default="logits",
        help="the output layer; Keras on JAX clips probabilities, so logits is the fair comparison",
    )
    parser.add_argument("--out", type=Path, default=storage.DATA / "accuracy.jsonl")
    options = parser.parse_args()
    if not options.framework and not options.report:
        parser.error("say --framework keras, --framework tinygrad_dnn or --report")
    if options.framework:
        run(options)
    if options.report:
        report(options)


if __name__ == "__main__":
    main()
