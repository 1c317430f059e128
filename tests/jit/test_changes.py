"""Whatever changes between calls of a jitted function, it returns what the function itself returns."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit import changing
from tests.jit.changing import (
    AVERAGING_CHANGES,
    MODEL_CHANGES,
    WAYS,
    X,
    Y,
    assert_alike,
    averaging,
    begin,
    network,
    state_of,
    values,
)  # fmt: skip

layers = td.layers


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    with changing.put_back():
        yield


@pytest.fixture(params=WAYS)
def native(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the jitted function is to be machine code, which computes on NumPy's arrays."""
    with changing.run_in(request.param) as native:
        yield native


def compare(make: Callable[[], Any], change: Callable[[Any], Any], native: bool) -> None:
    """Call a function and its jitted twin twice before a change and three times after it.

    ``make`` returns the function, what is to be compared besides its values, and what ``change`` is given; what
    ``change`` returns, if anything, are arguments for the calls after it.
    """
    seen = []
    recorded = []
    for jitted in (False, True):
        begin()
        function, state, arguments, to_change = make()
        call = td.jit(function, native=native) if jitted else function
        with warnings.catch_warnings(), ExitStack() as around:
            warnings.simplefilter("error")
            found = [values(call(*arguments)) for _ in range(2)]
            changed = change(to_change)
            if hasattr(changed, "__enter__"):
                around.enter_context(changed)
            elif changed is not None:
                arguments = changed
            found += [values(call(*arguments)) for _ in range(3)]
            found.append(values(state()))
        seen.append(found)
        if jitted:
            recorded = [*call._entries.values()]
    for place, (eager, program) in enumerate(zip(*seen, strict=True)):
        assert_alike(program, eager, native, f"after {place} calls")
    assert recorded
    assert all(entry.run is not None for entry in recorded)


# -- models ---------------------------------------------------------------------------------------------------------


def training(make: Callable[..., Any] = network) -> Any:
    model = make(jit_compile=False)
    return model.train_step, lambda: state_of(model), ((td.tensor(X), td.tensor(Y)),), model


@pytest.mark.parametrize("what", MODEL_CHANGES)
def test_a_change_of_a_model_is_honoured(what: str, native: bool) -> None:
    compare(training, MODEL_CHANGES[what], native)


@pytest.mark.parametrize("what", AVERAGING_CHANGES)
def test_a_change_of_schedules_and_averages_is_honoured(what: str, native: bool) -> None:
    compare(functools.partial(training, averaging), AVERAGING_CHANGES[what], native)


def predicting() -> Any:
    model = network(jit_compile=False)
    return model, lambda: model.weights, (td.tensor(X),), model


def add_layer(model: Any) -> None:
    model.add(layers.Dense(2, kernel_initializer=td.initializers.Constant(0.5)))


PREDICTION_CHANGES: dict[str, Callable[[Any], Any]] = {
    "a layer more": add_layer,
    "dropout at prediction": lambda model: layers.surroundings.dropping(),
    "no gradients": lambda model: td.no_grad(),
    "a layer less": lambda model: model.pop() and None,
    "a longer batch": lambda model: (td.tensor(np.concatenate([X, X])),),
    "an array in the place of a Tensor": lambda model: (X,),
    "float64 in the place of float32": lambda model: (td.tensor(X.astype(np.float64)),),
}


@pytest.mark.parametrize("what", PREDICTION_CHANGES)
def test_a_change_of_a_model_that_predicts_is_honoured(what: str, native: bool) -> None:
    def frozen() -> Any:
        _, state, arguments, model = predicting()
        model.trainable = False
        return functools.partial(_without_gradient, model), state, arguments, model

    compare(frozen, PREDICTION_CHANGES[what], native)


def _without_gradient(model: Any, x: Any) -> Any:
    return model(x).detach()


def test_the_training_flag_is_part_of_the_signature(native: bool) -> None:
    model = network()
    jitted = td.jit(lambda x, training: model(x, training=training).detach(), native=native)
    x = td.tensor(X)
    before = model.get_weights()
    seed = [v.numpy() for v in _seeds(model)]
    for training in (False, True, False, True):
        found = values(jitted(x, training))
        after = model.get_weights()
        _restore(model, before, seed)
        assert_alike(found, values(model(x, training=training).detach()), native)
        assert_alike(after, model.get_weights(), native)
        _restore(model, before, seed)


def _seeds(model: Any) -> list[td.Tensor]:
    return [g.state for layer, _ in model._flatten() for g in layer._parts().generators.values()]


def _restore(model: Any, weights: list[np.ndarray], seeds: list[np.ndarray]) -> None:
    model.set_weights(weights)
    for state, seed in zip(_seeds(model), seeds, strict=True):
        state.assign(seed)


# -- functions ------------------------------------------------------------------------------------------------------


class Config:
    """What users keep their settings in."""

    scale = 2.0


