"""Packages that tinygrad-dnn plugins new writes: names, contents, and that what is written works as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tinygrad_dnn.commands import packages
from tinygrad_dnn.registration import KINDS

ROOT = Path(__file__).resolve().parents[2]
KIND = {kind.singular: kind for kind in KINDS}
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-build-isolation", "--no-deps")


def run(folder: Path, site: Path, *arguments: str) -> str:
    """Run Python in a folder, where this package and what is installed in ``site`` are found."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TINYGRAD_DNN", "PYTEST"))}
    env = kept | {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "PIP_USER": "0", "TINYGRAD_DNN_CACHE": "off"}
    done = subprocess.run([sys.executable, *arguments], env=env, cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Names


@pytest.mark.parametrize(
    ("text", "name", "class_name", "module"),
    [
        ("sign_sgd", "sign_sgd", "SignSgd", "tinygrad_dnn_sign_sgd"),
        ("sign-sgd", "sign_sgd", "SignSgd", "tinygrad_dnn_sign_sgd"),
        ("SignSGD", "sign_sgd", "SignSGD", "tinygrad_dnn_sign_sgd"),
        ("LSUV", "lsuv", "LSUV", "tinygrad_dnn_lsuv"),
        ("ademamix", "ademamix", "Ademamix", "tinygrad_dnn_ademamix"),
        ("two_2", "two_2", "Two2", "tinygrad_dnn_two_2"),
    ],
)
def test_names(text: str, name: str, class_name: str, module: str) -> None:
    distribution = module.replace("_", "-")
    assert packages.names_of(text) == (name, class_name, distribution, module)


@pytest.mark.parametrize(
    "text", ["", "2nd", "_mine", "mine_", "my name", "a--b", "../evil", "a.b", "é", "x" * 61, "lambda", "Return", "td"]
)
def test_what_cannot_be_a_name_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be a plugin's name"):
        packages.write(KIND["loss"], text, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("kind", "text"),
    [("activation", "relu"), ("activation", "Swish"), ("optimizer", "AdamW"), ("initializer", "he_normal"),
     ("initializer", "HeNormal"), ("loss", "mse"), ("layer", "batch-normalization")],
)  # fmt: skip
def test_name_of_a_builtin_is_refused(kind: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"is a built-in {kind}'s name, which no plugin can take"):
        packages.write(KIND[kind], text, tmp_path / "new")


def test_name_of_another_kind_is_free(tmp_path: Path) -> None:
    assert packages.write(KIND["optimizer"], "relu", tmp_path / "new").is_dir()


@pytest.mark.parametrize("text", ["loss", "losses", "Loss"])
def test_kinds_are_known_in_singular_and_plural(text: str) -> None:
    assert packages.kind_of(text) is KIND["loss"]


# Contents


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is there already and is not empty: name another folder by --folder"):
        packages.write(KIND["loss"], "huge", tmp_path)
    with pytest.raises(FileExistsError, match="is there already"):
        packages.write(KIND["loss"], "huge", tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert packages.write(KIND["loss"], "huge", tmp_path / "empty") == tmp_path / "empty"


@pytest.mark.parametrize("kind", KIND)
def test_contents(kind: str) -> None:
    files = packages.files_of(KIND[kind], packages.names_of("two_2"))
    assert set(files) == {
        "pyproject.toml", "README.md", "tinygrad_dnn_two_2.py", "tests/test_two_2.py", "tests/test_conformance.py",
        ".github/workflows/tests.yml", ".gitignore",
    }  # fmt: skip
    for path, text in files.items():
        assert text.endswith("\n"), path
        assert max(map(len, text.splitlines())) <= 120, path
        assert "$" not in text.replace("${{ matrix.python }}", ""), path
        if path.endswith(".py"):
            compile(text, path, "exec")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["name"] == "tinygrad-dnn-two-2"
    assert project["entry-points"] == {"tinygrad_dnn": {"two_2": "tinygrad_dnn_two_2"}}
    assert f"def {KIND[kind].hook}(register: Register) -> None:" in files["tinygrad_dnn_two_2.py"]
    registered = "two_2" if kind in ("activation", "loss") else 'Two2, name="two_2"'
    assert f"    register({registered})\n" in files["tinygrad_dnn_two_2.py"]


# What is written works


def test_what_is_written_passes_its_tests_for_each_kind(tmp_path: Path) -> None:
    folders = [packages.write(KIND[kind], f"new_{kind}", tmp_path / kind) for kind in KIND]
    run(tmp_path, tmp_path, *PIP, "--target", str(tmp_path / "site"), *map(str, folders))
    tests = [f"{kind}/tests" for kind in KIND]
    options = ("-v", "--import-mode=importlib", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
    told = run(tmp_path, tmp_path / "site", "-m", "pytest", *options, "-c", "optimizer/pyproject.toml", *tests)
    for kind in KIND:
        passed = re.findall(rf"{kind}/tests/(\w+)\.py::\S+ PASSED", told)
        assert passed.count(f"test_new_{kind}") >= 2, kind
        assert passed.count("test_conformance") >= 5, kind


def test_what_is_written_has_types_and_is_in_order_for_each_kind(tmp_path: Path) -> None:
    for kind in KIND:
        for path, text in packages.files_of(KIND[kind], packages.names_of(f"new_{kind}")).items():
            if path.endswith(".py"):
                (tmp_path / Path(path).name).write_text(text, encoding="utf-8")
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    assert len(files) == 2 * len(KIND) + 1
    told = run(tmp_path, tmp_path, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={os.devnull}", *files)
    assert told.startswith("Success"), told
    rules = "--select=E,W,F,I,N,UP,B,RUF,SIM,PIE,C4"
    run(tmp_path, tmp_path, "-m", "ruff", "check", "--no-cache", "--isolated", rules, "--line-length=120", ".")


def test_from_an_empty_folder_to_training_by_name_in_four_commands(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows tells no process's time")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    site = tmp_path / "site"
    folder = tmp_path / "tinygrad-dnn-sign-sgd"

    run(tmp_path, site, "-m", "tinygrad_dnn", "plugins", "new", "optimizer", "sign_sgd")
    run(tmp_path, site, *PIP, "--target", str(site), "./tinygrad-dnn-sign-sgd")
    tested = run(folder, site, "-m", "pytest", "-p", "no:cacheprovider")
    used = run(tmp_path, site, "-c", """
import numpy as np
import tinygrad_dnn as td
model = td.Sequential([td.layers.Dense(1, input_shape=(3,))])
model.compile(optimizer="sign_sgd", loss="mse")
x = np.random.default_rng(0).normal(size=(256, 3))
losses = model.fit(x, x.sum(axis=1, keepdims=True), epochs=30, verbose=0).history["loss"]
print(losses[-1] < 0.5 * losses[0], td.models.provenance(model)[0]["distribution"])
""")  # fmt: skip

    assert re.search(r"= [1-9]\d* passed in ", tested)
    assert used.split() == ["True", "tinygrad-dnn-sign-sgd"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 120, "of machine time, however busy the machine"
