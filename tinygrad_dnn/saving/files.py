"""Tensors and texts in one safetensors file: written whole or not at all, read with a check of all that it says.

The format's own library is not used, for what was measured with its version 0.8 on 200 MB of float32:

- it maps the file into memory, so that reading takes 2.0 times the tensors' size (by ``safe_open``, ``load_file`` and
  ``deserialize`` alike), and 1.0 times here, where the bytes are read into the arrays that are returned;
- where something shortens a mapped file while it is read, the system kills the process, and here that is an error;
- for writing it makes the whole file in memory, 2.0 times the tensors' size beside them in .79 s, and here nothing
  beside them in .26 s; or it writes the file itself, without an fsync, and where no test can let a write fail.

The tests hold each to the other: what is written here, the library reads, and the other way round.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from typing import Any, TypeAlias

import numpy as np

from tinygrad_dnn.saving import header
from tinygrad_dnn.saving.errors import FileError as FileError
from tinygrad_dnn.saving.header import TensorInfo as TensorInfo

Path: TypeAlias = str | os.PathLike[str]
Chunk: TypeAlias = bytes | memoryview

# Long enough to cost nothing, short enough for an interruption to come through.
_PIECE = 32 << 20
_LONGEST_SHOWN = 5
# What else models are kept in, by how such files begin; read as a header's length, each is more than may be.
_OTHERS = {
    b"\x89HDF": "an HDF5 file, as Keras's .h5",
    b"PK\x03\x04": "a ZIP archive, as Keras's .keras, NumPy's .npz and PyTorch's .pt",
    b"\x80\x02\x8a": "a pickle, as PyTorch's old ones",
    b"\x80\x04\x95": "a pickle",
    b"\x80\x05\x95": "a pickle",
    b"\x93NUM": "one array of NumPy's",
}


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays and texts to a safetensors file, which takes the place of the one before when it is complete.

    Args:
        path: The file. Its folder must exist.
        tensors: The arrays by name, of booleans, integers, floating-point numbers or complex64.
        metadata: Texts by name.

    Raises:
        ValueError: A name, a type or a text cannot be written.
        OSError: The file cannot be written; the one before is as it was.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> td.saving.write_tensors(folder / "a.safetensors", {"w": np.ones(2)}, {"made by": "me"})
        >>> td.saving.read_tensors(folder / "a.safetensors")
        ({'w': array([1., 1.])}, {'made by': 'me'})
    """
    shown = os.fspath(path)
    for name, array in tensors.items():
        if not isinstance(name, str) or name == header.METADATA:
            raise ValueError(f"{shown}: a tensor cannot be saved under the name {name!r}: give it another one.")
        if not isinstance(array, np.ndarray) or not header.knows(array.dtype):
            what = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else repr(type(array).__name__)
            raise ValueError(f"{shown}: the tensor {name!r} is {what}, which the format has not: convert it.")
    for key, text in metadata.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise ValueError(f"{shown}: metadata are texts by name, not {key!r}: {type(text).__name__}.")
    # Wide elements first: so each tensor begins at a multiple of its elements' size, as the format asks.
    names = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    infos = {name: _info(tensors[name]) for name in names}
    try:
        first = header.make(infos.items(), dict(metadata))
    except ValueError as error:
        raise ValueError(f"{shown} cannot be written: {error}.") from error
    replace(path, _chunks(first, names, tensors))


def _info(array: np.ndarray[Any, Any]) -> TensorInfo:
    return TensorInfo(array.dtype.name, array.shape, array.nbytes)


