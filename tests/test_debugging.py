"""debug_nans: the first NaN or Inf is named with its operation, layer, pass and line, and nothing is lost."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.graph import state
from tinygrad_dnn.registration import Origin

layers = td.layers

PLUGIN = '''
import tinygrad_dnn as td
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.tensor import apply

RAISED = Primitive("raised", lambda xp, x: x ** 0.5, x=lambda g, out: g * 0.5 / out)


def root(x):
    return td.sqrt(x)


def raised(x):
    return apply(RAISED, (x,))


class Root(td.layers.Layer):
    def call(self, inputs):
        return td.sqrt(inputs)
'''


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = state.recorder
    with np.errstate(all="ignore"):
        yield
    assert state.recorder is before


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """A plugin's module, as it is after its things were registered."""
    file = tmp_path_factory.mktemp("plugin") / "wild_roots.py"
    file.write_text(PLUGIN)
    spec = importlib.util.spec_from_file_location("wild_roots", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for kind, name in (("activations", "root"), ("activations", "raised"), ("layers", "Root")):
        origin = Origin(kind, name, "tinygrad-dnn-wild", "1.0", "wild", "wild_roots")
        getattr(module, name).__tinygrad_dnn_origin__ = origin
    return module


def raised_by(call: Callable[[], Any]) -> str:
    """Return the sentence that a call under debug_nans ends in."""
    with td.debug_nans(), pytest.raises(FloatingPointError) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.startswith("td.debug_nans: ")
    assert sentence.endswith(".")
    return sentence


def t(*values: float, grad: bool = False) -> td.Tensor:
    return td.tensor(list(values), requires_grad=grad)


# -- operations: forward --------------------------------------------------------------------------------------------

FORWARD: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "sqrt of a negative": (lambda: td.sqrt(t(4.0, -1.0)), "sqrt", "NaN", "1 of 2 elements, the first at [1]"),
    "log of a negative": (lambda: td.log(t(-1.0)), "log", "NaN", "1 of 1"),
    "log1p below -1": (lambda: td.log1p(t(0.0, -2.0)), "log1p", "NaN", "[1]"),
    "exp of much": (lambda: td.exp(t(1.0, 2.0, 1000.0)), "exp", "Inf", "1 of 3 elements, the first at [2]"),
    "division by zero": (lambda: t(1.0) / t(0.0), "divide", "Inf", "[0]"),
    "division by zero, a number": (lambda: t(1.0, 2.0) / 0.0, "divide", "Inf", "2 of 2"),
    "zero by zero": (lambda: t(0.0) / t(0.0), "divide", "NaN", "[0]"),
    "a root as a power": (lambda: t(1.0, -8.0) ** 0.5, "power", "NaN", "[1]"),
    "a power of zero": (lambda: t(0.0) ** -1.0, "power", "Inf", "[0]"),
    "overflow of a product": (lambda: t(1e30) * t(1e30), "multiply", "Inf", "float32[1], float32[1]"),
    "overflow of a square": (lambda: td.square(t(1e25)), "multiply", "Inf", "[0]"),
    "overflow of a sum": (lambda: td.sum(t(3e38, 3e38)), "sum", "Inf", "the first at []"),
    "overflow of an addition": (lambda: t(3e38) + t(3e38), "add", "Inf", "[0]"),
    "overflow below": (lambda: t(-3e38) - t(3e38), "subtract", "Inf", "[0]"),
    "overflow of a matrix product": (
        lambda: td.matmul(td.full((2, 3), 1e30), td.full((3, 4), 1e30)),
        "matmul", "Inf", "float32[2, 3], float32[3, 4]",
    ),
    "a type too narrow": (lambda: td.cast(td.tensor([1e300], dtype="float64"), "float32"), "cast", "Inf", "float64[1]"),
    "the sine of Inf": (lambda: td.sin(t(np.inf)), "sin", "NaN", "an input holds Inf already"),
    "a mask minus a mask": (lambda: t(-np.inf) - t(-np.inf), "subtract", "NaN", "an input holds Inf already"),
    "a softmax masked as a whole": (
        lambda: td.activations.softmax(td.tensor([[-np.inf, -np.inf]])), "subtract", "NaN", "[0, 0]",
    ),
    "zero times a logarithm": (lambda: t(0.0) * td.log(t(0.0)), "multiply", "NaN", "the log of 0"),
    "in three axes": (
        lambda: td.sqrt(td.tensor(np.where(np.arange(24).reshape(2, 3, 4) > 16, -1.0, 1.0))), "sqrt", "NaN",
        "7 of 24 elements, the first at [1, 1, 1]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FORWARD)
def test_forward(what: str, backend: str) -> None:
    call, operation, kind, part = FORWARD[what]
    sentence = raised_by(call)
    if operation != "log1p":  # a composed one is named by what it is composed of, and by the user's line
        assert sentence.startswith(f"td.debug_nans: {operation}(")
    assert f"gave {kind} in " in sentence
    assert part in sentence
    assert "in the forward pass" in sentence
    assert "test_debugging.py, line " in sentence
    assert "learning rate" in sentence


def test_a_function_that_is_called_as_a_metric_s_method_is_none() -> None:
    def result() -> td.Tensor:
        return td.sqrt(t(-1.0))

    assert "in the forward pass (" in raised_by(result)


# -- operations: backward -------------------------------------------------------------------------------------------


def slope(f: Callable[[td.Tensor], td.Tensor], *values: float) -> Callable[[], Any]:
    return lambda: td.sum(f(t(*values, grad=True))).backward()


BACKWARD: dict[str, tuple[Callable[[], Any], str, str]] = {
    "sqrt at 0": (slope(td.sqrt, 4.0, 0.0), "sqrt", "Inf in 1 of 2 elements, the first at [1]"),
    "a power below 1 at 0": (slope(lambda x: x**0.5, 0.0), "power", "Inf"),
    "a norm of zeros": (slope(lambda x: td.sqrt(td.sum(x * x)), 0.0, 0.0), "sqrt", "Inf"),
    "log at 0": (slope(td.log, 1.0, 0.0), "log", "Inf"),
    "a division by a tiny number": (slope(lambda x: 1e-39 / x, 1e-39), "divide", "Inf"),
    "a root that where leaves out": (slope(lambda x: td.where(x > 0, td.sqrt(x), 0.0), 1.0, 0.0), "sqrt", "NaN"),
    "a log that where leaves out": (slope(lambda x: td.where(x > 0, td.log(x), 0.0), 1.0, 0.0), "log", "NaN"),
    "gradients that add up": (slope(lambda x: x * 2e38 + x * 2e38, 0.5), "multiply", "Inf"),
    "a gradient given": (
        lambda: td.exp(t(5.0, grad=True)).backward(t(3e38)), "exp", "Inf in 1 of 1 elements, the first at [0]",
    ),
    "a functional gradient": (lambda: td.grad(lambda x: td.sum(td.sqrt(x)))(t(0.0)), "sqrt", "Inf"),
    "the second derivative": (
        lambda: td.grad(td.grad(lambda x: td.sum(x**1.5)))(td.tensor(0.0)), "power", "Inf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BACKWARD)
def test_backward(what: str, backend: str) -> None:
    call, operation, part = BACKWARD[what]
    sentence = raised_by(call)
    assert f"in the backward pass of {operation}" in sentence
    assert part in sentence
    assert "test_debugging.py, line " in sentence
    assert "small epsilon" in sentence or "learning rate" in sentence


def test_the_line_of_the_backward_pass_is_that_of_the_operation() -> None:
    x = t(0.0, grad=True)
    with td.debug_nans():
        root = td.sqrt(x)  # the line that is to be named
        with pytest.raises(FloatingPointError, match=r"root = td\.sqrt") as caught:
            td.sum(root).backward()
    assert "sum(root)" not in str(caught.value)


# -- what is meant --------------------------------------------------------------------------------------------------

MEANT: dict[str, Callable[[], Any]] = {
    "a constant": lambda: td.full((2,), np.inf) * 2,
    "a number": lambda: td.where(t(1.0, 0.0) > 0, t(1.0, 2.0), -np.inf),
    "a mask": lambda: td.activations.softmax(td.tensor([[1.0, 2.0, -np.inf]])),
    "the slope of a mask": lambda: td.grad(lambda x: td.activations.softmax(td.where(x > 1, x, -np.inf))[0])(t(1, 2)),
    "log(0)": lambda: td.log(t(0.0)),
    "log(0), left out": lambda: td.where(t(0.0, 1.0) > 0, td.log(t(0.0, 1.0)), 0.0),
    "exp of -inf": lambda: td.exp(t(-np.inf)),
    "isnan": lambda: td.isnan(t(np.nan)),
    "NaN left out": lambda: td.where(td.isnan(t(np.nan, 1.0)), 0.0, t(np.nan, 1.0)),
    "finite numbers whose sum is not": lambda: t(3e38, 3e38) * 1.0,
    "integers": lambda: td.tensor([2**62]) * 4,
    "a layer's zeros that say nothing": lambda: Reciprocal()(layers.Input((2,))),
}


class Reciprocal(td.Layer):
    def call(self, inputs: td.Tensor) -> td.Tensor:
        return 1.0 / inputs


@pytest.mark.parametrize("what", MEANT)
def test_what_is_meant_is_let_be(what: str, backend: str) -> None:
    with td.debug_nans():
        MEANT[what]()


def test_a_weight_never_means_to_be_infinite() -> None:
    w = td.Variable([1.0, 2.0], trainable=True, name="w")
    sentence = raised_by(lambda: w.assign(td.log(t(1.0, 0.0))))
    assert "assign to 'w'(float32[2]) gave Inf in 1 of 2 elements, the first at [1]" in sentence
    assert w.tolist() == [1.0, 2.0]
    with td.debug_nans():
        assert td.Variable([1.0]).assign([np.inf]).tolist() == [np.inf]  # a bound, say


# -- what is given --------------------------------------------------------------------------------------------------


def test_what_is_not_finite_already_is_named() -> None:
    w = td.Variable(np.array([[1.0, np.nan]], np.float32), name="kernel")
    sentence = raised_by(lambda: t(1.0) * w)
    assert "its input 1, 'kernel', is not finite already, NaN at [0, 1]: replace or drop that" in sentence
    assert "its input 0 is not finite already, NaN at [1]" in raised_by(lambda: t(1.0, np.nan) + 1.0)
    assert "its input 2 is not finite already: replace" in raised_by(lambda: td.where(t(1.0) > 2, t(1.0), np.nan))


def test_data_that_are_not_finite_are_refused_by_fit() -> None:
    model = network()
    x = X.copy()
    x[3, 1] = np.nan
    with td.debug_nans(), pytest.raises(ValueError, match="x holds nan at sample 3"):
        model.fit(x, Y, verbose=0)


# -- models ---------------------------------------------------------------------------------------------------------

BATCH, BATCHES, BAD = 4, 8, 5
X = np.random.default_rng(0).uniform(0.5, 1.5, (BATCH * BATCHES, 3)).astype(np.float32)
Y = X[:, :1].copy()


class Through(td.Layer):
    """A layer of a user, which computes something of its inputs' first column and adds it."""

    def __init__(self, function: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return inputs + self.function(inputs[:, :1])


class Weighted(td.Layer):
    """A layer of a user whose weight has an infinite slope where an input is 0."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight(initializer="ones", name="factor")

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return td.sqrt(inputs * self.factor)


def network(*inside: Any, optimizer: Any = None, loss: Any = "mse", metrics: Any = None, **how: Any) -> Any:
    """Return a compiled model of three inputs, named parts, and all kinds of state."""
    td.random.set_seed(0)
    model = td.Sequential(
        [layers.Input((3,)), *inside, layers.BatchNormalization(name="norm"), layers.Dropout(0.2, name="drop"),
         layers.Dense(4, activation="tanh", name="deep"), layers.Dense(1, name="last")], name="net",
    )  # fmt: skip
    model.compile(optimizer or td.optimizers.Adam(0.01), loss, metrics=metrics, **how)
    return model


def state_of(model: Any) -> list[np.ndarray]:
    """Return all that a step changes: weights, the optimizer's state, random streams, metrics."""
    streams = [g.state for layer, _ in model._flatten() for g in layer._parts().generators.values()]
    held = [*model.weights, *model.optimizer.variables, *streams, *(v for m in model.metrics for v in m.variables)]
    return [v.numpy() for v in held]


def bad_input(value: float) -> np.ndarray:
    x = X.copy()
    x[BAD * BATCH + 1, 0] = value
    return x


def bad_target(value: float) -> np.ndarray:
    y = Y.copy()
    y[BAD * BATCH + 2, 0] = value
    return y


class Explodes:
    """A schedule whose rate overflows at one step."""

    def __call__(self, step: td.Tensor) -> td.Tensor:
        return td.where(step < BAD, 0.01, 1e38) * td.where(step < BAD, 1.0, 1e38)


class Uneven(td.Optimizer):
    """An optimizer of a user, which divides by what may be zero."""

    def init(self, weight: td.Tensor) -> dict[str, Any]:
        return {"calls": td.zeros_like(weight)}

    def update(self, param: Any, grad: Any, state: Any, learning_rate: Any) -> Any:
        calls = state["calls"] + 1.0
        return param - learning_rate * 1e-4 * grad / (calls - (BAD + 1)), {"calls": calls}


def hypot_loss(y_true: Any, y_pred: Any) -> td.Tensor:
    return td.sqrt(y_true) + td.square(y_true - y_pred)


class Roots(td.metrics.Mean):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        super().update_state(td.sqrt(y_true))


def through(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda plugin, **how: network(Through(function, name="mine"), **how)


# What makes the model, the data, and what the sentence has in it.
MODELS: dict[str, tuple[Callable[..., Any], np.ndarray, np.ndarray, list[str]]] = {
    "a root in a user's layer": (
        through(td.sqrt), bad_input(-1.0), Y,
        ["sqrt(float32[4, 1])", "NaN in 1 of 4 elements, the first at [1, 0]",
         "forward pass of layer 'mine' of model 'net'"],
    ),
    "an exp in a user's layer": (
        through(td.exp), bad_input(200.0), Y, ["exp(", "Inf in 1 of 4", "forward pass of layer 'mine' of model 'net'"],
    ),
    "a division in a user's layer": (
        through(lambda x: 1.0 / x), bad_input(0.0), Y, ["divide(", "Inf", "forward pass of layer 'mine'"],
    ),
    "a slope in a user's layer": (
        lambda plugin, **how: network(Weighted(name="mine"), **how), bad_input(0.0), Y,
        ["divide(", "Inf", "in the backward pass of sqrt of layer 'mine' of model 'net'",
         "td.sqrt(inputs * self.factor)"],
    ),
    "an overflow in a normalization": (
        lambda plugin, **how: network(**how), bad_input(1e30), Y,
        ["Inf", "forward pass of layer 'norm' of model 'net'"],
    ),
    "a plugin's activation": (
        lambda plugin, **how: network(
            layers.Dense(3, activation=plugin.root, name="first", kernel_initializer="identity"), **how),
        bad_input(-9.0), Y,
        ["sqrt(", "NaN", "of layer 'first' of model 'net'", "wild_roots.py, line ", "; plugin tinygrad-dnn-wild"],
    ),
    "a plugin's primitive": (
        lambda plugin, **how: network(layers.Lambda(plugin.raised, name="raising"), **how), bad_input(-9.0), Y,
        ["raised(float32[4, 3]); plugin tinygrad-dnn-wild gave NaN in 1 of 12 elements, the first at [1, 0]",
         "'raising'"],
    ),
    "a plugin's layer": (
        lambda plugin, **how: network(plugin.Root(name="roots"), **how), bad_input(-9.0), Y,
        ["sqrt(", "layer 'roots'; plugin tinygrad-dnn-wild of model 'net'"],
    ),
    "an overflow of a loss": (
        lambda plugin, **how: network(**how), X, bad_target(1e25),
        ["Inf in 1 of 4 elements, the first at [2, 0]", "forward pass of loss 'mean_squared_error' of model 'net'"],
    ),
    "a user's loss": (
        lambda plugin, **how: network(loss=hypot_loss, **how), X, bad_target(-1.0),
        ["sqrt(", "NaN", "forward pass of the loss of model 'net'", "return td.sqrt(y_true)"],
    ),
    "a user's metric": (
        lambda plugin, **how: network(metrics=[Roots(name="roots")], **how), X, bad_target(-1.0),
        ["sqrt(", "NaN", "of metric 'roots' of model 'net'"],
    ),
    "a learning rate too high": (
        lambda plugin, **how: network(optimizer=td.optimizers.SGD(Explodes(), momentum=0.9), **how),
        X, Y, ["Inf", "in the optimizer's update of optimizer 'sgd'", "return td.where(step < BAD"],
    ),
    "a user's optimizer": (
        lambda plugin, **how: network(optimizer=Uneven(0.01), **how), X, Y,
        ["divide(", "in the optimizer's update of weight 'norm/gamma' by optimizer 'uneven'", "clipnorm"],
    ),
}  # fmt: skip


WAYS = {
    "operation by operation": {"run_eagerly": True},
    "NumPy calls": {"jit_compile": "auto"},
    "machine code": {"jit_compile": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", MODELS)
def test_fit_names_the_place_and_loses_nothing(what: str, way: str, plugin: ModuleType) -> None:
    if way == "machine code":
        pytest.importorskip("llvmlite")
    make, x, y, parts = MODELS[what]
    expected, model = make(plugin, **WAYS[way]), make(plugin, **WAYS[way])
    expected.fit(x[: BAD * BATCH], y[: BAD * BATCH], batch_size=BATCH, shuffle=False, verbose=0)
    sentence = raised_by(lambda: model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0))
    for part in parts:
        assert part in sentence
    assert "test_debugging.py, line " in sentence or "wild_roots.py, line " in sentence
    runs = [entry.run for jitted in model._programs.values() for entry in jitted._entries.values()]
    assert [run for run in runs if run is not None] or way == "operation by operation"
    assert int(model.optimizer.iterations) == BAD
    for found, before in zip(state_of(model), state_of(expected), strict=True):
        np.testing.assert_array_equal(found, before)


def test_a_fit_without_nan_is_the_same_under_debug_nans() -> None:
    for way in WAYS.values():
        if way.get("jit_compile") is True:
            pytest.importorskip("llvmlite")
        plain, watched = network(metrics=["mae"], **way), network(metrics=["mae"], **way)
        for debugs, model in ((False, plain), (True, watched)):
            with td.debug_nans(debugs):
                model.fit(X, Y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, validation_split=0.25)
        for found, expected in zip(state_of(watched), state_of(plain), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_after_the_error(way: str) -> None:
    if way == "machine code":
        pytest.importorskip("llvmlite")
    expected, model = (network(Through(td.sqrt, name="mine"), **WAYS[way]) for _ in range(2))
    good, bad = (X[:BATCH], Y[:BATCH]), (-X[:BATCH], Y[:BATCH])
    for _ in range(5):
        expected.train_on_batch(*good)
        model.train_on_batch(*good)
    before = state_of(model)
    sentence = raised_by(lambda: model.train_on_batch(*bad))
    assert "forward pass of layer 'mine' of model 'net'" in sentence
    assert "model.train_on_batch(*bad)" in sentence or "tests/test_debugging.py" in sentence
    metrics = sum(len(m.variables) for m in model.metrics)  # train_on_batch begins them anew by itself
    for found, held in zip(state_of(model)[:-metrics], before[:-metrics], strict=True):
        np.testing.assert_array_equal(found, held)
    for _ in range(3):
        expected.train_on_batch(*good)
        model.train_on_batch(*good)
    for found, held in zip(state_of(model), state_of(expected), strict=True):
        np.testing.assert_array_equal(found, held)


@pytest.mark.parametrize("way", WAYS)
def test_evaluate_and_predict(way: str) -> None:
    if way == "machine code":
        pytest.importorskip("llvmlite")
    model = network(Through(td.sqrt, name="mine"), **WAYS[way])
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    before = [w.numpy() for w in model.weights]
    x = bad_input(-1.0)
    calls = (lambda: model.evaluate(x, Y, batch_size=BATCH, verbose=0), lambda: model.predict(x, batch_size=BATCH))
    for call in (*calls, *calls):
        sentence = raised_by(call)
        assert "sqrt(float32[4, 1]) gave NaN in 1 of 4 elements, the first at [1, 0]" in sentence
        assert "forward pass of layer 'mine' of model 'net'" in sentence
    for found, held in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(found.numpy(), held)


# -- td.jit ---------------------------------------------------------------------------------------------------------

NATIVE = [False, pytest.param(True, marks=pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="machine code needs llvmlite"
))]  # fmt: skip


@pytest.mark.parametrize("native", NATIVE)
def test_a_function_s_own_loop(native: bool) -> None:
    w = td.Variable([1.0, 2.0], trainable=True, name="w")
    count = td.Variable(0, name="count")

    def step(x: td.Tensor) -> td.Tensor:
        count.assign(count + 1)
        value, gradient = td.value_and_grad(lambda w: td.sum(td.sqrt(w * x)))(w)
        w.assign(w - 0.01 * gradient)
        return value

    call = td.jit(step, native=native)
    with td.debug_nans():
        for _ in range(3):
            call(t(1.0, 2.0))
    assert all(entry.run is not None for entry in call._entries.values())
    before = w.numpy()
    sentence = raised_by(lambda: call(t(1.0, 0.0)))
    assert "in the backward pass of sqrt (" in sentence
    assert "value, gradient = " in sentence
    assert "gave Inf in 1 of 2 elements, the first at [1]" in sentence
    assert "gave NaN in 1 of 2 elements, the first at [0], in the forward pass" in raised_by(lambda: call(t(-1.0, 1.0)))
    assert count.item() == 3
    assert w.numpy().tolist() == before.tolist()
    with td.debug_nans():
        call(t(1.0, 2.0))
    assert count.item() == 4


@pytest.mark.parametrize("native", NATIVE)
def test_an_argument_that_is_assigned_to_is_put_back(native: bool) -> None:
    call = td.jit(lambda x: x.assign(td.log(x)) * 1.0, native=native)
    x = t(100.0)
    with td.debug_nans():
        call(t(100.0))
        call(x)
        call(x)
    before = x.item()
    x.assign([-before])
    assert "log(" in raised_by(lambda: call(x))
    assert x.item() == -before


@pytest.mark.parametrize("native", NATIVE)
def test_an_infinity_that_is_meant_is_returned(native: bool) -> None:
    call = td.jit(lambda x: td.log(x), native=native)
    with td.debug_nans():
        for _ in range(3):
            assert call(t(0.0, 1.0)).tolist() == [-np.inf, 0.0]


def test_a_program_that_alone_overflows_says_so() -> None:
    total = td.Variable([1.0])
    call = td.jit(lambda x: total.assign(total + x) * 1.0)
    call(t(1.0))
    (entry,) = call._entries.values()
    entry.run = lambda inputs: [np.array([np.inf], np.float32)]
    sentence = raised_by(lambda: call(t(1.0)))
    assert "run operation by operation it does not: machine code rounds otherwise" in sentence
    assert total.tolist() == [2.0]


def test_a_function_that_cannot_be_a_program_is_looked_at() -> None:
    w = td.Variable([4.0])

    def f(x: td.Tensor) -> Any:
        w.assign(w + 1.0)
        return td.sqrt(x), x.item()

    call = td.jit(f)
    with pytest.warns(UserWarning, match="looked at"):
        call(t(1.0))
    assert "sqrt(" in raised_by(lambda: call(t(-1.0)))
    assert w.tolist() == [5.0]


def test_the_first_call_is_looked_at_and_undone() -> None:
    w = td.Variable([4.0])
    call = td.jit(lambda x: td.sqrt(w.assign(w + x) - 10.0))
    assert "sqrt(" in raised_by(lambda: call(t(1.0)))
    assert w.tolist() == [4.0]


# -- the switch -----------------------------------------------------------------------------------------------------


def bad() -> td.Tensor:
    return td.sqrt(t(-1.0))


def test_it_is_switched_on_and_off() -> None:
    bad()
    td.debug_nans(True)
    try:
        with pytest.raises(FloatingPointError):
            bad()
        with td.debug_nans(False):
            bad()
        with pytest.raises(FloatingPointError), td.debug_nans():
            bad()
        with pytest.raises(FloatingPointError):
            bad()
    finally:
        td.debug_nans(False)
    bad()


def test_it_is_not_switched_in_what_is_recorded() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        with td.debug_nans():
            return td.sqrt(x)

    with pytest.raises(RuntimeError, match=r"outside of the function that td\.jit runs"):
        td.jit(f)(t(1.0))


def test_each_thread_has_its_own_switch() -> None:
    """Half of eight threads switch it on, half off, each many times, and each finds what it says."""
    wrong: list[int] = []
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait()
        with np.errstate(all="ignore"):
            for i in range(250):
                debugs = (i + number) % 2 == 0
                with td.debug_nans(debugs):
                    try:
                        bad()
                        found = False
                    except FloatingPointError:
                        found = True
                    if found is not debugs:
                        wrong.append(number)

    with td.debug_nans():
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        with pytest.raises(FloatingPointError):
            bad()


def test_the_environment_switches_it_on_in_every_thread() -> None:
    program = """
import threading, tinygrad_dnn as td
def work():
    try:
        td.sqrt(td.tensor(-1.0))
    except FloatingPointError:
        print("raised")
thread = threading.Thread(target=work)
thread.start()
thread.join()
work()
"""
    for text, expected in (("nans", ["raised"] * 2), ("jit,nans", ["raised"] * 2), ("jit", [])):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], env={**os.environ, "TINYGRAD_DNN_DEBUG": text},
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert done.stdout.split() == expected


def test_nothing_is_left_on_tensors_when_it_is_off() -> None:
    x = t(1.0, grad=True)
    assert (x * 2)._place is None
    with td.debug_nans():
        assert (x * 2)._place is not None
