"""BackupAndRestore: its files, its folder, what it refuses, and what it costs."""

from __future__ import annotations

import errno
import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.training import resuming
from tests.training.resuming import Interrupt, InterruptionError, X, Y, dense
from tinygrad_dnn import layers
from tinygrad_dnn.saving.tree import read_state
from tinygrad_dnn.training.passes import Pass

BackupAndRestore = td.callbacks.BackupAndRestore


def interrupt(folder: Path, place: int = 30, build: resuming.Build | None = None, **options: Any) -> None:
    """Begin a training that is interrupted."""
    with pytest.raises(InterruptionError):
        resuming.fit(build or dense(), 1, [BackupAndRestore(folder, **options), Interrupt(place)])


def go_on(folder: Path, build: resuming.Build | None = None, **options: Any) -> Any:
    return resuming.outcome(*resuming.fit(build or dense(), 1, [BackupAndRestore(folder, **options)]))


@functools.cache
def straight() -> dict[str, Any]:
    return resuming.straight(dense())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- its files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["backup-00001-0000000", "backup-00002-0000000"]),
        ({"save_freq": 4}, ["backup-00001-0000002", "backup-00001-0000006"]),
        ({"save_freq": 4, "keep": 1}, ["backup-00001-0000006"]),
        ({"save_freq": 4, "keep": 1, "double_checkpoint": True}, ["backup-00001-0000002", "backup-00001-0000006"]),
        ({"save_freq": 1, "keep": 3}, ["backup-00001-0000006", "backup-00002-0000001", "backup-00002-0000002"]),
    ],
)
def test_the_last_few_are_kept_and_named_by_epoch_and_step(
    tmp_path: Path, options: dict[str, Any], expected: list[str]
) -> None:
    interrupt(tmp_path, 32, **options)  # at the end of the third step of the third epoch: two are done
    assert [name.removesuffix(".safetensors") for name in names(tmp_path)] == expected


def test_they_are_deleted_in_the_end_or_kept(tmp_path: Path) -> None:
    kept, gone, shared = (tmp_path / name for name in ("kept", "gone", "shared"))
    shared.mkdir()
    (shared / "note.txt").write_text("mine")
    go_on(kept, delete_checkpoint=False)
    assert names(kept) == ["backup-00003-0000000.safetensors", "backup-00004-0000000.safetensors"]
    go_on(gone)
    assert not gone.exists()
    go_on(shared)
    assert names(shared) == ["note.txt"]


def test_what_a_killed_process_left_is_swept_up(tmp_path: Path) -> None:
    interrupt(tmp_path)
    (tmp_path / ".tinygrad_dnn-0123456789abcdef.tmp").write_bytes(b"half of it")
    interrupt(tmp_path, 20)
    assert not list(tmp_path.glob(".*.tmp"))


# 24 backups are made; the first write is that of the lock, and of two calls of fsync one is for the folder.
FAULTS = [(function, at) for function, most in (("write", 60), ("fsync", 48), ("replace", 24)) for at in range(2, most)]


def fault(folder: Path, function: str, at: int) -> None:
    """Train on a disk of which the so-and-so-manyth write fails, then go on from what is there."""
    calls: Counter[str] = Counter()

    def counting(name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            calls[name] += 1
            if (name, calls[name]) == (function, at):
                calls[name] -= 1
                raise OSError(errno.ENOSPC, "no space left on the disk")
            return real(*args)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for name in {function, "replace"}:
            patched.setattr(os, name, counting(name, getattr(os, name)))
        with pytest.raises(OSError, match="no space left"):
            resuming.fit(dense(), 1, [BackupAndRestore(folder, 1)])
    assert all(name.startswith("backup-") for name in names(folder))
    for backup in folder.iterdir():
        read_state(backup)  # what is there is whole
    # Where only the folder could not be made to reach the disk, the new one is there beside the two before.
    assert min(calls["replace"], 2) <= len(names(folder)) <= min(calls["replace"], 3)
    assert go_on(folder, save_freq=3) == straight()


@pytest.mark.parametrize(("function", "at"), [("write", 2), ("write", 9), ("fsync", 5), ("fsync", 8), ("replace", 4)])
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path, function: str, at: int) -> None:
    fault(tmp_path / "b", function, at)


@pytest.mark.heavy
@pytest.mark.parametrize(("function", "at"), FAULTS)
def test_no_fault_of_the_disk_loses_anything(tmp_path: Path, function: str, at: int) -> None:
    fault(tmp_path / "b", function, at)


