"""Models of Keras's as plain data: made here they predict the same, and written for Keras again they say the same."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

CASES = storage.load("interchange").cases
# Of the norm.
TOLERANCE = 1e-5


def made(name: str) -> td.Model:
    """Return the model of a case with its weights."""
    case = CASES[name]
    model = td.interchange.model_from_keras(copy.deepcopy(case["model"]))
    weights = {key.removeprefix("weight/"): value for key, value in case.items() if key.startswith("weight/")}
    td.interchange.set_weights_by_path(model, weights)
    return model


def inputs(name: str, model: td.Model) -> Any:
    """Return the inputs of a case as its model takes them."""
    x = [value for key, value in CASES[name].items() if key.startswith("x")]
    return dict(zip(model.input, x, strict=True)) if isinstance(model.input, dict) else x if len(x) > 1 else x[0]


def assert_predicts(model: td.Model, name: str) -> None:
    """Compare what a model predicts with what Keras's did."""
    predicted = list(td.nested.leaves(model.predict(inputs(name, model), verbose=0)))
    expected = [value for key, value in CASES[name].items() if key.startswith("y")]
    assert len(predicted) == len(expected)
    for found, wanted in zip(predicted, expected, strict=True):
        assert found.shape == wanted.shape
        assert np.linalg.norm(found - wanted) <= TOLERANCE * np.linalg.norm(wanted)


@pytest.mark.parametrize("name", CASES)
def test_predicts_as_in_keras(name: str, backend: str) -> None:
    model = made(name)
    assert_predicts(model, name)
    assert len(model.trainable_weights) == CASES[name]["trainable"]


@pytest.mark.parametrize("name", CASES)
def test_goes_back_and_forth(name: str) -> None:
    model = made(name)
    written = td.interchange.model_to_keras(model)
    again = td.interchange.model_from_keras(copy.deepcopy(written))
    again.set_weights(model.get_weights())
    assert_predicts(again, name)
    assert td.interchange.model_to_keras(again) == written
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert again.name == model.name == CASES[name]["model"]["config"]["name"]


def said(config: Any, written: Any) -> Any:
    """Return of Keras's own configuration what this package's says too, single-precision numbers as they were given."""
    if isinstance(config, float) and isinstance(written, float) and np.float32(config) == np.float32(written):
        return written
    if isinstance(config, dict) and isinstance(written, dict):
        if config.get("class_name") == "DTypePolicy":
            return config["config"]["name"]
        return {key: said(config.get(key), value) for key, value in written.items()}
    if isinstance(config, dict) and config.get("class_name") == "DTypePolicy":
        return config["config"]["name"]
    if isinstance(config, list) and isinstance(written, list) and len(config) == len(written):
        return [said(*pair) for pair in zip(config, written, strict=True)]
    return config


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("layer_")])
def test_writes_a_layer_as_keras_does(name: str) -> None:
    (config,) = [layer for layer in CASES[name]["model"]["config"]["layers"] if layer["name"] == "only"]
    written = td.interchange.layer_to_keras(made(name).get_layer("only"))
    assert written["module"] == config["module"]
    assert written["class_name"] == config["class_name"]
    keras_says, we_say = said(config["config"], written["config"]), written["config"]
    differing = {key: (keras_says[key], we_say[key]) for key in we_say if keras_says[key] != we_say[key]}
    # Keras writes no activation as "linear", and leaves out what stands at its default.
    alike = (("linear", None), (None, True), (None, "channels_last"))
    assert not {key: pair for key, pair in differing.items() if pair not in alike}


def test_every_layer_of_the_package_is_tried_or_refused() -> None:
    cases = [case for name, case in CASES.items() if name.startswith("layer_")]
    tried = {case["model"]["config"]["layers"][-1]["class_name"].lower() for case in cases}
    # InputLayer and Operation are in the networks; the others are refused.
    assert set(td.registry.layers.names()) - tried == {"inputlayer", "lambda", "operation", "rrelu", "randomcrop"}


