"""What a model's variables are called in a file: by place, each once, and nothing else by a weight's name."""

from __future__ import annotations

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.saving import state

L = td.layers


def test_an_automatic_name_is_numbered_by_its_place() -> None:
    for _ in range(3):
        model = td.Sequential([td.Input(shape=(2,)), L.Dense(2), L.Dense(2, name="mine"), L.Dense(1)])
        assert [name for name in state.weights(model) if "kernel" in name] == [
            "dense/kernel", "mine/kernel", "dense_1/kernel",
        ]  # fmt: skip


def test_models_inside_and_shared_layers() -> None:
    shared = L.Dense(2, name="shared")
    first, second = (td.Sequential([shared, L.Dense(2)]) for _ in range(2))
    x = td.Input(shape=(2,))
    model = td.Model(x, L.Add()([first(x), second(x), shared(x)]))
    assert [name for name in state.weights(model) if "kernel" in name] == [
        "sequential/shared/kernel", "sequential/dense/kernel", "sequential_1/dense/kernel",
    ]  # fmt: skip
    assert len(state.weights(model)) == len(model.weights)


def test_names_that_collide_and_names_that_mean_something_else() -> None:
    layers = [("Dense", "dense_9"), ("Conv2D", "dense"), ("Dense", "dense"), ("Dense", "@optimizer")]
    assert state.of_siblings(layers) == ["dense", "dense_1", "dense_2", "optimizer"]
    assert state.of_siblings([("Dense", "@")]) == ["layer"]


def test_a_layer_with_variables_and_lists_of_layers() -> None:
    class Own(L.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts = {"a": [L.Dense(1), L.Dense(1)]}
            self.first, self.second = td.Variable(1.0), td.Variable(2.0)

        def call(self, inputs: td.Tensor) -> td.Tensor:
            return sum(part(inputs) for part in self.parts["a"])

    layer = Own()
    layer(np.ones((1, 2)))
    assert list(state.weights(layer)) == [
        "variable", "variable_1", "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias",
    ]  # fmt: skip


def test_every_stream_and_every_variable_of_an_optimizer_has_a_name() -> None:
    model = td.Sequential([td.Input(shape=(2,)), L.Dropout(0.5), L.GaussianNoise(1.0), L.Dropout(0.1), L.Dense(1)])
    assert list(state.streams(model)) == ["@random/dropout", "@random/gaussian_noise", "@random/dropout_1"]
    weights = state.weights(model)
    for name in td.registry.optimizers.names():
        for options in ({}, {"use_ema": True}, {"gradient_accumulation_steps": 2}):
            optimizer = td.registry.optimizers.get(name, **options)
            optimizer.build(list(weights.values()))
            named = state.optimizer_state(optimizer, weights)
            assert {id(v) for v in named.values()} == {id(v) for v in optimizer.variables}, name
            assert all(key.startswith("@optimizer/") for key in named)
