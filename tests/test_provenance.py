"""Provenance: of what is not built in, the distribution, version and entry point, in one form everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import tinygrad_dnn as td
from tests.plugin_fixtures.host import activation, install, make_host, only_site
from tinygrad_dnn import plugins
from tinygrad_dnn.registry import UnknownNameError, provenance

OPTIMIZER = """
import tinygrad_dnn as td


class Signs(td.optimizers.Optimizer):
    def init(self, param):
        return {}

    def update(self, param, grad, state, learning_rate):
        return param - learning_rate * td.sign(grad), state


@hookimpl
def register_optimizers(register):
    register(Signs, name="torch.signs", aliases=("signs",))
"""
SIGNS = {
    "name": "torch.signs", "kind": "optimizers", "distribution": "dist-b", "version": "2.1", "entry_point": "steps"
}  # fmt: skip
BENT = {"name": "bent", "kind": "activations", "distribution": "dist-a", "version": "1.0", "entry_point": "main"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install an activation and an optimizer for the process's own host."""
    folder = only_site(tmp_path, monkeypatch)
    site = next(folder)
    install(site, "dist-a", activation("bent"))
    install(site, "Dist_B", OPTIMIZER, version="2.1", module="dist_b", entry_points={"steps": "dist_b"})
    plugins.reset()
    yield site
    plugins.reset()
    next(folder, None)


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    folder = only_site(tmp_path, monkeypatch)
    next(folder)
    yield make_host()
    next(folder, None)


def test_names_and_objects_say_where_they_came_from(site: Path) -> None:
    optimizer = td.optimizers.get("signs", learning_rate=0.5)
    rows = provenance(optimizers=["nadam", "SIGNS", optimizer, "torch.signs"], activations=["elu", "dist-a:bent"])
    assert rows == [SIGNS, BENT]
    assert provenance(optimizers=[td.optimizers.Adam()], activations=["relu", "tinygrad-dnn:elu"]) == []
    assert provenance() == []


def test_what_this_process_registered_is_local(site: Path) -> None:
    td.registry.losses.register(abs, name="absolute")
    (row,) = provenance(losses=[abs, "absolute"])
    assert row == {"name": "absolute", "kind": "losses", "distribution": "local", "version": "", "entry_point": ""}


def test_what_is_unknown_is_refused(site: Path) -> None:
    with pytest.raises(UnknownNameError, match="'adamm' is not a known optimizer"):
        provenance(optimizers=["adamm"])
    with pytest.raises(ValueError, match="is not a registered activation"):
        provenance(activations=[abs])
    with pytest.raises(TypeError, match="provenance: there is no kind 'optimizer': the kinds are activations, init"):
        provenance(optimizer=["adam"])


def test_models_and_their_files_say_the_same(site: Path, tmp_path: Path) -> None:
    model = td.Sequential([td.layers.Dense(1, activation="bent", input_shape=(3,))])
    assert td.models.provenance(model) == [BENT]
    model.compile(optimizer="torch.signs", loss="mse")
    assert td.models.provenance(model) == [BENT, SIGNS]
    model.save(tmp_path / "model.safetensors")
    held = td.models.inspect(tmp_path / "model.safetensors").as_dict()
    assert json.loads(json.dumps(held))["plugins"] == [BENT, SIGNS]


def test_catalogue_holds_everything_with_its_names(kinds: SimpleNamespace, tmp_path: Path) -> None:
    for name in ("dist-a", "dist-b"):
        install(tmp_path, name, activation("bent").replace("(bent)", "(bent, aliases=('curved',))"))
    kinds.activations.register(abs, aliases=("positive",))
    found = [(entry.origin.distribution, *names) for entry, names in kinds.activations.catalogue().items()]
    assert found == [
        ("local", "abs", "positive"),
        ("dist-a", "bent", "curved"),
        ("dist-b", "bent", "curved"),
        ("tinygrad-dnn", "elu"),
        ("tinygrad-dnn", "hard_tanh"),
        ("tinygrad-dnn", "leaky_relu"),
        ("tinygrad-dnn", "leakyrelu"),
        ("tinygrad-dnn", "relu", "rectifier"),
    ]
    assert kinds.activations.builtins() == ["elu", "hard_tanh", "leaky_relu", "leakyrelu", "rectifier", "relu"]


def test_catalogue_is_never_strict(
    kinds: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS_STRICT", "1")
    install(tmp_path, "dist-a", "1 / 0")
    with pytest.warns(plugins.PluginWarning, match="dist-a"):
        assert kinds.optimizers.catalogue()
