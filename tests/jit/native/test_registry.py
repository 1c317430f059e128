"""One native step of whatever is registered against the same step run primitive by primitive, from equal state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit import test_programs as programs
from tests.jit.native.test_lowering import assert_close, native, state_after
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

registry = td.registry
L = td.layers

# What is called from Python within a step: looking whether indices are in range.
CALLED = {"checked"}


def check(make: Callable[[], Any], tolerance: float = 1e-5) -> None:
    """Compare one step, of float32, by the norm of each array that it returns or changes."""
    td.random.set_seed(7)
    function, batches, _ = make()
    first, second = ([x for x in td.nested.leaves(batch) if isinstance(x, td.Tensor)] for batch in batches[:2])

    def step(given: list[td.Tensor]) -> Any:
        waiting = iter(given)
        return function(*td.nested.map_leaves(lambda x: next(waiting) if isinstance(x, td.Tensor) else x, batches[0]))

    step(first)
    program = simplify(record(step, first).program)
    run = native.lower(program)
    assert set(run.calls) <= CALLED
    state = [tensor for tensor, _ in program.updates]
    given = [x.data for x in second]
    with np.errstate(all="ignore"):
        expected = state_after(lambda: Interpreted(program)(given), state)
        found = state_after(lambda: run(given), state)
    for x, y in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
        assert_close(x, y, tolerance)


@pytest.mark.parametrize("name", registry.optimizers.names())
def test_every_optimizer(name: str) -> None:
    hidden = [L.Dense(7, activation="elu"), L.Dense(5, activation="tanh")]
    check(programs.training(lambda: hidden, optimizer=lambda: registry.optimizers.get(name)))


@pytest.mark.parametrize("options", programs.OPTIONS)
def test_every_option_of_optimizers(options: str) -> None:
    optimizer = functools.partial(td.optimizers.Adam, **programs.OPTIONS[options])
    check(programs.training(lambda: [L.Dense(5)], optimizer=optimizer))


@pytest.mark.parametrize("name", registry.activations.names())
def test_every_activation(name: str) -> None:
    apart = {
        "glu": lambda: [L.Dense(8), L.Lambda(td.activations.glu)],
        "threshold": lambda: [L.Dense(8), L.Lambda(lambda x: td.activations.threshold(x, 0.1, -1.0))],
    }
    check(programs.training(apart.get(name, lambda: [L.Dense(8, activation=name), L.Dense(6)])))


@pytest.mark.parametrize("name", registry.regularizers.names())
def test_every_regularizer(name: str) -> None:
    check(programs.training(lambda: [L.Dense(6, kernel_regularizer=name)]))


@pytest.mark.parametrize("name", registry.constraints.names())
def test_every_constraint(name: str) -> None:
    check(programs.training(lambda: [L.Dense(6, kernel_constraint=name)]))


@pytest.mark.parametrize("name", programs.OF_VECTORS)
def test_every_layer_of_vectors(name: str) -> None:
    check(programs.training(lambda: [L.Dense(6), programs.OF_VECTORS[name]()]))


@pytest.mark.parametrize("name", programs.OF_IMAGES)
def test_every_layer_of_images(name: str) -> None:
    layers = lambda: [L.Conv2D(2, 3, padding="same"), programs.OF_IMAGES[name]()]  # noqa: E731
    check(programs.training(layers, x=programs.IMAGES))


@pytest.mark.parametrize("name", programs.OF_SEQUENCES)
def test_every_layer_of_sequences(name: str) -> None:
    check(programs.training(lambda: [programs.OF_SEQUENCES[name]()], x=programs.IMAGES[..., 0]))


@pytest.mark.parametrize("name", programs.MERGING)
def test_every_merging_layer(name: str) -> None:
    def make() -> Any:
        start = L.Input((6,))
        merged = registry.layers.get(name)([L.Dense(4)(start), L.Dense(4, activation="relu")(start)])
        model = td.Model(start, L.Dense(3, activation="softmax")(merged))
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        batches = [((td.tensor(programs.X[i]), td.tensor(programs.LABELS[i])),) for i in range(4)]
        return model.train_step, batches, None

    check(make)


@pytest.mark.parametrize("name", registry.losses.names())
def test_every_loss(name: str) -> None:
    def make() -> Any:
        loss = registry.losses.get(name)

        def both(y: td.Tensor, predicted: td.Tensor) -> Any:
            return td.value_and_grad(lambda p: td.sum(loss(y, p)))(predicted)

        return both, [programs.targets(name.replace("_", ""), i) for i in range(3)], None

    check(make)


@pytest.mark.parametrize("name", registry.metrics.names())
def test_every_metric(name: str) -> None:
    def make() -> Any:
        metric = registry.metrics.get({"class_name": name, "config": {}} if name != "accuracy" else "accuracy")
        metric = metric() if isinstance(metric, type) else metric

        def update(*given: Any) -> Any:
            metric.update_state(*given, sample_weight=td.tensor(np.linspace(0, 1, 10, dtype=np.float32)))
            return metric.result()

        batches = [programs.targets(name, i)[1:] if name == "mean" else programs.targets(name, i) for i in range(4)]
        if name == "mean":
            batches = [(given[0][:, 0],) for given in batches]
        return update, batches, None

    check(make)
