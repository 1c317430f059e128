"""The exercise as a user runs it: the table, results.json, the picture, wrong options, Ctrl-C."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.exercise import networks, running

SCRIPT = Path(__file__).parents[2] / "examples" / "cifar10_exercise.py"


@pytest.fixture
def exercise(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the script, with 20 of its layers left at 3 and a tenth of the sample, so that an epoch is quick."""
    spec = importlib.util.spec_from_file_location("cifar10_exercise", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "cifar10_exercise", module)
    spec.loader.exec_module(module)
    whole = td.datasets.sample.load_data
    monkeypatch.setattr(td.datasets.sample, "load_data", lambda: tuple((x[:600], y[:600]) for x, y in whole()))
    monkeypatch.setattr(networks, "HIDDEN_LAYERS", 3)
    return module


def test_it_writes_results_and_the_picture(exercise: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    status = exercise.main(["--epochs", "2", "--out", str(tmp_path / "new"), "--verbose", "0"])
    assert status == 0
    written = json.loads((tmp_path / "new" / "results.json").read_text())
    assert list(written["results"]) == ["elu", "bn", "selu", "alpha"]
    for run in written["results"].values():
        assert run["epochs"] == 2
        assert not run["interrupted"]
        curve = run["history"]["val_accuracy"]
        assert run["best_val_accuracy"] == max(curve)
        assert run["plugins"] == []
        assert run["best_epoch"] == curve.index(max(curve)) + 1
        assert set(run["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert written["versions"]["tinygrad_dnn"] == td.__version__
    assert written["options"]["seed"] == 42
    assert (tmp_path / "new" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    table = capsys.readouterr().out
    assert all(variant.title in table for variant in networks.VARIANTS.values())


def test_the_same_seed_gives_the_same_curves(exercise: ModuleType, tmp_path: Path) -> None:
    curves = []
    for folder in ("a", "b"):
        exercise.main(["--epochs", "1", "--variants", "alpha", "--out", str(tmp_path / folder), "--verbose", "0"])
        curves.append(json.loads((tmp_path / folder / "results.json").read_text())["results"]["alpha"]["history"])
    assert curves[0] == curves[1]


def test_early_stopping_ends_a_variant(exercise: ModuleType, tmp_path: Path) -> None:
    exercise.main(["--variants", "selu", "--epochs", "60", "--patience", "1", "--out", str(tmp_path), "--verbose", "0"])
    run = json.loads((tmp_path / "results.json").read_text())["results"]["selu"]
    best = int(np.argmin(run["history"]["val_loss"]))
    assert run["epochs"] == best + 2 < 60


def test_the_variants_are_those_of_the_exercise(exercise: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "HIDDEN_LAYERS", 20)
    kinds = {}
    for name, variant in networks.VARIANTS.items():
        model = networks.build(variant, (32, 32, 3))
        kinds[name] = [type(layer).__name__ for layer in model.layers]
        dense = [layer for layer in model.layers if isinstance(layer, td.layers.Dense)]
        assert [layer.units for layer in dense] == [100] * 20 + [10]
        wanted = "LecunNormal" if variant.standardized else "HeNormal"
        assert {type(layer.kernel_initializer).__name__ for layer in dense[:-1]} == {wanted}
        assert float(model.optimizer.learning_rate) == pytest.approx(variant.learning_rate)
    assert kinds["elu"] == kinds["selu"] == ["Flatten"] + ["Dense"] * 21
    normalized = ["Dense", "BatchNormalization", "Activation"]
    assert kinds["bn"] == ["Flatten", "BatchNormalization", *normalized * 20, "Dense"]
    assert kinds["alpha"] == ["Flatten"] + ["Dense"] * 20 + ["AlphaDropout", "Dense"]


def test_ctrl_c_keeps_the_epochs_that_were_finished(
    exercise: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = running.Timer.on_epoch_end

    def interrupt(timer: object, epoch: int, logs: object = None) -> None:
        original(timer, epoch, logs)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(running.Timer, "on_epoch_end", interrupt)
    assert exercise.main(["--variants", "elu,selu", "--out", str(tmp_path), "--verbose", "0"]) == 130
    written = json.loads((tmp_path / "results.json").read_text())["results"]
    assert list(written) == ["elu"]
    assert written["elu"]["interrupted"]
    assert written["elu"]["epochs"] == 3


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    exercise: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    options = ["--variants", "elu,alpha", "--epochs", "4", "--verbose", "0"]
    assert exercise.main([*options, "--out", str(tmp_path / "straight")]) == 0
    original = running.Timer.on_epoch_end

    def interrupt(timer: running.Timer, epoch: int, logs: object = None) -> None:
        original(timer, epoch, logs)
        if epoch == 2 and isinstance(timer.model.layers[-2], td.layers.AlphaDropout):
            raise KeyboardInterrupt

    resuming = [*options, "--out", str(tmp_path / "resumed"), "--resume", str(tmp_path / "backups")]
    with monkeypatch.context() as patch:
        patch.setattr(running.Timer, "on_epoch_end", interrupt)
        assert exercise.main(resuming) == 130
    assert exercise.main(resuming) == 0
    assert "finished before" in capsys.readouterr().out
    written = [json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("straight", "resumed")]
    curves = [{name: run["history"] for name, run in each["results"].items()} for each in written]
    assert curves[0] == curves[1]
    with pytest.raises(ValueError, match=r"is of a run with --seed 42, and this one has 43"):
        exercise.main([*resuming, "--seed", "43"])


def test_another_run_does_not_go_on_from_an_unfinished_one(
    exercise: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--variants", "elu", "--epochs", "3", "--verbose", "0", "--out", str(tmp_path / "out")]
    options += ["--resume", str(tmp_path / "backups")]
    original = running.Timer.on_epoch_end

    def interrupt(timer: running.Timer, epoch: int, logs: object = None) -> None:
        original(timer, epoch, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.Timer, "on_epoch_end", interrupt)
        exercise.main(options)
    with pytest.raises(ValueError, match=r"backups is of a run with --seed 42, and this one has 43: give this one a"):
        exercise.main([*options, "--seed", "43"])
    (tmp_path / "backups" / "options.json").write_text("{")
    with pytest.raises(ValueError, match=r"options\.json is damaged: delete it"):
        exercise.main(options)


@pytest.mark.parametrize("option", ["--out", "--resume"])
def test_a_file_in_a_folders_place_is_refused_before_the_training(
    exercise: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(running, "train", lambda *arguments: pytest.fail("it was trained"))
    with pytest.raises(NotADirectoryError, match=f"{option} .*file: there is a file in the place of this folder"):
        exercise.main(["--out", str(tmp_path / "out"), option, str(tmp_path / "file")])


def test_without_matplotlib_the_results_are_written(
    exercise: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert exercise.main(["--variants", "elu", "--epochs", "1", "--verbose", "0", "--out", str(tmp_path)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    assert "for a picture, too, pip install 'tinygrad-dnn[plot]'" in capsys.readouterr().out


def test_a_colour_image_data_set_takes_its_place(
    exercise: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (240, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, (240, 1), dtype=np.uint8)
    monkeypatch.setattr(td.datasets.cifar10, "load_data", lambda: ((images, labels), (images, labels)))
    options = ["--dataset", "cifar10", "--epochs", "1", "--variants", "elu,selu", "--verbose", "0"]
    assert exercise.main([*options, "--out", str(tmp_path)]) == 0
    assert np.isfinite(json.loads((tmp_path / "results.json").read_text())["results"]["selu"]["history"]["loss"]).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--variants", "elu,relu"], "'relu' is no variant; choose among elu, bn, selu, alpha"),
        (["--epochs", "0"], "'0' is no positive integer"),
        (["--dataset", "mnist"], "invalid choice: 'mnist'"),
    ],
)
def test_a_wrong_option_is_refused(
    exercise: ModuleType, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        exercise.main(arguments)
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_standardising_leaves_a_pixel_that_never_changes_finite(exercise: ModuleType) -> None:
    x = np.zeros((6, 2, 2), np.uint8)
    x[:, 0, 0] = range(6)
    data = running.standardize(running.Data(x, np.zeros(6), x[:2], np.zeros(2)))
    assert np.isfinite(data.x_train).all()
    np.testing.assert_allclose(data.x_train[:, 0, 0].std(), 1, rtol=1e-6)
