"""A folder that belongs to one training at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

_NAME = "lock"
# The byte that Windows locks, behind what the file says: there, nobody else could read a locked one.
_PLACE = 1 << 20
_TRIES = 100


class FolderLock:
    """A folder kept for one training until ``release``, or the end of the process, however it ends.

    Args:
        folder: The folder, made where there is none; the file "lock" in it says who has it.

    Raises:
        RuntimeError: Another training has it.
        NotADirectoryError: There is a file in the folder's place.
        OSError: The file cannot be written, or the disk knows no locks.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> lock = td.callbacks.locking.FolderLock(folder)
        >>> lock.release()
        >>> [*folder.iterdir()]
        []
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, _NAME)
        while True:
            handle = _opened(folder, self.path)
            try:
                if not _locked(handle):
                    owner = os.read(handle, 200).decode(errors="replace").strip() or "another training"
                    raise RuntimeError(
                        f"the folder {os.fspath(folder)!r} is in use by {owner}: give each training a folder of its "
                        "own, or wait until that one has ended."
                    )
                # The one who had it may have removed the file between our opening and our locking it.
                if self._is_ours(handle):
                    break
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        self._handle: int | None = handle
        with contextlib.suppress(OSError):  # a full disk: it is only said whose the folder is
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _is_ours(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have the folder; a second call does nothing."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        with contextlib.suppress(OSError):  # Windows removes no open file
            os.unlink(self.path)
        os.close(handle)


def _opened(folder: str, path: str) -> int:
    """Make a folder, and open a file in it."""
    for left in reversed(range(_TRIES)):
        try:
            os.makedirs(folder, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except FileNotFoundError:
            # The one who had the folder may have removed it just now; below a link that leads nowhere none can be made.
            if not left:
                raise
        except (FileExistsError, NotADirectoryError) as error:
            raise NotADirectoryError(
                f"the folder {os.fspath(folder)!r} cannot be made, since there is a file in its place: give another "
                "path, or move the file."
            ) from error
    raise AssertionError("one of the tries ends it")


def _locked(handle: int) -> bool:
    """Lock a file, unless somebody has; tell whether it worked."""
    try:
        if "fcntl" in globals():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(handle, _PLACE, os.SEEK_SET)
            windows: Any = msvcrt
            windows.locking(handle, windows.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            os.lseek(handle, 0, os.SEEK_SET)
            return False
        raise
    return True
