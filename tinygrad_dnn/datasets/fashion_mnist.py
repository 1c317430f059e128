"""Loads Fashion-MNIST: 70,000 grey 28 x 28 images of clothes in ten classes.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", arXiv:1708.07747; the files are under the MIT licence.
"""

import gzip
from pathlib import Path

import numpy as np

from tinygrad_dnn.datasets._fetch import open_file
from tinygrad_dnn.datasets._files import Array, DataFile, Dataset, data_folder

__all__ = ["class_names", "load_data"]

class_names = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

TRAIN_COUNT = 60_000
TEST_COUNT = 10_000
SUBFOLDER = "fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def _published(name: str, size: int, sha256: str) -> DataFile:
    return DataFile(name, size, sha256, tuple(mirror + name for mirror in MIRRORS))


TRAIN_IMAGES = _published(
    "train-images-idx3-ubyte.gz",
    26_421_856,
    "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
)
TRAIN_LABELS = _published(
    "train-labels-idx1-ubyte.gz", 29_491, "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
)
TEST_IMAGES = _published(
    "t10k-images-idx3-ubyte.gz", 4_422_079, "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
)
TEST_LABELS = _published(
    "t10k-labels-idx1-ubyte.gz", 5_125, "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
)


def _read_idx(file: DataFile, shape: tuple[int, ...]) -> Array:
    """Read one gzip-compressed IDX file: a magic number and the size of each axis, then the values."""
    folders = (data_folder() / SUBFOLDER, DEBIAN_FOLDER)
    with open_file(file, folders) as opened, gzip.GzipFile(fileobj=opened) as unpacked:
        content = unpacked.read()
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()


def load_data() -> Dataset:
    """Load Fashion-MNIST, as ``((x_train, y_train), (x_test, y_test))``.

    The four files are looked for in the folder ``fashion-mnist`` of ``$TINYGRAD_DNN_DATA`` (where that is not
    set, of the user's cache folder ``tinygrad_dnn``), then where Debian's package ``dataset-fashion-mnist``
    puts them. What is in neither is downloaded to the first (31 MB in all), which needs
    ``pip install "tinygrad-dnn[data]"``. Each file is used only where its SHA-256 is the published one.

    Returns:
        ``x_train`` of shape (60000, 28, 28) and ``x_test`` of shape (10000, 28, 28), uint8, 0 to 255, 0 being
        the background; ``y_train`` of shape (60000,) and ``y_test`` of shape (10000,), uint8, 0 to 9, the
        places of the classes in `class_names`.

    Raises:
        DatasetError: a file cannot be downloaded, or is not the published one.
        ModuleNotFoundError: a file must be downloaded, and pooch is not installed.

    >>> from tinygrad_dnn.datasets import fashion_mnist
    >>> fashion_mnist.class_names[9]
    'Ankle boot'
    """
    return (
        (_read_idx(TRAIN_IMAGES, (TRAIN_COUNT, 28, 28)), _read_idx(TRAIN_LABELS, (TRAIN_COUNT,))),
        (_read_idx(TEST_IMAGES, (TEST_COUNT, 28, 28)), _read_idx(TEST_LABELS, (TEST_COUNT,))),
    )
