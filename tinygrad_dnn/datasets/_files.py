"""Says what a published data file must hold, where data files are kept, and whether a file is right."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinygrad_dnn.folders import user_cache

FOLDER_VARIABLE = "TINYGRAD_DNN_DATA"
_CHUNK = 1 << 20

Array: TypeAlias = NDArray[np.uint8]
Dataset: TypeAlias = tuple[tuple[Array, Array], tuple[Array, Array]]


class DatasetError(RuntimeError):
    """A data file is missing, cannot be downloaded, or is not the file that was published.

    The message is one sentence: the file, what came, what was expected and what to do.

    >>> from tinygrad_dnn.datasets import DatasetError
    >>> issubclass(DatasetError, RuntimeError)
    True
    """


@dataclass(frozen=True)
class DataFile:
    """A published file: its name, its exact content, and the addresses it can be downloaded from.

    Attributes:
        name: the file's name in a data folder, without a path.
        size: its length in bytes.
        sha256: the SHA-256 of its content, 64 lower-case hexadecimal digits.
        urls: where to download it, the first to be tried first.

    >>> DataFile("a.bin", 3, "0" * 64, ("https://example.org/a.bin",)).size
    3
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...] = ()


def data_folder() -> Path:
    """Return the folder that holds the data sets: ``$TINYGRAD_DNN_DATA``, else the user's cache folder.

    The folder need not exist; where caches are is said by ``tinygrad_dnn.folders``.

    >>> data_folder().is_absolute()
    True
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_cache()


def check_content(opened: BinaryIO, path: Path, expected: DataFile, remedy: str) -> None:
    """Raise `DatasetError` unless ``opened`` holds exactly the published bytes; leave it at its start.

    The caller then reads from the same open file, so that a file put in its place meanwhile is not read.

    Args:
        opened: a regular file, open for reading in binary.
        path: its path, for the message.
        expected: what it must hold.
        remedy: the end of the message: what the reader should do.
    """
    size = os.fstat(opened.fileno()).st_size
    if size != expected.size:
        raise DatasetError(f"{path} holds {size:,} bytes, expected {expected.size:,}: {remedy}.")
    opened.seek(0)
    digest = hashlib.sha256()
    while chunk := opened.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != expected.sha256:
        raise DatasetError(f"{path} has the SHA-256 {digest.hexdigest()}, expected {expected.sha256}: {remedy}.")
    opened.seek(0)
