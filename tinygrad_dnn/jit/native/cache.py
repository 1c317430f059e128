"""The cache: machine code kept on disk between processes; what is damaged, or not the user's own, is not used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

from tinygrad_dnn.folders import user_cache

FOLDER_VARIABLE = "TINYGRAD_DNN_CACHE"
"""Names another folder, or is "off"."""

_MOST_BYTES = 256 * 2**20
_MOST_ENTRIES = 4096
_LARGEST = 64 * 2**20

_SUFFIX, _UNFINISHED = ".code", ".part"

# What a process has not finished writing after an hour, it never will.
_ABANDONED = 3600.0

_MARK = b"tinygrad_dnn code\n"
_DIGEST = hashlib.sha256().digest_size


def folder() -> Path | None:
    """Return the folder of the machine code, which need not exist, or None if there is to be none.

    It is ``$TINYGRAD_DNN_CACHE``, unless that is "off", else ``kernels`` in the package's folder among the user's
    caches.

    Example:
        >>> from tinygrad_dnn.jit.native.cache import folder
        >>> folder() is None or folder().is_absolute()
        True
    """
    chosen = os.environ.get(FOLDER_VARIABLE, "")
    if chosen.lower() == "off":
        return None
    try:
        return Path(chosen).expanduser().absolute() if chosen else user_cache() / "kernels"
    except (RuntimeError, OSError):  # there is no home, or no working folder
        return None


def load(key: str) -> bytes | None:
    """Return the code that was stored for a key, or None if there is none that can be trusted.

    Machine code does whatever it likes: an entry counts only if it is a file of the user's own that nobody else may
    write, and holds this very key and the content that its checksum tells of.

    Args:
        key: Everything that the code depends on.

    Example:
        >>> from tinygrad_dnn.jit.native.cache import load
        >>> load("what nobody has stored")
    """
    place = folder()
    if place is None:
        return None
    path = place / _name(key)
    try:
        content = _content(path)
    except OSError:
        return None
    told, kept = content[: len(_MARK) + _DIGEST], content[len(_MARK) + _DIGEST :]
    beginning = _beginning(key)
    if told != _MARK + hashlib.sha256(kept).digest() or not kept.startswith(beginning):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # it is used: others are older now
    return kept[len(beginning) :]


def store(key: str, code: bytes) -> None:
    """Keep code for a key, in the place of what is there, if the folder can be written; drop what is too much.

    Args:
        key: Everything that the code depends on.
        code: The code.

    Example:
        >>> from tinygrad_dnn.jit.native.cache import store
        >>> store("what it depends on", b"code")
    """
    place = folder()
    if place is None:
        return
    kept = _beginning(key) + code
    content = _MARK + hashlib.sha256(kept).digest() + kept
    if len(content) > _LARGEST:
        return
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        _write(place, place / _name(key), content)
        _trim(place)


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest() + _SUFFIX


def _beginning(key: str) -> bytes:
    """Return what an entry begins with: the key and its length."""
    encoded = key.encode()
    return len(encoded).to_bytes(8, "little") + encoded


def _content(path: Path) -> bytes:
    """Return what a file holds, or nothing if it is none of the user's own."""
    # A link could lead anywhere, and a pipe would be waited for.
    flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")]
    descriptor = os.open(path, os.O_RDONLY | sum(flags))
    try:
        found = os.fstat(descriptor)
        own = not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)
        if not stat.S_ISREG(found.st_mode) or not own or found.st_size > _LARGEST:
            return b""
        with open(descriptor, "rb", closefd=False) as opened:
            return opened.read(_LARGEST)
    finally:
        os.close(descriptor)


def _write(place: Path, path: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all."""
    descriptor, unfinished = tempfile.mkstemp(_UNFINISHED, "", place)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(content)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _trim(place: Path) -> None:
    """Drop the entries that were not used for longest until the rest is not too much, and what was left unfinished."""
    entries = []
    with os.scandir(place) as found:
        for entry in found:
            about = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(about.st_mode):
                continue
            if entry.name.endswith(_SUFFIX):
                entries.append((about.st_mtime, about.st_size, entry.path))
            elif entry.name.endswith(_UNFINISHED) and about.st_mtime < time.time() - _ABANDONED:
                os.unlink(entry.path)
    total = sum(size for _, size, _ in entries)
    for number, (_, size, path) in enumerate(sorted(entries)):
        if total <= _MOST_BYTES and len(entries) - number <= _MOST_ENTRIES:
            break
        os.unlink(path)
        total -= size
