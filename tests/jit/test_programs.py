"""Programs compute bit for bit what the functions do: each registered optimizer, activation, layer, loss, metric."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import Interpreted, Replay

registry = td.registry
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 10, 6)).astype(np.float32)
IMAGES = RNG.uniform(size=(4, 3, 8, 8, 2)).astype(np.float32)
LABELS = RNG.integers(0, 3, size=(4, 10))


def data(x: td.Tensor) -> Any:
    return x.dtype.name, x.shape, x.numpy().tobytes()


def check(make: Callable[[], tuple[Callable[..., Any], list[tuple[Any, ...]], Callable[[], Any]]]) -> Any:
    """Call a function and its jitted twin with several arguments and compare all results and all state.

    Returns:
        The jitted function, after it was seen to be a program.
    """
    seen = []
    jitted: Any = None
    for way in ("eager", "interpreted", "replayed"):
        td.random.set_seed(7)
        function, batches, state = make()
        call = function if way == "eager" else td.jit(function)
        found = []
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", RuntimeWarning)
            if way == "interpreted":
                patch.setattr(td.jit.compiling, "_lowered", lambda program, tensors, native: Interpreted(program))
            elif td.backend.current().name == "numpy":
                patch.setattr(td.jit.compiling, "_lowered", lambda program, tensors, native: Replay(program))
            for batch in batches:
                out = call(*batch)
                found.append([data(x) for x in td.nested.leaves((out, state())) if isinstance(x, td.Tensor)])
        seen.append(found)
        if way != "eager":
            jitted = call
            assert [entry.run is not None for entry in jitted._entries.values()] == [True] * len(jitted._entries)
    for place, each in enumerate(zip(*seen, strict=True)):
        assert each[0] == each[1], f"interpreted, call {place}"
        assert each[0] == each[2], f"{way}, call {place}"
    return jitted


def training(layers: Callable[[], list[Any]], *, optimizer: Any = "sgd", x: Any = X, **compiling: Any) -> Any:
    """Return what trains a model on a few batches, the last one shorter."""

    def make() -> Any:
        model = td.Sequential([*layers(), td.layers.Flatten(), td.layers.Dense(3, activation="softmax")])
        given = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiling}
        model.compile(optimizer() if callable(optimizer) else optimizer, **given, jit_compile=False)
        model.build((None, *x.shape[2:]))
        count = x.shape[1]
        batches = [((td.tensor(x[i]), td.tensor(LABELS[i][:count])),) for i in (0, 1, 2, 3, 1)]
        batches.append(((td.tensor(x[2][: count - 1]), td.tensor(LABELS[2][: count - 1])),))
        return model.train_step, batches, lambda: [*model.weights, *model.optimizer.variables]

    return make


# -- optimizers -------------------------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "decay": {"weight_decay": 0.01},
    "average": {"use_ema": True, "ema_overwrite_frequency": 2},
    "accumulated": {"gradient_accumulation_steps": 2},
    "scaled": {"loss_scale_factor": 128.0},
    "normalized": {"normalize_gradients": True},
    "schedule": {"learning_rate": {"class_name": "ExponentialDecay", "config": {
        "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}}},
}  # fmt: skip


@pytest.mark.parametrize("name", registry.optimizers.names())
def test_every_optimizer(name: str) -> None:
    make = training(lambda: [td.layers.Dense(7, activation="elu")], optimizer=lambda: registry.optimizers.get(name))
    check(make)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_of_optimizers(options: str) -> None:
    check(training(lambda: [td.layers.Dense(5)], optimizer=lambda: td.optimizers.Adam(**OPTIONS[options])))


@pytest.mark.parametrize("name", registry.schedulers.names())
def test_every_schedule(name: str) -> None:
    made = registry.schedulers._entry(name).obj
    arguments: dict[str, Any] = {
        "initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5, "boundaries": [1, 3],
        "values": [0.1, 0.2, 0.3], "first_decay_steps": 2, "base_lr": 0.1, "max_lr": 0.2, "step_size": 2,
        "warmup_target": 0.1, "warmup_steps": 2, "total_steps": 6, "step_size_up": 2,
        "schedules": [td.schedulers.ExponentialDecay(0.1, 2, 0.5), td.schedulers.ExponentialDecay(0.3, 2, 0.5)],
        "milestones": [2],
    }  # fmt: skip
    needed = [p.name for p in inspect.signature(made).parameters.values() if p.default is p.empty]
    schedule = made(**{key: arguments[key] for key in needed})
    check(training(lambda: [td.layers.Dense(5)], optimizer=lambda: td.optimizers.SGD(schedule)))


# -- activations, penalties, constraints ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.activations.names())
def test_every_activation(name: str) -> None:
    # An activation that halves its features must not stand inside a Dense, and one may have arguments without defaults.
    apart = {
        "glu": lambda: [td.layers.Dense(8), td.layers.Lambda(td.activations.glu)],
        "threshold": lambda: [td.layers.Dense(8), td.layers.Lambda(lambda x: td.activations.threshold(x, 0.1, -1.0))],
    }
    check(training(apart.get(name, lambda: [td.layers.Dense(8, activation=name), td.layers.Dense(6)])))


@pytest.mark.parametrize("name", registry.regularizers.names())
def test_every_regularizer(name: str) -> None:
    penalty = lambda: registry.regularizers.get(name)  # noqa: E731
    check(
        training(
            lambda: [td.layers.Dense(6, kernel_regularizer=penalty(), activity_regularizer=td.regularizers.L2(0.1))]
        )
    )


@pytest.mark.parametrize("name", registry.constraints.names())
def test_every_constraint(name: str) -> None:
    check(training(lambda: [td.layers.Dense(6, kernel_constraint=name)]))


# -- layers -----------------------------------------------------------------------------------------------------------

L = td.layers
OF_VECTORS: dict[str, Callable[[], Any]] = {
    "activation": lambda: L.Activation("tanh"),
    "alphadropout": lambda: L.AlphaDropout(0.3),
    "batchnormalization": lambda: L.BatchNormalization(),
    "dense": lambda: L.Dense(5, activation="selu"),
    "dropout": lambda: L.Dropout(0.4),
    "elu": lambda: L.ELU(),
    "gaussiandropout": lambda: L.GaussianDropout(0.3),
    "gaussiannoise": lambda: L.GaussianNoise(0.3),
    "lambda": lambda: L.Lambda(lambda x: x * 2),
    "layernormalization": lambda: L.LayerNormalization(),
    "leakyrelu": lambda: L.LeakyReLU(),
    "normalization": lambda: L.Normalization(mean=0.5, variance=2.0),
    "prelu": lambda: L.PReLU(),
    "relu": lambda: L.ReLU(),
    "repeatvector": lambda: L.RepeatVector(3),
    "rescaling": lambda: L.Rescaling(0.5, 1.0),
    "reshape": lambda: L.Reshape((3, 2)),
    "rrelu": lambda: L.RReLU(),
    "softmax": lambda: L.Softmax(),
}
OF_IMAGES: dict[str, Callable[[], Any]] = {
    "averagepooling2d": lambda: L.AveragePooling2D(2),
    "centercrop": lambda: L.CenterCrop(5, 5),
    "conv2d": lambda: L.Conv2D(3, 3, activation="elu", padding="same"),
    "flatten": lambda: L.Flatten(),
    "globalaveragepooling2d": lambda: L.GlobalAveragePooling2D(),
    "maxpooling2d": lambda: L.MaxPooling2D(2),
    "permute": lambda: L.Permute((2, 3, 1)),
    "randombrightness": lambda: L.RandomBrightness(0.3, value_range=(0.0, 1.0)),
    "randomcontrast": lambda: L.RandomContrast(0.3),
    "randomcrop": lambda: L.RandomCrop(5, 5),
    "randomflip": lambda: L.RandomFlip(),
    "randomrotation": lambda: L.RandomRotation(0.1),
    "randomtranslation": lambda: L.RandomTranslation(0.2, 0.2),
    "randomzoom": lambda: L.RandomZoom(0.2),
    "resizing": lambda: L.Resizing(5, 6),
    "spatialdropout2d": lambda: L.SpatialDropout2D(0.3),
    "zeropadding2d": lambda: L.ZeroPadding2D(1),
}
OF_SEQUENCES: dict[str, Callable[[], Any]] = {"spatialdropout1d": lambda: L.SpatialDropout1D(0.3)}
MERGING = ("add", "average", "concatenate", "maximum", "minimum", "multiply", "subtract")
# They hold the place of an input, and of an operation on symbolic tensors.
WITHOUT_A_STEP = ("inputlayer", "operation")


def test_every_layer_is_here() -> None:
    assert sorted([*OF_VECTORS, *OF_IMAGES, *OF_SEQUENCES, *MERGING, *WITHOUT_A_STEP]) == registry.layers.names()


@pytest.mark.parametrize("name", OF_VECTORS)
def test_every_layer_of_vectors(name: str) -> None:
    check(training(lambda: [L.Dense(6), OF_VECTORS[name]()]))


@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_layer_of_images(name: str) -> None:
    check(training(lambda: [L.Conv2D(2, 3, padding="same"), OF_IMAGES[name]()], x=IMAGES))


@pytest.mark.parametrize("name", OF_SEQUENCES)
def test_every_layer_of_sequences(name: str) -> None:
    check(training(lambda: [OF_SEQUENCES[name]()], x=IMAGES[..., 0]))


@pytest.mark.parametrize("name", MERGING)
def test_every_merging_layer(name: str) -> None:
    def make() -> Any:
        start = L.Input((6,))
        merged = registry.layers.get(name)([L.Dense(4)(start), L.Dense(4, activation="relu")(start)])
        model = td.Model(start, L.Dense(3, activation="softmax")(merged))
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        batches = [((td.tensor(X[i]), td.tensor(LABELS[i])),) for i in range(4)]
        return model.train_step, batches, lambda: model.weights

    check(make)


# -- losses and metrics -----------------------------------------------------------------------------------------------


def targets(name: str, i: int) -> tuple[td.Tensor, td.Tensor]:
    """Return targets and predictions that a loss or metric takes."""
    scores = td.activations.softmax(td.tensor(X[i][:, :3])).detach()
    if name.startswith("sparse"):
        return td.tensor(LABELS[i]), scores
    if name.startswith(("categorical", "kl", "topk", "f1", "fbeta")):
        return td.one_hot(td.tensor(LABELS[i]), 3), scores
    if "hinge" in name and "categorical" not in name:
        return td.tensor((LABELS[i][:, None] % 2 * 2 - 1).astype(np.float32)), td.tensor(X[i][:, :1])
    return td.tensor((LABELS[i][:, None] % 2).astype(np.float32)), scores[:, :1]


@pytest.mark.parametrize("name", registry.losses.names())
def test_every_loss(name: str) -> None:
    def make() -> Any:
        loss = registry.losses.get(name)

        def both(y: td.Tensor, predicted: td.Tensor) -> Any:
            return td.value_and_grad(lambda p: td.sum(loss(y, p)))(predicted)

        return both, [targets(name.replace("_", ""), i) for i in range(3)], lambda: None

    check(make)


@pytest.mark.parametrize("name", registry.metrics.names())
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_every_metric(name: str, weighted: bool) -> None:
    def make() -> Any:
        metric = registry.metrics.get({"class_name": name, "config": {}} if name != "accuracy" else "accuracy")
        if isinstance(metric, type):
            metric = metric()

        def update(*given: Any) -> Any:
            weight = td.tensor(np.linspace(0, 1, 10, dtype=np.float32)) if weighted else None
            metric.update_state(*given, sample_weight=weight)
            return metric.result()

        batches = [targets(name, i)[1:] if name == "mean" else targets(name, i) for i in (0, 1, 2, 3)]
        if name == "mean":
            batches = [(given[0][:, 0],) for given in batches]
        return update, batches, lambda: metric.variables

    check(make)


# -- other models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_deep_model_with_everything(dtype: str) -> None:
    def layers() -> list[Any]:
        return [
            L.Dense(9, activation="elu", kernel_regularizer="l2"), L.BatchNormalization(), L.Dropout(0.2),
            td.Sequential([L.Dense(9, activation="selu"), L.AlphaDropout(0.1)]), L.LayerNormalization(),
        ]  # fmt: skip

    td.backend.set_floatx(dtype)
    try:
        check(training(layers, optimizer=lambda: td.optimizers.Nadam(clipnorm=1.0), x=X.astype(dtype)))
    finally:
        td.backend.set_floatx("float32")


@pytest.mark.parametrize("step", ["test_step", "predict_step"])
def test_evaluating_and_predicting(step: str) -> None:
    def make() -> Any:
        function, batches, state = training(lambda: [L.Dense(5), L.BatchNormalization(), L.Dropout(0.5)])()
        model = function.__self__
        for batch in batches[:2]:
            function(*batch)
        return getattr(model, step), batches, state

    check(make)


# -- small graphs by chance -------------------------------------------------------------------------------------------

UNARY = (
    td.exp, td.tanh, td.abs, td.sign, td.floor, td.negative, td.sin, td.cos, td.erf, td.square,
    lambda x: td.log(td.abs(x) + 1.0), lambda x: td.sqrt(td.abs(x) + 0.5), lambda x: x.T, lambda x: x[::-1],
    lambda x: td.reshape(td.reshape(x, (-1,)), x.shape[::-1]), lambda x: x - x.sum(), lambda x: x - x.max(0),
    lambda x: x * x.sum(-1)[:, None], lambda x: td.clip(x, -1.0, 1.0), lambda x: td.cast(x > 0, x.dtype),
    lambda x: td.where(x > 0, x, 0.5), lambda x: td.cast(td.cast(x, "float64") * 1.5, "float32"),
    lambda x: td.concatenate([x[:1], x[1:] * 2.0]), lambda x: td.cumsum(x, 0), lambda x: td.activations.softmax(x),
)  # fmt: skip
BINARY = (
    td.add, td.subtract, td.multiply, td.maximum, td.minimum, lambda x, y: x / (td.abs(y) + 1.0),
    lambda x, y: x @ y, lambda x, y: x.T @ y, lambda x, y: td.where(x > y, x, y), lambda x, y: x + y.sum(0),
)  # fmt: skip


def random_function(seed: int) -> tuple[Callable[..., Any], list[td.Variable]]:
    """Return a function of a matrix made of random operations, with state that it reads and assigns to."""
    rng = np.random.default_rng(seed)
    state = [td.Variable(rng.normal(size=(4, 4)).astype(np.float32)) for _ in range(2)]
    choices = rng.integers(0, 1000, size=(12, 5))

    def compute(x: td.Tensor) -> tuple[td.Tensor, list[td.Tensor]]:
        values: list[td.Tensor] = [x]
        for kind, i, j, operation, target in choices:
            known = [*values, *state]
            a, b = known[i % len(known)], known[j % len(known)]
            if kind % 3 == 0:
                values.append(BINARY[operation % len(BINARY)](a, b))
            elif kind % 7 == 1:
                state[target % 2].assign(td.tanh(a) * 0.5 + b * 0.1)
            elif kind % 11 == 2:
                values.append(a.detach())
            else:
                values.append(td.tanh(UNARY[operation % len(UNARY)](a)) * 0.9)
        return sum(td.sum(v) for v in values), values  # type: ignore[return-value]

    def function(x: td.Tensor) -> Any:
        found: list[td.Tensor] = []

        def loss(x: td.Tensor) -> td.Tensor:
            total, values = compute(x)
            found.extend(v.detach() for v in values[-3:])
            return total

        if any(kind % 3 and kind % 7 == 1 for kind in choices[:, 0]):
            with td.no_grad():
                total, values = compute(x)
            return total, values[-3:]
        return td.value_and_grad(loss)(x), found

    return function, state


@pytest.mark.parametrize("seed", range(60))
def test_small_graphs_by_chance(seed: int) -> None:
    def make() -> Any:
        function, state = random_function(seed)
        rng = np.random.default_rng(seed + 1000)
        batches = [(td.tensor(rng.normal(size=(4, 4)).astype(np.float32)),) for _ in range(4)]
        return function, batches, functools.partial(list, state)

    check(make)
