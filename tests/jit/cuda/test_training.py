"""Training on a device: whole runs of ``fit`` as graphs, with all that changes between two steps and two epochs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.device import EmulatedDevice, emulated
from tests.jit.cuda.emulator import COMPILER, REASON
from tinygrad_dnn.exercise.networks import VARIANTS, build
from tinygrad_dnn.jit.cuda.launches import Call, Launch, Product
from tinygrad_dnn.jit.cuda.run import Run

pytestmark = [pytest.mark.skipif(COMPILER is None, reason=REASON), pytest.mark.filterwarnings("error:td.jit")]

layers = td.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 6)).astype(np.float32)
Y = np.arange(44) % 3


@pytest.fixture
def device() -> Iterator[EmulatedDevice]:
    with emulated() as device:
        yield device


def network(optimizer: Any = "nadam", jit: bool = True) -> td.Sequential:
    """Return a model with a part of each kind."""
    td.random.set_seed(5)
    model = td.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, activation="elu", kernel_regularizer=td.regularizers.L2(0.01)),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax", kernel_constraint="nonneg"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit)
    return model


def programs(model: td.Sequential) -> dict[str, list[Run]]:
    """Return what runs each kind of step."""
    assert model._programs is not None
    found = {}
    for (name, _), jitted in model._programs.items():
        runs = [entry.run for entry in jitted._entries.values()]
        assert all(isinstance(run, Run) for run in runs)
        found[name] = runs
    return found


def assert_close(found: Any, expected: Any) -> None:
    """Compare numbers and arrays within what rounding does to float32 in some dozens of steps."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, values in expected.items():
            assert_close(found[key], values)
    elif isinstance(expected, list):
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b)
    else:
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def trained(jit: bool, optimizer: Any = "nadam", **options: Any) -> tuple[td.Sequential, dict[str, list[float]]]:
    model = network(optimizer() if callable(optimizer) else optimizer, jit)
    settings = {"epochs": 3, "batch_size": 8, "verbose": 0, "validation_data": (X[:20], Y[:20])} | options
    callbacks = settings.pop("callbacks", list)()
    history = model.fit(X, Y, callbacks=callbacks, **settings).history
    return model, history


