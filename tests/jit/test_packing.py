"""Packing: which chains of elementwise instructions are run as one is found by their form, whatever they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.test_replay import twins
from tinygrad_dnn.jit import packing, pieces, record, simplify

pytestmark = pytest.mark.skipif(td.backend.current().name != "numpy", reason="it runs on the host alone")

SHAPES = [(3,), (2, 4), (5, 1), (7,)]


def variables(shapes: list[tuple[int, ...]] | None = None, dtype: str = "float32") -> list[td.Variable]:
    rng = np.random.default_rng(1)
    return [td.Variable(rng.normal(size=shape).astype(dtype)) for shape in shapes or SHAPES]


def lanes(function: Callable[[list[td.Variable]], Any], held: list[td.Variable]) -> list[list[int]]:
    """Return the sizes of the lanes of each pack of a function of Variables."""
    program = simplify(record(lambda _: function(held), []).program)
    return [[lane.size for lane in pack.lanes] for pack in packing.find_packs(program)]


def decay(held: list[td.Variable]) -> None:
    for w in held:
        w.assign(w * 0.9 + 1)


def test_alike_chains_are_one_pack_the_longest_first() -> None:
    assert lanes(decay, variables()) == [[8, 7, 5, 3]]


def test_chains_of_other_numbers_dtypes_and_order_are_apart() -> None:
    def f(held: list[td.Variable]) -> None:
        for number, w in enumerate(held):
            w.assign(w * (0.9 if number % 2 else 0.8))

    assert lanes(f, variables()) == [[5, 3], [8, 7]]
    assert lanes(decay, variables(SHAPES[:2]) + variables(SHAPES[2:], "float64")) == [[8, 3], [7, 5]]

    def g(held: list[td.Variable]) -> None:
        for number, w in enumerate(held):
            w.assign(w - 1 if number % 2 else 1 - w)

    assert lanes(g, variables()) == [[5, 3], [8, 7]]


def test_what_others_read_waits_for_nothing() -> None:
    def returned(held: list[td.Variable]) -> Any:
        decay(held)
        return held[0].detach()

    assert lanes(returned, variables()) == [[8, 7, 5]]

    def summed(held: list[td.Variable]) -> Any:
        decay(held)
        return held[0].sum()

    assert lanes(summed, variables()) == [[8, 7, 5]]

    def assigned_twice(held: list[td.Variable]) -> None:
        new = held[0] * 0.9 + 1
        held[0].assign(new)
        held[3].assign(held[3] * 0.9 + 1)
        held[1].assign(held[1] * 0.9 + 1)
        held[2].assign(td.reshape(new, (1, 3)) if held[2].shape == (1, 3) else held[2])

    assert lanes(assigned_twice, variables()) == [[8, 7, 3]]


def test_one_chain_alone_is_packed_only_if_it_is_long() -> None:
    assert lanes(decay, variables([(10,)])) == []
    assert lanes(decay, variables([(packing.CACHE_BYTES,)])) == []

    def many(held: list[td.Variable]) -> None:
        for w in held:
            w.assign((w * 0.9 + 1) * 0.5 - 2)

    long = packing.CACHE_BYTES // 2
    assert lanes(many, variables([(long,)])) == [[long]]
    assert lanes(many, variables([(long - 1,)])) == []
    assert lanes(many, variables([(long,), (3,), (4,), (long,)])) == [[long], [long], [4, 3]]


def test_exponentials_and_what_broadcasts_are_not_packed() -> None:
    def f(held: list[td.Variable]) -> None:
        for w in held:
            w.assign(td.exp(w))

    assert lanes(f, variables()) == []

    def g(held: list[td.Variable]) -> None:
        for w in held:
            w.assign(w * td.ones((1,)))

    assert lanes(g, variables()) == []


def test_a_scale_of_its_own_for_each_weight_leaves_the_rest_packed() -> None:
    def clipped(held: list[td.Variable]) -> None:
        for w in held:
            g = w * 2
            g = g / td.maximum(td.sqrt((g * g).sum()), 1.0)
            w.assign(w * 0.9 - g)

    assert lanes(clipped, variables()) == [[8, 7, 5, 3]]


def shared(held: Any, x: td.Tensor) -> Any:
    """One value in two chains: they are one chain."""
    a, b, c, d = held
    common = a * x[0, 0]
    a.assign(a - common)
    for w in (b, c, d):
        w.assign(w * 0.9 + x.sum())
    return common


def swapped(held: Any, x: td.Tensor) -> Any:
    """New values that are computed from others' old ones."""
    a, b, c, d = held
    old = a.detach()
    a.assign(b * 0.9 + 1)
    b.assign(c * 0.9 + 1)
    c.assign(d * 0.9 + 1)
    d.assign(old)
    return x.sum() + a.sum()


