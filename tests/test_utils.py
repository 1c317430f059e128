"""Seeding everything, and one-hot labels."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

set_random_seed, to_categorical = td.utils.set_random_seed, td.utils.to_categorical


def draws() -> list[Any]:
    """Draw from everything that is random."""
    return [
        random.random(),
        np.random.random(),  # noqa: NPY002  # users draw from it
        td.random.uniform((3,)).tolist(),
        td.initializers.get("glorot_uniform")((2, 2)).tolist(),
        td.layers.Dropout(0.5)(td.ones((1, 20)), training=True).tolist(),
        td.random.generator().integers(1 << 30),
    ]


def test_a_seed_repeats_everything(backend: str) -> None:
    set_random_seed(7)
    once = draws()
    again = draws()
    set_random_seed(7)
    assert draws() == once
    assert all(a != b for a, b in zip(once, again, strict=True))
    set_random_seed(np.int64(8))
    assert all(a != b for a, b in zip(draws(), once, strict=True))


def test_a_seed_is_that_of_its_thread(backend: str) -> None:
    set_random_seed(7)
    expected = td.random.uniform((3,)).tolist()
    set_random_seed(7)
    other = threading.Thread(target=lambda: (set_random_seed(1), td.random.uniform((3,))))
    other.start()
    other.join()
    assert td.random.uniform((3,)).tolist() == expected


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "1", None, True])
def test_what_is_no_seed_is_refused_and_changes_nothing(seed: Any) -> None:
    set_random_seed(7)
    before = td.random.get_seed()
    with pytest.raises(ValueError, match=r"set_random_seed takes an integer from 0 to 2\*\*32 - 1, not"):
        set_random_seed(seed)
    assert td.random.get_seed() == before


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2, 1], np.eye(3)[[0, 2, 1]]),
        ([[0], [2]], np.eye(3)[[0, 2]]),
        (np.array([0.0, 1.0]), np.eye(2)),
        (np.array([[0, 1], [1, 0]], np.uint8), np.eye(2)[[[0, 1], [1, 0]]]),
        ([True, False], np.eye(2)[[1, 0]]),
        (1, np.eye(2)[1]),
    ],
)
def test_one_hot_rows(labels: Any, expected: np.ndarray) -> None:
    rows = to_categorical(labels)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)


def test_one_hot_rows_of_a_given_length_and_of_tensors(backend: str) -> None:
    np.testing.assert_array_equal(to_categorical([1], num_classes=4), [[0, 1, 0, 0]])
    np.testing.assert_array_equal(to_categorical(td.tensor([1, 0]), num_classes=np.int32(2)), [[0, 1], [1, 0]])
    assert to_categorical([], num_classes=3).shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "classes", "sentence"),
    [
        ([0, -1], None, "labels are integers of at least 0; there is a -1 among them"),
        ([0.5], None, "labels are integers of at least 0; there is a 0.5 among them"),
        ([float("nan")], None, "labels are integers of at least 0; there is a nan among them"),
        ([float("inf")], None, "labels are integers of at least 0; there is a inf among them"),
        (["cat"], None, "labels are integers of at least 0, not <U3"),
        ([0, 3], 3, "label 3 does not fit 3 classes; raise num_classes"),
        ([0], 0, "num_classes must be an integer of at least 1, not 0"),
        ([0], 2.5, "num_classes must be an integer of at least 1, not 2.5"),
    ],
)
def test_what_are_no_labels_is_refused(labels: Any, classes: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"to_categorical: {sentence}"):
        to_categorical(labels, classes)
