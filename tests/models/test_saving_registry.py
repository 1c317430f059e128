"""Everything that is registered comes back from a file as it was: its configuration, and what it computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import registry, saving
from tinygrad_dnn.saving.values import Decoder, Encoder

L = td.layers
RANDOM = np.random.default_rng(0)

# Where the defaults are not enough to make one, or do too little.
LAYERS: dict[str, dict[str, Any]] = {
    "activation": {"activation": "leaky_relu"},
    "alphadropout": {"rate": 0.25, "seed": 3},
    "averagepooling2d": {"pool_size": 2},
    "centercrop": {"height": 4, "width": 5},
    "conv2d": {"filters": 2, "kernel_size": 3, "activation": "elu"},
    "dense": {"units": 3, "activation": "gelu", "kernel_regularizer": "l2", "bias_constraint": "nonneg"},
    "dropout": {"rate": 0.25},
    "gaussiandropout": {"rate": 0.25},
    "gaussiannoise": {"stddev": 0.5},
    "inputlayer": {"shape": (6, 6, 2)},
    "lambda": {"function": td.exp},
    "normalization": {"mean": [1.0, 2.0], "variance": [3.0, 4.0]},
    "operation": {"operation": "add", "arguments": [None, np.arange(2, dtype="float32")]},
    "permute": {"dims": (2, 1, 3)},
    "randombrightness": {"factor": 0.2},
    "randomcontrast": {"factor": 0.2},
    "randomcrop": {"height": 4, "width": 5},
    "randomrotation": {"factor": 0.2},
    "randomtranslation": {"height_factor": 0.2, "width_factor": 0.3},
    "randomzoom": {"height_factor": 0.2},
    "repeatvector": {"n": 3},
    "rescaling": {"scale": 0.5, "offset": [1.0, 2.0]},
    "reshape": {"target_shape": (36, 2)},
    "resizing": {"height": 3, "width": 9},
    "spatialdropout1d": {"rate": 0.25},
    "spatialdropout2d": {"rate": 0.25},
}
OF_TWO = {"add", "average", "concatenate", "maximum", "minimum", "multiply", "subtract"}
OF_SHAPE = {"repeatvector": (5,), "spatialdropout1d": (6, 2)}


@pytest.mark.parametrize("name", registry.layers.names())
def test_layers(name: str, backend: str, tmp_path: Path) -> None:
    td.utils.set_random_seed(1)
    layer = registry.layers.get(name, **LAYERS.get(name, {}))
    shape = OF_SHAPE.get(name, (6, 6, 2))
    inputs = [td.Input(shape=shape) for _ in range(2 if name in OF_TWO else 1)]
    head = layer.output if name == "inputlayer" else inputs if name in OF_TWO else inputs[0]
    end = td.layers.Flatten()(head) if name == "inputlayer" else layer(head)
    model = td.Model(head if name == "inputlayer" else inputs, end)
    model.save(tmp_path / "model")
    loaded = td.models.load_model(tmp_path / "model")
    (again,) = [each for each in loaded.layers if each.name == layer.name]
    assert type(again) is type(layer)
    np.testing.assert_equal(again.get_config(), layer.get_config())
    x = [RANDOM.uniform(0.1, 1.0, (3, *shape)).astype("float32") for _ in (inputs if name in OF_TWO else [0])]
    given = x if name in OF_TWO else x[0]
    for training in (False, True):  # the random streams, too, are where they were
        got, wanted = (each(given, training=training).numpy() for each in (loaded, model))
        np.testing.assert_array_equal(got, wanted, strict=True)


def round_trip(names: registry.Registry, thing: Any) -> Any:
    """Return what a file gives back of a thing."""
    encoder = Encoder()
    written = saving.text.write(encoder.encode(names.serialize(thing), "it"))
    return names.get(Decoder(encoder.arrays, {}).decode(saving.text.parse(written)))


ARGUMENTS: dict[str, dict[str, Any]] = {
    "constant": {"value": 2.5}, "cosinedecay": {"initial_learning_rate": 0.1, "decay_steps": 7},
    "cosinedecayrestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 3},
    "cyclic": {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3},
    "exponentialdecay": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5},
    "inversetimedecay": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5},
    "linearwarmup": {"warmup_target": 0.1, "warmup_steps": 4},
    "onecycle": {"max_lr": 0.5, "total_steps": 10},
    "piecewiseconstantdecay": {"boundaries": [2, 5], "values": [0.3, 0.2, 0.1]},
    "polynomialdecay": {"initial_learning_rate": 0.1, "decay_steps": 5},
    "powerdecay": {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5},
    "productschedule": {"schedules": [0.5, td.schedulers.LinearWarmup(0.1, 4)]},
    "sequentialschedule": {"schedules": [td.schedulers.LinearWarmup(0.1, 4), 0.1], "milestones": [4]},
    "fbetascore": {"beta": 0.5}, "threshold": {"threshold": 0.5, "default_value": -1.0},
}  # fmt: skip


def made(names: registry.Registry, name: str) -> Any:
    arguments = ARGUMENTS.get(name, {})
    try:
        return names.get(name, **arguments)
    except TypeError as error:
        raise AssertionError(f"{name} needs arguments: give them in ARGUMENTS") from error


@pytest.mark.parametrize("name", registry.schedulers.names())
def test_schedulers(name: str) -> None:
    schedule = made(registry.schedulers, name)
    again = round_trip(registry.schedulers, schedule)
    for step in range(15):
        np.testing.assert_array_equal(again(step).numpy(), schedule(step).numpy())


@pytest.mark.parametrize("kind", ["regularizers", "constraints", "activations"])
def test_functions_of_one_array(kind: str) -> None:
    names = getattr(registry, kind)
    x = td.tensor(RANDOM.normal(size=(6, 4)).astype("float32"))
    for name in names.names():
        thing = made(names, name)
        np.testing.assert_array_equal(round_trip(names, thing)(x).numpy(), thing(x).numpy(), err_msg=name)


def test_initializers() -> None:
    for name in registry.initializers.names():
        thing = made(registry.initializers, name)
        if "seed" in thing.get_config():
            thing = registry.initializers.get(name, seed=4, **ARGUMENTS.get(name, {}))
        again = round_trip(registry.initializers, thing)
        got, wanted = (np.asarray(td.tensor(each((5, 5), dtype="float32")).numpy()) for each in (again, thing))
        np.testing.assert_array_equal(got, wanted, err_msg=name)


@pytest.mark.parametrize("kind", ["losses", "metrics"])
def test_losses_and_metrics(kind: str) -> None:
    names = getattr(registry, kind)
    chances = RANDOM.uniform(0.1, 0.9, (6, 3)).astype("float32")
    chances /= chances.sum(axis=1, keepdims=True)
    labels = RANDOM.integers(0, 3, 6)
    for name in names.names():
        thing = made(names, name)
        again = round_trip(names, thing)
        sparse = "sparse" in name
        targets = labels if sparse else np.eye(3, dtype="float32")[labels]
        arguments = (targets[:, None] if sparse and kind == "metrics" else targets, chances)
        if name == "mean":
            arguments = (chances,)
        got, wanted = (each(*arguments).numpy() for each in (again, thing))
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        if hasattr(thing, "get_config"):
            assert again.get_config() == thing.get_config()


@pytest.mark.parametrize("name", registry.optimizers.names())
def test_optimizers(name: str) -> None:
    optimizer = registry.optimizers.get(name, learning_rate=td.schedulers.LinearWarmup(0.1, 4))
    again = round_trip(registry.optimizers, optimizer)
    assert again.get_config() == optimizer.get_config()
    moved = []
    for each in (optimizer, again):
        weight = td.Variable(np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3), trainable=True)
        for step in range(5):
            each.apply([weight.detach() * (step + 1.0)], [weight])
        moved.append(weight.numpy())
    np.testing.assert_array_equal(*moved)


VALUES = [
    None, True, 0, -(2**70), 1.5, float("inf"), float("-inf"), "text", "", (1, (2, [3])), {}, {"a": {"b": ()}},
    {"$": 1}, {1: 2, (3, 4): 5}, [[], [None]], 1e-320,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values(value: Any) -> None:
    encoder = Encoder()
    got = Decoder(encoder.arrays, {}).decode(saving.text.parse(saving.text.write(encoder.encode(value, "it"))))
    assert got == value
    assert type(got) is type(value)


def test_arrays_and_what_is_not_a_number() -> None:
    encoder = Encoder()
    value = {"nan": float("nan"), "array": np.arange(3), "tensor": td.tensor([1.0]), "numpy": np.float32(0.1)}
    got = Decoder(encoder.arrays, {}).decode(saving.text.parse(saving.text.write(encoder.encode(value, "it"))))
    assert np.isnan(got["nan"])
    np.testing.assert_array_equal(got["array"], np.arange(3), strict=True)
    assert isinstance(got["tensor"], td.Tensor)
    assert got["numpy"] == float(np.float32(0.1))
