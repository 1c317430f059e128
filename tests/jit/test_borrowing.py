"""Borrowing: programs read long arrays where they are, give the same bits as with copies, and keep none of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import Replay, record, simplify
from tinygrad_dnn.jit.borrowing import CONSTANT_BYTES

pytestmark = pytest.mark.skipif(td.backend.current().name != "numpy", reason="it runs on the host alone")

SHAPE = (300, 400)


def replayed(function: Callable[..., Any], *given: np.ndarray) -> Replay:
    return Replay(simplify(record(lambda x: function(*x), [td.Tensor._wrap(array) for array in given]).program))


def long(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def lent(replay: Replay) -> int:
    return sum(loan is not None for _, loan in replay._reads)


def read_plainly(x: td.Tensor) -> Any:
    return td.exp(x).sum(0), x @ x.T


def read_otherwise(x: td.Tensor) -> Any:
    return x[:, ::-1] * 2, x[3:7].sum(), td.broadcast_to(x[:1], SHAPE) + 1, (x.reshape((400, 300)) + x.T).sum(1)


def read_by_others(x: td.Tensor) -> Any:
    return td.argmax(x, 1), td.take(x, td.tensor([3, 1])), td.concatenate([x, x])


def read_and_returned(x: td.Tensor) -> Any:
    return x.T, x.sum()


def read_and_kept(x: td.Tensor) -> Any:
    return x.reshape((400, 300)), x * 2


READ = [read_plainly, read_otherwise, read_by_others, read_and_returned, read_and_kept]


@pytest.mark.parametrize("function", READ, ids=lambda f: f.__name__)
def test_inputs_of_any_layout_are_read_alike(function: Any) -> None:
    replay = replayed(function, long())
    readonly = long(5)
    readonly.flags.writeable = False
    others = [long(6, (400, 300)).T, long(7)[::-1], long(8, (300, 800))[:, ::2], long(9).view(np.memmap)]
    for array in [long(1), long(2), readonly, *others, long(3)]:
        expected = [out.numpy() for out in td.nested.leaves(function(td.Tensor._wrap(array.copy(order="C"))))]
        before = array.tobytes()
        for out, reference in zip(replay([array]), expected, strict=True):
            assert out.tobytes() == reference.tobytes()
            assert not np.may_share_memory(out, array)
        assert array.tobytes() == before


def test_what_is_returned_as_it_came_and_what_is_short_is_copied() -> None:
    assert lent(replayed(read_plainly, long())) == lent(replayed(read_otherwise, long())) == 1
    assert lent(replayed(read_and_returned, long())) == lent(replayed(read_and_kept, long())) == 0
    assert lent(replayed(read_plainly, long(shape=(3, 4)))) == 0


def test_nothing_that_was_read_is_kept() -> None:
    w = td.Variable(long())
    replay = replayed(lambda x: x.sum() + (w * x).sum(), long())
    assert lent(replay) == 2
    given = long(1)
    before = sys.getrefcount(given), sys.getrefcount(w.data)
    replay([given])
    assert (sys.getrefcount(given), sys.getrefcount(w.data)) == before


def test_nothing_is_kept_of_what_was_given_to_a_run_that_fails() -> None:
    replay = replayed(lambda x, at: td.take(x * 2, at).sum(), long(), np.array([0]))
    given = long(1)
    before = sys.getrefcount(given)
    with pytest.raises(IndexError):
        replay([given, np.array([1000])])
    assert sys.getrefcount(given) == before
    assert replay([given, np.array([2])])[0] == pytest.approx(2 * given[2].sum())


def test_long_constants_are_read_anew_in_each_run_whoever_changed_them() -> None:
    w = td.Variable(long())
    assert w.data.nbytes >= CONSTANT_BYTES
    read, write = replayed(lambda x: (w * x).sum(0), np.ones(1)), replayed(lambda x: w.assign(w + x), np.ones(1))
    assert lent(read) == 1

    def agrees() -> None:
        assert read([np.full(1, 2.0)])[0].tobytes() == (w.numpy() * 2).sum(0).tobytes()

    for _ in range(3):
        agrees()
        write([np.ones(1)])
        own = id(w.data)
        agrees()
        write([np.ones(1)])
        assert id(w.data) == own  # what is read is not held: the other program goes on to write where it did
        agrees()
        w.assign(long(3))
        agrees()
        w.data = np.asfortranarray(long(4))
        agrees()


def test_a_long_constant_that_shows_what_the_program_writes_keeps_its_value() -> None:
    w = td.Variable(long())
    seen = td.Variable(long())
    replay = replayed(lambda x: (w.assign(w + x), (seen * 1.0).sum())[1], np.ones(1))
    replay([np.ones(1)])
    seen.assign(w.detach())
    expected = (w.numpy() * 1.0).sum()
    for _ in range(3):
        assert replay([np.ones(1)])[0] == expected
