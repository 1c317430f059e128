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

layers = td.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5)).astype(np.float32)
Y = np.arange(12) % 3

RATE = 0.5


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    global RATE
    before = RATE, td.backend.floatx()
    yield
    RATE = before[0]
    td.backend.set_floatx(before[1])


def values(x: Any) -> Any:
    """Return what there is to compare: arrays as bytes with their types."""
    if isinstance(x, td.Tensor):
        return x.dtype.name, x.shape, x.numpy().tobytes(), x.backend.name
    if isinstance(x, dict):
        return {key: values(part) for key, part in x.items()}
    if isinstance(x, (list, tuple)):
        return [values(part) for part in x]
    return x


def compare(make: Callable[[], Any], change: Callable[[Any], Any]) -> None:
    """Call a function and its jitted twin twice before a change and three times after it.

    ``make`` returns the function, what is to be compared besides its values, and what ``change`` is given; what
    ``change`` returns, if anything, are arguments for the calls after it.
    """
    global RATE
    seen = []
    recorded = []
    for jitted in (False, True):
        RATE = 0.5
        td.backend.set_floatx("float32")
        td.random.set_seed(3)
        function, state, arguments, to_change = make()
        call = td.jit(function) if jitted else function
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
        assert eager == program, f"after {place} calls"
    assert recorded
    assert all(entry.run is not None for entry in recorded)


# -- models ---------------------------------------------------------------------------------------------------------


class Scaled(td.Layer):
    """A layer of a user: it reads a number of its own, a global one, one of its class, and one of a plain object."""

    BASE = 1.0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by = 2.0
        self.settings = types.SimpleNamespace(shift=0.1)
        self.parts = [1.0, 2.0]
        self.table = np.array([1.0, 2.0], np.float32)

    def call(self, inputs: td.Tensor) -> td.Tensor:
        return inputs * self.by * RATE * self.BASE + self.settings.shift + sum(self.parts) * float(self.table[1])


def network() -> td.Sequential:
    inner = td.Sequential([layers.Dense(6, activation="elu", name="deep"), layers.BatchNormalization(name="norm")])
    model = td.Sequential(
        [
            layers.Dense(7, activation="tanh", kernel_regularizer=td.regularizers.L2(0.01), name="first"),
            layers.Dropout(0.3, name="dropout"),
            inner,
            Scaled(name="scaled"),
            layers.Dense(3, activation="softmax", kernel_constraint="nonneg", name="last"),
        ]
    )
    model.compile(
        td.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"],
        jit_compile=False,
    )  # fmt: skip
    model.build((None, 5))
    model._number_streams()
    return model


def training() -> Any:
    model = network()

    def state() -> Any:
        return [*model.weights, *model.optimizer.variables]

    return model.train_step, state, ((td.tensor(X), td.tensor(Y)),), model


def named(model: Any, name: str) -> Any:
    return next(layer for layer, _ in model._flatten() if layer.name == name)


def attribute(name: str, value: Any, of: str = "") -> Callable[[Any], None]:
    """Return what sets an attribute of a layer, or of the model where none is named."""

    def change(model: Any) -> None:
        held = named(model, of) if of else model
        *path, last = name.split(".")
        for part in path:
            held = getattr(held, part)
        setattr(held, last, value() if isinstance(value, types.LambdaType) else value)

    return change


def set_global(model: Any) -> None:
    global RATE
    RATE = 0.25


def set_class(model: Any) -> None:
    named(model, "scaled").__class__ = type("Scaled", (Scaled,), {"BASE": 3.0})


def set_weights(model: Any) -> None:
    model.set_weights([w * 0.5 for w in model.get_weights()])


def replace_in_list(model: Any) -> None:
    named(model, "scaled").parts[1] = 5.0


def extend_list(model: Any) -> None:
    named(model, "scaled").parts.append(4.0)


def edit_array(model: Any) -> None:
    named(model, "scaled").table[1] = 7.0


def freeze_deep(model: Any) -> None:
    named(model, "deep").trainable = False


def own_call(model: Any) -> None:
    scaled = named(model, "scaled")
    scaled.call = lambda inputs: inputs * 3.0


def compile_again(model: Any) -> None:
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)


