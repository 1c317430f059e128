"""What may change between the calls of a step: models, what changes in them, and how what they compute is compared."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5)).astype(np.float32)
Y = np.arange(12) % 3

RATE = 0.5

# How a jitted function is run, and whether that is machine code, which rounds otherwise.
WAYS = {"NumPy calls": False, "machine code": True}


@contextlib.contextmanager
def put_back() -> Iterator[None]:
    """Put back, at the end, what changes set outside of a model."""
    global RATE
    before = RATE, td.backend.floatx()
    yield
    RATE = before[0]
    td.backend.set_floatx(before[1])


@contextlib.contextmanager
def run_in(way: str) -> Iterator[bool]:
    """Tell whether a way is machine code, which needs llvmlite and computes on NumPy's arrays alone."""
    if not WAYS[way]:
        yield False
        return
    pytest.importorskip("llvmlite")
    with td.backend.use("numpy"):
        yield True


def begin(floatx: str = "float32") -> None:
    """Let everything be as it was that changes set outside of a model."""
    global RATE
    RATE = 0.5
    td.backend.set_floatx(floatx)
    td.random.set_seed(3)


def values(x: Any) -> Any:
    """Return what there is to compare: arrays with the names of their backends."""
    if isinstance(x, td.Tensor):
        return x.numpy(), x.backend.name
    if isinstance(x, dict):
        return {key: values(part) for key, part in x.items()}
    if isinstance(x, (list, tuple)):
        return [values(part) for part in x]
    return x


def assert_alike(found: Any, expected: Any, native: bool, where: str = "") -> None:
    """Compare what two runs gave: bit for bit, or for machine code within 1e-5 (float64: 1e-9) of each array's norm.

    What is nothing but rounding, as the gradient of what a normalisation takes out, has no digit in common: hence the
    1e-7 (1e-11) more.
    """
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key, part in expected.items():
            assert_alike(found[key], part, native, f"{where}, {key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for number, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_alike(a, b, native, f"{where}, {number}")
    elif isinstance(expected, np.ndarray) and native and expected.dtype.kind == "f":
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        difference = np.linalg.norm(np.subtract(found, expected, dtype=np.float64))
        relative = 1e-9 if expected.dtype == np.float64 else 1e-5
        assert difference <= relative * (np.linalg.norm(expected.astype(np.float64)) + 1e-2), where
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        assert found.tobytes() == expected.tobytes(), where
    elif isinstance(expected, float) and native:
        assert abs(found - expected) <= 1e-9 * (abs(expected) + 1e-2), where
    else:
        assert found == expected, where


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
        self.shifts = {"a": 0.1, "b": 0.2}
        self.offset = td.tensor(0.5)

    def call(self, inputs: td.Tensor) -> td.Tensor:
        shift = self.settings.shift + sum(self.parts) * float(self.table[1]) + self.shifts["b"]
        return inputs * self.by * RATE * self.BASE + shift + self.offset


def network(optimizer: Any = None, **how: Any) -> td.Sequential:
    """Return a model with a part of each kind; ``how`` says how its own steps are run."""
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
    optimizer = optimizer or td.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **how)
    model.build((None, 5))
    model._number_streams()
    return model


def averaging(**how: Any) -> td.Sequential:
    """Return such a model whose optimizer has a schedule and keeps moving averages."""
    rate = td.schedulers.ExponentialDecay(0.1, 2, 0.7)
    return network(td.optimizers.SGD(rate, momentum=0.5, use_ema=True, ema_momentum=0.8), **how)


def state_of(model: Any) -> list[td.Tensor]:
    """Return all that a step may change."""
    streams = [g.state for layer, _ in model._flatten() for g in layer._parts().generators.values()]
    return [*model.weights, *model.optimizer.variables, *streams, *(v for m in model.metrics for v in m.variables)]


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


def compile_again(model: Any, optimizer: Any = "adam", **other: Any) -> None:
    how = {"run_eagerly": model.run_eagerly, "jit_compile": model._jit_compile}
    model.compile(optimizer, other.pop("loss", "sparse_categorical_crossentropy"), **other, **how)


def other_optimizer(model: Any) -> None:
    model.optimizer = td.optimizers.Adam(0.001)


def more_metrics(model: Any) -> None:
    compile_again(model, model.optimizer, metrics=["accuracy", "sparse_categorical_crossentropy"])


def own_metric(model: Any) -> None:
    model.own = td.metrics.Mean(name="own")


def loss_weight(model: Any) -> None:
    compile_again(model, model.optimizer, loss_weights=0.25)


def other_schedule(model: Any) -> None:
    model.optimizer.learning_rate = td.schedulers.CosineDecay(0.2, 5)


def no_schedule(model: Any) -> None:
    model.optimizer.learning_rate = 0.02


def edit_schedule(model: Any) -> None:
    model.optimizer._schedule.decay_rate = 0.2


def freeze_half(model: Any) -> None:
    for layer in model.layers[: len(model.layers) // 2]:
        layer.trainable = False


def assign_one_weight(model: Any) -> None:
    named(model, "first").kernel.assign(named(model, "first").kernel * 0.5)


def restore_weights_and_optimizer(model: Any) -> None:
    for variable in (*model.weights, *model.optimizer.variables):
        variable.assign(variable.numpy() // 2 if variable.dtype.kind in "iu" else variable.numpy() * 0.5)


def edit_dict(model: Any) -> None:
    named(model, "scaled").shifts["b"] = 0.7


def other_tensor(model: Any) -> None:
    named(model, "scaled").offset = td.tensor(2.0)


def no_regularizer(model: Any) -> None:
    named(model, "first").kernel.regularizer = None


def look_at_activity(model: Any) -> None:
    named(model, "first").activity_regularizer = td.regularizers.L2(0.3)


def set_default_argument(model: Any) -> None:
    scaled = named(model, "scaled")
    scaled.call = types.MethodType(_call_with_default(3.0), scaled)


def _call_with_default(number: float) -> Any:
    def call(self: Any, inputs: td.Tensor, by: float = number) -> td.Tensor:
        return inputs * by

    return call


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
    "compiled again": compile_again,
    "another optimizer": other_optimizer,
    "more metrics": more_metrics,
    "a metric of the model's own": own_metric,
    "the weight of the loss": loss_weight,
    "half of it frozen": freeze_half,
    "one weight": assign_one_weight,
    "weights and optimizer put back": restore_weights_and_optimizer,
    "an entry of a dict of a user's layer": edit_dict,
    "another Tensor of a user's layer": other_tensor,
    "a default argument of a user's call": set_default_argument,
    "no regularizer": no_regularizer,
    "a regularizer of activities": look_at_activity,
    "clipvalue": attribute("optimizer.clipvalue", 0.001),
    "global_clipnorm": attribute("optimizer.global_clipnorm", 0.01),
    "the scale of the loss": attribute("optimizer.loss_scale_factor", 8.0),
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

AVERAGING_CHANGES: dict[str, Callable[[Any], Any]] = {
    "another schedule": other_schedule,
    "no schedule": no_schedule,
    "a number of a schedule": edit_schedule,
    "the momentum of averages": attribute("optimizer.ema_momentum", 0.3),
    "averages taken over": attribute("optimizer.ema_overwrite_frequency", 2),
    "no averages": attribute("optimizer.use_ema", False),
}

# Those after which the calls are given something else.
OF_ARGUMENTS = ("a remainder of a batch", "another dtype of inputs", "sample weights")
