"""The lesson on ensembles."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_what_the_lesson_claims(load: Load, tmp_path: Path) -> None:
    arguments = ["--samples", "1000", "--members", "4", "--seeds", "1", "--out", str(tmp_path / "ensembles.png")]
    (apart,), (snapshots,) = load("ensembles").main(arguments).values()
    for votes in (apart, snapshots):
        assert votes.members.shape == votes.together.shape == (4, 2)
        np.testing.assert_allclose(votes.together[0], votes.members[0])  # an ensemble of one
        assert votes.together[-1, 0] < votes.members[:, 0].min()
    assert apart.together[-1, 1] > apart.members[:, 1].mean() + 0.005
    assert snapshots.differ < apart.differ


def test_snapshots_are_of_one_training(load: Load) -> None:
    script = load("ensembles")
    images = load("lesson").images(64)
    last, first = script.snapshots(images.x_train, images.y_train, 2)
    assert last is not first
    kernels = [np.array(model.layers[1].kernel) for model in (last, first)]
    assert not np.array_equal(*kernels)
    # Two cycles with the same start differ by less than two trainings.
    apart = [np.array(model.layers[1].kernel) for model in script.trained_apart(images.x_train, images.y_train, 2)]
    assert np.abs(kernels[0] - kernels[1]).mean() < np.abs(apart[0] - apart[1]).mean() / 2


def test_how_often_two_differ_is_counted_over_pairs(load: Load) -> None:
    script = load("ensembles")
    images = load("lesson").images(64)
    model = script.build()
    assert script.vote([model, model, model], images).differ == 0
    others = [script.build() for _ in range(3)]
    classes = [other.predict(images.x_test).argmax(1) for other in others]
    pairs = [(classes[a] != classes[b]).mean() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert script.vote(others, images).differ == pytest.approx(np.mean(pairs))