# -- damage ------------------------------------------------------------------------------------------------------------


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(place: float) -> Callable[[bytes], bytes]:
    def flipped(content: bytes) -> bytes:
        at = int(place * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]

    return flipped


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: bytes(len(c)), cut, *map(flip, np.linspace(0, 1, 5))])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    expected = straight()
    interrupt(tmp_path, save_freq=2)
    older, newest = sorted(tmp_path.glob("backup-*"))
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=f"(?s){newest.name}.*cannot be used .*the one before.*{older.name}"):
        assert go_on(tmp_path, save_freq=2) == expected


def test_a_damaged_one_is_replaced_by_the_next(tmp_path: Path) -> None:
    interrupt(tmp_path, save_freq=2)
    newest = max(tmp_path.glob("backup-*"))
    newest.write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be used"):
        interrupt(tmp_path, 4, save_freq=1)
    assert "backup-00001-0000005.safetensors" in names(tmp_path)
    assert not newest.exists()


def test_where_all_are_damaged_nothing_is_begun(tmp_path: Path) -> None:
    interrupt(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(cut(path.read_bytes()))
    with pytest.warns(UserWarning, match="cannot be used"):
        with pytest.raises(ValueError, match=r"of the 2 backups in .* none can be read"):
            go_on(tmp_path)
    assert len(names(tmp_path)) == 2


# -- other trainings ---------------------------------------------------------------------------------------------------


def other(*parts: Any, optimizer: Any = "adam", loss: Any = "sparse_categorical_crossentropy", **options: Any) -> Any:
    def build() -> td.Model:
        made = [part() for part in parts or (lambda: layers.Dense(7, "elu"), lambda: layers.Dropout(0.2))]
        model = td.Sequential([td.Input((6,)), *made, layers.Dense(3, "softmax")])
        model.compile(optimizer, loss, **{"metrics": ["accuracy"], **options})
        return model

    return build


def drop(rate: float) -> Any:
    return lambda: layers.Dropout(rate)


def wide(units: int, activation: str = "elu") -> Any:
    return lambda: layers.Dense(units, activation)


OTHERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "units": (other(wide(8), drop(0.2)), {}, r"layer 2 \(Dense\), units is 7 there and 8 here"),
    "activation": (other(wide(7, "selu"), drop(0.2)), {}, "activation is 'elu' there and 'selu' here"),
    "rate": (other(wide(7), drop(0.3)), {}, r"layer 3 \(Dropout\), rate is 0.2 there and 0.3 here"),
    "layers": (other(wide(7), drop(0.2), drop(0.2)), {}, "the number of layers is 4 there and 5 here"),
    "kind": (other(wide(7), layers.BatchNormalization), {}, "layer 3 is 'Dropout' there and 'BatchNormalization' here"),
    "optimizer": (other(optimizer="sgd"), {}, "the optimizer is 'Adam' there and 'SGD' here"),
    "beta": (
        other(optimizer=td.optimizers.Adam(beta_1=0.8)), {}, "optimizer Adam, beta_1 is 0.9 there and 0.8 here",
    ),
    "schedule": (
        other(optimizer=td.optimizers.Adam(td.schedulers.CosineDecay(0.1, 9))), {},
        "learning_rate is 'a number' there and {.*osine_?decay",
    ),
    "loss": (other(loss=td.losses.SparseCategoricalCrossentropy()), {}, "loss is 'sparse_categorical_crossentropy'"),
    "metrics": (other(metrics=["sparse_categorical_crossentropy"]), {}, r"metrics is \['accuracy'\] there"),
    "batch size": (other(), {"batch_size": 5}, "batch_size is 4 there and 5 here"),
    "samples": (other(), {"x": X[:20], "y": Y[:20]}, "samples is 22 there and 20 here"),
    "order": (other(), {"shuffle": False}, "shuffle is True there and False here"),
    "batches": (other(), {"x": [(X, Y)]}, "samples is 22 there, and there is none here"),
}  # fmt: skip


@pytest.mark.parametrize("change", OTHERS)
def test_a_folder_of_another_training_is_refused(tmp_path: Path, change: str) -> None:
    interrupt(tmp_path, build=other())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    build, options, sentence = OTHERS[change]
    with pytest.raises(ValueError, match=f"are of another training: .*{sentence}"):
        resuming.fit(build, 1, [BackupAndRestore(tmp_path)], **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    resuming.fit(other(), 1, [BackupAndRestore(tmp_path)])


def test_a_callback_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterruptionError):
        resuming.fit(dense(), 1, [resuming.Counting(), BackupAndRestore(tmp_path), Interrupt(30)])
    with pytest.warns(UserWarning, match="the interrupted training had the callback Counting, and this one has none"):
        resuming.fit(dense(), 1, [BackupAndRestore(tmp_path)])


