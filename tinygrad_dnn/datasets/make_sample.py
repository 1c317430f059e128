"""Makes the embedded sample from the whole Fashion-MNIST: ``python -m tinygrad_dnn.datasets.make_sample``.

It draws 600 training and 100 test images of each class, shuffles them, writes ``sample.npz`` beside this file
(or to the path given) and prints the size and the SHA-256 that ``sample.py`` states. The drawing depends on
the seed alone: another run gives the same arrays. The images are Zalando's, under the MIT licence in
``LICENSE.fashion-mnist``.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinygrad_dnn.datasets import fashion_mnist
from tinygrad_dnn.datasets.sample import SAMPLE_PATH

SEED = 0
TRAIN_PER_CLASS = 600
TEST_PER_CLASS = 100


def draw_evenly(labels: NDArray[np.uint8], per_class: int, random: np.random.RandomState) -> NDArray[np.intp]:
    """Return the shuffled indices of ``per_class`` images of each class, none of them twice.

    Args:
        labels: the classes, 0 to 9, shape ``(n,)``.
        per_class: how many to draw of each class.
        random: the source of random numbers; two draws of equal state are equal.

    >>> labels = np.array([1, 0, 1, 0, 0, 1], np.uint8)
    >>> sorted(labels[draw_evenly(labels, 2, np.random.RandomState(0))].tolist())
    [0, 0, 1, 1]
    """
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = np.concatenate([random.permutation(indices)[:per_class] for indices in of_class])
    return random.permutation(drawn)


def make(path: Path) -> None:
    """Draw the sample from the whole data set and write it to ``path``."""
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    # RandomState, because NumPy promises its stream for ever; that of default_rng may change with a version.
    random = np.random.RandomState(SEED)
    train = draw_evenly(y_train, TRAIN_PER_CLASS, random)
    test = draw_evenly(y_test, TEST_PER_CLASS, random)
    np.savez_compressed(path, x_train=x_train[train], y_train=y_train[train], x_test=x_test[test], y_test=y_test[test])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Draw the embedded sample from the whole Fashion-MNIST.")
    parser.add_argument("path", nargs="?", type=Path, default=SAMPLE_PATH, help="default: %(default)s")
    path: Path = parser.parse_args(arguments).path
    make(path)
    content = path.read_bytes()
    print(f"{path}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
