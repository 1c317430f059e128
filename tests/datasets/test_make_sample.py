"""The script that made the sample draws evenly, and the same at each run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tinygrad_dnn.datasets import make_sample
from tinygrad_dnn.datasets._files import Array


def numbered(count: int) -> tuple[Array, Array]:
    """Return images that hold their own number in their first two pixels, and the labels number % 10."""
    x = np.zeros((count, 28, 28), np.uint8)
    x[:, 0, 0], x[:, 0, 1] = np.divmod(np.arange(count), 256)
    return x, (np.arange(count) % 10).astype(np.uint8)


def test_draw_is_even_without_repeats_and_shuffled() -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 50)
    drawn = make_sample.draw_evenly(labels, 20, np.random.RandomState(0))
    assert len(set(drawn.tolist())) == 200
    assert np.bincount(labels[drawn]).tolist() == [20] * 10
    assert np.count_nonzero(np.diff(labels[drawn].astype(int))) > 150
    np.testing.assert_array_equal(drawn, make_sample.draw_evenly(labels, 20, np.random.RandomState(0)))


def test_runs_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    whole = numbered(7_000), numbered(1_200)
    monkeypatch.setattr(make_sample.fashion_mnist, "load_data", lambda: whole)
    paths = [tmp_path / "first.npz", tmp_path / "second.npz"]
    for path in paths:
        make_sample.main([str(path)])
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert f"{len(first):,} bytes, SHA-256 {hashlib.sha256(first).hexdigest()}" in capsys.readouterr().out
    with np.load(paths[0], allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["x_test", "x_train", "y_test", "y_train"]
        for part, count in (("train", 6_000), ("test", 1_000)):
            x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
            number = x[:, 0, 0].astype(int) * 256 + x[:, 0, 1]
            assert len(set(number.tolist())) == count
            np.testing.assert_array_equal(number % 10, y)
            assert np.bincount(y).tolist() == [count // 10] * 10
