"""SMOTE: where the new samples lie, which neighbours they are mixed with, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.datasets import oversampling

smote = td.datasets.smote


def clouds(counts: tuple[int, ...] = (60, 9, 20), features: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(len(counts)), counts)
    x = rng.normal(size=(len(y), features)) + 10.0 * y[:, None]
    order = rng.permutation(len(y))
    return x[order], y[order]


def nearest(points: np.ndarray, k: int) -> list[set[int]]:
    """Find each point's k nearest others by comparing all of them."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return [set(np.argsort(row)[:k].tolist()) for row in distances]


def segment_of(point: np.ndarray, points: np.ndarray, near: list[set[int]]) -> tuple[int, int, float] | None:
    """Return the sample, its neighbour and the u in [0, 1) of the segment that a point lies on."""
    for a, mates in enumerate(near):
        for b in mates:
            way = points[b] - points[a]
            u = float((point - points[a]) @ way / (way @ way))
            if 0 <= u < 1 and np.allclose(points[a] + u * way, point, atol=1e-9):
                return a, b, u
    return None


def test_each_class_gets_as_many_as_the_largest_and_the_given_ones_stay() -> None:
    x, y = clouds()
    new_x, new_y = smote(x, y, seed=1)
    assert np.bincount(new_y).tolist() == [60, 60, 60]
    np.testing.assert_array_equal(new_x[: len(x)], x)
    np.testing.assert_array_equal(new_y[: len(y)], y)
    assert (new_x.dtype, new_y.dtype) == (x.dtype, y.dtype)
    assert new_y[len(y) :].tolist() == [1] * 51 + [2] * 40


@pytest.mark.parametrize("k", [1, 3, 8])
def test_each_new_sample_lies_between_a_sample_and_one_of_its_nearest(k: int) -> None:
    x, y = clouds()
    new_x, _ = smote(x, y, k_neighbors=k, sampling={1: 60}, seed=2)
    minority = x[y == 1]
    near = nearest(minority, k)
    found = [segment_of(point, minority, near) for point in new_x[len(x) :]]
    assert None not in found


def test_each_sample_serves_equally_often_and_u_is_uniform() -> None:
    rng = np.random.default_rng(0)
    minority = rng.normal(size=(7, 4)) * 5  # in four dimensions no two segments meet but at their ends
    x, y = np.concatenate([minority, rng.normal(size=(2108, 4))]), np.repeat([1, 0], [7, 2108])
    new_x, _ = smote(x, y, k_neighbors=6, seed=3)
    whole = [set(range(7)) - {i} for i in range(7)]
    found = [segment_of(point, minority, whole) for point in new_x[len(x) :]]
    assert None not in found
    # A segment is found from either end, u or 1 - u: both are uniform, with standard error (1 / sqrt(12 n)).
    us = np.array([u for _, _, u in found])
    assert len(us) == 2101
    assert abs(us.mean() - 0.5) < 4 / np.sqrt(12 * len(us))
    assert abs((us < 0.25).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(us))
    # Each of the 21 pairs is drawn equally often: counts of mean 100, the chi-square of 20 degrees below its 1e-4 tail.
    pairs = np.bincount([min(a, b) * 7 + max(a, b) for a, b, _ in found], minlength=49)
    pairs = pairs[pairs > 0]
    assert len(pairs) == 21
    assert ((pairs - 2101 / 21) ** 2 / (2101 / 21)).sum() < 52.4


def test_twins_far_from_the_origin_are_neighbours() -> None:
    minority = 1e6 + np.array([[0.0, 0.0], [0.0, 0.0], [1e-3, 0.0], [1e-3, 0.0], [9.0, 9.0], [9.0, 9.0]])
    near = oversampling._neighbors(minority, np.arange(6), 1)
    assert near.ravel().tolist() == [1, 0, 3, 2, 5, 4]


def test_neighbours_are_the_same_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(5).normal(size=(50, 4))
    monkeypatch.setattr(oversampling, "_DISTANCES", 120)
    parts = oversampling._neighbors(points, np.arange(50), 4)
    assert [set(row) for row in parts.tolist()] == nearest(points, 4)


