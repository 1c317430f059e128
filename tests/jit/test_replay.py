"""Replaying: NumPy calls into arrays laid out beforehand, without one value written over another that is still read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import Replay, record, simplify

pytestmark = pytest.mark.skipif(td.backend.current().name != "numpy", reason="it runs on the host alone")


def twins(function: Any, shapes: list[tuple[int, ...]], state: Any, runs: int = 3) -> Replay:
    """Run a function and its replay from equal states and compare all bits; return the replay."""
    seen = []
    replay: Any = None
    for way in ("eager", "replayed"):
        held = state()
        rng = np.random.default_rng(0)
        found = []
        for _ in range(runs):
            given = [rng.normal(size=shape) for shape in shapes]
            arguments = [td.Tensor._wrap(array) for array in given]
            if way == "eager":
                outputs = [x.numpy() for x in td.nested.leaves(function(held, *arguments))]
            else:
                if replay is None:
                    replay = Replay(simplify(record(lambda x: function(held, *x), arguments).program))  # noqa: B023
                outputs = replay(given)
            found.append([array.tobytes() for array in outputs] + [x.numpy().tobytes() for x in held])
        seen.append(found)
    assert seen[0] == seen[1]
    return replay  # type: ignore[no-any-return]


def matrices() -> list[td.Variable]:
    rng = np.random.default_rng(1)
    return [td.Variable(rng.normal(size=(3, 3))) for _ in range(3)]


def returns_old(held: Any, x: td.Tensor) -> Any:
    a, _b, _c = held
    before, seen = a.detach(), a.T
    a.assign(a + x)
    return before, seen, before.reshape((9,))


def swaps(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    old = a.detach()
    a.assign(b * 2)
    b.assign(c)
    c.assign(old)
    return a + c


def cycles_views(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    old = a.T
    a.assign(b.T)
    b.assign(old)
    c.assign(c + c.T)
    return old, c[1:], c.T


def same_value_twice(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    new = a + x
    a.assign(new)
    b.assign(new)
    c.assign(new)
    return new, new


def assigned_twice(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    a.assign(a + x)
    read = a.T
    a.assign(a * 2)
    b.assign(b + read)
    a.assign(a - c)
    return read


def never_read(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    a.assign(x)
    b.assign(x.T)
    c.assign(a + b)
    return a.detach(), b.detach()


def transposed_in_place(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    a.assign(a.T + x)
    b.assign(b[::-1] * b)
    c.assign(td.broadcast_to(c[0:1], (3, 3)) + c)
    return x.detach()


def reads_after_update(held: Any, x: td.Tensor) -> Any:
    a, b, _c = held
    seen = a.reshape((9,))
    a.assign(a * x)
    b.assign(b + seen.reshape((3, 3)))
    return seen.sum() + a.sum() + b.sum()


def long_chain(held: Any, x: td.Tensor) -> Any:
    a, b, _c = held
    y = x
    for i in range(10):
        y = td.tanh(y) @ a + y.T * 0.5 - (y.sum(0) if i % 2 else y.max())
    b.assign(b * 0.9 + y)
    return y[1:].sum(), y.T, y


def sums_over_other_orders(held: Any, x: td.Tensor) -> Any:
    a, b, c = held
    y = (x.T * 1.1 + a.T).sum()
    z = td.exp(x.T).sum(0) + (x[:, ::-1] * 2).sum(1)
    c.assign(c + td.transpose(x.reshape((3, 3, 1)) + a, (2, 0, 1)).sum(1) * 0.01)
    return y, z, td.cast(x.T, "float32").sum(), (x.T * a.T) @ b.T


FUNCTIONS = [
    returns_old, swaps, cycles_views, same_value_twice, assigned_twice, never_read, transposed_in_place,
    reads_after_update, long_chain, sums_over_other_orders,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_no_value_is_written_over_while_it_is_read(function: Any) -> None:
    twins(function, [(3, 3)], matrices, runs=5)


@pytest.mark.parametrize("shape", [(67, 45), (8, 130, 6)])
def test_sums_over_arrays_in_other_orders_are_rounded_alike(shape: tuple[int, ...]) -> None:
    axes = tuple(range(len(shape)))[::-1]

    def f(held: Any, x: td.Tensor) -> Any:
        y = td.transpose(x, axes) * 1.3 + 0.1
        z = td.exp(td.transpose(x, (1, 0, *axes[:-2][::-1])) * 0.5)
        return y.sum(), y.sum(0), y.sum(-1), (y * y).sum((0, -1)), z.sum(), z.sum(0), td.transpose(z, axes).sum(-1)

    twins(f, [shape], list)


def test_elementwise_updates_of_state_are_made_in_place() -> None:
    w = td.Variable(np.ones(1000))
    replay = Replay(simplify(record(lambda x: w.assign(w * 0.9 + x[0]), [td.Tensor._wrap(np.ones(1000))]).program))
    given = np.full(1000, 2.0)
    replay([given])
    own = id(w.data)
    replay([given])
    assert id(w.data) == own
    assert replay.calls == 2
    assert replay.temporary_bytes == 8000


def test_what_somebody_holds_is_not_written_on() -> None:
    w = td.Variable(np.ones(4))
    replay = Replay(simplify(record(lambda x: w.assign(w + x[0]), [td.Tensor._wrap(np.ones(4))]).program))
    held = []
    for k in range(5):
        replay([np.ones(4)])
        held.append([w.detach().data, w.data, w.data[1:], w.data.reshape(2, 2).T, memoryview(w.data)][k])
        assert w.tolist() == [2.0 + k] * 4
    assert [float(np.asarray(x).flat[0]) for x in held] == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_program_that_only_reads_sees_what_another_wrote_in_place() -> None:
    w = td.Variable(np.ones(3))
    write = Replay(simplify(record(lambda x: w.assign(w + x[0]), [td.Tensor._wrap(np.ones(3))]).program))
    read = Replay(simplify(record(lambda x: w * 1.0, []).program))
    arrays = []
    for k in range(4):
        write([np.ones(3)])
        arrays.append(w.data)
        assert read([])[0].tolist() == [2.0 + k] * 3
        del arrays[:]
    own = w.data
    write([np.ones(3)])
    write([np.ones(3)])
    read([])
    write([np.ones(3)])
    assert read([])[0].tolist() == w.tolist() == [8.0] * 3
    del own


def test_memory_of_temporary_values_is_used_again() -> None:
    def f(x: Any) -> td.Tensor:
        y = x[0]
        for _ in range(40):
            y = td.tanh(y @ y)
        return y

    x = td.Tensor._wrap(np.eye(32))
    replay = Replay(simplify(record(f, [x]).program))
    assert replay.temporary_bytes <= 3 * x.data.nbytes
    assert replay([x.data])[0].tobytes() == f([x]).numpy().tobytes()


def test_a_run_that_fails_leaves_state_as_it_was_even_what_is_updated_in_place() -> None:
    w, v = td.Variable(np.ones(3)), td.Variable(np.ones(3))

    def f(x: Any) -> td.Tensor:
        w.assign(w * 2)
        taken = td.take(w, x[0])
        v.assign(v + 1)
        return taken

    replay = Replay(simplify(record(f, [td.tensor([0])]).program))
    for _ in range(2):
        with pytest.raises(IndexError):
            replay([np.array([9])])
        before = w.tolist(), v.tolist()
        assert before in (([1.0] * 3, [1.0] * 3), ([2.0] * 3, [2.0] * 3))
        replay([np.array([0])])
    assert (w.tolist(), v.tolist()) == ([4.0] * 3, [3.0] * 3)


@pytest.mark.parametrize("make", [td.Variable, td.tensor])
def test_what_a_program_has_a_copy_of_cannot_be_written_on(make: Any) -> None:
    w = make(np.zeros(3, np.float32))
    jitted = td.jit(lambda x: x + w)
    for _ in range(3):
        assert jitted(td.ones(3)).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        w.data[0] = 5
    w.assign(np.array([5, 0, 0]))
    assert jitted(td.ones(3)).tolist() == [6, 1, 1]
    held = w.numpy()
    held[0] = 7  # a copy, as ever
    assert jitted(td.ones(3)).tolist() == [6, 1, 1]


def test_what_another_program_writes_on_stays_so() -> None:
    w = td.Variable(np.zeros(3, np.float32))
    read, written = td.jit(lambda x: x + w), td.jit(lambda x: w.assign(w + x) * 1.0)
    for n in range(1, 6):
        assert written(td.ones(3)).tolist() == [n] * 3
        assert read(td.ones(3)).tolist() == [n + 1] * 3