def rotated(held: Any, x: td.Tensor) -> Any:
    olds = [w.detach() for w in held]
    for w, old in zip(held, olds[1:] + olds[:1], strict=True):
        w.assign(old * 0.9 + 1)
    return x * 1


def moments(held: Any, x: td.Tensor) -> Any:
    """Two pairs of weight and moment; the moment's new value is read by the weight's."""
    for w, m in (held[:2], held[2:]):
        g = (w * x).sum(0) + w * 0.1
        m.assign(m * 0.9 + g * 0.1)
        w.assign(w - 0.01 * m / (td.sqrt(m * m) + 1e-3))
    return x.sum()


def reads_the_old_value_later(held: Any, x: td.Tensor) -> Any:
    for w, m in (held[:2], held[2:]):
        new = w * 0.9 + x.sum()
        m.assign(m + w)
        w.assign(new)
    return x.sum()


def keeps_the_last_gradient(held: Any, x: td.Tensor) -> Any:
    for w, m in (held[:2], held[2:]):
        g = td.tanh(w + x.sum())
        w.assign(w - 0.1 * g - 0.01 * m)
        m.assign(g)
    return x.sum()


def turned(held: Any, x: td.Tensor) -> Any:
    """What is given to the chains lies in another order, or is a part of something."""
    for w in held:
        w.assign(w * 0.9 + w.T)
    for w in held:
        w.assign(w * 0.5 - x[:, ::-1])
    return x.T


def chooses(held: Any, x: td.Tensor) -> Any:
    for w in held:
        w.assign(td.where(w > 0.2, w * 0.5, td.where(w < -0.2, w + 0.1, 0.0)) + td.maximum(w, 0.1) * x.sum())
    return x.sum()


def returns_what_it_gave(held: Any, x: td.Tensor) -> Any:
    g = [w * x for w in held]
    for w, each in zip(held, g, strict=True):
        w.assign(w - 0.1 * (each @ each))
    return g


SQUARE = [shared, swapped, rotated, moments, reads_the_old_value_later, keeps_the_last_gradient, turned, chooses,
          returns_what_it_gave]  # fmt: skip


@pytest.mark.parametrize(("size", "cache"), [(3, packing.CACHE_BYTES), (60, 2**13)], ids=["whole", "in pieces"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", SQUARE, ids=lambda f: f.__name__)
def test_packed_updates_are_bit_equal(
    function: Any, dtype: str, size: int, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CACHE_BYTES", cache)
    monkeypatch.setattr(pieces, "CACHE_BYTES", cache)

    def of_dtype(held: Any, x: td.Tensor) -> Any:
        return function(held, td.cast(x, dtype))

    twins(of_dtype, [(size, size)], lambda: variables([(size, size)] * 4, dtype), runs=4)


def test_a_pack_of_different_shapes_is_bit_equal() -> None:
    def f(held: Any, x: td.Tensor) -> Any:
        for w, m in zip(held[::2], held[1::2], strict=True):
            g = w * w + x.sum()
            m.assign(0.9 * m + 0.1 * g)
            w.assign(w - 0.1 * m / (td.sqrt(td.abs(g)) + 1e-7))
        return x * 2

    shapes = [(40, 1000), (40, 1000), (7,), (7,), (3, 5, 2), (3, 5, 2), (300, 300), (300, 300), (1,), (1,)]
    replay = twins(f, [(2, 2)], lambda: variables(shapes), runs=4)
    assert replay.temporary_bytes < 4 * 4 * sum(np.prod(shape) for shape in shapes[::2])


def test_a_part_of_a_pack_that_somebody_holds_is_not_written_on() -> None:
    held = variables([(3,), (2, 4)])
    replay = td.jit.Replay(simplify(record(lambda _: decay(held), []).program))
    replay([])
    for see in (lambda a: a, lambda a: a[1:], lambda a: a.reshape(-1)[::2], memoryview, lambda a: a.T):
        seen = see(held[0].data)
        before = np.array(seen)
        replay([])
        assert np.array_equal(np.asarray(seen), before)
        assert not np.array_equal(np.asarray(see(held[0].data)), before)


def test_what_is_assigned_between_runs_counts_and_is_not_written_on() -> None:
    held = variables([(3,), (2, 4), (5,)])
    replay = td.jit.Replay(simplify(record(lambda _: decay(held), []).program))
    for number in range(3):
        replay([])
        old = held[number].data
        kept = old.copy()
        held[number].assign(np.full(held[number].shape, 5.0, np.float32))
        replay([])
        assert held[number].numpy() == pytest.approx(5.5)
        assert np.array_equal(old, kept)
