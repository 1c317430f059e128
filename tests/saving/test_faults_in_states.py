"""Changed backups of a training give an error of our own: no crash, no hang, no more memory than twice the file."""

from __future__ import annotations

import json
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.saving.state_mutations import mutated_state
from tinygrad_dnn.saving import FileError
from tinygrad_dnn.saving.tree import read_state, write_state

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X.sum(axis=1, keepdims=True)
ROOM = 64 << 20


def train(folder: Path, epochs: int, save_freq: int | str = "epoch") -> td.Model:
    td.utils.set_random_seed(1)
    model = td.Sequential([td.Input((3,)), td.layers.Dense(4, "elu"), td.layers.Dropout(0.2), td.layers.Dense(1)])
    model.compile(td.optimizers.Adam(clipnorm=1.0), "mse", metrics=["mae"])
    stop = td.callbacks.EarlyStopping("loss", patience=9)
    backup = td.callbacks.BackupAndRestore(folder, save_freq, delete_checkpoint=False, keep=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="EarlyStopping watches")
        model.fit(X, Y, 4, epochs, callbacks=[stop, backup], verbose=0)
    return model


@pytest.mark.parametrize(
    "count", [pytest.param(200, id="quick"), pytest.param(10_000, id="all", marks=pytest.mark.heavy)]
)
def test_mutations(count: int, tmp_path: Path) -> None:
    """A changed backup is refused when it is read, or when training is to go on from it, or is one to go on from."""
    train(tmp_path, 1)
    (path,) = tmp_path.glob("backup-*")
    content, random = path.read_bytes(), np.random.default_rng(count)
    unread = refused = 0
    slowest = 0.0
    tracemalloc.start()
    try:
        for _ in range(count):
            changed = mutated_state(content, random)
            for left in tmp_path.iterdir():
                left.unlink()
            path.write_bytes(changed)
            tracemalloc.reset_peak()
            before, started = tracemalloc.get_traced_memory()[0], time.process_time()
            try:
                read_state(path)
            except FileError as error:
                assert str(path) in str(error)  # noqa: PT017
                unread += 1
            else:
                try:
                    train(tmp_path, 2)
                except ValueError as error:
                    assert str(tmp_path) in str(error)  # noqa: PT017
                    refused += 1
            slowest = max(slowest, time.process_time() - started)
            assert tracemalloc.get_traced_memory()[1] - before <= 2 * len(changed) + ROOM
    finally:
        tracemalloc.stop()
    print(f"{unread} were not read, {refused} refused after that, {count - unread - refused} went on")
    assert slowest < 10  # a hang would be minutes
    assert unread > 0.3 * count
    assert refused > 0.03 * count


@pytest.mark.parametrize(
    "value",
    [
        {"scalar": ["V8", 99_999_999_999]}, {"scalar": ["S8", 99_999_999_999]}, {"scalar": ["object", 1]},
        {"scalar": ["datetime64", 1]}, {"scalar": ["(9999,9999)f8", 1]}, {"scalar": [["f8"], 1]},
        {"scalar": ["f8,(", 1]}, {"scalar": []}, {"array": ["none", "float32", [1], 0]}, {"numbers": 1},
        {"dict": [[[], 1]]}, {"dict": 3},
        {"float": "1" * 400 + "e"}, {"code": "import os"}, {}, {"tuple": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_training_writes_is_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a"
    write_state(path, 1)
    raw = path.read_bytes()
    text = json.dumps({"version": 1, "tree": [value]})
    texts = {"tinygrad_dnn.state": text, "tinygrad_dnn.state.crc32": str(zlib.crc32(text.encode()))}
    td.saving.write_tensors(path, {}, texts)
    assert path.read_bytes() != raw
    with pytest.raises(FileError, match="is damaged"):
        read_state(path)


def test_a_state_of_the_right_form_and_wrong_content_is_refused_by_its_file(tmp_path: Path) -> None:
    train(tmp_path, 1)
    (path,) = tmp_path.glob("backup-*")
    state = read_state(path)
    for key in state["training"].keys() - {"means", "validation"}:  # which are not always there
        changed = {"identity": state["identity"], "training": {k: v for k, v in state["training"].items() if k != key}}
        write_state(path, changed)
        with pytest.raises(ValueError, match=f"cannot go on from the backup '{path}': KeyError: '{key}'"):
            train(tmp_path, 2)
    write_state(path, {"identity": [1], "training": state["training"]})
    with pytest.raises(ValueError, match="none can be read"):
        train(tmp_path, 2)
