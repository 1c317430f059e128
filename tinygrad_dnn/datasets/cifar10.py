"""Loads CIFAR-10: 60,000 colour 32 x 32 images in ten classes, from the binary version alone.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import gzip
import itertools
import tarfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from tinygrad_dnn.datasets._fetch import open_file
from tinygrad_dnn.datasets._files import Array, DataFile, Dataset, DatasetError, data_folder

__all__ = ["class_names", "load_data"]

class_names = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

ARCHIVE = DataFile(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
SUBFOLDER = "cifar-10-batches-bin"
TRAIN_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_BATCH = "test_batch.bin"
IMAGES_PER_BATCH = 10_000
_ROW = 1 + 3 * 32 * 32
_MOST_MEMBERS = 64


class _Batches:
    """The arrays to be returned, and the place in them of each batch still to come."""

    def __init__(self) -> None:
        count = IMAGES_PER_BATCH
        self.x_train = np.empty((len(TRAIN_BATCHES) * count, 32, 32, 3), np.uint8)
        self.y_train = np.empty((len(TRAIN_BATCHES) * count, 1), np.uint8)
        self.x_test = np.empty((count, 32, 32, 3), np.uint8)
        self.y_test = np.empty((count, 1), np.uint8)
        self.missing: dict[str, tuple[Array, Array]] = {TEST_BATCH: (self.x_test, self.y_test)}
        for number, name in enumerate(TRAIN_BATCHES):
            rows = slice(number * count, (number + 1) * count)
            self.missing[name] = self.x_train[rows], self.y_train[rows]

    def read(self, name: str, stream: IO[bytes], size: int, source: str, remedy: str) -> None:
        """Read one batch, rows of a label and then the red, green and blue planes, from ``stream``."""
        expected = IMAGES_PER_BATCH * _ROW
        content = stream.read(expected) if size == expected else b""
        if len(content) != expected:
            raise DatasetError(f"{source} holds {size:,} bytes, expected {expected:,}: {remedy}.")
        rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW)
        highest = rows[:, 0].max()
        if highest >= len(class_names):
            raise DatasetError(f"{source} has the label {highest}, expected 0 to 9: {remedy}.")
        x, y = self.missing.pop(name)
        y[...] = rows[:, :1]
        x[...] = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    def result(self, source: str, remedy: str) -> Dataset:
        """Return the arrays, once every batch was read."""
        if self.missing:
            raise DatasetError(f"{source} lacks {', '.join(sorted(self.missing))}: {remedy}.")
        return (self.x_train, self.y_train), (self.x_test, self.y_test)


class _Unpacked(gzip.GzipFile):
    """What is in a gzip file, with an error where the real archive would have ended."""

    def read(self, size: int | None = -1) -> bytes:
        """Return at most ``size`` of the bytes that follow."""
        content = super().read(size)
        # The batches, and generously what is around them: headers, padding, a page of text.
        limit = (len(TRAIN_BATCHES) + 1) * IMAGES_PER_BATCH * _ROW + (1 << 20)
        if self.tell() > limit:
            raise tarfile.ReadError(f"more than {limit:,} bytes come out")
        return content


def _read_folder(folder: Path) -> Dataset:
    """Read the batches that someone extracted."""
    batches = _Batches()
    remedy = f"extract {ARCHIVE.name} again, or remove {folder}"
    for name in tuple(batches.missing):
        path = folder / name
        if path.is_file():
            with path.open("rb") as stream:
                batches.read(name, stream, path.stat().st_size, str(path), remedy)
    return batches.result(str(folder), remedy)


def _read_archive(opened: IO[bytes], path: Path) -> Dataset:
    """Read the batches from the archive, each straight into its array; nothing is extracted to the disk."""
    batches = _Batches()
    remedy = "put the published file there"
    try:
        with (
            _Unpacked(fileobj=opened) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|", bufsize=1 << 18) as archive,
        ):
            for member in itertools.islice(archive, _MOST_MEMBERS):
                folder, _, name = member.name.rpartition("/")
                if folder != SUBFOLDER or name not in batches.missing:
                    continue
                source = f"{member.name} in {path}"
                # The size of a link or of a sparse member says nothing of what reading it gives.
                if not member.isreg() or member.issparse():
                    raise DatasetError(f"{source} is not a regular file: {remedy}.")
                stream = archive.extractfile(member)
                assert stream is not None
                batches.read(name, stream, member.size, source, remedy)
                if not batches.missing:
                    break
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be unpacked ({error}): {remedy}.") from error
    return batches.result(str(path), remedy)


def load_data() -> Dataset:
    """Load CIFAR-10, as ``((x_train, y_train), (x_test, y_test))``.

    Looked for in the folder ``$TINYGRAD_DNN_DATA`` (where that is not set, in the user's cache folder
    ``tinygrad_dnn``): the folder ``cifar-10-batches-bin`` with its six ``.bin`` files, then the archive
    ``cifar-10-binary.tar.gz``. Where neither is there, the archive (170 MB) is downloaded, which needs
    ``pip install "tinygrad-dnn[data]"``. It is used only where its SHA-256 is the published one, and read
    member by member, never extracted; extracted files must have the exact size. The version in pickles is
    never read, since a pickle can run code.

    Returns:
        ``x_train`` of shape (50000, 32, 32, 3) and ``x_test`` of shape (10000, 32, 32, 3), uint8, 0 to 255,
        the last axis red, green, blue; ``y_train`` of shape (50000, 1) and ``y_test`` of shape (10000, 1),
        uint8, 0 to 9, the places of the classes in `class_names`.

    Raises:
        DatasetError: the archive cannot be downloaded, or a file is not the published one.
        ModuleNotFoundError: the archive must be downloaded, and pooch is not installed.

    >>> from tinygrad_dnn.datasets import cifar10
    >>> cifar10.class_names[3]
    'cat'
    """
    folder = data_folder()
    if (folder / SUBFOLDER).exists():
        return _read_folder(folder / SUBFOLDER)
    with open_file(ARCHIVE, (folder,)) as opened:
        return _read_archive(opened, folder / ARCHIVE.name)
