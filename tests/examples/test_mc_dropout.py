"""The lesson on Monte Carlo dropout."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td

Load = Callable[[str], ModuleType]


def test_what_the_lesson_claims(load: Load, tmp_path: Path) -> None:
    arguments = ["--samples", "500", "--epochs", "30", "--passes", "20", "--out", str(tmp_path / "mc.png")]
    probabilities, uncertainty, by_passes = load("mc_dropout").main(arguments)
    (_, (_, labels)) = td.datasets.sample.load_data()
    plain, once, mean = probabilities.values()
    right = [float((p.argmax(1) == labels).mean()) for p in (plain, once, mean)]
    sure = [float(p.max(1).mean()) for p in (plain, once, mean)]
    assert sure[0] > right[0] + 0.05
    assert abs(sure[1] - right[1]) < sure[0] - right[0]
    assert sure[2] < right[2]
    assert abs(right[2] - right[1]) < 0.02
    assert list(by_passes) == [2, 5, 10, 20]
    assert by_passes[20] < by_passes[2]
    order = np.argsort(uncertainty.entropy)
    hits = (mean.argmax(1) == labels)[order]
    assert hits[:500].mean() > 0.9
    assert hits[:500].mean() > hits[500:].mean() + 0.2
    np.testing.assert_allclose(uncertainty.entropy, -(mean * np.log(mean + 1e-30)).sum(1), atol=1e-5)


def test_reliability_is_the_mean_and_the_share_by_group(load: Load) -> None:
    p = np.array([[0.9, 0.1]] * 10 + [[0.3, 0.7]] * 10 + [[0.45, 0.55]] * 9)
    y = np.array([0] * 9 + [1] + [1] * 7 + [0] * 3 + [0] * 9)
    sure, right = load("mc_dropout").reliability(p, y)  # groups below ten images are left out
    assert sure == pytest.approx([0.7, 0.9])
    assert right == pytest.approx([0.7, 0.9])


def test_cross_entropy_is_that_of_the_right_class(load: Load) -> None:
    p = np.array([[0.25, 0.75], [0.5, 0.5]])
    assert load("mc_dropout").cross_entropy(p, np.array([0, 1])) == pytest.approx(np.log(8) / 2, rel=1e-5)