def test_images_of_bytes_stay_images_of_bytes() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, size=(30, 4, 4, 3), dtype=np.uint8)
    y = np.array([[0]] * 20 + [[7]] * 10, np.uint8)
    new_x, new_y = smote(x, y, k_neighbors=2, seed=0)
    assert (new_x.shape, new_x.dtype) == ((40, 4, 4, 3), np.uint8)
    assert (new_y.shape, new_y.dtype) == ((40, 1), np.uint8)
    minority = x[20:].astype(float)
    low, high = minority.min(axis=0), minority.max(axis=0)
    assert ((new_x[30:] >= low) & (new_x[30:] <= high)).all()


def test_float32_stays_float32_and_labels_may_be_words() -> None:
    x, y = clouds((12, 6))
    words = np.array(["common", "rare"])[y]
    new_x, new_y = smote(x.astype(np.float32), words, seed=0)
    assert new_x.dtype == np.float32
    assert (new_y[18:] == "rare").all()


def test_sampling_says_how_many_each_class_is_to_have() -> None:
    x, y = clouds()
    _, new_y = smote(x, y, sampling={1: 12, 0: 61}, seed=1)
    assert np.bincount(new_y).tolist() == [61, 12, 20]


def test_balanced_classes_stay_as_they_are() -> None:
    x, y = clouds((2, 2))
    new_x, new_y = smote(x, y)
    np.testing.assert_array_equal(new_x, x)
    np.testing.assert_array_equal(new_y, y)


def test_a_seed_gives_the_same_samples() -> None:
    x, y = clouds()
    np.testing.assert_array_equal(smote(x, y, seed=4)[0], smote(x, y, seed=4)[0])
    assert not np.array_equal(smote(x, y, seed=4)[0], smote(x, y, seed=5)[0])
    td.utils.set_random_seed(8)
    first = smote(x, y)[0]
    second = smote(x, y)[0]
    td.utils.set_random_seed(8)
    np.testing.assert_array_equal(smote(x, y)[0], first)
    assert not np.array_equal(first, second)


X, Y = clouds((10, 4, 1))


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((X[Y < 2], Y[Y < 2]), {}, "the class 1 has 4 samples, and 5 neighbours of each need at least 6: give k_neigh"),
        ((X[Y < 2], Y[Y < 2]), {"k_neighbors": 4}, "give k_neighbors=3 or less, or leave the class out"),
        ((X, Y), {"k_neighbors": 1}, "the class 2 has 1 sample, and 1 neighbours of each need at least 2: give it mor"),
        ((X, Y), {"k_neighbors": 0}, "k_neighbors must be an integer of at least 1, not 0"),
        ((X, Y), {"k_neighbors": 2.5}, "k_neighbors must be an integer of at least 1, not 2.5"),
        ((X, Y), {"seed": -1}, "seed must be None or an integer from 0 to 2**63 - 1, not -1"),
        ((X, Y), {"sampling": {9: 10}}, "sampling names the class 9, which y does not have; it has [0, 1, 2]"),
        ((X, Y), {"sampling": {0: 9}}, "sampling gives the class 0 9 samples; it has 10"),
        ((X, Y), {"sampling": {0: 10.5}}, "sampling gives the class 0 10.5 samples; it has 10"),
        ((X, Y), {"sampling": "minority"}, "sampling must be a dict"),
        ((X, Y[1:]), {}, "y must have shape (15,) like x's samples, not (14,)"),
        ((X, np.eye(3)[Y]), {}, "not (15, 3): one label a sample, not one-hot rows"),
        ((X[:, 0], Y), {}, "x must be an array of numbers of shape (samples, ...)"),
        ((X.astype(str), Y), {}, "x must be an array of numbers"),
        ((X[:0], Y[:0]), {}, "x has no samples"),
        ((np.where(X[3, 1] == X, np.nan, X), Y), {}, "x holds nan at sample 3"),
    ],
)
def test_what_is_refused(args: Any, kwargs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="smote: .*" + re.escape(sentence)):
        smote(*args, **kwargs)
