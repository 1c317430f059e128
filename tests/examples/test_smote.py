"""The lesson on classes out of balance."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_what_the_lesson_claims(load: Load, tmp_path: Path) -> None:
    arguments = ["--samples", "1500", "--rare", "20", "--epochs", "8", "--seeds", "2", "--out", str(tmp_path / "s.png")]
    scores = load("smote").main(arguments)
    assert scores.shape == (2, 5, 3)
    accuracy, recall, _ = scores.mean(0).T
    assert recall[0] < 0.1
    assert recall[1:].min() > recall[0] + 0.05
    assert recall[4] == recall.max()
    assert accuracy[0] > accuracy[4] - 0.05
    assert abs(recall[3] - recall[2]) < 0.15  # SMOTE and over-sampling


def test_new_samples_lie_between_their_parents(load: Load) -> None:
    script = load("smote")
    images = load("lesson").images(300)
    _, (old, new) = script.compare(images, rare=8, neighbors=2, epochs=1, seed=0)
    assert len(old) == 8
    assert len(old) + len(new) == (images.y_train == script.SHIRT).sum()
    for image, (first, second) in zip(new, script.parents(new, old), strict=True):
        along = (old[second] - old[first]).ravel().astype("float64")
        u = ((image - old[first]).ravel() @ along) / (along @ along)
        assert 0 <= u <= 1
        np.testing.assert_allclose(image, old[first] + u * (old[second] - old[first]), atol=1e-6)


def test_too_few_shirts_for_the_neighbours_are_refused(load: Load, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("smote").main(["--rare", "5"])
    assert "argument --rare: 5 is not above --neighbors" in capsys.readouterr().err