def edit_regularizer(model: Any) -> None:
    named(model, "first").kernel.regularizer.l2 = 0.5


def new_regularizer(model: Any) -> None:
    named(model, "first").kernel.regularizer = td.regularizers.L1(0.1)


def new_constraint(model: Any) -> None:
    named(model, "first").kernel.constraint = td.constraints.get("unitnorm")


def no_constraint(model: Any) -> None:
    named(model, "last").kernel.constraint = None


def assign_rate(model: Any) -> None:
    model.optimizer.learning_rate = 0.5


def schedule(model: Any) -> None:
    model.optimizer.learning_rate = td.schedulers.ExponentialDecay(0.1, 1, 0.5)


def clip(model: Any) -> None:
    model.optimizer.clipnorm = 0.01


def remainder(model: Any) -> Any:
    return ((td.tensor(X[:5]), td.tensor(Y[:5])),)


def weights_of_samples(model: Any) -> Any:
    return ((td.tensor(X), td.tensor(Y), td.tensor(np.linspace(0, 1, 12, dtype=np.float32))),)


def integers(model: Any) -> Any:
    return ((td.tensor((X * 9).astype(np.int32)), td.tensor(Y)),)


def reset_metrics(model: Any) -> None:
    model.reset_metrics()


def reseed(model: Any) -> None:
    td.random.set_seed(99)
    dropout = named(model, "dropout")
    for generator in dropout._parts().generators.values():
        generator.restart(5)


def other_loss(model: Any) -> None:
    loss, metrics = "sparse_categorical_crossentropy", ["sparse_categorical_accuracy"]
    model._objectives = type(model._objectives)(loss, None, metrics, None, ())


def eager_steps(model: Any) -> None:
    model.train_step((td.tensor(X[:7]), td.tensor(Y[:7])))


def exclude(model: Any) -> None:
    model.optimizer.weight_decay = 0.1
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])


MODEL_CHANGES: dict[str, Callable[[Any], Any]] = {
    "a remainder of a batch": remainder,
    "another dtype of inputs": integers,
    "sample weights": weights_of_samples,
    "the learning rate, a number": assign_rate,
    "the learning rate, a schedule": schedule,
    "momentum": attribute("optimizer.momentum", 0.5),
    "nesterov": attribute("optimizer.nesterov", True),
    "the rate of dropout": attribute("rate", 0.6, "dropout"),
    "clipnorm": clip,
    "weight decay with an exclusion": exclude,
    "trainable of a layer": attribute("trainable", False, "first"),
    "trainable of a layer inside a model inside": freeze_deep,
    "trainable of a normalisation": attribute("trainable", False, "norm"),
    "set_weights": set_weights,
    "another optimizer": compile_again,
    "another loss and metrics": other_loss,
    "another regularizer": new_regularizer,
    "the number of a regularizer": edit_regularizer,
    "another constraint": new_constraint,
    "no constraint": no_constraint,
    "the seed of all, and of a layer": reseed,
    "the momentum of a normalisation": attribute("momentum", 0.5, "norm"),
    "the epsilon of a normalisation": attribute("epsilon", 0.1, "norm"),
    "an activation": attribute("activation", lambda: td.activations.get("relu"), "deep"),
    "a number of a user's layer": attribute("by", 1.5, "scaled"),
    "a number in an object of a user's layer": attribute("settings.shift", -1.0, "scaled"),
    "an entry of a list of a user's layer": replace_in_list,
    "a longer list of a user's layer": extend_list,
    "a NumPy array of a user's layer, edited in place": edit_array,
    "the class of a user's layer": set_class,
    "the call of a user's layer": own_call,
    "a global number that a user's layer reads": set_global,
    "metrics begun anew": reset_metrics,
    "an eager step in between": eager_steps,
}


@pytest.mark.parametrize("what", MODEL_CHANGES)
def test_a_change_of_a_model_is_honoured(what: str) -> None:
    compare(training, MODEL_CHANGES[what])


def predicting() -> Any:
    model = network()
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
def test_a_change_of_a_model_that_predicts_is_honoured(what: str) -> None:
    def frozen() -> Any:
        _, state, arguments, model = predicting()
        model.trainable = False
        return functools.partial(_without_gradient, model), state, arguments, model

    compare(frozen, PREDICTION_CHANGES[what])


