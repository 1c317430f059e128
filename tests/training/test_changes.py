"""Whatever changes between steps of fit and train_on_batch, their programs learn what single operations learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit import changing
from tests.jit.changing import (
    AVERAGING_CHANGES,
    MODEL_CHANGES,
    OF_ARGUMENTS,
    WAYS,
    X,
    Y,
    assert_alike,
    averaging,
    begin,
    network,
    state_of,
    values,
)

CHANGES = {**MODEL_CHANGES, **AVERAGING_CHANGES}
BATCH = 3

# What begins another training: fit ends with what it began with.
OF_COMPILING = ("compiled again", "more metrics", "the weight of the loss", "another loss and metrics")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    with changing.put_back():
        yield


@pytest.fixture(params=WAYS)
def native(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the steps are to be machine code, which computes on NumPy's arrays."""
    with changing.run_in(request.param) as native:
        yield native


def compare(what: str, train: Callable[[Any, Any], Any], native: bool, runs: int | None = 1) -> None:
    """Train two models by the same function, one of them by programs, and compare what came of it.

    Machine code is compared in float64: what it rounds otherwise in float32 grows in a dozen steps past what says
    anything, as any other rounding does.

    ``train`` is given the model and its change; ``runs`` is how many programs must have been made at least.
    """
    make = averaging if what in AVERAGING_CHANGES else network
    seen = []
    for how in ({"run_eagerly": True}, {"jit_compile": native or "auto"}):
        begin("float64" if native else "float32")
        model = make(**how)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            seen.append([train(model, CHANGES[what]), values(state_of(model))])
    found = [entry.run for jitted in model._programs.values() for entry in jitted._entries.values()]
    assert None not in found
    assert len(found) >= (runs or 0)
    assert_alike(seen[1], seen[0], native)


class Changes(td.callbacks.Callback):
    """A user's callback, which changes something between two batches inside an epoch."""

    def __init__(self, change: Callable[[Any], Any], at: int) -> None:
        self.change, self.at = change, at
        self.steps = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.change(self.model)


@pytest.mark.parametrize("what", [what for what in CHANGES if what not in (*OF_ARGUMENTS, *OF_COMPILING)])
def test_a_callback_changes_it_inside_an_epoch_of_fit(what: str, native: bool) -> None:
    x, y = np.concatenate([X] * 3), np.concatenate([Y] * 3)

    def train(model: Any, change: Any) -> Any:
        changes = Changes(change, at=8)
        return model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[changes]).history

    compare(what, train, native)


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.heavy] if number % 6 else []) for number, what in enumerate(CHANGES)]
)
def test_it_is_changed_between_two_fits(what: str, native: bool) -> None:
    def train(model: Any, change: Any) -> Any:
        found = [model.fit(X, Y, batch_size=BATCH, epochs=3, verbose=0).history]
        x, y, *weights = (change(model) or ((X, Y),))[0]
        weight = weights[0].numpy() if weights else None
        x, y = (part.numpy() if isinstance(part, td.Tensor) else part for part in (x, y))
        for _ in range(2):
            history = model.fit(x, y, BATCH, epochs=3, verbose=0, sample_weight=weight, validation_data=(X, Y))
            found.append(history.history)
        return found

    compare(what, train, native, runs=2)


@pytest.mark.parametrize("what", CHANGES)
def test_it_is_changed_between_single_batches(what: str, native: bool) -> None:
    def train(model: Any, change: Any) -> Any:
        found = [values(model.train_on_batch(X, Y, return_dict=True)) for _ in range(5)]
        (arguments,) = change(model) or ((X, Y),)
        found += [values(model.train_on_batch(*arguments, return_dict=True)) for _ in range(5)]
        return [*found, values(model.test_on_batch(X, Y)), model.predict(X)]

    compare(what, train, native)
