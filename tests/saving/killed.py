"""A process that saves a model again and again until it is killed; every weight of the n-th one is n.

python -m tests.saving.killed WAY FILE: a number is printed when what it counts is saved.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.saving import files


def model() -> td.Model:
    """Return a model of half a megabyte in 41 tensors, which a kill will not find between two saves for long."""
    made = td.Sequential([td.Input((80,)), *(td.layers.Dense(80) for _ in range(20))])
    made.compile("adam", "mse")
    return made


def numbered(made: td.Model, number: int) -> td.Model:
    """Set each weight to a number."""
    for weight in made.weights:
        weight.assign(np.full(weight.shape, number, np.float32))
    return made


def _by_callback(made: td.Model, file: Path) -> None:
    callback = td.callbacks.ModelCheckpoint(file)
    callback.set_model(made)
    callback.on_epoch_end(0, {})


def _read_weights(file: Path) -> td.Model:
    made = model()
    made.load_weights(file)
    return made


Save, Load = Callable[[td.Model, Path], Any], Callable[[Path], td.Model]
WAYS: dict[str, tuple[Save, Load]] = {
    "model.save": (lambda made, file: made.save(file), td.models.load_model),
    "save_weights": (lambda made, file: made.save_weights(file), _read_weights),
    "ModelCheckpoint": (_by_callback, td.models.load_model),
}


def number_in(way: str, file: Path) -> int:
    """Return which of the models a file holds.

    Raises:
        FileError: It cannot be read.
        ValueError: It is no whole one.
    """
    found = {float(value) for weight in WAYS[way][1](file).get_weights() for value in np.unique(weight)}
    if len(found) != 1:
        raise ValueError(f"{file} is made of several models: {sorted(found)}.")
    return int(found.pop())


def main(way: str, file: str) -> None:
    """Save until killed."""
    files._PIECE = 64  # many short writes: most of the time is spent where a kill is to come
    made, path = model(), Path(file)
    first = number_in(way, path) if os.path.exists(file) else 0
    for number in itertools.count(first + 1):
        WAYS[way][0](numbered(made, number), path)
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
