"""Keras 3, on the backend that ``how`` names, inside ``fit`` and ``predict``."""

from __future__ import annotations

import os
from typing import Any

import work
from work import Case

from peers import Round, keras_names


def package(backend: str) -> Any:
    """Import Keras on a backend."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    return keras


def train(case: Case, how: str) -> Round:
    x, y = work.data(case)
    model = keras_names.model(package(how), case)

    def run() -> None:
        model.fit(x, y, batch_size=case.batch, verbose=0)

    return run


def predict(case: Case, how: str) -> Round:
    x, _ = work.data(case)
    model = keras_names.model(package(how), case)

    def run() -> None:
        model.predict(x, batch_size=case.batch, verbose=0)

    return run


def optimizer(case: Case, how: str) -> Round:
    """Run the update as Keras's training step on JAX has it: without side effects, compiled, in place of the old."""
    keras = package(how)
    import jax

    values, slopes = work.arrays()
    weights = [keras.Variable(value) for value in values]
    gradients = [jax.numpy.asarray(slope) for slope in slopes]
    rule = keras_names.optimizer(keras, case)
    rule.build(weights)
    held = [([weight.value for weight in weights], [variable.value for variable in rule.variables])]
    step = jax.jit(lambda held, grads: rule.stateless_apply(held[1], grads, held[0]), donate_argnums=0)

    def run() -> None:
        for _ in range(case.steps):
            held[0] = step(held[0], gradients)
            jax.block_until_ready(held[0])

    return run