def _chunks(first: bytes, names: Iterable[str], tensors: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Chunk]:
    yield first
    for name in names:
        array = tensors[name]
        # A copy only where the array is not in order; at most one at a time.
        yield _bytes_of(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")))


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    """Return the bytes of an array in order, without a copy."""
    numbers: Any = array.reshape(-1).view(np.uint8)
    return memoryview(numbers)


def replace(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write bytes to a file that takes the place of the one before when it is complete and on the disk.

    Whatever happens, the file is the old one or the new one, whole; where an error is raised before the new one is in
    place, it is the old one, and nothing else is left in the folder.

    Args:
        path: The file; where it is a link, what it leads to.
        chunks: Its content, in pieces.

    Raises:
        OSError: It cannot be written.

    Example:
        >>> file = getfixture("tmp_path") / "note"
        >>> td.saving.replace(file, [b"one, ", b"two"])
        >>> file.read_bytes()
        b'one, two'
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder: give the name of a file in it.")
    if not os.path.isdir(folder):
        what = f"the folder {folder!r} is not there, make it first: {os.fspath(path)!r} was not written"
        raise FileNotFoundError(errno.ENOENT, what)
    # In the same folder, since a file can be renamed only within its disk.
    temporary = os.path.join(folder, f".tinygrad_dnn-{secrets.token_hex(8)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        try:
            try:
                for chunk in chunks:
                    _write(handle, memoryview(chunk))
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise _about(error, path, "was not written") from error
    try:
        _sync_folder(folder)
    except OSError as error:
        unsure = "was not written for certain: the new file is there, and may be the old one again if the power fails"
        raise _about(error, path, unsure) from error


def _about(error: OSError, path: Path, what: str) -> OSError:
    """Return the same error with the file that it is about and what became of it."""
    return OSError(error.errno, f"{error.strerror or error}: {os.fspath(path)!r} {what}")


_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _write(handle: int, content: memoryview) -> None:
    """Write all of it: the system may take less at a time."""
    at = 0
    while at < len(content):
        count = os.write(handle, content[at : at + _PIECE])
        if count <= 0:
            raise OSError(None, "the disk takes no more bytes")
        at += count


def _sync_folder(folder: str) -> None:
    """Let the new name, too, reach the disk."""
    if os.name == "nt":  # where a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY | _FLAGS)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Return what a safetensors file says of its tensors, in the order of their bytes, and its texts.

    Raises:
        FileError: It is no such file, or is damaged.
        OSError: It cannot be opened.

    Example:
        >>> file = getfixture("tmp_path") / "a.safetensors"
        >>> td.saving.write_tensors(file, {"w": np.ones((2, 3), "float32")}, {})
        >>> td.saving.read_header(file)
        ({'w': TensorInfo(dtype='float32', shape=(2, 3), nbytes=24)}, {})
    """
    with _open(path) as file:
        return _header(path, file)


def read_tensors(
    path: Path, names: Iterable[str] | None = None
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """Return the arrays and the texts of a safetensors file.

    Args:
        path: The file.
        names: Those that are wanted; all by default.

    Raises:
        FileError: It is no such file, is damaged, or has no tensor of a name.
        OSError: It cannot be opened or read.

    Example:
        >>> file = getfixture("tmp_path") / "a.safetensors"
        >>> td.saving.write_tensors(file, {"a": np.ones(2), "b": np.zeros(3)}, {})
        >>> td.saving.read_tensors(file, ["a"])
        ({'a': array([1., 1.])}, {})
    """
    with _open(path) as file:
        infos, metadata = _header(path, file)
        wanted = list(infos) if names is None else list(dict.fromkeys(names))
        absent = [name for name in wanted if name not in infos]
        if absent:
            known = [*map(repr, [*infos][:_LONGEST_SHOWN]), *["..."] * (len(infos) > _LONGEST_SHOWN)]
            raise FileError(f"{os.fspath(path)} has no tensor {absent[0]!r}; it has {', '.join(known) or 'none'}.")
        chosen = set(wanted)
        arrays = {}
        begin = file.tell()
        for name, info in infos.items():
            if name in chosen:
                file.seek(begin)
                arrays[name] = _read(path, file, name, info)
            begin += info.nbytes
    return {name: arrays[name] for name in wanted}, metadata


def _open(path: Path) -> FileIO:
    """Open a regular file; a pipe or a device could keep us waiting, or never end."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS)
    except FileNotFoundError as error:
        what = "there is no such file" if os.path.isabs(path) else f"there is no such file in {os.getcwd()!r}"
        raise FileNotFoundError(error.errno, f"{what}: check its path", os.fspath(path)) from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{os.fspath(path)!r} is a folder, where a file is needed.")
        if not stat.S_ISREG(mode):
            raise FileError(f"{os.fspath(path)} is a pipe or a device, where a file on a disk is needed.")
        return FileIO(handle)
    except BaseException:
        os.close(handle)
        raise


def _header(path: Path, file: FileIO) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Read and check the header, and leave the file where its tensors begin."""
    size = os.fstat(file.fileno()).st_size
    start = _exactly(file, 8)
    try:
        if not size:
            raise FileError("it is empty")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise FileError("it is too short for its header")
        if length > header.MOST_BYTES:
            raise FileError(f"its header takes {length:,} bytes, and may take {header.MOST_BYTES:,}")
        raw = _exactly(file, length)
        if len(raw) < length:
            raise FileError("it is too short for its header")
        return header.parse(raw, size - 8 - length)
    except FileError as error:
        shown, other = os.fspath(path), [what for begin, what in _OTHERS.items() if start.startswith(begin)]
        if other:
            raise FileError(
                f"{shown} is no safetensors file but {other[0]}: open it with the package that wrote it, and bring "
                "what it holds over by td.from_keras or td.interchange.load_state_dict."
            ) from None
        raise FileError(
            f"{shown} is no safetensors file, or is damaged: {error}; take a file that was saved by this package, or "
            "another copy of this one."
        ) from None


def _exactly(file: FileIO, count: int) -> bytes:
    """Return the next bytes, fewer only where the file ends."""
    pieces = []
    while count and (piece := file.read(count)):
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _read(path: Path, file: FileIO, name: str, info: TensorInfo) -> np.ndarray[Any, Any]:
    """Read one tensor straight into the array that is returned."""
    try:
        array = np.empty(info.shape, info.stored)
    except MemoryError:
        raise FileError(
            f"{os.fspath(path)}: there is no memory for the tensor {name!r} of {info.nbytes:,} bytes: read it on a "
            "machine that has it."
        ) from None
    content, at = _bytes_of(array), 0
    while at < len(content):
        count = file.readinto(content[at : at + _PIECE])
        if not count:
            raise FileError(f"{os.fspath(path)} ended while the tensor {name!r} was read: it was changed meanwhile.")
        at += count
    if info.dtype == "bool" and array.size and array.view(np.uint8).max() > 1:
        raise FileError(f"{os.fspath(path)} is damaged: the booleans of the tensor {name!r} are not all 0 or 1.")
    if info.dtype == "bfloat16":
        # The upper half of a float32's bits.
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