def test_training_settings_come_along() -> None:
    model = made("sequential")
    td.interchange.compile_from_keras(model, copy.deepcopy(CASES["sequential"]["compile"]))
    config = model.optimizer.get_config()
    assert (config["momentum"], config["nesterov"]) == (0.9, True)
    assert config["learning_rate"]["config"] == {
        **config["learning_rate"]["config"], "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9,
    }  # fmt: skip
    assert model.evaluate(CASES["sequential"]["x0"], np.array([0, 1, 2]), verbose=0)
    assert model.metrics_names == ["loss", "accuracy", "best_two"]
    written = td.interchange.compile_to_keras(model)
    assert written["optimizer"]["class_name"] == "SGD"
    assert written["optimizer"]["config"]["learning_rate"]["module"] == "keras.optimizers.schedules"
    assert written["loss"]["config"]["from_logits"] is True
    again = made("sequential")
    td.interchange.compile_from_keras(again, copy.deepcopy(written))
    assert td.interchange.compile_to_keras(again) == written


# What there is here and not in Keras.
ALONE = {"radam"}
SCHEDULES = {
    "exponentialdecay": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5},
    "inversetimedecay": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5},
    "cosinedecay": {"initial_learning_rate": 0.1, "decay_steps": 3},
    "cosinedecayrestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 3},
    "polynomialdecay": {"initial_learning_rate": 0.1, "decay_steps": 3},
    "piecewiseconstantdecay": {"boundaries": [1, 2], "values": [0.1, 0.2, 0.3]},
}
SETTINGS: dict[str, Any] = {
    **{f"optimizer {name}": lambda name=name: {"optimizer": name} for name in td.registry.optimizers.names()},
    **{f"schedule {name}": lambda name=name: {
        "optimizer": td.optimizers.SGD(td.registry.schedulers.get(name, **SCHEDULES[name]))
    } for name in SCHEDULES},
    **{f"loss {name}": lambda name=name: {"loss": td.losses.get(name)} for name in td.registry.losses.names()},
    **{f"metric {name}": lambda name=name: {"metrics": [td.metrics.get(name)]} for name in td.registry.metrics.names()
       if name != "accuracy"},
    "texts": lambda: {"loss": ["mae"], "metrics": ["accuracy", "mse"], "weighted_metrics": ["mae"]},
}  # fmt: skip


def compiled(name: str) -> td.Model:
    """Return a small model with some settings."""
    model = td.Sequential([td.Input(shape=(4,)), td.layers.Dense(3, activation="softmax")])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **SETTINGS[name]()})
    return model


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_go_back_and_forth(name: str) -> None:
    model = compiled(name)
    written = td.interchange.compile_to_keras(model)
    again = td.interchange.model_from_keras(td.interchange.model_to_keras(model))
    td.interchange.compile_from_keras(again, copy.deepcopy(written))
    assert td.interchange.compile_to_keras(again) == written
    assert type(again.optimizer) is type(model.optimizer)


@pytest.mark.parametrize("kind", ["initializer", "regularizer", "constraint"])
def test_what_a_kernel_is_given_goes_back_and_forth(kind: str) -> None:
    registered = getattr(td.registry, f"{kind}s")
    for name in registered.names():
        layer = td.layers.Dense(3, **{f"kernel_{kind}": name})
        again = td.interchange.layer_from_keras(copy.deepcopy(td.interchange.layer_to_keras(layer)))
        assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("network_")])
