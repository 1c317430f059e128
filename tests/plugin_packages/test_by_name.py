"""What the packages bring, used by name alone: in training, in configurations, in saved files, in errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.plugin_packages.packages import PACKAGES, in_this_process

X = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
Y = X[:, :2] * 2
NAMES = {
    "activations": ["bent_identity", "torch.leaky_relu"],
    "initializers": ["lsuv", "torch.kaiming_uniform", "torch.linear", "torch.trunc_normal"],
    "optimizers": [
        "ademamix", "torch.sgd", "torch.adam", "torch.adamw", "torch.nadam", "torch.radam", "torch.adamax",
        "torch.rmsprop", "torch.adagrad", "torch.adadelta",
    ],
    "regularizers": ["spectral_norm"],
    "layers": ["torch.batch_normalization", "torch.layer_normalization", "torch.prelu"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def installed(tmp_path: Path) -> Iterator[None]:
    site = tmp_path / "site"
    site.mkdir()
    with in_this_process(site, PACKAGES.values()):
        td.utils.set_random_seed(0)
        yield


def trained(model: td.Sequential, optimizer: object = "sgd", epochs: int = 3, **arguments: object) -> list[float]:
    model.compile(optimizer, "mse")
    return model.fit(X, Y, epochs=epochs, verbose=0, **arguments).history["loss"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES["optimizers"])
def test_optimizer_in_compile(name: str) -> None:
    td.utils.set_random_seed(1)
    losses = trained(td.Sequential([td.layers.Dense(8, activation="tanh"), td.layers.Dense(2)]), name, epochs=8)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES["activations"])
def test_activation_in_a_layer(name: str) -> None:
    losses = trained(td.Sequential([td.layers.Dense(8, activation=name), td.layers.Dense(2)]))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES["initializers"])
def test_initializer_in_a_layer(name: str) -> None:
    losses = trained(td.Sequential([td.layers.Dense(8, kernel_initializer=name), td.layers.Dense(2)]))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES["layers"])
def test_layer_by_name(name: str) -> None:
    losses = trained(td.Sequential([td.layers.Dense(8), td.layers.get(name), td.layers.Dense(2)]))
    assert losses[-1] < losses[0]


def test_regularizer_in_a_layer() -> None:
    losses = trained(td.Sequential([td.layers.Dense(2, kernel_regularizer="spectral_norm")]))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("wsd", {"total_steps": 6, "warmup_steps": 2, "decay_steps": 2}),
        ("torch.step", {"step_size": 2}),
        ("torch.cosine_annealing", {"T_max": 6}),
    ],
)
def test_scheduler_in_an_optimizer(name: str, arguments: dict[str, object]) -> None:
    configuration = {"class_name": name, "config": {"learning_rate": 0.1, **arguments}}
    optimizer = td.optimizers.SGD(learning_rate=configuration)
    assert td.optimizers.serialize(optimizer)["config"]["learning_rate"]["class_name"] == name
    losses = trained(td.Sequential([td.layers.Dense(2)]), optimizer)
    assert losses[-1] < losses[0]


def test_bias_initializer_that_asks_its_layer() -> None:
    dense = td.layers.Dense(500, bias_initializer="torch.linear")
    dense.build((None, 25))
    assert 0.19 < np.abs(dense.get_weights()[1]).max() <= 0.2


# Names with a dot


@pytest.mark.parametrize("spelt", ["torch.nadam", "Torch.NAdam", "tinygrad-dnn-torch:torch.nadam"])
def test_name_with_a_dot(spelt: str) -> None:
    optimizer = td.optimizers.get(spelt, learning_rate=0.5)
    assert type(optimizer).__name__ == "NAdam"
    assert type(optimizer) is not type(td.optimizers.get("nadam"))
    said = td.optimizers.serialize(optimizer)
    assert said["class_name"] == "torch.nadam"
    assert td.optimizers.get(json.loads(json.dumps(said))).get_config() == optimizer.get_config()
    origin = td.registry.optimizers.origin(optimizer)
    assert (origin.name, origin.distribution, origin.version) == ("torch.nadam", "tinygrad-dnn-torch", "0.1.0")


def test_misspelt_name_with_a_dot() -> None:
    told = r"'torch\.nadm' is not a known optimizer\. Did you mean 'torch"
    with pytest.raises(td.registry.UnknownNameError, match=told):
        td.optimizers.get("torch.nadm")


# Files


def model_of_many_plugins() -> td.Sequential:
    L = td.layers
    hidden = [
        L.get("torch.linear", units=8, activation="torch.leaky_relu"),
        L.get("torch.batch_normalization"),
        L.Dense(8, activation="bent_identity", kernel_initializer="lsuv", kernel_regularizer="spectral_norm"),
        L.get("torch.prelu"),
    ]
    model = td.Sequential([td.Input(shape=(6,)), *hidden, L.Dense(2, kernel_initializer="torch.kaiming_uniform")])
    schedule = td.schedulers.get("wsd", learning_rate=0.01, total_steps=40, decay_steps=10)
    model.compile(td.optimizers.get("ademamix", learning_rate=schedule, alpha_warmup=10), "mse")
    model.fit(X, Y, epochs=2, verbose=0, shuffle=False)
    return model


def test_saved_model_goes_on_as_if_it_had_not_been_saved(tmp_path: Path) -> None:
    model = model_of_many_plugins()
    model.save(tmp_path / "model")
    again = td.models.load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    for each in (model, again):
        each.fit(X, Y, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_saved_model_says_where_each_name_came_from(tmp_path: Path) -> None:
    model_of_many_plugins().save(tmp_path / "model")
    found = {(row["kind"], row["name"]): row for row in td.models.inspect(tmp_path / "model").plugins}
    assert set(found) == {
        ("layers", "torch.linear"), ("layers", "torch.batch_normalization"), ("layers", "torch.prelu"),
        ("activations", "torch.leaky_relu"), ("activations", "bent_identity"), ("optimizers", "ademamix"),
        ("initializers", "torch.linear"), ("initializers", "lsuv"),
        ("initializers", "torch.kaiming_uniform"), ("regularizers", "spectral_norm"),
        ("schedulers", "wsd"),
    }  # fmt: skip
    row = found["optimizers", "ademamix"]
    assert (row["distribution"], row["version"], row["entry_point"]) == ("tinygrad-dnn-ademamix", "0.1.0", "ademamix")


def test_without_the_package_a_saved_model_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = td.Sequential([td.Input(shape=(6,)), td.layers.get("torch.layer_normalization")])
    model.save(tmp_path / "model")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("/site")])
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "")
    td.plugins.reset()
    with pytest.raises(td.models.FileError, match=r"pip install tinygrad-dnn-torch==0\.1\.0"):
        td.models.load_model(tmp_path / "model")


# Reports and switches


def test_report_says_distribution_and_version() -> None:
    report = td.plugins.report()
    assert [plugin.distribution for plugin in report.loaded] == sorted(PACKAGES)
    assert report.problems == ()
    assert "loaded: tinygrad-dnn-wsd 0.1.0 (entry point wsd = tinygrad_dnn_wsd): schedulers wsd" in str(report)


def test_a_package_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "tinygrad-dnn-wsd")
    td.plugins.reset()
    sys.modules.pop("tinygrad_dnn_torch", None)
    with pytest.raises(td.registry.UnknownNameError, match="switches it off"):
        td.optimizers.get("torch.nadam")
    assert "tinygrad_dnn_torch" not in sys.modules
    assert td.schedulers.get("wsd", learning_rate=1.0, total_steps=1)
