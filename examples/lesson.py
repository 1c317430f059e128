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

# Colours that colour-blind readers tell apart too: Okabe and Ito's, with Tol's wine for a yellow too pale for lines.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#882255")
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=COLOURS)

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