class Slotted:
    """An object without a dict."""

    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


def of_closure() -> Any:
    held = {
        "number": 2.0,
        "tensor": td.tensor([1.0, 2.0]),
        "list": [1.0],
        "dict": {"a": 1.0},
        "slotted": Slotted(),
        "function": lambda x: x + 1.0,
        "array": np.ones(2, np.float32),
        "set": {1.0},
    }
    number, tensor, sizes, table = held["number"], held["tensor"], held["list"], held["dict"]
    slotted, inner, array, chosen = held["slotted"], held["function"], held["array"], held["set"]

    def f(x: td.Tensor, factor: float = 1.0) -> td.Tensor:
        out = inner(x) * number + tensor * Config.scale + sum(sizes) + table["a"] + slotted.scale
        return out * factor + array + sum(chosen)

    def rebind(**kwargs: Any) -> None:
        nonlocal number, tensor, inner
        number, tensor = kwargs.get("number", number), kwargs.get("tensor", tensor)
        inner = kwargs.get("inner", inner)

    held.update(rebind=rebind, f=f)
    return f, lambda: held["tensor"], (td.tensor([3.0, 4.0]),), held


def set_default(held: Any) -> None:
    held["f"].__defaults__ = (5.0,)


def assign_tensor(held: Any) -> None:
    held["tensor"].assign([7.0, 8.0])


FUNCTION_CHANGES: dict[str, Callable[[Any], Any]] = {
    "a number closed over": lambda held: held["rebind"](number=3.0),
    "a Tensor closed over, another one": lambda held: held["rebind"](tensor=td.tensor([5.0, 6.0])),
    "a Tensor closed over, assigned to": assign_tensor,
    "a function closed over": lambda held: held["rebind"](inner=lambda x: x - 1.0),
    "a list closed over": lambda held: held["list"].append(3.0),
    "a dict closed over": lambda held: held["dict"].update(a=9.0),
    "a set closed over": lambda held: held["set"].add(5.0),
    "an object with slots": lambda held: setattr(held["slotted"], "scale", 9.0),
    "an array edited in place": lambda held: held["array"].__setitem__(0, 5.0),
    "a default argument": set_default,
    "a number given": lambda held: (td.tensor([3.0, 4.0]), 7.0),
    "a minus before zero": lambda held: (td.tensor([3.0, 4.0]), -0.0),
    "another shape": lambda held: (td.ones((3, 2)),),
    "the default type of floats": lambda held: td.backend.set_floatx("float64"),
}


@pytest.mark.parametrize("what", FUNCTION_CHANGES)
def test_a_change_of_what_a_function_reaches_is_honoured(what: str, native: bool) -> None:
    compare(of_closure, FUNCTION_CHANGES[what], native)


