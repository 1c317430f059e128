"""The lesson on optimizers as a reader runs it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "optimizer_paths.py"


@pytest.fixture(scope="module")
def lesson() -> ModuleType:
    spec = importlib.util.spec_from_file_location("optimizer_paths", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_draws_each_optimizer(lesson: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert lesson.main(["--steps", "20", "--out", str(tmp_path / "paths.png")]) == 0
    assert (tmp_path / "paths.png").read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    assert all(told.count(f": {name} ends at") == 2 for name in lesson.OPTIMIZERS)


def test_plain_descent_is_the_formulas(lesson: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lesson.main(["--optimizers", "sgd", "--steps", "50", "--out", str(tmp_path / "paths.png")])
    end = np.array([-3.0 * (1 - 1e-3 * 40) ** 50, -2.0 * (1 - 1e-3 * 2) ** 50])
    assert f"sgd ends at ({end[0]:.3f}, {end[1]:.3f})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--optimizers", "sgd,adm"], "'adm' is none of sgd, momentum"), (["--steps", "0"], "--steps must be at least 1")],
)
def test_a_wrong_option_is_refused(
    lesson: ModuleType, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        lesson.main(arguments)
    assert sentence in capsys.readouterr().err
