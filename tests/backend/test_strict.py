"""The strict backend: waits for the device are counted, captures refuse what a CUDA graph's do, bits are equal."""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn.backend as backends
from tinygrad_dnn.backend.strict import StrictArray, StrictBackend


def host(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape).astype(dtype)


# -- waiting for the device, and captures ------------------------------------------------------------------------------

WAITS: dict[str, Callable[[StrictBackend, StrictArray], Any]] = {
    "to_host": lambda xp, x: xp.to_host(x),
    "item": lambda xp, x: x.item(),
    "bool": lambda xp, x: bool(x),
    "int": lambda xp, x: int(x),
    "float": lambda xp, x: float(x),
    "repr": lambda xp, x: repr(x),
    "str": lambda xp, x: str(x),
    "format": lambda xp, x: f"{x:.1f}",
    "synchronize": lambda xp, x: xp.synchronize(),
    "mask": lambda xp, x: x.reshape(1)[xp.ones(1, dtype=bool)],
    "nonzero": lambda xp, x: xp.nonzero(x.reshape(1)),
    "where": lambda xp, x: xp.where(x.reshape(1)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_waits_are_counted_and_refused_in_a_capture(xp: StrictBackend, wait: Callable[..., Any]) -> None:
    x = xp.asarray(2.0)
    before = xp.host_syncs
    wait(xp, x)
    assert xp.host_syncs == before + 1
    with xp.capture(allow=("allocation",)), pytest.raises(RuntimeError, match="which a capture does not allow"):
        wait(xp, x)
    assert xp.host_syncs == before + 1
    wait(xp, x)
    assert xp.host_syncs == before + 2


def test_computing_does_not_wait(xp: StrictBackend) -> None:
    x = xp.from_host(host(4, 3))
    before = xp.host_syncs
    y = xp.where(x > 1, x, 0.0) @ x.T
    xp.scatter_add(y, xp.argmax(y, axis=1), 1.0)
    y[0] = xp.sum(y[xp.arange(2)])
    assert (len(y), y.shape, y.size) == (4, (4, 4), 16)
    assert xp.host_syncs == before


ALLOCATES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "ufunc": lambda xp, x, y: xp.add(x, y),
    "operator": lambda xp, x, y: x + y,
    "reduction": lambda xp, x, y: xp.sum(x),
    "zeros": lambda xp, x, y: xp.zeros(3),
    "empty": lambda xp, x, y: xp.empty(3),
    "copy": lambda xp, x, y: x.copy(),
    "cast": lambda xp, x, y: x.astype(np.float64),
    "gather": lambda xp, x, y: x[xp.argmax(x, axis=1)],
    "reshape that copies": lambda xp, x, y: xp.reshape(x.T, (-1,)),
    "out that overlaps an operand": lambda xp, x, y: xp.add(x[1:], x[:-1], out=x[1:]),
    "matmul": lambda xp, x, y: xp.matmul(x, x),
    "matmul out in Fortran order": lambda xp, x, y: xp.matmul(x, x, out=y.T),
    "matmul out of another dtype": lambda xp, x, y: xp.matmul(x[:2, :2], x[:2, :2], out=WIDE),
    "matmul out is an operand": lambda xp, x, y: xp.matmul(x, y, out=y),
    "matmul of a strided operand": lambda xp, x, y: xp.matmul(x[::2, ::2], x[:2, :2], out=SMALL),
    "batched matmul of a transpose": lambda xp, x, y: xp.matmul(x.T[None], x[None], out=y[None]),
    "scatter_add by index arrays": lambda xp, x, y: xp.scatter_add(x, STATE, 1.0),
    "scatter_add of another dtype": lambda xp, x, y: xp.scatter_add(x, (slice(None), 0), WIDE[0, 0]),
    "several index arrays": lambda xp, x, y: operator.setitem(x, (STATE, STATE), 1.0),
    "uniform": lambda xp, x, y: xp.uniform(STATE, (3,), np.dtype(np.float32)),
}
strict = backends.get("strict")
STATE = strict.from_host(np.array([1, 2, 3]))
SMALL = strict.zeros((2, 2), dtype=np.float32)
WIDE = strict.zeros((2, 2), dtype=np.float64)


@pytest.mark.parametrize("call", ALLOCATES.values(), ids=ALLOCATES.keys())
def test_a_capture_refuses_to_allocate_unless_allowed(xp: StrictBackend, call: Callable[..., Any]) -> None:
    x, y = xp.ones((3, 3), dtype=np.float32), xp.ones((3, 3), dtype=np.float32)
    with xp.capture(allow=("matmul",)), pytest.raises(RuntimeError, match=r"capture\(allow=\('allocation',\)\)"):
        call(xp, x, y)
    with xp.capture(allow=("allocation", "matmul")):
        call(xp, x, y)


def test_a_capture_lets_planned_work_through(xp: StrictBackend) -> None:
    x, y = xp.from_host(host(3, 3)), xp.zeros((3, 3), dtype=np.float32)
    total, mask = xp.zeros((), dtype=np.float32), xp.zeros((3, 3), dtype=bool)
    before = xp.host_syncs
    with xp.capture(allow=("matmul",)):
        xp.multiply(x, 2.0, out=y)
        xp.exp(y, out=y)
        xp.greater(x, y, out=mask)
        xp.matmul(x, x.T, out=y)
        xp.sum(y, out=total)
        x.T.reshape(3, 3)[1:] = total
        x[0] = 1.5
        xp.scatter_add(x, (slice(None), 0), 1.0)
    assert xp.host_syncs == before
    np.testing.assert_array_equal(xp.to_host(total), (host(3, 3) @ host(3, 3).T).sum())


def test_a_capture_refuses_cupys_matmul_and_uploads(xp: StrictBackend) -> None:
    x, out = xp.ones((2, 2)), xp.ones((2, 2))
    with xp.capture():
        with pytest.raises(RuntimeError, match=r"matmul was called inside a capture: .*'matmul'"):
            xp.matmul(x, x, out=out)
        with pytest.raises(RuntimeError, match="from_host"):
            xp.from_host(np.ones(2))
        with pytest.raises(RuntimeError, match="asarray"):
            xp.asarray(1.0)


def test_a_capture_ends_with_its_block_and_belongs_to_its_thread(xp: StrictBackend) -> None:
    with pytest.raises(ZeroDivisionError), xp.capture():
        raise ZeroDivisionError
    xp.ones(2)
    with pytest.raises(ValueError, match="not \\['everything'\\]"), xp.capture(allow=("everything",)):
        pass
    seen: list[Any] = []

    def elsewhere() -> None:
        seen.append(xp.ones(2).reshape(2, 1))
        xp.to_host(seen[0])

    before = xp.host_syncs
    with xp.capture():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen[0].shape == (2, 1)
    assert xp.host_syncs == before


# -- random numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (8,), (3, 5, 7), (1000,)])
def test_uniform_is_the_same_as_on_the_host(device: Any, shape: tuple[int, ...], dtype: type) -> None:
    for words in ([0, 0, 0], [42, 7, 2**40], [-1, 2**63 - 1, -5]):
        state = np.array(words, np.int64)
        expected = backends.get("numpy").uniform(state, shape, np.dtype(dtype))
        drawn = device.uniform(device.from_host(state), shape, np.dtype(dtype))
        assert (drawn.shape, drawn.dtype) == (shape, dtype)
        np.testing.assert_array_equal(device.to_host(drawn), expected)


def test_uniform_checks_its_state(device: Any) -> None:
    for state in (np.zeros(3), np.zeros(4, np.int64), np.zeros(3, np.int32)):
        with pytest.raises(TypeError, match="three int64"):
            device.uniform(device.from_host(state), (2,), np.dtype(np.float32))
