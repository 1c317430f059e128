"""CIFAR-10 comes right out of the published binary format, and out of nothing else."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.datasets.server import Server, published, sends
from tinygrad_dnn.datasets import DatasetError, cifar10

NAMES = (*cifar10.TRAIN_BATCHES, cifar10.TEST_BATCH)


def row(label: int, number: int) -> bytes:
    """Return one image as published: red is the line of the pixel, green its column, blue ``number``."""
    red = bytes(line for line in range(32) for _ in range(32))
    green = bytes(range(32)) * 32
    return bytes([label]) + red + green + bytes([number]) * 1024


def image(number: int) -> NDArray[np.uint8]:
    """Return the image of `row` as it should be loaded: lines, columns, and red, green, blue."""
    pixels = [[(line, column, number) for column in range(32)] for line in range(32)]
    return np.array(pixels, np.uint8)


def batches(count: int = 3) -> dict[str, bytes]:
    """Return the six files with ``count`` images each: in file f, the image n has the label (f + n) % 10."""
    return {name: b"".join(row((f + n) % 10, 50 * f + n) for n in range(count)) for f, name in enumerate(NAMES)}


def assert_is_batches(data: cifar10.Dataset, count: int = 3) -> None:
    """Check that ``data`` is what `batches` made."""
    (x_train, y_train), (x_test, y_test) = data
    x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    assert (x_train.shape, x_test.shape) == ((5 * count, 32, 32, 3), (count, 32, 32, 3))
    assert (y_train.shape, y_test.shape) == ((5 * count, 1), (count, 1))
    assert x.dtype == y.dtype == np.uint8
    for f in range(6):
        for n in range(count):
            assert y[f * count + n, 0] == (f + n) % 10
            np.testing.assert_array_equal(x[f * count + n], image(50 * f + n))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have three images in each file, for speed."""
    monkeypatch.setattr(cifar10, "IMAGES_PER_BATCH", 3)


def write_folder(folder: Path) -> Path:
    """Write the six small files where an extracted archive has them."""
    extracted = folder / "cifar-10-batches-bin"
    extracted.mkdir()
    for name, content in batches().items():
        (extracted / name).write_bytes(content)
    return extracted


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **attributes: object) -> Member:
    """Return a member of an archive; ``attributes`` are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def published_members() -> dict[str, Member]:
    """Return the members that the published archive has, in its order, with small files."""
    prefix = "cifar-10-batches-bin/"
    order = (NAMES[0], "batches.meta.txt", NAMES[2], NAMES[1], NAMES[5], NAMES[3], "readme.html", NAMES[4])
    content = {**batches(), "batches.meta.txt": b"airplane\n", "readme.html": b"<html></html>"}
    folder = member(prefix.rstrip("/"), type=tarfile.DIRTYPE)
    return {"": folder, **{name: member(prefix + name, content[name]) for name in order}}


def pack(members: dict[str, Member]) -> bytes:
    """Return a gzip-compressed archive of ``members``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for info, content in members.values():
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def publish(content: bytes, monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    """Have ``content`` pass for the published archive."""
    monkeypatch.setattr(cifar10, "ARCHIVE", published(content, *urls, name="cifar-10-binary.tar.gz"))


def test_published_figures() -> None:
    assert cifar10.ARCHIVE.size == 170_052_171
    assert cifar10.ARCHIVE.sha256 == "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    assert len(cifar10.class_names) == 10


def test_files_of_the_published_size(folder: Path) -> None:
    extracted = folder / "cifar-10-batches-bin"
    extracted.mkdir()
    for f, name in enumerate(NAMES):
        with (extracted / name).open("wb") as file:
            file.truncate(30_730_000)  # the rest is a hole in the file, and costs no disk
            for n in (0, 1, 4_321, 9_999):
                file.seek(n * 3_073)
                file.write(row((f + n) % 10, (50 * f + n) % 256))
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    assert (x_train.shape, y_train.shape) == ((50_000, 32, 32, 3), (50_000, 1))
    assert (x_test.shape, y_test.shape) == ((10_000, 32, 32, 3), (10_000, 1))
    assert x_train.dtype == y_train.dtype == x_test.dtype == y_test.dtype == np.uint8
    for f in range(6):
        x, y = (x_train[f * 10_000 :], y_train[f * 10_000 :]) if f < 5 else (x_test, y_test)
        for n in (0, 1, 4_321, 9_999):
            assert y[n, 0] == (f + n) % 10
            np.testing.assert_array_equal(x[n], image((50 * f + n) % 256))
        assert not x[2].any()


@pytest.mark.usefixtures("small")
def test_extracted_files(folder: Path) -> None:
    write_folder(folder)
    data = cifar10.load_data()
    assert_is_batches(data)
    assert all(array.flags.writeable and array.flags.c_contiguous for pair in data for array in pair)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: os.truncate(path, 9_218), "holds 9,218 bytes, expected 9,219"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "holds 9,220 bytes, expected 9,219"),
        (lambda path: path.write_bytes(b"\x0a" + path.read_bytes()[1:]), "has the label 10, expected 0 to 9"),
        (lambda path: path.unlink(), "lacks data_batch_4.bin"),
        (lambda path: (path.unlink(), path.mkdir()), "lacks data_batch_4.bin"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "lacks data_batch_4.bin"),
    ],
    ids=["truncated", "longer", "label", "missing", "folder", "pipe"],
)
def test_changed_extracted_file_is_refused(change: Callable[[Path], object], message: str, folder: Path) -> None:
    extracted = write_folder(folder)
    change(extracted / "data_batch_4.bin")
    with pytest.raises(DatasetError) as caught:
        cifar10.load_data()
    assert str(caught.value).startswith(str(extracted))
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"extract cifar-10-binary.tar.gz again, or remove {extracted}.")


