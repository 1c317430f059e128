"""Networks of a comparison: those of the exercise, those in TOML, and where in them a candidate stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.comparing.small import NETWORK, arguments
from tinygrad_dnn.comparing import Network, compare
from tinygrad_dnn.exercise import networks


@pytest.mark.parametrize("name", ["elu", "bn", "selu", "alpha"])
def test_networks_of_the_exercise(name: str) -> None:
    variant = networks.VARIANTS[name]
    expected = networks.build(variant, (4, 4))
    network = Network.find(name)
    assert network == Network.from_description(network.described())
    td.layers.Dense(3)  # what was made before has no part in it
    assert network == Network.find(name)
    found = network.model((4, 4), "sgd")
    assert [type(layer) for layer in found.layers] == [type(layer) for layer in expected.layers]
    assert [w.shape for w in found.weights] == [w.shape for w in expected.weights]
    assert network.standardized == variant.standardized
    for made in (found, expected):
        td.utils.set_random_seed(3)
        made.set_weights([np.full(w.shape, 0.02) for w in made.weights])
    x = np.random.default_rng(0).standard_normal((5, 4, 4))
    np.testing.assert_array_equal(found.predict(x, verbose=0), expected.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("kind", "network", "setting", "count"),
    [
        ("activations", "elu", "activation", 20), ("activations", "bn", "activation", 20),
        ("initializers", "elu", "kernel_initializer", 20), ("regularizers", "selu", "kernel_regularizer", 20),
        ("constraints", "alpha", "kernel_constraint", 20),
    ],
)  # fmt: skip
def test_a_candidate_stands_in_each_hidden_layer(kind: str, network: str, setting: str, count: int) -> None:
    before = Network.find(network)
    after = before.with_setting(kind, "candidate")
    changed = [new["config"] for old, new in zip(before.layers, after.layers, strict=True) if old != new]
    assert [config[setting] for config in changed] == ["candidate"] * count
    assert after.layers[-1] == before.layers[-1]


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    file.write_text('metric = "loss"\nloss = "mse"\nstandardized = true\n'
                    'optimizer = { class_name = "sgd", config = { momentum = 0.5 } }\n' + NETWORK)  # fmt: skip
    network = Network.find(file)
    assert (network.name, network.loss, network.metric, network.standardized) == ("net", "mse", "loss", True)
    assert network.optimizer == {"class_name": "sgd", "config": {"momentum": 0.5}}
    assert [each["config"]["units"] for each in network.layers] == [8, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layers = 3", "layers cannot be 3"),
        ("[[layers", "is no TOML"),
        ("", "has no layers"),
        ("layer = 1", r"no key 'layer' \(did you mean 'layers'\?\)"),
        ("[[layers]]\nunits = 3", r"layer 1 needs its class_name"),
        ('[[layers]]\nclass_name = "Dense"\nunits = 3', "layer 1 .Dense.: there is no key 'units'"),
        ('[[layers]]\nclass_name = "Dens"\n', "layer 1 .Dens.: 'Dens' is not a known layer. Did you mean 'dense'"),
        ('[[layers]]\nclass_name = "Dense"\nconfig = { units = -3 }', "layer 1 .Dense.: Dense .*: units must be"),
        ('[[layers]]\nclass_name = "Dense"\nconfig = { units = 3 }\nrepeat = 0', "repeat must be an integer"),
        ('metric = "f1"\n' + NETWORK, "metric must be 'accuracy' or 'loss'"),
        ('optimizer = "adm"\n' + NETWORK, "optimizer: 'adm' is not a known optimizer"),
        ('optimizer = { class_name = "sgd", config = 3 }\n' + NETWORK, "config must be a table of arguments, not 3"),
        ("optimizer = {}\n" + NETWORK, "the optimizer needs its class_name"),
        ('optimizer = { class_name = "sgd", momentum = 0.9 }\n' + NETWORK, "optimizer: there is no key 'momentum'"),
        ('optimizer = { class_name = "sgd", config = { learning_rate = 1 } }\n' + NETWORK, "is what is tuned"),
    ],
)
def test_toml_that_describes_no_network(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "net.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told) as caught:
        Network.find(file)
    assert str(file) in str(caught.value)


def test_no_such_network() -> None:
    with pytest.raises(ValueError, match="did you mean 'selu'"):
        Network.find("selo")
    with pytest.raises(ValueError, match="or a TOML file that is there"):
        Network.find("nowhere.toml")


def test_a_network_that_cannot_learn_from_the_data_is_no_candidates_fault(tmp_path: Path) -> None:
    asked = arguments(tmp_path, NETWORK.replace('"softmax"', '"softmax"').replace("units = 3", "units = 2"))
    with pytest.raises(ValueError, match="network small cannot learn from these data"):
        compare("optimizers", ["sgd"], **asked)
    asked = arguments(tmp_path, NETWORK.replace('activation = "elu", ', ""))
    with pytest.raises(ValueError, match="no layer but the last has the setting activation"):
        compare("activations", ["relu"], **asked)
