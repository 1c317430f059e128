"""Thinc, which has neither ELU nor Nadam: ReLU and Adam, which are less work, stand for them."""

from __future__ import annotations

import numpy as np
import work
from thinc.api import Adam, Model, Relu, Softmax, chain
from work import CLASSES, LEARNING_RATE, Case

from peers import Round


def network(case: Case) -> Model:
    """Return the network with ReLU."""
    x, _ = work.data(case)
    made = chain(*[Relu(nO=units) for units in case.sizes[1:-1]], Softmax(nO=CLASSES))
    made.initialize(x[:2], Y=np.eye(CLASSES, dtype=np.float32)[:2])
    return made


def train(case: Case, how: str) -> Round | None:
    if case.variant != "elu":
        return None
    x, y = work.data(case)
    targets = np.eye(CLASSES, dtype=np.float32)[y]
    model, rule = network(case), Adam(LEARNING_RATE)

    def run() -> None:
        for start in range(0, len(x), case.batch):
            outputs, backward = model.begin_update(x[start : start + case.batch])
            backward((outputs - targets[start : start + case.batch]) / case.batch)
            model.finish_update(rule)

    return run


def predict(case: Case, how: str) -> Round:
    x, _ = work.data(case)
    model = network(case)

    def run() -> None:
        for start in range(0, len(x), case.batch):
            model.predict(x[start : start + case.batch])

    return run


def optimizer(case: Case, how: str) -> None:
    """Not measured: Thinc's optimizers clear the gradients that they are given."""
    return None