OPTIMIZERS: dict[str, Any] = {
    "nadam": "nadam",
    "averages": lambda: td.optimizers.SGD(0.05, momentum=0.9, nesterov=True, use_ema=True, ema_momentum=0.9),
    "a schedule": lambda: td.optimizers.Adam(td.schedulers.ExponentialDecay(0.01, 2, 0.8), global_clipnorm=0.5),
    "decay": lambda: td.optimizers.AdamW(0.01, weight_decay=0.05, clipvalue=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_fit_on_a_device_is_fit(device: EmulatedDevice, optimizer: Any) -> None:
    expected, told = trained(False, optimizer)
    found, history = trained(True, optimizer)
    assert_close(history, told)
    assert_close(found.get_weights(), expected.get_weights())
    assert_close(found.predict(X, verbose=0), expected.predict(X, verbose=0))
    # One program for the whole batches and one for the remainder, and each a graph, whatever has changed since.
    runs = programs(found)
    assert [len(runs[name]) for name in ("train_step", "test_step")] == [2, 2]
    assert {run.described for name in ("train_step", "test_step") for run in runs[name]} == {"run as one graph"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_exercise_on_a_device(device: EmulatedDevice, variant: str) -> None:
    images, labels = RNG.normal(size=(24, 4, 4, 3)).astype(np.float32), np.arange(24) % 10
    seen = []
    for jit in (False, True):
        td.random.set_seed(1)
        model = build(VARIANTS[variant], images.shape[1:])
        model._jit_compile = jit
        history = model.fit(images, labels, epochs=2, batch_size=8, verbose=0).history
        # Of what a normalisation takes out again with the mean the gradient is rounding, and Nadam makes that as large
        # as others.
        lost = {"bias", "beta", "moving_mean"} if variant == "bn" else set()
        kept = [x for x in model.weights if x.name not in lost]
        seen.append((history, [x.numpy() for x in kept]))
    assert_close(seen[1][0], seen[0][0])
    for found, expected in zip(seen[1][1], seen[0][1], strict=True):
        assert np.linalg.norm(found - expected) <= 1e-3 * (np.linalg.norm(expected) + 1e-2)
    (run,) = programs(model)["train_step"]
    assert run.described == "run as one graph"
    assert not [step for step in run.steps if isinstance(step, Call)]


def test_half_precision_with_a_scaled_loss_is_a_graph(device: EmulatedDevice) -> None:
    seen = []
    for jit in (False, True):
        td.random.set_seed(3)
        hidden = layers.Dense(16, activation="relu", dtype="mixed_float16")
        model = td.Sequential([layers.Input((6,)), hidden, layers.Dense(3, activation="softmax")])
        optimizer = td.optimizers.LossScaleOptimizer(td.optimizers.SGD(0.1), dynamic_growth_steps=5)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)
        seen.append(model.fit(X, Y, epochs=3, batch_size=8, verbose=0).history["loss"])
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-3)  # of which float16 rounds each step's products
    for run in programs(model)["train_step"]:
        assert run.described == "run as one graph"
        assert {step.dtype.name for step in run.steps if isinstance(step, Product)} == {"float16", "float32"}
        assert not [step for step in run.steps if isinstance(step, Call)]


class Rates(td.callbacks.Callback):
    """Sets another learning rate before each batch, and puts weights back once."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.01 / (batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.set_weights([w * 0.9 for w in self.model.get_weights()])


def test_what_callbacks_set_between_steps_counts_and_the_graphs_stay(device: EmulatedDevice) -> None:
    options = {"callbacks": lambda: [Rates()], "epochs": 4}
    expected, told = trained(False, **options)
    device.done.clear()
    found, history = trained(True, **options)
    assert_close(history, told)
    assert_close(found.get_weights(), expected.get_weights())
    whole, rest = programs(found)["train_step"]
    launches = sum(isinstance(step, Launch) for step in whole.steps)
    assert {whole.described, rest.described} == {"run as one graph"}
    # 24 steps of training and 12 of validation, of which a few alone were not launched as graphs.
    assert device.done["graph"] >= 36 - 9
    assert device.done["launch"] <= 9 * launches


def test_a_run_that_goes_on_has_the_same_bits(device: EmulatedDevice) -> None:
    """The first steps are launched one by one and later ones as a graph: where each run begins must not matter."""
    whole, _ = trained(True, epochs=4, shuffle=False)
    parts = network()
    for epoch in range(4):
        parts.fit(X, Y, epochs=epoch + 1, initial_epoch=epoch, batch_size=8, verbose=0, shuffle=False)
        parts._programs = {}  # as in another process
    for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_step_neither_waits_for_the_device_nor_takes_more_memory(device: EmulatedDevice) -> None:
    strict = td.backend.get("strict")
    model = network()
    data = td.tensor(X[:8]), td.tensor(Y[:8])
    for _ in range(3):
        model.run_step("train_step", data)
    before, waits, asked = strict.memory().used, device.backend.host_syncs, dict(device.done)
    for _ in range(50):
        model.run_step("train_step", data)
    assert strict.memory().used == before
    assert device.backend.host_syncs == waits
    done = {name: device.done[name] - count for name, count in asked.items()}
    # Two inputs come in and the running means go out, together.
    assert done == {"launch": 0, "product": 0, "copy": 150, "graph": 50}


def test_early_stopping_puts_the_best_weights_back(device: EmulatedDevice) -> None:
    def stopping() -> list[Any]:
        return [td.callbacks.EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True)]

    options = {"callbacks": stopping, "epochs": 12, "optimizer": lambda: td.optimizers.SGD(0.8)}
    expected, told = trained(False, **options)
    found, history = trained(True, **options)
    assert_close(history, told)
    assert_close(found.get_weights(), expected.get_weights())
    assert_close(found.evaluate(X, Y, verbose=0), expected.evaluate(X, Y, verbose=0))


def test_nans_are_found_where_they_arise(device: EmulatedDevice) -> None:
    model = network(td.optimizers.SGD(0.1))
    data = td.tensor(X[:8]), td.tensor(Y[:8])
    for _ in range(3):
        model.run_step("train_step", data)
    before = model.get_weights()
    bad = X[:8].copy()
    bad[0, 0] = np.nan
    with td.debug_nans():
        model.run_step("train_step", data)
        after = model.get_weights()
        with pytest.raises(FloatingPointError):
            model.run_step("train_step", (td.tensor(bad), data[1]))
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    for a, b in zip(model.get_weights(), after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_few_batches_alone_are_not_compiled(device: EmulatedDevice) -> None:
    model = network(jit="auto")  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, Y, epochs=1, batch_size=8, verbose=0)
    assert device.done["launch"] == 0
    for _ in range(2):
        model.run_step("train_step", (td.tensor(X[:8]), td.tensor(Y[:8])), many=True)
    assert device.done["launch"] > 0