def test_networks_train_on(name: str) -> None:
    model = made(name)
    td.interchange.compile_from_keras(model, copy.deepcopy(CASES[name]["compile"]))
    assert model.optimizer.get_config()["beta_1"] == 0.8
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert td.interchange.compile_to_keras(model)["optimizer"]["config"]["beta_1"] == 0.8


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": {"name": "odd", **config}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (layer("LSTM", units=3), "Keras's layer 'odd' of class LSTM has no counterpart here"),
        (layer("Dense", units=2, activation="sparsemax"), "has the activation 'sparsemax', which is not the same here"),
        (layer("RandomCrop", height=2, width=2), "class RandomCrop is not the same here: at inference"),
        (layer("Lambda", function="x"), "Keras's layer 'odd' of class Lambda holds a function"),
        (layer("BatchNormalization", renorm=True), "class BatchNormalization has renorm=True, an argument"),
        (
            layer(
                "Dense", units=1,
                dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}},
            ),
            "has the QuantizedDTypePolicy 'float32', which has no counterpart here",
        ),
        (
            layer("Dense", units=1, kernel_initializer={"module": "my", "class_name": "Mine", "config": {}}),
            "has my Mine, which has no counterpart here",
        ),
        (
            {"module": "keras.src.ops.numpy", "class_name": "Einsum", "config": {"name": "odd"}},
            "class Einsum is one of keras.ops",
        ),
        (layer("Flatten", data_format="channels_first"), "has data_format='channels_first'"),
    ],
)
def test_refuses_what_has_no_counterpart_here(config: dict[str, Any], message: str) -> None:
    with pytest.raises(td.interchange.NoCounterpartError, match=message.replace("(", r"\(")):
        td.interchange.layer_from_keras(config)


def pinned() -> td.Model:
    x = td.Input(shape=(2,))
    return td.Model(x, td.layers.Dropout(0.5, name="p")(x, training=True), name="m")


class OwnModel(td.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: td.Sequential([td.layers.RReLU(name="r")]), "layer 'r' of class RReLU has no counterpart in Keras"),
        (lambda: td.Sequential([td.layers.Lambda(abs, name="f")]), "layer 'f' of class Lambda has no counterpart"),
        (lambda: td.Sequential([td.layers.BatchNormalization(unbiased=True, name="b")]), "has unbiased=True"),
        (lambda: td.Sequential([td.layers.RandomCrop(2, 2, name="c")]), "layer 'c' of class RandomCrop is not the"),
        (lambda: td.Sequential([OwnModel(name="own")]), "model 'own' of class OwnModel: what it computes stands in"),
        (lambda: td.Sequential([td.layers.Dense(2, "sparsemax", name="d")]), "has the activation 'sparsemax', which"),
        (pinned, "layer 'p' of model 'm' is called with .*'training': True.*, which Keras's models override"),
        (
            lambda: td.Sequential([td.layers.Activation(td.activations.get("relu", negative_slope=0.5), name="a")]),
            "layer 'a' of class Activation has .* as an activation",
        ),
    ],
)
def test_refuses_what_keras_does_not_have(model: Any, message: str) -> None:
    with pytest.raises(td.interchange.NoCounterpartError, match=message):
        td.interchange.model_to_keras(model())


def test_weights_that_do_not_fit_change_nothing() -> None:
    model = made("sequential")
    before = model.get_weights()
    paths = td.interchange.weights_by_path(model)
    weights = {path: np.zeros(weight.shape) for path, weight in paths.items()}
    for wrong, message in (
        ({**weights, "norm/more": np.zeros(1)}, "there is no weight 'norm/more'"),
        ({path: weights[path] for path in list(weights)[1:]}, "the weight 'hidden/kernel' is missing"),
        ({**weights, "logits/bias": np.zeros(7)}, r"the weight 'logits/bias' has shape \(3,\) and was given \(7,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            td.interchange.set_weights_by_path(model, wrong)
        assert all(map(np.array_equal, before, model.get_weights()))


def test_says_what_a_graph_lacks() -> None:
    broken = copy.deepcopy(CASES["network_residual"]["model"])
    broken["config"]["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = ["nothing", 0, 0]
    with pytest.raises(ValueError, match="what its layer 'wide_0' takes is made by none"):
        td.interchange.model_from_keras(broken)
    with pytest.raises(td.interchange.NoCounterpartError, match="is of class Custom, and what it computes"):
        td.interchange.model_from_keras({"class_name": "Custom", "config": {"name": "m"}})
