"""tinygrad_dnn: in ``fit`` and ``predict``, as machine code, as NumPy calls and eagerly, and in a step of one's own."""

from __future__ import annotations

import functools
import sys
from typing import Any

import work
from work import Case

from peers import Round, keras_names

# How ``compile`` is told; the step of one's own needs no more than the network and the optimizer.
WAYS: dict[str, dict[str, Any]] = {
    "fit": {"jit_compile": True},
    "numpy": {"jit_compile": "auto"},
    "eager": {"run_eagerly": True},
    "step": {},
}


def train(case: Case, how: str) -> Round:
    td = package(how)
    x, y = work.data(case)
    model = keras_names.model(td, case, **WAYS[how])
    if how != "step":

        def epoch() -> None:
            model.fit(x, y, batch_size=case.batch, verbose=0)

        return epoch

    weights, optimizer = model.trainable_weights, model.optimizer
    loss_of = td.losses.SparseCategoricalCrossentropy()

    @functools.partial(td.jit, native=True)
    def step(x: Any, y: Any) -> Any:
        loss = loss_of(y, model(x, training=True))
        optimizer.apply(td.grad(loss, weights), weights)
        return loss.detach()

    def run() -> None:
        for start in range(0, len(x), case.batch):
            step(x[start : start + case.batch], y[start : start + case.batch]).item()

    return run


def predict(case: Case, how: str) -> Round:
    td = package(how)
    x, _ = work.data(case)
    model = keras_names.model(td, case, **WAYS[how])
    if how != "step":

        def whole() -> None:
            model.predict(x, batch_size=case.batch, verbose=0)

        return whole

    @functools.partial(td.jit, native=True)
    def step(x: Any) -> Any:
        with td.no_grad():
            return model(x, training=False)

    def run() -> None:
        for start in range(0, len(x), case.batch):
            step(x[start : start + case.batch]).numpy()

    return run


def optimizer(case: Case, how: str) -> Round | None:
    td = package(how)
    if how == "step":
        return None  # the same as what fit does
    values, slopes = work.arrays()
    weights = [td.Variable(value, trainable=True) for value in values]
    gradients = [td.tensor(slope) for slope in slopes]
    rule = keras_names.optimizer(td, case)

    def step() -> Any:
        rule.apply(gradients, weights)

    compiled = step if how == "eager" else td.jit(step, native=how == "fit")

    def run() -> None:
        for _ in range(case.steps):
            compiled()

    return run


def package(how: str) -> Any:
    """Import the package; for "numpy" so that it finds no llvmlite."""
    if how == "numpy":
        sys.modules["llvmlite"] = None  # type: ignore[assignment]
    import tinygrad_dnn

    return tinygrad_dnn
