"""fit, evaluate, predict and single batches give what Keras 3 gives from the same weights and the same data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("training")
DATA = GOLDEN.inputs
MODULES = {
    "kernel_regularizer": td.regularizers,
    "bias_regularizer": td.regularizers,
    "activity_regularizer": td.regularizers,
    "kernel_constraint": td.constraints,
}
# A bias in front of a normalisation has gradient 0: what rounding leaves of it, Nadam divides by its own size. So that
# bias wanders by itself in each framework, and with it everything at inference, where the moving mean lags behind.
WANDERS = {"batch_normalization"}


def arrays(case: dict[str, Any], prefix: str) -> list[np.ndarray]:
    return [case[f"{prefix}_{i}"] for i in range(sum(key.startswith(f"{prefix}_") for key in case))]


def compiled(case: dict[str, Any]) -> td.Sequential:
    """Build the network of a case with its first weights."""
    model = td.Sequential([td.layers.InputLayer(shape=(20,))])
    for entry in case["layers"]:
        config = {
            key: MODULES[key].get({"class_name": value["class"], "config": value["config"]})
            if key in MODULES
            else value
            for key, value in entry["config"].items()
        }
        layer = getattr(td.layers, entry["class"])(**config)
        model.add(layer)
        layer.trainable = entry.get("trainable", True)
    model.set_weights(arrays(case, "initial"))
    loss = case["loss"]
    model.compile(
        optimizer=getattr(td.optimizers, case["optimizer"]["class"])(**case["optimizer"]["config"]),
        loss=getattr(td.losses, loss)(**case["loss_config"]) if case["loss_config"] else loss,
        metrics=case["metrics"],
        weighted_metrics=case["weighted_metrics"],
    )
    return model


def fit(model: td.Sequential, case: dict[str, Any]) -> td.callbacks.History:
    options = dict(case["fit"])
    if "validation_data" in options:
        options["validation_data"] = tuple(DATA[name] for name in options["validation_data"])
    if "sample_weight" in options:
        options["sample_weight"] = DATA[options["sample_weight"]]
    if "class_weight" in options:
        options["class_weight"] = {int(label): weight for label, weight in options["class_weight"].items()}
    return model.fit(DATA["x"], DATA[case["y"]], verbose=0, **options)


def assert_near(actual: dict[str, float], expected: dict[str, float]) -> None:
    assert set(actual) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", GOLDEN.cases)
def test_whole_runs_are_those_of_keras(name: str, backend: str) -> None:
    case = GOLDEN.cases[name]
    model = compiled(case)
    history = fit(model, case)
    assert history.epoch == case["history_epochs"]
    if name in WANDERS:
        assert set(history.history) == set(case["history"])
        for key in ("loss", "accuracy"):
            np.testing.assert_allclose(history.history[key], case["history"][key], rtol=1e-5, atol=1e-5)
        return
    assert_near(history.history, case["history"])
    x, y = DATA["x"], DATA[case["y"]]
    assert_near(model.evaluate(x, y, batch_size=7, verbose=0, return_dict=True), case["evaluate"])
    weighted = model.evaluate(x, y, batch_size=7, sample_weight=DATA["sample_weight"], verbose=0, return_dict=True)
    assert_near(weighted, case["evaluate_weighted"])
    np.testing.assert_allclose(model.predict(DATA["x_validation"], batch_size=5), case["predict"], rtol=0, atol=1e-5)
    for i, (weight, expected) in enumerate(zip(model.get_weights(), arrays(case, "final"), strict=True)):
        assert np.linalg.norm(weight - expected) <= 2e-5 * np.linalg.norm(expected), f"weight {i}"


@pytest.mark.parametrize("name", GOLDEN.cases)
def test_single_batches_are_those_of_keras(name: str, backend: str) -> None:
    case = GOLDEN.cases[name]
    model = compiled(case)
    x, y = DATA["x"], DATA[case["y"]]
    for start, expected in zip(range(0, 35, 7), case["train_on_batch"], strict=True):
        assert_near(model.train_on_batch(x[start : start + 7], y[start : start + 7], return_dict=True), expected)
    values = model.test_on_batch(x[:7], y[:7], return_dict=True)
    if name not in WANDERS:
        assert_near(values, case["test_on_batch"])


@pytest.mark.parametrize("as_what", ["tensors", "float64", "lists", "batches", "generator"])
def test_the_form_of_the_data_makes_no_difference(as_what: str, backend: str) -> None:
    case = GOLDEN.cases["nadam_sample_weight"]
    x, y, weight = DATA["x"], DATA["labels"], DATA["sample_weight"]
    model = compiled(case)
    size, epochs = case["fit"]["batch_size"], case["fit"]["epochs"]
    batches = [(x[s : s + size], y[s : s + size], weight[s : s + size]) for s in range(0, len(x), size)]
    if as_what == "batches":
        history = model.fit(batches, epochs=epochs, verbose=0)
    elif as_what == "generator":
        endless = (batch for _ in range(epochs) for batch in batches)
        history = model.fit(endless, steps_per_epoch=len(batches), epochs=epochs, verbose=0)
    else:
        change = {
            "tensors": td.tensor,
            "float64": lambda a: a.astype(np.float64) if a.dtype.kind == "f" else a.astype(np.uint8),
            "lists": np.ndarray.tolist,
        }[as_what]
        history = model.fit(
            change(x), change(y), sample_weight=change(weight), batch_size=size, epochs=epochs, shuffle=False, verbose=0
        )
    assert_near(history.history, case["history"])
