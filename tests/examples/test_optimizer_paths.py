"""The lesson on optimizers."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def test_plain_descent_is_the_formula(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    out = str(tmp_path / "paths.png")
    descents = load("optimizer_paths").main(["--optimizers", "sgd", "--steps", "50", "--out", out])
    end = [-3.0 * (1 - 1e-3 * 40) ** 50, -2.0 * (1 - 1e-3 * 2) ** 50]
    np.testing.assert_allclose(descents["20 a² + b²"]["sgd"].path[-1], end, rtol=1e-5)


def test_an_unknown_optimizer_is_refused(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        load("optimizer_paths").main(["--optimizers", "sgd,adm"])
    assert "'adm' is none of sgd, momentum" in capsys.readouterr().err
