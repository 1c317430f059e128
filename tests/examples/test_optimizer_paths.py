"""The lesson on optimizers."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


def test_plain_descent_is_the_formula(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    out = str(tmp_path / "paths.png")
    descents = load("optimizer_paths").main(["--optimizers", "sgd", "--steps", "50", "--out", out])
    end = [-3.0 * (1 - 1e-3 * 40) ** 50, -2.0 * (1 - 1e-3 * 2) ** 50]
    np.testing.assert_allclose(descents["20 a² + b²"]["sgd"].path[-1], end, rtol=1e-5)


def test_an_unknown_optimizer_is_refused(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        load("optimizer_paths").main(["--optimizers", "sgd,adm"])
    assert "'adm' is none of sgd, momentum" in capsys.readouterr().err


def test_the_moving_picture_grows_to_the_still_one(
    load: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    animated = tmp_path / "pictures" / "paths.gif"
    options = ["--optimizers", "sgd,adam", "--steps", "12", "--every", "5", "--out", str(tmp_path / "paths.png")]
    load("optimizer_paths").main([*options, "--animate", str(animated)])
    assert f"see {animated}" in capsys.readouterr().out
    with Image.open(animated) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB"), int))
    assert len(frames) == 4  # after 0, 5, 10 and all 12 steps; the rest at the end is one frame, of a second and more
    inked = [int((frame < 200).any(axis=2).sum()) for frame in frames]
    assert inked == sorted(set(inked))