def test_a_change_of_a_user_s_class_is_honoured(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    jitted = td.jit(lambda x: x * Config.scale, native=native)
    assert jitted(td.tensor(1.0)).item() == 2.0
    monkeypatch.setattr(Config, "scale", 5.0)
    assert jitted(td.tensor(1.0)).item() == 5.0


def test_a_change_of_another_module_s_number_is_honoured(native: bool) -> None:
    other = types.ModuleType("settings_of_a_user")
    other.RATE = 2.0  # type: ignore[attr-defined]
    jitted = td.jit(lambda x: x * other.RATE, native=native)
    assert jitted(td.tensor(1.0)).item() == 2.0
    other.RATE = 3.0  # type: ignore[attr-defined]
    assert jitted(td.tensor(1.0)).item() == 3.0


def test_zero_and_minus_zero_are_two_arguments(native: bool) -> None:
    jitted = td.jit(lambda x, y: x / y, native=native)
    with np.errstate(divide="ignore"):
        assert jitted(td.tensor(1.0), 0.0).item() == np.inf
        assert jitted(td.tensor(1.0), -0.0).item() == -np.inf
    assert [jitted(td.tensor(4), x).dtype.name for x in (2, 2.0)] == ["float32"] * 2


def test_another_backend_is_honoured(native: bool) -> None:
    jitted = td.jit(lambda: td.ones(2) * 2, native=native)
    for name in ("numpy", "strict", "numpy"):
        with td.backend.use(name):
            assert jitted().backend.name == name


def test_an_object_given_is_watched(native: bool) -> None:
    jitted = td.jit(lambda settings, x: x * settings.scale, native=native)
    settings = types.SimpleNamespace(scale=2.0)
    assert jitted(settings, td.tensor(1.0)).item() == 2.0
    settings.scale = 3.0
    assert jitted(settings, td.tensor(1.0)).item() == 3.0
    assert jitted(types.SimpleNamespace(scale=4.0), td.tensor(1.0)).item() == 4.0


def test_two_tensors_swapped_are_two_tensors(native: bool) -> None:
    pair = [td.Variable(1.0), td.Variable(2.0)]
    jitted = td.jit(lambda x: pair[0] * 10 + pair[1] * x, native=native)
    assert jitted(td.tensor(1.0)).item() == 12.0
    pair.reverse()
    assert jitted(td.tensor(1.0)).item() == 21.0


def test_tensors_that_shared_an_array_when_recorded_are_two(native: bool) -> None:
    first = td.Variable([1.0, 2.0])
    second = first.detach()
    jitted = td.jit(lambda x: first * x + second, native=native)
    assert jitted(td.tensor(1.0)).tolist() == [2.0, 4.0]
    second.assign([10.0, 10.0])
    assert jitted(td.tensor(1.0)).tolist() == [11.0, 12.0]
    first.assign([0.0, 0.0])
    assert jitted(td.tensor(1.0)).tolist() == [10.0, 10.0]


def test_gradients_that_are_read_are_read_anew(native: bool) -> None:
    w = td.Variable([1.0, 2.0], trainable=True)
    jitted = td.jit(lambda: w.grad * 2, native=native)
    for factor in (1.0, 3.0, 5.0):
        w.grad = None
        (w * factor).sum().backward()
        assert jitted().tolist() == [2 * factor] * 2


def test_a_function_of_two_models_knows_them_apart(native: bool) -> None:
    models = [network(), network()]
    jitted = td.jit(lambda model, x: model(x).detach(), native=native)
    for model in (*models, *models):
        assert_alike(values(jitted(model, td.tensor(X))), values(model(td.tensor(X)).detach()), native)


# -- what two functions share ---------------------------------------------------------------------------------------


def in_turn(make: Callable[[], tuple[Any, ...]], native: bool) -> None:
    """Call two functions in turn, and their jitted twins, and compare all that they give and leave.

    ``make`` returns the two, and what they leave.
    """
    seen = []
    for jits in (False, True):
        begin()
        *functions, state = make()
        calls = [td.jit(f, native=native) if jits else f for f in functions]
        data = td.tensor(X), td.tensor(Y)
        found = [values(calls[which](data)) for which in (0, 1, 0, 0, 1, 1, 0, 1)]
        seen.append([*found, values(state())])
        if jits:
            assert all(entry.run is not None for call in calls for entry in call._entries.values())
    assert_alike(seen[1], seen[0], native)


def test_two_models_share_a_layer(native: bool) -> None:
    def make() -> tuple[Any, ...]:
        shared = layers.Dense(6, activation="tanh", name="shared")
        models = [td.Sequential([shared, layers.Dense(3, activation="softmax")]) for _ in range(2)]
        for model, rate in zip(models, (0.1, 0.02), strict=True):
            model.compile(td.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
            model.build((None, 5))
        return *(m.train_step for m in models), lambda: [state_of(m) for m in models]

    in_turn(make, native)


def test_two_models_share_an_optimizer(native: bool) -> None:
    def make() -> tuple[Any, ...]:
        optimizer = td.optimizers.Nadam(0.05)
        models = [network(optimizer, jit_compile=False) for _ in range(2)]
        return *(m.train_step for m in models), lambda: [state_of(m) for m in models]

    in_turn(make, native)


def test_training_and_prediction_share_a_model(native: bool) -> None:
    def make() -> tuple[Any, ...]:
        model = network(jit_compile=False)
        return model.train_step, model.test_step, lambda: state_of(model)

    in_turn(make, native)


class Tied(td.Layer):
    """Takes a layer's weight turned around: an autoencoder's way back."""

    def __init__(self, of: td.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.of = of

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return td.matmul(inputs, td.transpose(self.of.kernel))


def test_weights_tied_otherwise(native: bool) -> None:
    def make() -> Any:
        first, second = layers.Dense(5, name="first"), layers.Dense(5, activation="elu", name="second")
        tied = Tied(first, name="tied")
        model = td.Sequential([layers.Input((5,)), first, second, tied])
        model.compile(td.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", jit_compile=False)
        return model.train_step, lambda: state_of(model), ((td.tensor(X), td.tensor(Y)),), (tied, second)

    def change(held: Any) -> None:
        tied, second = held
        tied.of = second

    compare(make, change, native)


def test_an_optimizer_changes_what_another_program_reads(native: bool) -> None:
    def make() -> tuple[Any, ...]:
        w = td.Variable(np.linspace(0.1, 1, 5, dtype=np.float32), trainable=True, name="w")
        optimizer = td.optimizers.SGD(0.1)

        def learn(data: Any) -> td.Tensor:
            loss, gradient = td.value_and_grad(lambda w: td.mean(td.square(data[0] * w - 1.0)))(w)
            optimizer.apply([gradient], [w])
            return loss

        return learn, lambda data: td.sum(data[0] * w).detach(), lambda: [w, *optimizer.variables]

    in_turn(make, native)
