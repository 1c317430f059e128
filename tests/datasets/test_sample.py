"""The embedded sample is Fashion-MNIST, evenly by class, small, and needs nothing but NumPy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinygrad_dnn.datasets import DatasetError, fashion_mnist, sample

# Of each class of the whole data set's 60,000 training images, the mean and the standard deviation, over the
# images, of the image's mean pixel.
MEANS = np.array([83.03, 56.84, 96.06, 66.02, 98.26, 34.87, 84.61, 42.76, 90.16, 76.81])
DEVIATIONS = np.array([28.91, 14.52, 32.65, 21.39, 26.43, 15.84, 33.08, 12.84, 28.77, 18.30])


def test_shapes_and_dtypes() -> None:
    (x_train, y_train), (x_test, y_test) = sample.load_data()
    assert (x_train.shape, y_train.shape) == ((6_000, 28, 28), (6_000,))
    assert (x_test.shape, y_test.shape) == ((1_000, 28, 28), (1_000,))
    arrays = (x_train, y_train, x_test, y_test)
    assert all(array.dtype == np.uint8 and array.flags.writeable for array in arrays)
    assert sample.class_names is fashion_mnist.class_names


def test_classes_are_even_and_shuffled() -> None:
    (_, y_train), (_, y_test) = sample.load_data()
    assert np.bincount(y_train).tolist() == [600] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    # Of 600 in a random order, a tenth fall on any tenth of the set: 60, with a standard deviation under 7.4.
    counts = np.array([np.bincount(part, minlength=10) for part in np.split(y_train, 10)])
    assert np.abs(counts - 60).max() < 4.5 * 7.4


def test_images_are_those_of_the_data_set() -> None:
    (x_train, y_train), (x_test, y_test) = sample.load_data()
    assert len({image.tobytes() for image in np.concatenate([x_train, x_test])}) == 7_000
    for x, y, count in ((x_train, y_train, 600), (x_test, y_test, 100)):
        brightness = x.mean((1, 2))
        means = np.array([brightness[y == label].mean() for label in range(10)])
        assert np.all(np.abs(means - MEANS) < 4 * DEVIATIONS / np.sqrt(count))


def test_calls_share_no_memory() -> None:
    (x_train, _), _ = sample.load_data()
    x_train[:] = 0
    assert sample.load_data()[0][0].any()


def test_file_is_small_and_its_licence_is_beside_it() -> None:
    assert sample.SAMPLE_PATH.stat().st_size < 4_000_000
    licence = sample.SAMPLE_PATH.with_name("LICENSE.fashion-mnist").read_text(encoding="utf-8")
    assert "MIT License" in licence
    assert "Zalando SE" in licence


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
def test_changed_file_is_refused(
    change: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sample.npz"
    path.write_bytes(change(sample.SAMPLE_PATH.read_bytes()))
    monkeypatch.setattr(sample, "SAMPLE_PATH", path)
    with pytest.raises(DatasetError) as caught:
        sample.load_data()
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith("reinstall tinygrad-dnn.")


def test_loading_needs_no_optional_library() -> None:
    code = (
        "import sys; from tinygrad_dnn.datasets import sample; sample.load_data();"
        "print(*{'pooch', 'requests', 'urllib3', 'rich'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""
