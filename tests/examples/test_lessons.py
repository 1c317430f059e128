"""Each lesson as a reader runs it: its options, its length and its picture, at a size that takes two seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
Load = Callable[[str], ModuleType]

# What makes each lesson small.
QUICK = {
    "dropout": ["--samples", "100", "--epochs", "5", "--seeds", "1"],
    "smote": ["--samples", "200", "--rare", "6", "--epochs", "1", "--seeds", "1"],
    "augmentation": ["--samples", "100", "--epochs", "3", "--seeds", "1"],
    "ensembles": ["--samples", "200", "--members", "2", "--seeds", "1"],
    "max_norm": ["--samples", "100", "--epochs", "1", "--seeds", "1"],
    "mc_dropout": ["--samples", "100", "--epochs", "5", "--passes", "6"],
    "weight_penalties": ["--samples", "100", "--epochs", "10", "--seeds", "1"],
    "activations": ["--epochs", "1", "--samples", "100", "--layers", "10"],
    "batch_normalization": ["--epochs", "1", "--samples", "200", "--times", "1"],
    "gradient_clipping": ["--steps", "20", "--layers", "10"],
    "initializers": ["--layers", "4", "--epochs", "1", "--seeds", "1", "--samples", "200"],
    "optimizer_paths": ["--steps", "20"],
    "vanishing_gradients": ["--layers", "6", "--epochs", "1", "--seeds", "1", "--samples", "200"],
    "transfer_learning": ["--seeds", "1", "--samples", "200", "--epochs", "2"],
    "performance_scheduling": ["--seeds", "1", "--samples", "200", "--epochs", "3"],
    "early_stopping": ["--seeds", "1", "--samples", "200", "--epochs", "6", "--patience", "2"],
    "bias_and_variance": ["--sets", "2", "--samples", "60", "--steps", "10"],
    "learning_rate_schedules": ["--seeds", "1", "--samples", "100", "--epochs", "3"],
    "learning_rate_finder": ["--seeds", "1", "--samples", "100", "--epochs", "1"],
    "residual_connections": ["--layers", "4", "--samples", "100", "--epochs", "1", "--seeds", "1"],
}


def test_each_lesson_is_run_here() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"lesson", "cifar10_exercise"}
    assert set(QUICK) == scripts


@pytest.mark.parametrize("name", QUICK)
def test_it_draws_its_picture(name: str, load: Load, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    picture = tmp_path / "pictures" / f"{name}.png"
    load(name).main([*QUICK[name], "--out", str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"see {picture}" in capsys.readouterr().out


@pytest.mark.parametrize("name", QUICK)
def test_help_tells_what_it_is_about_and_how_to_run_it(name: str, load: Load, capsys: pytest.CaptureFixture) -> None:
    script = load(name)
    with pytest.raises(SystemExit, match="0"):
        script.main(["--help"])
    told = capsys.readouterr().out
    assert script.__doc__.splitlines()[0] in told
    assert f"python examples/{name}.py" in told
    assert f"default {Path('gallery') / name}.png" in " ".join(told.split())


@pytest.mark.parametrize("name", QUICK)
def test_a_lesson_is_read_in_one_go(name: str) -> None:
    assert 30 <= len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 120


def test_a_count_below_one_is_refused(load: Load, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("optimizer_paths").main(["--steps", "0"])
    assert "argument --steps: '0' is no integer of at least 1" in capsys.readouterr().err


def test_a_lesson_runs_as_a_script_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "optimizer_paths.py", *QUICK["optimizer_paths"], "--optimizers", "sgd"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("see gallery/optimizer_paths.png\n")
    assert (tmp_path / "gallery" / "optimizer_paths.png").exists()


def test_ctrl_c_ends_a_lesson_in_one_line(load: Load) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="interrupted: no picture was written"):
        load("lesson").run(interrupted)


def test_the_images_of_a_lesson(load: Load) -> None:
    images = load("lesson").images(100)
    assert [len(part) for part in images] == [100, 100, 1000, 1000, 1000, 1000]
    assert images.x_train.dtype == "float32"
    assert (images.x_valid.min(), images.x_valid.max()) == (0.0, 1.0)
