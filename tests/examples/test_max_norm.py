"""The lesson on bounding the weights' norms."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np


def test_what_the_lesson_claims(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    arguments = ["--samples", "400", "--epochs", "7", "--seeds", "1", "--out", str(tmp_path / "norms.png")]
    runs = load("max_norm").main(arguments)
    for bound in (1.0, 0.5):
        for rate in runs[bound]:
            assert (runs[bound][rate][0].norms <= bound * (1 + 1e-6)).all()
    small = [runs[bound][0.02][0] for bound in (None, 1.0, 0.5)]
    fitted = [run.loss for run in small]
    assert fitted == sorted(fitted)
    assert fitted[2] > fitted[1] + 0.5
    assert len(small[0].norms) == 7 * 13  # each step is looked at
    change = np.abs(small[0].norms[-1] / small[0].norms[0] - 1)
    assert change.max() < 0.1
    free, bounded = runs[None][0.2][0], runs[1.0][0.2][0]
    assert not np.isfinite(free.loss)
    assert not (free.norms[9] < 100).all()
    assert free.accuracy < 0.2
    assert bounded.loss < 1
    assert bounded.accuracy > 0.3
    assert np.isfinite([run.loss for run in (*runs[1.0][0.4], *runs[0.5][0.4])]).all()
    assert runs[1.0][0.4][0].accuracy < 0.5
