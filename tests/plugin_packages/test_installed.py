"""Three of the packages, built and installed by pip in a folder of their own, and used by name in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin_packages.packages import PACKAGES, python

INSTALLED = ("tinygrad-dnn-ademamix", "tinygrad-dnn-torch", "tinygrad-dnn-wsd")
USE = """
import sys
import numpy as np
import tinygrad_dnn as td

assert not any(name.startswith("tinygrad_dnn_") for name in sys.modules)
x = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
schedule = td.schedulers.get("wsd", learning_rate=0.01, total_steps=10, decay_steps=4)
for optimizer in (td.optimizers.get("ademamix", learning_rate=schedule), "torch.nadam"):
    model = td.Sequential([td.Input(shape=(6,)), td.layers.Dense(8, activation="elu"), td.layers.Dense(2)])
    model.compile(optimizer=optimizer, loss="mse")
    losses = model.fit(x, x[:, :2], epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(sys.argv[1])
    kept = td.models.load_model(sys.argv[1])
    np.testing.assert_array_equal(kept.predict(x, verbose=0), model.predict(x, verbose=0))
    for row in td.models.inspect(sys.argv[1]).plugins:
        print(row["kind"], row["name"], row["distribution"], row["version"])
for plugin in td.plugins.report().loaded:
    print(plugin.distribution, plugin.version, plugin.entry_point, len(plugin.registered))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the packages and install them; no index is asked."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--isolated", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, *(str(PACKAGES[name].folder) for name in INSTALLED)], check=True)
    return target


def test_installed_packages_are_used_by_name(site: Path, tmp_path: Path) -> None:
    assert python([site], "-c", USE, str(tmp_path / "model")).splitlines() == [
        "optimizers ademamix tinygrad-dnn-ademamix 0.1.0",
        "schedulers wsd tinygrad-dnn-wsd 0.1.0",
        "optimizers torch.nadam tinygrad-dnn-torch 0.1.0",
        "tinygrad-dnn-ademamix 0.1.0 ademamix 1",
        "tinygrad-dnn-torch 0.1.0 torch 32",
        "tinygrad-dnn-wsd 0.1.0 wsd 1",
    ]


def test_the_command_line_says_where_a_name_came_from(site: Path) -> None:
    told = json.loads(python([site], "-m", "tinygrad_dnn", "plugins", "show", "torch.nadam", "--json"))
    (found,) = told["names"]
    assert (found["name"], found["kind"]) == ("torch.nadam", "optimizers")
    assert (found["distribution"], found["version"], found["entry_point"]) == ("tinygrad-dnn-torch", "0.1.0", "torch")


def test_a_wheel_holds_the_module_and_the_licence_and_no_tests(site: Path) -> None:
    for name in INSTALLED:
        module = name.replace("-", "_")
        info = site / f"{module}-0.1.0.dist-info"
        assert (info / "licenses" / "LICENSE").exists()
        top = {line.split(",")[0].split("/")[0] for line in (info / "RECORD").read_text(encoding="utf-8").splitlines()}
        assert top - {"__pycache__"} == {info.name, module if name == "tinygrad-dnn-torch" else f"{module}.py"}


def test_installed_and_switched_off(site: Path) -> None:
    code = "import sys, tinygrad_dnn as td; print('torch.nadam' in td.registry.optimizers, *sys.modules)"
    found, *modules = python([site], "-c", code, TINYGRAD_DNN_PLUGINS="").split()
    assert found == "False"
    assert not [name for name in modules if name.startswith("tinygrad_dnn_")]
