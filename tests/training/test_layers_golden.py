"""fit with each penalty, constraint and normalisation, frozen too, and with convolutions: Keras's runs of 20 steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("training_layers")
X, Y = GOLDEN.inputs["x"], GOLDEN.inputs["y"]
MODULES = {"regularizer": td.regularizers, "constraint": td.constraints}


def arrays(case: dict[str, Any], prefix: str) -> list[np.ndarray]:
    return [case[f"{prefix}_{i}"] for i in range(len(case["weights"]))]


def made(key: str, value: Any) -> Any:
    """Return a regularizer, a constraint, or the value itself."""
    module = MODULES.get(key.rpartition("_")[2])
    return value if module is None else getattr(module, value["class"])(**value["config"])


def compiled(case: dict[str, Any]) -> td.Sequential:
    """Build the network of a case with its first weights."""
    model = td.Sequential([td.layers.InputLayer(shape=X.shape[1:])])
    for row in case["layers"]:
        config = {key: made(key, value) for key, value in row["config"].items()}
        model.add(getattr(td.layers, row["class"])(**config))
        model.layers[-1].trainable = row["trainable"]
    assert [weight.name for weight in model.weights] == case["weights"]
    model.set_weights(arrays(case, "initial"))
    optimizer = getattr(td.optimizers, case["optimizer"]["class"])(**case["optimizer"]["config"])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("name", GOLDEN.cases)
def test_whole_runs_are_those_of_keras(backend: str, name: str) -> None:
    case = GOLDEN.cases[name]
    model = compiled(case)
    history = model.fit(X, Y, epochs=4, batch_size=5, shuffle=False, verbose=0).history
    assert set(history) == set(case["history"])
    for key, values in case["history"].items():
        np.testing.assert_allclose(history[key], values, rtol=1e-5, err_msg=key)
    np.testing.assert_allclose(model.predict(X), case["predict"], rtol=0, atol=2e-5)
    for weight, expected in zip(model.weights, arrays(case, "final"), strict=True):
        assert np.linalg.norm(weight.numpy() - expected) <= 2e-5 * np.linalg.norm(expected), weight.path


def test_a_frozen_normalisation_keeps_its_weights_and_its_statistics(backend: str) -> None:
    case = GOLDEN.cases["bn_frozen"]
    model = compiled(case)
    frozen = next(layer for layer in model.layers if isinstance(layer, td.layers.BatchNormalization))
    before, others = frozen.get_weights(), model.layers[1].get_weights()
    model.fit(X, Y, epochs=1, batch_size=5, verbose=0)
    for ours, theirs in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(model.layers[1].get_weights()[0], others[0])


def test_each_regularizer_and_constraint_has_a_run() -> None:
    classes = {
        value["class"]
        for case in GOLDEN.cases.values()
        for row in case["layers"]
        for key, value in row["config"].items()
        if made(key, value) is not value
    }
    registered = {
        type(made)
        for registry in (td.registry.regularizers, td.registry.constraints)
        for made in map(registry.get, registry.names())
        if type(made).__module__ in (td.regularizers.__name__, td.constraints.__name__)
    }
    assert classes == {cls.__name__ for cls in registered}