def _without_gradient(model: Any, x: Any) -> Any:
    return model(x).detach()


def test_the_training_flag_is_part_of_the_signature() -> None:
    model = network()
    jitted = td.jit(lambda x, training: model(x, training=training).detach())
    x = td.tensor(X)
    before = model.get_weights()
    seed = [v.numpy() for v in _seeds(model)]
    for training in (False, True, False, True):
        found = values(jitted(x, training))
        after = model.get_weights()
        _restore(model, before, seed)
        assert found == values(model(x, training=training).detach())
        assert all((a == b).all() for a, b in zip(after, model.get_weights(), strict=True))
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
def test_a_change_of_what_a_function_reaches_is_honoured(what: str) -> None:
    compare(of_closure, FUNCTION_CHANGES[what])


def test_a_change_of_a_user_s_class_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    jitted = td.jit(lambda x: x * Config.scale)
    assert jitted(td.tensor(1.0)).item() == 2.0
    monkeypatch.setattr(Config, "scale", 5.0)
    assert jitted(td.tensor(1.0)).item() == 5.0


def test_a_change_of_another_module_s_number_is_honoured() -> None:
    other = types.ModuleType("settings_of_a_user")
    other.RATE = 2.0  # type: ignore[attr-defined]
    jitted = td.jit(lambda x: x * other.RATE)
    assert jitted(td.tensor(1.0)).item() == 2.0
    other.RATE = 3.0  # type: ignore[attr-defined]
    assert jitted(td.tensor(1.0)).item() == 3.0


def test_zero_and_minus_zero_are_two_arguments() -> None:
    jitted = td.jit(lambda x, y: x / y)
    with np.errstate(divide="ignore"):
        assert jitted(td.tensor(1.0), 0.0).item() == np.inf
        assert jitted(td.tensor(1.0), -0.0).item() == -np.inf
    assert [jitted(td.tensor(4), x).dtype.name for x in (2, 2.0)] == ["float32"] * 2


def test_another_backend_is_honoured() -> None:
    jitted = td.jit(lambda: td.ones(2) * 2)
    for name in ("numpy", "strict", "numpy"):
        with td.backend.use(name):
            assert jitted().backend.name == name


def test_an_object_given_is_watched() -> None:
    jitted = td.jit(lambda settings, x: x * settings.scale)
    settings = types.SimpleNamespace(scale=2.0)
    assert jitted(settings, td.tensor(1.0)).item() == 2.0
    settings.scale = 3.0
    assert jitted(settings, td.tensor(1.0)).item() == 3.0
    assert jitted(types.SimpleNamespace(scale=4.0), td.tensor(1.0)).item() == 4.0


def test_two_tensors_swapped_are_two_tensors() -> None:
    pair = [td.Variable(1.0), td.Variable(2.0)]
    jitted = td.jit(lambda x: pair[0] * 10 + pair[1] * x)
    assert jitted(td.tensor(1.0)).item() == 12.0
    pair.reverse()
    assert jitted(td.tensor(1.0)).item() == 21.0


def test_tensors_that_shared_an_array_when_recorded_are_two() -> None:
    first = td.Variable([1.0, 2.0])
    second = first.detach()
    jitted = td.jit(lambda x: first * x + second)
    assert jitted(td.tensor(1.0)).tolist() == [2.0, 4.0]
    second.assign([10.0, 10.0])
    assert jitted(td.tensor(1.0)).tolist() == [11.0, 12.0]
    first.assign([0.0, 0.0])
    assert jitted(td.tensor(1.0)).tolist() == [10.0, 10.0]


def test_gradients_that_are_read_are_read_anew() -> None:
    w = td.Variable([1.0, 2.0], trainable=True)
    jitted = td.jit(lambda: w.grad * 2)
    for factor in (1.0, 3.0, 5.0):
        w.grad = None
        (w * factor).sum().backward()
        assert jitted().tolist() == [2 * factor] * 2


def test_a_function_of_two_models_knows_them_apart() -> None:
    models = [network(), network()]
    jitted = td.jit(lambda model, x: model(x).detach())
    for model in (*models, *models):
        assert values(jitted(model, td.tensor(X))) == values(model(td.tensor(X)).detach())
