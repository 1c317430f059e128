"""Keras itself: its models come over and go back with the same predictions; and what is said where it is missing."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.interchange.test_keras_models import ALONE, CASES, SETTINGS, assert_predicts, compiled, inputs, made

HAS_KERAS = importlib.util.find_spec("keras") is not None
needs_keras = pytest.mark.skipif(not HAS_KERAS, reason="keras is not installed, and is no part of the dev extra")


def close(found: Any, wanted: Any) -> bool:
    """Tell whether predictions agree within 1e-5 of the norm."""
    pairs = zip(td.nested.leaves(found), td.nested.leaves(wanted), strict=True)
    return all(np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b) for a, b in pairs)


def ordered(predicted: Any, like: Any) -> Any:
    """Return predictions in a dict in the order of another, which Keras sorts."""
    return {key: predicted[key] for key in like} if isinstance(like, dict) else predicted


@needs_keras
@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name: str) -> None:
    model = made(name)
    if CASES[name]["compile"] is not None:
        td.interchange.compile_from_keras(model, CASES[name]["compile"])
    theirs = td.to_keras(model)
    x = inputs(name, model)
    ours = model.predict(x, verbose=0)
    assert close(ordered(theirs.predict(x, verbose=0), ours), ours)
    back = td.from_keras(theirs)
    assert_predicts(back, name)
    assert [w.path for w in back.weights] == [w.path for w in model.weights]
    assert [w.path for w in back.trainable_weights] == [w.path for w in model.trainable_weights]
    if CASES[name]["compile"] is not None:
        assert type(back.optimizer) is type(model.optimizer)
        assert td.interchange.compile_to_keras(back) == td.interchange.compile_to_keras(model)


@needs_keras
def test_refusals_name_the_culprit() -> None:
    import keras

    recurrent = keras.Sequential([keras.Input((3, 2)), keras.layers.LSTM(4, name="memory")])
    with pytest.raises(ValueError, match=r"^from_keras: Keras's layer 'memory' of class LSTM has no counterpart"):
        td.from_keras(recurrent)
    with pytest.raises(ValueError, match=r"^to_keras: layer 'r' of class RReLU has no counterpart"):
        td.to_keras(td.Sequential([td.layers.RReLU(name="r", input_shape=(2,))]))


@needs_keras
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_there_and_back(name: str) -> None:
    model = compiled(name)
    if name.split()[-1] in ALONE:
        with pytest.warns(UserWarning, match="^to_keras: model .* is not compiled"):
            td.to_keras(model)
        return
    back = td.from_keras(td.to_keras(model))
    assert td.interchange.compile_to_keras(back) == td.interchange.compile_to_keras(model)


@needs_keras
@pytest.mark.parametrize("kind", ["initializer", "regularizer", "constraint"])
def test_what_a_kernel_is_given_there_and_back(kind: str) -> None:
    for name in getattr(td.registry, f"{kind}s").names():
        layer = td.layers.Dense(4, input_shape=(4,), **{f"kernel_{kind}": name})
        (back,) = td.from_keras(td.to_keras(td.Sequential([layer]))).layers
        assert {**back.get_config(), "input_shape": [4]} == layer.get_config()


@needs_keras
def test_every_activation_there_and_back() -> None:
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    for name in set(td.registry.activations.names()) - {"sparsemax", "threshold"}:
        model = td.Sequential([td.layers.Dense(4, activation=name, input_shape=(4,))])
        theirs = td.to_keras(model)
        assert close(theirs.predict(x, verbose=0), model.predict(x, verbose=0)), name
        assert close(td.from_keras(theirs).predict(x, verbose=0), model.predict(x, verbose=0)), name


class Doubling(td.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs * 2.0


@needs_keras
def test_custom_objects_take_the_place_of_classes_of_that_name() -> None:
    import keras

    class Twice(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    theirs = keras.Sequential([keras.Input((3,)), Twice(name="twice")])
    with pytest.raises(ValueError, match=r"^from_keras: Keras's layer 'twice' of class Twice has no counterpart here"):
        td.from_keras(theirs)
    assert td.from_keras(theirs, {"Twice": Doubling}).predict(np.ones((1, 3)), verbose=0).tolist() == [[2.0, 2.0, 2.0]]


@needs_keras
def test_settings_without_counterpart_are_left_out_with_a_warning() -> None:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(), loss=keras.losses.Tversky())
    with pytest.warns(UserWarning, match=r"is not compiled: .*Tversky, which has no counterpart"):
        assert not td.from_keras(model)._compiled


@pytest.mark.parametrize(("function", "name"), [(td.from_keras, "from_keras"), (td.to_keras, "to_keras")])
def test_takes_models_alone(function: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: it takes a model.*not list"):
        function([])


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match=r"^to_keras needs Keras 3 and a backend of it: pip install keras jax"):
        td.to_keras(td.Sequential([td.layers.Dense(1)]))


def test_importing_the_package_imports_neither_keras_nor_onnx() -> None:
    import subprocess

    program = (
        "import sys, tinygrad_dnn as td; td.export.onnx; td.from_keras; td.interchange.state_dict; "
        "assert not {'keras', 'onnx', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
