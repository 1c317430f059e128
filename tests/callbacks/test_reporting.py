"""CSVLogger: the file it writes, row by row, and what is added to one that is there."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)
CSVLogger = td.callbacks.CSVLogger


def network() -> td.Sequential:
    model = td.Sequential([td.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def rows(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_each_epoch_is_a_row_of_the_history(backend: str, tmp_path: Path, separator: str) -> None:
    path = tmp_path / "log.csv"
    logger = CSVLogger(path, separator)
    history = network().fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[logger], verbose=0).history
    written = rows(path, separator)
    assert list(written[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row["epoch"] for row in written] == ["0", "1", "2"]
    for name, values in history.items():
        assert [float(row[name]) for row in written] == values


def test_what_an_epoch_lacks_is_na(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    network().fit(X, Y, epochs=2, validation_data=(X, Y), validation_freq=2, callbacks=[CSVLogger(path)], verbose=0)
    assert [row["val_loss"] == "NA" for row in rows(path)] == [True, False]


def test_a_file_is_begun_anew_or_goes_on(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for append, initial, expected in ((False, 0, "01"), (False, 0, "01"), (True, 2, "0123"), (True, 4, "012345")):
        logger = CSVLogger(path, append=append)
        network().fit(X, Y, initial_epoch=initial, epochs=initial + 2, callbacks=[logger], verbose=0)
        assert "".join(row["epoch"] for row in rows(path)) == expected
    assert path.read_text().count("epoch") == 1
    (new := tmp_path / "new.csv").touch()
    network().fit(X, Y, callbacks=[CSVLogger(new, append=True)], verbose=0)
    assert len(rows(new)) == 1


def test_a_value_without_a_column_is_left_out_with_one_warning(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n0,1.5\n")
    with pytest.warns(UserWarning, match=r"has the columns \['epoch', 'loss'\] and none for \['mae'\]") as warned:
        network().fit(X, Y, initial_epoch=1, epochs=4, callbacks=[CSVLogger(path, append=True)], verbose=0)
    assert len(warned) == 1
    assert [list(row) for row in rows(path)] == [["epoch", "loss"]] * 4


def test_what_was_written_stays_when_training_fails(backend: str, tmp_path: Path) -> None:
    def fail(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise RuntimeError("out of luck")

    path = tmp_path / "log.csv"
    failing = td.callbacks.LambdaCallback(on_epoch_end=fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        network().fit(X, Y, epochs=3, callbacks=[CSVLogger(path), failing], verbose=0)
    assert [row["epoch"] for row in rows(path)] == ["0", "1"]


def test_bad_arguments_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CSVLogger: separator must be one character, not ', '"):
        CSVLogger(tmp_path / "log.csv", separator=", ")
    model = network()
    with pytest.raises(OSError, match="missing"):
        model.fit(X, Y, callbacks=[CSVLogger(tmp_path / "missing" / "log.csv")], verbose=0)
    assert int(model.optimizer.iterations) == 0
