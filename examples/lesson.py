"""What the lessons share: their options, the images that come with the package, and the writing of a picture."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

import tinygrad_dnn as td

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen

# Colours that colour-blind readers tell apart too: Okabe and Ito's, with Tol's wine for a yellow too pale for lines.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#882255")
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=COLOURS)

CLASS_NAMES = td.datasets.sample.class_names
MOST = 5000  # images to train on: those that follow are for validation
FORMATS = ("png", "svg", "pdf", "jpg", "webp")  # of a picture


class Images(NamedTuple):
    """Images in [0, 1] of shape (samples, 28, 28) and their labels, 0 to 9: to train, to validate and to test on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def images(samples: int = MOST) -> Images:
    """Return the embedded images of Fashion-MNIST: so many to train on, 1,000 others to validate and 1,000 to test."""
    (x, y), (x_test, y_test) = td.datasets.sample.load_data()
    x, x_test = (part.astype("float32") / 255 for part in (x, x_test))
    some = slice(min(samples, MOST))
    return Images(x[some], y[some], x[MOST:], y[MOST:], x_test, y_test)


def standardized(given: Images) -> Images:
    """Return the images with mean 0 and standard deviation 1, both over all pixels of those to train on."""
    mean, std = given.x_train.mean(), given.x_train.std()
    return given._replace(**{name: (getattr(given, name) - mean) / std for name in ("x_train", "x_valid", "x_test")})


def parser(
    description: str | None, name: str, **counts: tuple[int, str] | tuple[int, str, int]
) -> argparse.ArgumentParser:
    """Return a parser of a lesson's options: ``--out``, ``--seed`` and counts: a default, what it is, the least (1)."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for count, (default, meaning, *rest) in counts.items():
        least, most = (int(rest[0]) if rest else 1), (MOST if count == "samples" else None)
        shown = f"{meaning}, at most {MOST:,}" if most else meaning
        made.add_argument(f"--{count}", type=integer(least, most), default=default, help=f"{shown} (default {default})")
    seed = "of the weights, the order of the samples, the noise (default 0)"
    made.add_argument("--seed", type=integer(0, 10**9), default=0, help=seed)
    out = str(Path("gallery") / f"{name}.png")
    made.add_argument("--out", type=picture(*FORMATS), default=out, help=f"the picture's file (default {out})")
    return made


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return an option's type: an integer of at least ``least`` and at most ``most``."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            reach = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is no integer {reach}")
        return int(text)

    return read


def picture(*formats: str) -> Callable[[str], Path]:
    """Return an option's type: a file of one of the formats, in a folder that can be written to or made."""

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix[1:].lower() not in formats:
            raise argparse.ArgumentTypeError(f"{text!r} does not end in one of .{', .'.join(formats)}")
        folder = next(folder for folder in path.absolute().parents if os.path.exists(folder))
        if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise argparse.ArgumentTypeError(f"{text!r} cannot be written")  # before all the work, not after it
        return path

    return read


def save(figure: Any, path: Path) -> None:
    """Write a picture, and say where it is."""
    figure.tight_layout()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except OSError as error:
        sys.exit(f"no picture was written: {error}")
    plt.close(figure)
    print(f"see {path}")


SAID = {"color": "C4", "linestyle": "--", "linewidth": 2}  # how a lesson that corrects draws what is wrong,
RIGHT = {"color": "C0", "linewidth": 2}  # and what is right
Pairs = dict[str, tuple[float, float]]


def beside(panel: Any, x: Any, said: Any, right: Any, labels: tuple[str, str], **axes: Any) -> None:
    """Draw two curves over one x, what was said and what is right; ``axes`` are the panel's title, labels and so on."""
    panel.plot(x, said, label=labels[0], **SAID)
    panel.plot(x, right, label=labels[1], **RIGHT)
    panel.set(**axes)


def compare(options: argparse.Namespace, *corrections: Callable[[Any, argparse.Namespace], Pairs]) -> dict[str, Pairs]:
    """Let each correction measure and draw its panel of one picture; print and return its numbers, as said and right.

    A correction takes its panel and the options, and returns pairs of numbers by what they are. Its docstring is the
    heading of the lines that are printed, and its name the key of what is returned.
    """
    cells = [*[0] * (len(corrections) % 2), *range(len(corrections))]  # of an odd number, the first is twice as wide
    columns = len(cells) // 2
    figure, panels = plt.subplot_mosaic([cells[:columns], cells[columns:]], figsize=(3 * columns + 6, 9))
    measured: dict[str, Pairs] = {}
    for panel, correction in zip(panels.values(), corrections, strict=True):
        found = measured[correction.__name__] = correction(panel, options)
        print(correction.__doc__)
        for what, (said, right) in found.items():
            print(f"  {what:66}{said:12.4g}{right:12.4g}")
        panel.grid(alpha=0.3)
        panel.legend()
    save(figure, options.out)
    return measured


def run(main: Callable[[], Any]) -> None:
    """Run a lesson as a script, which Ctrl-C ends in one line."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted: no picture was written")
