"""The callback that keeps a training on disk, so that an interrupted one goes on as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from pathlib import Path
from typing import Any

from tinygrad_dnn.callbacks.base import Callback
from tinygrad_dnn.callbacks.identity import difference
from tinygrad_dnn.callbacks.locking import FolderLock
from tinygrad_dnn.checks import as_flag, as_integer, as_path
from tinygrad_dnn.saving.tree import read_state, write_state

_NAME = re.compile(r"backup-(\d+)-(\d+)\.safetensors")
_ASKED = "'epoch' or an integer of at least 1"


class BackupAndRestore(Callback):
    """Keeps a training on disk; ``fit`` called again with the same arguments goes on where the last backup was taken.

    It goes on bit for bit as if it had not been interrupted, from the middle of an epoch too, and also after the
    process was killed: a backup takes the place of the one before only when it is complete and on the disk. The history
    is that of the whole training (Keras's begins with the first epoch after the interruption).

    What a callback of your own changes about itself it should return from ``get_state``; it is given to ``set_state``.
    In the middle of an epoch the callbacks hear ``on_train_begin`` and ``on_epoch_begin`` once more, before the state
    is put back, which then overwrites what they did to the model. Not part of the state is what your own code keeps in
    other places: attributes of layers, files.

    Batches from an iterable are skipped up to where the training was, so it must give the same ones again; one with
    the methods ``get_state()`` and ``set_state(state)`` is asked where it is instead, and put there, so that its next
    ``iter`` goes on from there.

    The model must be built before ``fit`` where its data are an iterable. ``delete_checkpoint=False`` keeps the backups
    after the end, and ``fit`` with more epochs goes on from there.

    Args:
        backup_dir: The folder, made where there is none. No other training may use it, or another callback.
        save_freq: When to take a backup: after each "epoch", or after so many steps.
        double_checkpoint: Keras's way to say that at least two backups are kept.
        delete_checkpoint: Whether the backups are deleted when training has ended as it should.
        keep: How many of the last backups are kept, at least 1: where the newest is damaged, the one before is used,
            with a warning.

    Raises:
        TypeError: ``backup_dir`` is no path.
        ValueError: An argument is out of its range; or training begins, and the backups are of another model, or all
            of them are damaged.
        RuntimeError: Training begins, and another one has the folder.
        OSError: A file cannot be written; the backups before are as they were.

    Example:
        >>> folder = getfixture("tmp_path") / "backup"
        >>> def run(callbacks):
        ...     td.utils.set_random_seed(1)
        ...     model = td.Sequential([td.Input((2,)), td.layers.Dense(1)])
        ...     model.compile("adam", "mse")
        ...     return model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=3, callbacks=callbacks, verbose=0).history
        >>> def interrupt(epoch, logs):
        ...     if epoch == 1:
        ...         raise OSError("the power is gone")
        >>> run([td.callbacks.BackupAndRestore(folder), td.callbacks.LambdaCallback(on_epoch_end=interrupt)])
        Traceback (most recent call last):
        OSError: the power is gone
        >>> run([td.callbacks.BackupAndRestore(folder)]) == run([])
        True
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
        keep: int = 2,
    ) -> None:
        owner = "BackupAndRestore"
        self.backup_dir = as_path(backup_dir, f"{owner}: backup_dir", "folder")
        self.save_freq = check_save_freq(owner, save_freq)
        self.double_checkpoint = as_flag(double_checkpoint, f"{owner}: double_checkpoint")
        self.delete_checkpoint = as_flag(delete_checkpoint, f"{owner}: delete_checkpoint")
        self.keep = max(as_integer(keep, f"{owner}: keep", "[1, inf)"), 2 if double_checkpoint else 1)
        self._lock: FolderLock | None = None
        self._steps = 0
        self._done = False
        self._good: list[Path] = []
        self._identity: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the folder for this training."""
        if not self.model.built:
            raise ValueError(
                f"BackupAndRestore: the model {self.model.name!r} is not built, so that nothing could be put back: "
                "begin it with td.Input(shape), or call it on a batch, before fit."
            )
        self._lock = FolderLock(self.backup_dir)
        for left in Path(self.backup_dir).glob(".tinygrad_dnn-*.tmp"):  # of a process that was killed while it wrote
            _remove(left)

    def on_resume(self, progress: Any) -> None:
        """Put back the newest backup, if there is one."""
        self._steps, self._done = 0, False
        self._identity = progress.identity()
        state = self._newest()
        if state is None:
            return
        try:
            progress.set_state(state)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(
                f"BackupAndRestore: training cannot go on from the backup {str(self._good[-1])!r}: {reason}"
            ) from error

    def on_progress(self, progress: Any) -> None:
        """Take a backup if one is due; at the end, note that none is needed any more."""
        if progress.finished:
            self._done = self.delete_checkpoint
            return
        if self.save_freq == "epoch":
            if progress.step:
                return
        else:
            self._steps += bool(progress.step)
            if not progress.step or self._steps < int(self.save_freq):
                return
        self._steps = 0
        self._save(progress)

    def close(self) -> None:
        """Give the folder back; after the end, delete the backups and it, once no callback has anything left to do."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # somebody has removed the folder
                for path in self._found() if self._done else ():
                    _remove(path)
            self._lock.release()
            self._lock = None
            if self._done:
                with contextlib.suppress(OSError):  # something else is in it
                    os.rmdir(self.backup_dir)

    def _save(self, progress: Any) -> None:
        path = Path(self.backup_dir, f"backup-{progress.epoch:05d}-{progress.step:07d}.safetensors")
        write_state(path, {"identity": self._identity, "training": progress.get_state()})
        self._good = [*(other for other in self._good if other != path), path][-self.keep :]
        for other in self._found():
            if other not in self._good:
                _remove(other)

    def _found(self) -> list[Path]:
        """Return the backups that are there, the oldest first."""
        matches = [(_NAME.fullmatch(path.name), path) for path in Path(self.backup_dir).iterdir()]
        return [path for _, path in sorted((tuple(map(int, match.groups())), path) for match, path in matches if match)]

    def _newest(self) -> Any:
        """Return the state in the newest backup that can be read, None where there is no backup."""
        found = self._found()
        self._good = list(found)
        while self._good:
            path = self._good[-1]
            try:
                content = read_state(path)
                differs, training = difference(content["identity"], self._identity), content["training"]
            except (OSError, AttributeError, LookupError, TypeError, ValueError) as error:
                del self._good[-1]
                if self._good:
                    warnings.warn(
                        f"BackupAndRestore: the newest backup {str(path)!r} cannot be used ({error}), and training "
                        f"goes on from the one before, {str(self._good[-1])!r}.",
                        stacklevel=2,
                    )
                continue
            if differs is not None:
                raise ValueError(
                    f"BackupAndRestore: the backups in {self.backup_dir!r} are of another training: {differs}; give "
                    "this one a folder of its own, or delete them."
                )
            return training
        if found:
            raise ValueError(
                f"BackupAndRestore: of the {len(found)} backups in {self.backup_dir!r} none can be read, they are "
                "damaged: delete them to begin anew."
            )
        return None


def check_save_freq(owner: str, save_freq: Any) -> int | str:
    """Return a callback's ``save_freq`` if it is "epoch" or a number of steps.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(save_freq, str) and save_freq == "epoch":
        return save_freq
    return as_integer(save_freq, f"{owner}: save_freq", "[1, inf)", _ASKED)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # one too many does no harm
        path.unlink()
