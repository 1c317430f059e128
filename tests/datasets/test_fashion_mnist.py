"""Fashion-MNIST comes right out of its four files, wherever they are found."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.server import Server, published, sends
from tinygrad_dnn.datasets import DatasetError, fashion_mnist
from tinygrad_dnn.datasets._files import Array, DataFile, Dataset

FILES = ("TRAIN_IMAGES", "TRAIN_LABELS", "TEST_IMAGES", "TEST_LABELS")


def idx(array: Array) -> bytes:
    """Return an array of bytes in the IDX format, compressed."""
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Publish a small data set: five training and three test images."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (8, 28, 28), np.uint8), random.integers(0, 10, 8, np.uint8)
    monkeypatch.setattr(fashion_mnist, "TRAIN_COUNT", 5)
    monkeypatch.setattr(fashion_mnist, "TEST_COUNT", 3)
    return (x[:5], y[:5]), (x[5:], y[5:])


@pytest.fixture
def contents(data: Dataset, monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, bytes]:
    """Publish the four files of ``data`` on the server, and return what each name should hold."""
    found = {}
    for constant, array in zip(FILES, (array for pair in data for array in pair), strict=True):
        name = getattr(fashion_mnist, constant).name
        found[name] = idx(array)
        server.add(sends(found[name]), "/" + name)
        monkeypatch.setattr(fashion_mnist, constant, published(found[name], server.url("/" + name), name=name))
    return found


def assert_equal(got: Dataset, expected: Dataset) -> None:
    for got_pair, expected_pair in zip(got, expected, strict=True):
        for array, other in zip(got_pair, expected_pair, strict=True):
            assert array.dtype == np.uint8
            assert array.flags.writeable
            np.testing.assert_array_equal(array, other, strict=True)


def test_published_figures() -> None:
    files: list[DataFile] = [getattr(fashion_mnist, constant) for constant in FILES]
    assert [(file.name, file.size, file.sha256[:8]) for file in files] == [
        ("train-images-idx3-ubyte.gz", 26_421_856, "b0564c3e"),
        ("train-labels-idx1-ubyte.gz", 29_491, "0ae29f65"),
        ("t10k-images-idx3-ubyte.gz", 4_422_079, "cc1d090a"),
        ("t10k-labels-idx1-ubyte.gz", 5_125, "8d3605d1"),
    ]
    assert all(len(file.sha256) == 64 and len(file.urls) == 2 for file in files)
    assert all(url.endswith("/" + file.name) for file in files for url in file.urls)
    assert (fashion_mnist.TRAIN_COUNT, fashion_mnist.TEST_COUNT) == (60_000, 10_000)
    assert len(fashion_mnist.class_names) == 10


def test_files_are_downloaded_once(contents: dict[str, bytes], data: Dataset, folder: Path, server: Server) -> None:
    assert_equal(fashion_mnist.load_data(), data)
    assert_equal(fashion_mnist.load_data(), data)
    assert server.asked == ["/" + name for name in contents]
    assert {path.name: path.read_bytes() for path in (folder / "fashion-mnist").iterdir()} == contents


def test_debian_has_what_the_folder_lacks(
    contents: dict[str, bytes], data: Dataset, folder: Path, server: Server
) -> None:
    for number, (name, content) in enumerate(contents.items()):
        path = (folder / "fashion-mnist" if number % 2 else fashion_mnist.DEBIAN_FOLDER) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert_equal(fashion_mnist.load_data(), data)
    assert server.asked == []


def test_changed_file_is_refused(contents: dict[str, bytes], folder: Path, server: Server) -> None:
    for name, content in contents.items():
        path = folder / "fashion-mnist" / name
        path.parent.mkdir(exist_ok=True)
        for changed in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
            path.write_bytes(changed)
            with pytest.raises(DatasetError) as caught:
                fashion_mnist.load_data()
            assert str(path) in str(caught.value)
            assert f"put the published {name} in its place, or remove it" in str(caught.value)
        path.write_bytes(content)
    assert server.asked == []