@pytest.mark.usefixtures("small")
def test_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pack(published_members())
    publish(content, monkeypatch)
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(content)
    assert_is_batches(cifar10.load_data())
    assert list(folder.iterdir()) == [path]


@pytest.mark.usefixtures("small")
def test_archive_is_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    content = pack(published_members())
    publish(content, monkeypatch, server.url())
    server.add(sends(content))
    assert_is_batches(cifar10.load_data())
    assert_is_batches(cifar10.load_data())
    assert server.asked == ["/file"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1])], ids=["cut", "bit"])
def test_archive_of_other_content_is_not_unpacked(
    change: Callable[[bytes], bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pack(published_members())
    publish(content, monkeypatch)
    (folder / "cifar-10-binary.tar.gz").write_bytes(change(content))
    monkeypatch.setattr(cifar10, "_read_archive", lambda *_: pytest.fail("it was read"))
    with pytest.raises(DatasetError, match=r"cifar-10-binary.tar.gz (holds|has the SHA-256) .* expected "):
        cifar10.load_data()


BATCH_3 = "cifar-10-batches-bin/data_batch_3.bin"
BAD_MEMBERS: dict[str, tuple[Member, str]] = {
    "upwards": (member("../data_batch_3.bin", bytes(9_219)), "lacks data_batch_3.bin"),
    "upwards within": (
        member("cifar-10-batches-bin/../cifar-10-batches-bin/data_batch_3.bin", bytes(9_219)),
        "lacks data_batch_3.bin",
    ),
    "absolute": (member("/" + BATCH_3, bytes(9_219)), "lacks data_batch_3.bin"),
    "elsewhere": (member("data_batch_3.bin", bytes(9_219)), "lacks data_batch_3.bin"),
    "symbolic link": (member(BATCH_3, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "not a regular file"),
    "hard link": (
        member(BATCH_3, type=tarfile.LNKTYPE, linkname="cifar-10-batches-bin/data_batch_1.bin"),
        "not a regular file",
    ),
    "device": (member(BATCH_3, type=tarfile.CHRTYPE, devmajor=1, devminor=5), "not a regular file"),
    "pipe": (member(BATCH_3, type=tarfile.FIFOTYPE), "not a regular file"),
    "folder": (member(BATCH_3, type=tarfile.DIRTYPE), "not a regular file"),
    "sparse": (
        member(
            BATCH_3,
            b"1\n0\n0\n".ljust(512, b"\0"),
            pax_headers={
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.realsize": "9219",
                "GNU.sparse.name": BATCH_3,
            },
        ),
        "not a regular file",
    ),
    "short": (member(BATCH_3, bytes(9_218)), "holds 9,218 bytes, expected 9,219"),
    "long": (member(BATCH_3, bytes(9_220)), "holds 9,220 bytes, expected 9,219"),
    "bomb": (member(BATCH_3, bytes(3_000_000)), "holds 3,000,000 bytes, expected 9,219"),
    "bomb elsewhere": (member("zeros", bytes(3_000_000)), "more than 1,103,890 bytes come out"),
    "label": (member(BATCH_3, b"\xff" + bytes(9_218)), "has the label 255, expected 0 to 9"),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_bad_archive_member_is_refused(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, message = BAD_MEMBERS[case]
    members = published_members()
    members["data_batch_3.bin"] = bad
    assert_refused(pack(members), message, folder, monkeypatch)


@pytest.mark.usefixtures("small")
def test_archive_of_endless_members_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {str(n): member(f"empty {n}") for n in range(1_000)}
    assert_refused(pack({**members, **published_members()}), "lacks data_batch_1.bin", folder, monkeypatch)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"not an archive",
        lambda content: b"",
        lambda content: gzip.compress(b"not an archive" * 100),
        lambda content: content[:100] + bytes(100) + content[200:],
    ],
    ids=["cut", "no gzip", "empty", "no tar", "overwritten"],
)
def test_damaged_archive_is_refused(
    change: Callable[[bytes], bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_refused(change(pack(published_members())), "cannot be unpacked (", folder, monkeypatch)


def test_archive_damaged_within_a_batch_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So large that the archive is read in several pieces, and the damage met while a batch is read.
    monkeypatch.setattr(cifar10, "IMAGES_PER_BATCH", 200)
    members = {name: member(f"cifar-10-batches-bin/{name}", bytes(614_600)) for name in NAMES}
    unpacked = gzip.decompress(pack(members))
    compressor = zlib.compressobj(wbits=31)
    half = compressor.compress(unpacked[: len(unpacked) // 2]) + compressor.flush(zlib.Z_FULL_FLUSH)
    no_block = b"\xff" * 100
    assert_refused(half + no_block, "cannot be unpacked (Error -3", folder, monkeypatch)


def assert_refused(content: bytes, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that an archive that passes for the published one is refused, and nothing is extracted."""
    publish(content, monkeypatch)
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        cifar10.load_data()
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == [path]
