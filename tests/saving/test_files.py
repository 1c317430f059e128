"""Files of tensors: what the safetensors library reads and writes, whole or not at all, and nothing but such files."""

from __future__ import annotations

import errno
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tinygrad_dnn import saving
from tinygrad_dnn.saving import files

ARRAYS = {
    "transposed": np.arange(6, dtype="float32").reshape(2, 3).T,
    "every second": np.arange(10, dtype="int64")[::2],
    "0-d": np.array(3.0),
    "empty": np.zeros((0, 3), "int16"),
    "é \N{SNOWMAN} \" \\ \n": np.array([True, False]),
    "half": np.array([1.5, np.inf, np.nan], "float16"),
    "complex": np.array([1j], "complex64"),
    "big-endian": np.array([1, 2, 3], ">i4"),
    **{code: np.array([1, 2, 3], code) for code in ("u1", "i1", "u2", "u4", "u8")},
}
TEXTS = {"a text": "é \N{SNOWMAN} \" \\ \n \x00", "": ""}


def same(got: dict[str, Any], wanted: dict[str, Any] = ARRAYS) -> None:
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(got[name], array, strict=False)
        assert got[name].shape == array.shape, name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    saving.write_tensors(tmp_path / "a", ARRAYS, TEXTS)
    arrays, texts = saving.read_tensors(tmp_path / "a")
    same(arrays)
    assert texts == TEXTS
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays.values())
    infos, texts = saving.read_header(tmp_path / "a")
    assert texts == TEXTS
    assert {name: (info.dtype, info.shape, info.nbytes) for name, info in infos.items()} == {
        name: (array.dtype.name, array.shape, array.nbytes) for name, array in ARRAYS.items()
    }


def test_the_formats_own_library_reads_and_writes_the_same(tmp_path: Path) -> None:
    saving.write_tensors(tmp_path / "ours", ARRAYS, TEXTS)
    same(safetensors.numpy.load_file(tmp_path / "ours"))
    with safetensors.safe_open(tmp_path / "ours", "numpy") as opened:
        assert opened.metadata() == TEXTS
    whole = {name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in ARRAYS.items()}
    safetensors.numpy.save_file(whole, tmp_path / "theirs", TEXTS)
    arrays, texts = saving.read_tensors(tmp_path / "theirs")
    same(arrays)
    assert texts == TEXTS


def test_tensors_begin_at_a_multiple_of_their_elements_size(tmp_path: Path) -> None:
    saving.write_tensors(tmp_path / "a", {"odd": np.zeros(3, "u1"), "wide": np.zeros(2), "half": np.zeros(1, "f2")}, {})
    raw = (tmp_path / "a").read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    assert begin % 8 == 0
    for info in saving.read_header(tmp_path / "a")[0].values():
        assert begin % info.stored.itemsize == 0
        begin += info.nbytes


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saving.write_tensors(tmp_path / name, ARRAYS, TEXTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F80], "<u2")
    head = b'{"x":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    (tmp_path / "a").write_bytes(len(head).to_bytes(8, "little") + head + bits.tobytes())
    assert saving.read_header(tmp_path / "a")[0]["x"].dtype == "bfloat16"
    got = saving.read_tensors(tmp_path / "a")[0]["x"]
    np.testing.assert_array_equal(got, np.array([1, -2, np.inf], "float32"), strict=True)


def test_some_tensors_alone(tmp_path: Path) -> None:
    saving.write_tensors(tmp_path / "a", {name: np.full(3, float(i)) for i, name in enumerate("abcdefg")}, {})
    arrays, _ = saving.read_tensors(tmp_path / "a", ["f", "b", "f"])
    assert {name: array[0] for name, array in arrays.items()} == {"f": 5.0, "b": 1.0}
    with pytest.raises(saving.FileError, match=r"has no tensor 'z'; it has 'a', 'b', 'c', 'd', 'e', \.\.\."):
        saving.read_tensors(tmp_path / "a", ["a", "z"])


