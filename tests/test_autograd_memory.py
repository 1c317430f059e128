"""Graphs are let go as soon as nothing needs them, without the cycle collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.tensor import Tensor


def leaf(value: Any) -> Tensor:
    return td.tensor(value, "float64", requires_grad=True)


class Probe:
    """Counts, without the cycle collector, which of the Tensors shown to it are still held."""

    def __init__(self) -> None:
        self.references: list[weakref.ref[Tensor]] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.references.append(weakref.ref(x))
        return x

    @property
    def held(self) -> int:
        return sum(reference() is not None for reference in self.references)


@pytest.fixture
def probe() -> Iterator[Probe]:
    gc.collect()
    gc.disable()
    yield Probe()
    gc.enable()


def network(probe: Probe, x: Tensor, weights: list[Tensor]) -> Tensor:
    for w in weights:
        x = probe(td.tanh(probe(x @ w)))
    return probe((x * x).mean())


def test_no_cycle_holds_a_graph(probe: Probe, backend: str) -> None:
    weights = [leaf(signed((3, 3), i)) for i in range(3)]
    loss = network(probe, td.ones((2, 3), "float64"), weights)
    assert probe.held == 7
    del loss
    assert probe.held == 0


def test_backward_lets_go_of_the_graph(probe: Probe, backend: str) -> None:
    weights = [leaf(signed((3, 3), i)) for i in range(3)]
    loss = network(probe, td.ones((2, 3), "float64"), weights)
    loss.backward()
    assert probe.held == 1  # the loss itself
    assert all(w.grad is not None for w in weights)
    del loss
    assert probe.held == 0


def test_retained_and_higher_order_graphs_are_let_go(probe: Probe, backend: str) -> None:
    weights = [leaf(signed((3, 3), i)) for i in range(2)]
    loss = network(probe, td.ones((2, 3), "float64"), weights)
    loss.backward(retain_graph=True)
    gradients = [probe(g) for g in td.grad(loss, weights, create_graph=True)]
    second = probe(td.grad((gradients[0] * gradients[0]).sum(), weights[1]))
    del loss, gradients, second
    assert probe.held == 0


def test_functional_gradients_hold_nothing(probe: Probe, backend: str) -> None:
    weights = [leaf(signed((3, 3), i)) for i in range(2)]
    value, gradients = td.value_and_grad(lambda ws: network(probe, td.ones((2, 3), "float64"), ws))(weights)
    assert probe.held == 0
    nested = td.grad(lambda w: td.grad(lambda v: network(probe, v, [w]))(td.ones((1, 3))).sum())(weights[0])
    assert probe.held == 0
    assert (value.shape, len(gradients), nested.shape) == ((), 2, (3, 3))


def test_an_error_in_the_backward_pass_holds_nothing_and_keeps_the_graph(probe: Probe, backend: str) -> None:
    w = leaf(signed((3, 3)))
    loss = network(probe, td.ones((2, 3), "float64"), [w])
    with pytest.raises(ValueError, match="the gradient has shape"):
        loss.backward(td.ones(3))
    loss.backward()
    del loss
    assert probe.held == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_letting_go_of_a_chain_of_100000_operations(backwards: bool) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = -y
    if backwards:
        y.backward()
    del y
    gc.collect()
    assert (x.grad is not None) == backwards
