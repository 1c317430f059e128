"""Probes of training by a graph: its memory under pressure, and eager steps beside replayed ones."""

from __future__ import annotations

import contextlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import tinygrad_dnn as td
from tests.gpu_check.card import MIB, Card, differing
from tests.gpu_check.figures import Figure
from tinygrad_dnn.jit.compiling import Jitted

AS_A_GRAPH = "run as one graph"  # in the words of Jitted.explain

# -- 2: the graph's memory ---------------------------------------------------------------------------------------------


def memory_under_pressure(card: Card) -> Iterator[Figure]:
    """Train by a graph, in between empty CuPy's pool and use up the memory; compare with an undisturbed training."""
    refused = []

    def disturb() -> None:
        card.xp.empty(1024, np.uint8).fill(255)  # a kernel that is loaded needs no memory later
        td.backend.free_memory(card.backend)
        held = card.fill(card.xp)
        try:
            held.append(card.xp.empty(64 * MIB, np.uint8))
        except MemoryError:
            refused.append(1)
        while held:
            held.pop().fill(255)  # if any of it were the graph's, that would show
            td.backend.free_memory(card.backend)
        card.xp.synchronize()
        td.backend.free_memory(card.backend)

    undisturbed, disturbed = (_weights_after(card, between) for between in (lambda: None, disturb))
    yield Figure("allocations refused when the memory was full", len(refused), least=1)
    yield Figure("numbers of the weights that differ afterwards", differing(undisturbed, disturbed), most=0)
    step, batch, _ = _training(card, compiled=True)
    for _ in range(10):
        step(*batch)
    before = card.free(card.xp)
    for _ in range(card.launches):
        step(*batch)
    after = card.free(card.xp)
    if before is None or after is None:
        yield Figure(f"memory taken by {card.launches:,} more steps", skipped="nobody tells what is free here")
    else:
        yield Figure(f"memory taken by {card.launches:,} more steps", (before - after) / MIB, "MiB", most=0)


def _weights_after(card: Card, between: Callable[[], None]) -> list[np.ndarray]:
    step, batch, weights = _training(card, compiled=True)
    for _ in range(10):
        step(*batch)
    between()
    for _ in range(10):
        step(*batch)
    return [weight.numpy() for weight in weights]


# -- 6: eager steps and replayed ones ----------------------------------------------------------------------------------


def eager_and_replay(card: Card) -> Iterator[Figure]:
    """Train the exercise eagerly, by graph, and by the same launches without one, from one start; compare all."""
    eager, graph, again = (_trained(card, how) for how in ("eager", "graph", "graph"))
    with warnings.catch_warnings():  # that it runs launch by launch is what is asked for here
        warnings.simplefilter("ignore")
        launches = _trained(card, "launches")
    yield Figure("a step, as explain tells it", graph.told)
    yield Figure("a step is one launch of a graph", "yes" if AS_A_GRAPH in graph.told else "no", equal="yes")
    difference = float(np.max(np.abs(eager.losses - graph.losses) / np.abs(eager.losses)))
    yield Figure("losses of 20 steps, graph against eager, relative", difference, most=1e-4)
    yield Figure("numbers of the weights in which two trainings by graph differ",
                 differing(graph.weights, again.weights), most=0)  # fmt: skip
    yield Figure("numbers of the weights in which graph and launches differ",
                 differing(graph.weights, launches.weights), most=0)  # fmt: skip
    for name, found in (("eagerly", eager), ("launch by launch", launches), ("by graph", graph)):
        yield Figure(f"a step {name}", found.seconds * 1e3, "ms")
    yield Figure("by graph, times eagerly", graph.seconds / eager.seconds, most=1)
    yield Figure("by graph, times launch by launch", graph.seconds / launches.seconds, most=1)
    yield from _replays_alike(card)


class _Trained(NamedTuple):
    """What came of a training: losses and weights after 20 steps, the seconds of a step, and how they were run."""

    losses: np.ndarray
    weights: list[np.ndarray]
    seconds: float
    told: str


def _trained(card: Card, how: str) -> _Trained:
    step, batch, variables = _training(card, compiled=how != "eager")
    with _without_graphs(card) if how == "launches" else contextlib.nullcontext():
        losses = np.array([step(*batch).numpy() for _ in range(20)])
        weights = [weight.numpy() for weight in variables]
        count = max(5, card.launches // 20)
        rounds = []
        for _ in range(5):
            card.xp.synchronize()
            started = time.perf_counter()
            for _ in range(count):
                step(*batch)
            card.xp.synchronize()
            rounds.append((time.perf_counter() - started) / count)
    return _Trained(losses, weights, statistics.median(rounds), step.told)


@contextlib.contextmanager
def _without_graphs(card: Card) -> Iterator[None]:
    """Let the device refuse captures: what cannot be captured runs launch by launch."""

    def refuse(work: object) -> None:
        raise RuntimeError("this is measured without graphs")

    card.device.capture = refuse
    try:
        yield
    finally:
        del card.device.capture


def _replays_alike(card: Card) -> Iterator[Figure]:
    """Take the gradients over and over at the same weights, and compare each time with the first."""
    step, batch, weights = _training(card, compiled=False)
    gradients = td.jit(lambda x, y: td.grad(step.loss_of(x, y), weights), native=True)
    for _ in range(5):
        gradients(*batch)
    first: list[np.ndarray] = []
    unlike = 0
    for _ in range(card.launches):
        found = [gradient.numpy() for gradient in gradients(*batch)]
        first = first or found
        unlike += differing(first, found) > 0
    yield Figure(f"replays that differ from the first, of {card.launches:,}", unlike, most=0)


# -- What several probes train -----------------------------------------------------------------------------------------


class _Step:
    """A training step of the exercise's network on one batch, and the state that it changes."""

    def __init__(self, card: Card, compiled: bool) -> None:
        td.random.set_seed(5)
        hidden = [td.layers.Dense(100, activation="elu", kernel_initializer="he_normal") for _ in range(card.depth)]
        self.model = td.Sequential([td.layers.InputLayer(shape=(card.inputs,)), *hidden, td.layers.Dense(10)])
        self.optimizer = td.optimizers.Nadam(5e-5)
        self.loss = td.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._run = td.jit(self._step, native=True) if compiled else self._step

    def loss_of(self, x: Any, y: Any) -> Any:
        """Return the mean loss on a batch."""
        return self.loss(y, self.model(x, training=True))

    def _step(self, x: Any, y: Any) -> Any:
        loss = self.loss_of(x, y)
        weights = self.model.trainable_weights
        self.optimizer.apply(td.grad(loss, weights), weights)
        return loss.detach()

    def __call__(self, x: Any, y: Any) -> Any:
        return self._run(x, y)

    @property
    def told(self) -> str:
        """How a compiled step is run, in the words of ``explain``."""
        if not isinstance(self._run, Jitted):
            return "eagerly"
        lines = self._run.explain().splitlines()
        return next((line for line in reversed(lines) if line.startswith(("run ", "to be captured"))), "nobody tells")


def _training(card: Card, compiled: bool) -> tuple[_Step, tuple[Any, Any], Sequence[Any]]:
    td.backend.use(card.backend)
    rng = np.random.default_rng(3)
    x = td.tensor(rng.standard_normal((32, card.inputs), dtype=np.float32))
    y = td.tensor(rng.integers(0, 10, 32))
    step = _Step(card, compiled)
    return step, (x, y), step.model.trainable_weights
