"""A disk that fails, at each call that writes a file: the error surfaces, and the file before stays as it was."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.saving import files
from tinygrad_dnn.saving.tree import read_state

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X.sum(axis=1, keepdims=True)
HALF, NOTHING = "half of it, then ENOSPC", "nothing, without an error"

# What each call of the system may answer while a file is written.
KINDS: dict[str, list[Any]] = {
    "open": [errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOSPC, KeyboardInterrupt, MemoryError],
    "write": [errno.ENOSPC, errno.EIO, errno.EDQUOT, HALF, NOTHING, KeyboardInterrupt, MemoryError],
    "fsync": [errno.EIO, errno.ENOSPC, errno.EDQUOT, KeyboardInterrupt],
    "close": [errno.EIO, errno.ENOSPC, KeyboardInterrupt],
    "replace": [errno.EACCES, errno.EBUSY, errno.EIO, errno.EROFS, KeyboardInterrupt],
}
FAULTS = [(function, kind) for function, kinds in KINDS.items() for kind in kinds]


class Disk:
    """The module ``os`` as the writer of files sees it, which counts its calls and lets one of them fail.

    Args:
        function: Which function fails; none by default.
        at: At which of its calls, from 1 on.
        kind: An error's number or class, or what else happens.
    """

    def __init__(self, function: str = "", at: int = 0, kind: Any = None) -> None:
        self.calls: Counter[str] = Counter()
        self.fails = (function, at)
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _fail(self) -> None:
        if isinstance(self.kind, int):
            raise OSError(self.kind, os.strerror(self.kind))
        raise self.kind

    def _is_now(self, function: str) -> bool:
        self.calls[function] += 1
        return (function, self.calls[function]) == self.fails

    def open(self, path: str, flags: int, *mode: int) -> int:
        written = bool(flags & os.O_CREAT) or os.path.isdir(path)  # else a file is read
        if written and self._is_now("open"):
            self._fail()
        return os.open(path, flags, *mode)

    def write(self, handle: int, content: memoryview) -> int:
        if self._is_now("write"):
            if self.kind == HALF:
                self.fails = ("write", self.calls["write"] + 1)
                self.kind = errno.ENOSPC
                return os.write(handle, content[: (len(content) + 1) // 2])
            if self.kind == NOTHING:
                return 0
            self._fail()
        return os.write(handle, content)

    def fsync(self, handle: int) -> None:
        if self._is_now("fsync"):
            self._fail()
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)  # the system closes it, whatever it answers
        if self._is_now("close"):
            self._fail()

    def replace(self, source: str, target: str) -> None:
        if self._is_now("replace"):
            self._fail()
        os.replace(source, target)


@contextmanager
def using(disk: Disk) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", disk)
        yield disk


# -- who writes ----------------------------------------------------------------------------------------------------


def network() -> td.Model:
    model = td.Sequential([td.Input((3,)), td.layers.Dense(4, "elu"), td.layers.Dropout(0.2), td.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def weights_of(model: td.Model) -> list[bytes]:
    return [array.tobytes() for array in model.get_weights()]


@dataclass
class Writer:
    """Something that writes one file in place of another.

    Attributes:
        file: The file.
        write: Writes it.
        read: Returns what it holds; raises where it is not whole.
        goes_on: Is called after a failed write, on a disk that is well again, and checks what there must be then.
    """

    file: Path
    write: Callable[[], Any]
    read: Callable[[Path], Any]
    goes_on: Callable[[], Any]


def saved(folder: Path) -> Writer:
    model, file = network(), folder / "model.safetensors"
    model.save(file)
    model.fit(X, Y, verbose=0)

    def check() -> None:
        model.save(file)
        assert weights_of(td.models.load_model(file)) == weights_of(model)

    return Writer(file, lambda: model.save(file), lambda path: weights_of(td.models.load_model(path)), check)


def saved_weights(folder: Path) -> Writer:
    model, other, file = network(), network(), folder / "weights.safetensors"
    model.save_weights(file)
    model.fit(X, Y, verbose=0)

    def read(path: Path) -> list[bytes]:
        other.load_weights(path)
        return weights_of(other)

    def check() -> None:
        model.save_weights(file)
        assert read(file) == weights_of(model)

    return Writer(file, lambda: model.save_weights(file), read, check)


def checkpoint(folder: Path) -> Writer:
    """A training that is told to save a model at its end: the model keeps what it learnt, and can go on."""
    model, file = network(), folder / "best.safetensors"
    saving = td.callbacks.ModelCheckpoint(file)
    model.fit(X, Y, callbacks=[saving], verbose=0)

    def check() -> None:
        assert model.history.history["loss"][-1] > 0
        before = weights_of(model)
        model.fit(X, Y, callbacks=[saving], verbose=0)
        assert weights_of(td.models.load_model(file)) == weights_of(model) != before

    return Writer(
        file, lambda: model.fit(X, Y, callbacks=[saving], verbose=0),
        lambda path: weights_of(td.models.load_model(path)), check,
    )  # fmt: skip


def train(folder: Path | None, epochs: int) -> list[bytes]:
    td.utils.set_random_seed(1)
    model = network()
    backups = [] if folder is None else [td.callbacks.BackupAndRestore(folder, delete_checkpoint=False, keep=1)]
    model.fit(X, Y, 4, epochs, callbacks=backups, verbose=0)
    return weights_of(model)


STRAIGHT: list[list[bytes]] = []


def backup(folder: Path) -> Writer:
    """A training that goes on from its backup and fails in writing the next one: it goes on again, bit for bit."""
    train(folder, 1)
    (file,) = folder.glob("backup-*")
    STRAIGHT[:] = STRAIGHT or [train(None, 2)]

    def check() -> None:
        assert train(folder, 2) == STRAIGHT[0]

    return Writer(file, lambda: train(folder, 2), lambda path: repr(read_state(path)), check)


WRITERS = {
    "model.save": saved, "save_weights": saved_weights, "ModelCheckpoint": checkpoint, "BackupAndRestore": backup,
}  # fmt: skip
# How often each function is called for one file: once for each tensor and the header; the folder is opened, too.
CALLS = {
    "model.save": {"open": 2, "write": 8, "fsync": 2, "close": 2, "replace": 1},
    "save_weights": {"open": 2, "write": 5, "fsync": 2, "close": 2, "replace": 1},
    "ModelCheckpoint": {"open": 2, "write": 8, "fsync": 2, "close": 2, "replace": 1},
    "BackupAndRestore": {"open": 2, "write": 13, "fsync": 2, "close": 2, "replace": 1},
}


@pytest.mark.parametrize("name", WRITERS)
def test_how_a_file_is_written(name: str, tmp_path: Path) -> None:
    writer = WRITERS[name](tmp_path)
    with using(Disk()) as disk:
        writer.write()
    assert disk.calls == CALLS[name]


def test_there_are_enough_faults() -> None:
    count = sum(CALLS[name][function] for name in WRITERS for function, _ in FAULTS)
    print(f"{count} faults")
    assert count >= 100


def named(value: Any) -> str:
    return errno.errorcode[value] if isinstance(value, int) else getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("function", "kind"), FAULTS, ids=named)
@pytest.mark.parametrize("name", WRITERS)
def test_a_fault_surfaces_and_loses_nothing(name: str, function: str, kind: Any, tmp_path: Path) -> None:
    for at in range(1, CALLS[name][function] + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        writer = WRITERS[name](folder)
        content, before = writer.file.read_bytes(), writer.read(writer.file)
        handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        with using(Disk(function, at, kind)) as disk, pytest.raises(BaseException) as raised:  # noqa: PT011
            writer.write()
        assert disk.calls[function] >= at
        error, is_numbered = raised.value, isinstance(kind, int) or kind in (HALF, NOTHING)
        assert type(error) is (type(OSError(kind, "")) if isinstance(kind, int) else OSError if is_numbered else kind)
        if is_numbered:
            assert isinstance(error, OSError)
            assert error.errno == (kind if isinstance(kind, int) else errno.ENOSPC if kind == HALF else None)
            assert f"{folder}" in str(error)
            assert "was not written" in str(error)
        left = sorted(path.name for path in folder.iterdir())
        if disk.calls["replace"] and function != "replace":
            # The new file is in its place, whole: only the folder could not be made to reach the disk.
            for path in folder.iterdir():
                writer.read(path)
        else:
            assert left == [writer.file.name]
            assert writer.file.read_bytes() == content
            assert writer.read(writer.file) == before
        if handles:
            assert len(os.listdir("/proc/self/fd")) == handles
        writer.goes_on()
        assert not list(folder.glob(".*"))


def test_where_the_rest_cannot_be_removed_either_it_is_the_first_error_that_surfaces(tmp_path: Path) -> None:
    writer = saved(tmp_path)
    content = writer.file.read_bytes()

    class Gone(Disk):
        def unlink(self, path: str) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with using(Gone("write", 3, errno.EIO)), pytest.raises(OSError, match="was not written") as raised:
        writer.write()
    assert raised.value.errno == errno.EIO
    assert writer.file.read_bytes() == content


# -- limits of the system's own ------------------------------------------------------------------------------------

LIMITED = """
import errno, json, resource, sys
from pathlib import Path
import numpy as np
import tinygrad_dnn as td