def test_what_a_callback_cannot_say_is_named(tmp_path: Path) -> None:
    class Wrong(td.callbacks.Callback):
        def get_state(self) -> dict[str, Any]:
            return {"best": {"of": {1, 2}}}

    with pytest.raises(TypeError, match=r"training/callbacks/Wrong/best/of is of type set, which a state cannot hold"):
        resuming.fit(dense(), 1, [BackupAndRestore(tmp_path), Wrong()])


def test_a_model_that_is_not_built_is_refused_at_once(tmp_path: Path) -> None:
    model = td.Sequential([layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="is not built, so that nothing could be put back"):
        model.fit([(X, Y)], callbacks=[BackupAndRestore(tmp_path / "b")], verbose=0)
    model.fit(X, Y, callbacks=[BackupAndRestore(tmp_path / "b")], verbose=0)  # arrays are looked at before


# -- one folder, one training ------------------------------------------------------------------------------------------

HOLDING = """
import sys
from tinygrad_dnn.callbacks.locking import FolderLock
lock = FolderLock(sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(RuntimeError, match=f"is in use by process {process.pid} on .*: give each training a"):
            go_on(tmp_path)
        second = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert f"is in use by process {process.pid} on" in second.stderr
        assert names(tmp_path) == ["lock"]
    finally:
        process.kill()
        process.communicate()
    assert names(tmp_path) == ["lock"]  # as it died, but not locked any more
    go_on(tmp_path)
    assert not tmp_path.exists()


def test_two_trainings_of_one_process_do_not_share_a_folder(tmp_path: Path) -> None:
    class Inner(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            go_on(tmp_path)

    with pytest.raises(RuntimeError, match=f"is in use by process {os.getpid()} on"):
        resuming.fit(dense(), 1, [BackupAndRestore(tmp_path), Inner()])
    go_on(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="cannot be made, since there is a file in its place: give another"):
        go_on(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "link").symlink_to("/proc/nothing/can/be/made/here")
    with pytest.raises(OSError, match=r"link|proc"):
        go_on(tmp_path / "link" / "below")


def test_two_backups_of_one_training_have_a_folder_each(tmp_path: Path) -> None:
    expected = straight()
    folders = [tmp_path / "often", tmp_path / "seldom"]
    backups = [BackupAndRestore(folder, freq) for folder, freq in zip(folders, (1, "epoch"), strict=True)]
    with pytest.raises(InterruptionError):
        resuming.fit(dense(), 1, [*backups, Interrupt(30)])
    assert go_on(folders[0]) == expected
    assert go_on(folders[1]) == expected


# -- arguments, and what it costs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"backup_dir": ""}, "backup_dir must be the path of a folder, not ''"),
        ({"backup_dir": 3}, "backup_dir must be the path of a folder, not 3"),
        ({"save_freq": 0}, "save_freq must be 'epoch' or an integer of at least 1, not 0"),
        ({"save_freq": "batch"}, "save_freq must be 'epoch' or an integer of at least 1, not 'batch'"),
        ({"save_freq": False}, "save_freq must be 'epoch' or an integer of at least 1, not False"),
        ({"keep": 0}, "keep must be an integer of at least 1, not 0"),
        ({"double_checkpoint": "yes"}, "double_checkpoint must be True or False, not 'yes'"),
        ({"delete_checkpoint": 1}, "delete_checkpoint must be True or False, not 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"BackupAndRestore: {sentence}"):
        BackupAndRestore(**{"backup_dir": "b", **arguments})


def test_steps_between_two_backups_are_not_looked_at(tmp_path: Path) -> None:
    class Watching(td.callbacks.Callback):
        def on_progress(self, progress: Any) -> None:
            self.model.watched = True

    batches = td.data.ArrayBatches(X, Y)
    own = [BackupAndRestore(tmp_path, 5), td.callbacks.ModelCheckpoint(tmp_path / "a", save_freq=3)]
    for callbacks, quiet in ((own, True), ([*own, Watching()], False)):
        calls = td.callbacks.CallbackList(callbacks, None, {})
        assert (Pass(td.Sequential(), "train", batches, calls).moment is not None) is quiet
        assert Pass(td.Sequential(), "test", batches, calls).moment is not None
