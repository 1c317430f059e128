"""Each lesson as a reader runs it: its options, its length and its picture, at a size that takes two seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
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
    "corrections_claims": ["--seeds", "1", "--samples", "100"],
    "corrections_formulas": ["--layers", "5"],
    "corrections_normalisation": ["--epochs", "1", "--samples", "100"],
    "corrections_optimizers": ["--steps", "20"],
    "corrections_training": ["--seeds", "1", "--epochs", "2", "--samples", "50"],
    "residual_connections": ["--layers", "4", "--samples", "100", "--epochs", "1", "--seeds", "1"],
}


def test_each_lesson_is_run_here() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"lesson", "cifar10_exercise"}
    assert set(QUICK) == scripts


@pytest.mark.parametrize("name", QUICK)
def test_each_lesson_has_its_place_in_the_course(name: str) -> None:
    docs = EXAMPLES.parent / "docs"
    page = docs / ("corrections.md" if name.startswith("corrections_") else "lessons.md")
    assert f"{name}.py" in page.read_text()


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epochs", "0"], "argument --epochs: '0' is no integer of at least 1"),
        (["--samples", "5001"], "argument --samples: '5001' is no integer from 1 to 5000"),
        (["--seed", "-1"], "argument --seed: '-1' is no integer from 0 to 1000000000"),
        (["--out", "picture"], "argument --out: 'picture' does not end in one of .png, .svg, .pdf, .jpg, .webp"),
        (["--out", "picture.txt"], "argument --out: 'picture.txt' does not end in one of .png"),
        (["--out", "file/picture.png"], "argument --out: 'file/picture.png' cannot be written"),
        (["--out", "folder.png"], "argument --out: 'folder.png' cannot be written"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder.png").mkdir()
    with pytest.raises(SystemExit, match="2"):
        load("dropout").main(options)
    printed = capsys.readouterr()
    assert said in printed.err
    assert not printed.out


def test_a_count_can_have_another_least_value(load: Load, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("mc_dropout").main(["--passes", "1"])
    assert "argument --passes: '1' is no integer of at least 2" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_after_all_is_told_in_one_line(load: Load, tmp_path: Path) -> None:
    lesson = load("lesson")
    path = tmp_path / "folder.png"
    path.mkdir()
    with pytest.raises(SystemExit, match=r"no picture was written: .*folder\.png"):
        lesson.save(lesson.plt.figure(), path)
    lesson.plt.close("all")


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


def test_no_image_to_train_on_is_one_to_validate_on(load: Load) -> None:
    images = load("lesson").images(6000)
    assert len(images.x_train) == 5000
    assert not {image.tobytes() for image in images.x_train} & {image.tobytes() for image in images.x_valid}


def test_standardised_images_have_the_scale_of_those_to_train_on(load: Load) -> None:
    lesson = load("lesson")
    images = lesson.images(100)
    standardized = lesson.standardized(images)
    assert standardized.x_train.mean() == pytest.approx(0, abs=1e-5)
    assert standardized.x_train.std() == pytest.approx(1, abs=1e-5)
    mean, std = images.x_train.mean(), images.x_train.std()
    np.testing.assert_allclose(standardized.x_test * std + mean, images.x_test, atol=1e-6)
    np.testing.assert_allclose(standardized.x_valid * std + mean, images.x_valid, atol=1e-6)
    np.testing.assert_array_equal(standardized.y_train, images.y_train)