folder = Path(sys.argv[1])
file = folder / "model.safetensors"
model = td.Sequential([td.Input((3,)), td.layers.Dense(4), td.layers.Dense(1)])
model.compile("adam", "mse")
model.save(file)
old = file.read_bytes()
model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)

def attempt(limit, value):
    hard = resource.getrlimit(limit)[1]
    before = resource.getrlimit(limit)[0]
    resource.setrlimit(limit, (value, hard))
    try:
        model.save(file)
    except OSError as error:
        assert str(file) in str(error), error
        return errno.errorcode[error.errno]
    finally:
        resource.setrlimit(limit, (before, hard))
    return None

answers = []
for value in sorted({*range(0, len(old), 101), len(old) - 1}):
    answers.append(attempt(resource.RLIMIT_FSIZE, value))
    assert file.read_bytes() == old
    assert [path.name for path in folder.iterdir()] == [file.name]
answers.append(attempt(resource.RLIMIT_NOFILE, 3))
assert file.read_bytes() == old
assert [path.name for path in folder.iterdir()] == [file.name]
assert attempt(resource.RLIMIT_FSIZE, 1 << 20) is None
assert all((a == b).all() for a, b in zip(td.models.load_model(file).get_weights(), model.get_weights()))
print(json.dumps(answers))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
def test_the_systems_own_limits(tmp_path: Path) -> None:
    """Files that may not grow beyond a length end in a short write and then an error, as on a full disk."""
    run = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True)
    assert not run.returncode, run.stderr
    *lengths, handles = json.loads(run.stdout)
    assert len(lengths) > 20
    assert set(lengths) == {"EFBIG"}
    assert handles == "EMFILE"
