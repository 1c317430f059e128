"""The samples to train, to tune and to test on: a data set of the exercise, or arrays in a file."""

from __future__ import annotations

import difflib
import functools
import hashlib
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinygrad_dnn import datasets
from tinygrad_dnn.exercise.running import Data, load, standardize

NAMES = ("sample", "fashion_mnist", "cifar10")


class Samples(NamedTuple):
    """Inputs and targets to train on, to validate on, by which rates are chosen, and to test on, by which nothing is.

    Example:
        >>> from tinygrad_dnn.comparing import samples
        >>> found = samples.find("sample", None, standardized=False)
        >>> len(found.x_train), len(found.x_valid), len(found.x_test)
        (5500, 500, 1000)
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def checked(dataset: str) -> str:
    """Return what a data set is known by: its name, or the path of a file.

    Raises:
        ValueError: There is no such data set.
    """
    if dataset in NAMES or Path(dataset).is_file():
        return dataset
    near = difflib.get_close_matches(dataset, NAMES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"give one of {', '.join(NAMES)}, or an .npz file that is there."
    raise ValueError(f"dataset: {dataset!r} is neither a data set nor a file: {hint}")


def identity(dataset: str) -> str:
    """Return the name of a data set, of a file the SHA-256 of its content too: another content is another data set."""
    if dataset in NAMES:
        return dataset
    path = Path(dataset)
    return f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def find(dataset: str, count: int | None, standardized: bool) -> Samples:
    """Return a data set's samples, of those to train on the first ``count``.

    Args:
        dataset: A name of ``NAMES``, or an .npz file with the arrays of ``Samples``.
        count: How many to train on; all by default.
        standardized: Whether each input is brought to mean 0 and standard deviation 1 over those to train on.

    Raises:
        ValueError: The file does not hold what it should.
        DatasetError: The data set cannot be had, or is damaged.
    """
    status = None if dataset in NAMES else Path(dataset).stat()
    return _found(dataset, count, standardized, status and (status.st_mtime_ns, status.st_size, status.st_ino))


@functools.lru_cache(maxsize=2)
def _found(dataset: str, count: int | None, standardized: bool, written: object) -> Samples:
    """Return the same; ``written`` tells a file from what it was before."""
    if dataset in NAMES:
        data = load(dataset)
        _, test = getattr(datasets, dataset).load_data()
        found = Samples(*data, *test)
    else:
        found = _read(Path(dataset))
    if count is not None:
        found = found._replace(x_train=found.x_train[:count], y_train=found.y_train[:count])
    if standardized:
        held = np.concatenate([found.x_valid, found.x_test])
        scaled = standardize(Data(found.x_train, found.y_train, held, held))
        valid, test = np.split(scaled.x_valid, [len(found.x_valid)])
        found = found._replace(x_train=scaled.x_train, x_valid=valid, x_test=test)
    return found


def _read(path: Path) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in Samples._fields}
    except KeyError as error:
        absent = error.args[0].split()[0]
        raise ValueError(f"{path} has no array {absent}: it needs {', '.join(Samples._fields)}.") from None
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        raise ValueError(f"{path} is no .npz file of NumPy's with the arrays {', '.join(Samples._fields)}.") from None
    for part in ("train", "valid", "test"):
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        if not len(x) or len(x) != len(y) or x.shape[1:] != found["x_train"].shape[1:]:
            raise ValueError(
                f"{path}: x_{part} of shape {x.shape} and y_{part} of shape {y.shape} do not go with x_train of shape "
                f"{found['x_train'].shape}: a target each, at least one, and inputs of one shape."
            )
    return Samples(**found)
