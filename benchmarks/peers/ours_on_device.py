"""tinygrad_dnn on a GPU: in ``fit``, by a graph launch a step, by a launch a kernel, and eagerly; and a step alone."""

from __future__ import annotations

import functools
import time
from typing import Any

import work
from work import Case

import tinygrad_dnn as td
from peers import Round, keras_names

WAYS: dict[str, dict[str, Any]] = {
    "graph": {"jit_compile": True},
    "replay": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "step": {},
    "cpu": {"jit_compile": True},
}
BACKENDS = {"cuda": "cupy", "cpu": "numpy"}
SIDE, NUMBERS = 100, 1000


def train(case: Case, how: str) -> Round | None:
    return None if how == "cpu" else _training(case, how)


def crossover(case: Case, how: str) -> Round | None:
    return _training(case, how) if how in ("graph", "cpu") else None


def kernels(case: Case, how: str) -> Round | None:
    if how != "step":
        return None
    from peers import profiled

    return profiled.own_time(_training(case, how), case.steps * case.epochs, case.device)


def launch(case: Case, how: str) -> Round | None:
    if how != ("step" if case.variant == "step" else "eager"):
        return None
    xp: Any = _backend(case, how)
    if case.variant == "step":
        step, batches = _stepping(case._replace(variant="elu"))
        (x, y), *_ = batches
        call = functools.partial(step, x, y)
    else:
        numbers, square = td.ones((NUMBERS,)), td.ones((SIDE, SIDE))
        call = {
            "exp": lambda: td.exp(numbers), "sum": lambda: td.sum(numbers), "product": lambda: td.matmul(square, square)
        }[case.variant]  # fmt: skip

    def run() -> float:
        xp.synchronize()
        started = time.perf_counter()
        for _ in range(case.steps):
            call()
        passed = time.perf_counter() - started
        xp.synchronize()
        return passed * 1e3 / case.steps

    return run


def device_mib() -> float | None:
    taken = td.backend.memory().peak if td.backend.current().device is not None else None
    return None if taken is None else taken / 2**20


def _backend(case: Case, how: str) -> td.backend.Backend:
    td.backend.use(BACKENDS["cpu" if how == "cpu" else case.device])
    xp = td.backend.current()
    if how == "replay" and xp.device is not None:
        xp.device.capture = _refuse  # type: ignore[method-assign]  # what cannot be captured runs launch by launch
    return xp


def _refuse(work: object) -> Any:
    raise RuntimeError("this contestant goes without graphs")


def _training(case: Case, how: str) -> Round:
    xp = _backend(case, how)
    if how == "step":
        step, batches = _stepping(case)

        def run() -> None:
            for _ in range(case.epochs):
                for x, y in batches:
                    step(x, y)
            xp.synchronize()

        return run
    x, y = map(td.tensor, work.data(case))  # on the device, as the others' are
    model = keras_names.model(td, case, **WAYS[how])

    def fit() -> None:
        model.fit(x, y, batch_size=case.batch, epochs=case.epochs, verbose=0)
        xp.synchronize()

    return fit


def _stepping(case: Case) -> tuple[Any, list[tuple[Any, Any]]]:
    """Return the compiled step of one's own, and a round's batches on the device."""
    model = keras_names.model(td, case)
    weights, optimizer = model.trainable_weights, model.optimizer
    loss_of = td.losses.SparseCategoricalCrossentropy()

    @functools.partial(td.jit, native=True)
    def step(x: Any, y: Any) -> Any:
        loss = loss_of(y, model(x, training=True))
        optimizer.apply(td.grad(loss, weights), weights)
        return loss.detach()

    x, y = map(td.tensor, work.data(case))
    return step, [(x[at : at + case.batch], y[at : at + case.batch]) for at in range(0, len(x), case.batch)]