@pytest.mark.parametrize(
    ("tensors", "texts", "message"),
    [
        ({"__metadata__": np.ones(1)}, {}, "cannot be saved under the name '__metadata__'"),
        ({1: np.ones(1)}, {}, "cannot be saved under the name 1"),
        ({"a": [1.0]}, {}, "'a' is 'list', which the format has not"),
        ({"a": np.array(["x"])}, {}, "'a' is an array of <U1, which the format has not"),
        ({"a": np.array([object()])}, {}, "'a' is an array of object"),
        ({"a": np.ones(1, "complex128")}, {}, "'a' is an array of complex128"),
        ({}, {"a": 1}, "metadata are texts by name, not 'a': int"),
        ({"\ud800": np.ones(1)}, {}, "surrogates not allowed"),
        ({}, {"a": "x" * (7 << 20)}, "a header has at most 6,291,456"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, tensors: Any, texts: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        saving.write_tensors(tmp_path / "a", tensors, texts)
    assert not list(tmp_path.iterdir())


# -- whole or not at all -------------------------------------------------------------------------------------------


def failing(name: str, error: BaseException, times: int = 0) -> Callable[..., Any]:
    """Return a function of ``os`` that fails after it was called so often."""
    original, calls = getattr(os, name), iter(range(10**9))

    def call(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) >= times:
            raise error
        return original(*arguments, **keywords)

    return call


NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("name", "error", "times"),
    [
        ("open", OSError(errno.EACCES, "Permission denied"), 0),
        ("write", NO_SPACE, 0),
        ("write", NO_SPACE, 2),
        ("write", OSError(errno.EIO, "Input/output error"), 1),
        ("write", KeyboardInterrupt(), 1),
        ("fsync", OSError(errno.EIO, "Input/output error"), 0),
        ("close", OSError(errno.EIO, "Input/output error"), 0),
        ("replace", OSError(errno.EBUSY, "Device or resource busy"), 0),
    ],
)
def test_a_failure_surfaces_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, times: int
) -> None:
    saving.write_tensors(tmp_path / "a", {"old": np.ones(3)}, {})
    old = (tmp_path / "a").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, name, failing(name, error, times))
        with pytest.raises(type(error)) as raised:
            saving.write_tensors(tmp_path / "a", ARRAYS, {})
    if isinstance(error, OSError):
        assert raised.value.errno == error.errno
        assert f"{error.strerror}: '{tmp_path / 'a'}' was not written" in str(raised.value)
    assert (tmp_path / "a").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_chunks_that_raise_leave_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        saving.replace(tmp_path / "a", chunks())
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda handle, content: write(handle, content[:7]))
    saving.write_tensors(tmp_path / "a", ARRAYS, TEXTS)
    same(saving.read_tensors(tmp_path / "a")[0])


def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "write", lambda handle, content: 0)
    with pytest.raises(OSError, match="the disk takes no more bytes"):
        saving.write_tensors(tmp_path / "a", ARRAYS, {})
    assert not list(tmp_path.iterdir())


def test_file_and_folder_reach_the_disk_before_and_after_the_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def call(*arguments: Any, name: str = name, original: Any = original) -> Any:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            seen.append(f"{name} folder" if folder else name)
            return original(*arguments)

        monkeypatch.setattr(files.os, name, call)
    saving.replace(tmp_path / "a", [b"x"])
    assert seen == ["fsync", "replace", "fsync folder"]


def test_a_folder_that_cannot_be_synced_is_an_error_and_the_new_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", failing("fsync", OSError(errno.EIO, "Input/output error"), times=1))
    with pytest.raises(OSError, match="for certain: the new file is there, and may be the old one") as raised:
        saving.replace(tmp_path / "a", [b"new"])
    assert raised.value.errno == errno.EIO
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_link_stays_one_and_leads_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    saving.replace(tmp_path / "link", [b"new"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"new"


def test_a_name_as_long_as_a_disk_takes(tmp_path: Path) -> None:
    saving.replace(tmp_path / ("n" * 255), [b"x"])
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_a_missing_folder_and_a_folder_in_the_files_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder '.*nowhere' is not there, make it first: .* not written"):
        saving.replace(tmp_path / "nowhere" / "a", [b"x"])
    with pytest.raises(IsADirectoryError, match="is a folder"):
        saving.replace(tmp_path, [b"x"])


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    saving.replace(tmp_path / "a", [b"x"])
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


# -- memory ----------------------------------------------------------------------------------------------------------


def test_writing_and_reading_take_no_second_copy(tmp_path: Path) -> None:
    arrays = {name: np.ones(1 << 20, "float32") for name in "abcd"}
    size = sum(array.nbytes for array in arrays.values())
    tracemalloc.start()
    saving.write_tensors(tmp_path / "a", arrays, {})
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    read = saving.read_tensors(tmp_path / "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    same(read[0], arrays)
    assert written < 0.05 * size
    assert peak < 1.05 * size
