"""Plugins and files: where each name came from is written, and a reader without it is told what to install."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.plugin_fixtures.host import install, only_site
from tinygrad_dnn import saving

L = td.layers
X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
SOURCE = """
import tinygrad_dnn as td

def swirl(x):
    return x * 0.5

class Twist(td.layers.Layer):
    def call(self, inputs):
        return inputs + 1.0

@hookimpl
def register_activations(register):
    register(swirl)

@hookimpl
def register_layers(register):
    register(Twist)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "site").mkdir()
    for folder in only_site(tmp_path / "site", monkeypatch):
        td.plugins.reset()
        yield folder
    td.plugins.reset()


@pytest.fixture
def file(site: Path, tmp_path: Path) -> Path:
    """Save a model that needs a plugin, and take the plugin away."""
    install(site, "dnn-swirl", SOURCE, version="1.2")
    model = td.Sequential([td.Input(shape=(3,)), L.Dense(2, activation="swirl"), td.layers.get("twist")])
    model.wanted = model.predict(X, verbose=0)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(td.models.load_model(tmp_path / "model").predict(X, verbose=0), model.wanted)
    remove(site)
    return tmp_path / "model"


def remove(site: Path) -> None:
    for path in sorted(site.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for module in ("dnn_swirl", "dnn_other"):
        sys.modules.pop(module, None)
    td.plugins.reset()


def test_what_is_not_built_in_is_written(file: Path) -> None:
    said = json.loads(saving.read_header(file)[1]["tinygrad_dnn"])
    rows = {(row["kind"], row["name"]): row for row in said["plugins"]}
    assert set(rows) == {("activations", "swirl"), ("layers", "twist")}
    assert all(
        (row["distribution"], row["version"], row["entry_point"]) == ("dnn-swirl", "1.2", "main")
        for row in rows.values()
    )


def test_without_it_the_error_says_what_to_install(file: Path) -> None:
    with pytest.raises(td.models.FileError, match=r"of the plugin dnn-swirl 1\.2: pip install dnn-swirl==1\.2\.$"):
        td.models.load_model(file)


def test_with_it_the_model_is_the_same(file: Path, site: Path) -> None:
    install(site, "dnn-swirl", SOURCE, version="1.2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert td.models.load_model(file).predict(X, verbose=0).shape == (4, 2)


def test_with_another_version_it_warns_once_and_names_both(file: Path, site: Path) -> None:
    install(site, "dnn-swirl", SOURCE, version="2.0")
    with pytest.warns(td.models.FileWarning, match=r"with dnn-swirl 1\.2, and 2\.0 is installed") as seen:
        td.models.load_model(file)
    assert len([each for each in seen if each.category is td.models.FileWarning]) == 1
    assert "pip install dnn-swirl==1.2" in str(seen[0].message)
    assert seen[0].filename == __file__


def test_the_same_name_of_another_plugin_is_not_taken_for_it(file: Path, site: Path) -> None:
    install(site, "dnn-other", SOURCE, version="1.2")
    with pytest.raises(td.models.FileError, match=r"pip install dnn-swirl==1\.2"):
        td.models.load_model(file)


def test_a_plugin_that_is_switched_off_or_broken_is_named_as_such(
    file: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dnn-swirl", SOURCE, version="1.2")
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "")
    td.plugins.reset()
    with pytest.raises(td.models.FileError, match=r"installed and not used \(dnn-swirl 1\.2 .*switches it off"):
        td.models.load_model(file)
    monkeypatch.delenv("TINYGRAD_DNN_PLUGINS")
    remove(site)
    install(site, "dnn-swirl", "raise ImportError('no luck')", version="1.2")
    with pytest.warns(td.plugins.PluginWarning), pytest.raises(td.models.FileError, match=r"not used .*no luck"):
        td.models.load_model(file)


def test_custom_objects_stand_in_for_a_plugin(file: Path) -> None:
    class Twist(L.Layer):
        def call(self, inputs: td.Tensor) -> td.Tensor:
            return inputs + 1.0

    def swirl(x: td.Tensor) -> td.Tensor:
        return x * 0.5

    loaded = td.models.load_model(file, custom_objects={"twist": Twist, "swirl": swirl})
    assert type(loaded.layers[1]) is Twist


def test_a_name_that_two_plugins_claim_is_written_with_its_owner(site: Path, tmp_path: Path) -> None:
    install(site, "dnn-swirl", SOURCE, version="1.2")
    install(site, "dnn-other", SOURCE.replace("0.5", "0.25"), version="3.0")
    model = td.Sequential([td.Input(shape=(3,)), L.Activation("dnn-other:swirl")])
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(td.models.load_model(tmp_path / "model").predict(X, verbose=0), X * np.float32(0.25))


def test_looking_at_a_file_looks_for_no_plugin(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object) -> None:
        raise AssertionError("looked for plugins")

    monkeypatch.setattr(td.plugins.HOST, "discover", forbidden)
    contents = td.models.inspect(file)
    assert [row["distribution"] for row in contents.plugins] == ["dnn-swirl", "dnn-swirl"]
    assert "dnn-swirl" in str(contents)
