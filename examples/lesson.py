"""What the lessons share: their options, the images that come with the package, and the writing of a picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

import tinygrad_dnn as td

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen

CLASS_NAMES = td.datasets.sample.class_names


class Images(NamedTuple):
    """Images in [0, 1] of shape (samples, 28, 28) and their labels, 0 to 9: to train, to validate and to test on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def images(samples: int = 5000) -> Images:
    """Return the embedded images of Fashion-MNIST: so many to train on, 1,000 others to validate and 1,000 to test."""
    (x, y), (x_test, y_test) = td.datasets.sample.load_data()
    x, x_test = (part.astype("float32") / 255 for part in (x, x_test))
    return Images(x[:samples], y[:samples], x[5000:], y[5000:], x_test, y_test)


def parser(description: str | None, name: str, **counts: tuple[int, str]) -> argparse.ArgumentParser:
    """Return a parser of a lesson's options: ``--out``, ``--seed`` and its counts, each a default and what it is."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for count, (default, meaning) in counts.items():
        made.add_argument(f"--{count}", type=_count, default=default, help=f"{meaning} (default {default})")
    made.add_argument("--seed", type=int, default=0, help="of the weights, the order of the samples, the noise")
    picture = Path("gallery") / f"{name}.png"
    made.add_argument("--out", type=Path, default=picture, help=f"the picture's file (default {picture})")
    return made


def _count(text: str) -> int:
    """Return an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no integer of at least 1")
    return int(text)


def save(figure: Any, path: Path) -> None:
    """Write a picture, and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"see {path}")


def run(main: Callable[[], Any]) -> None:
    """Run a lesson as a script, which Ctrl-C ends in one line."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted: no picture was written")
