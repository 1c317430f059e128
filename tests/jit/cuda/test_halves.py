"""Products of 16 bits: what is made of casts becomes one, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.device import EmulatedDevice, emulated
from tests.jit.cuda.emulator import COMPILER, REASON
from tinygrad_dnn.jit.cuda.launches import Call, Product
from tinygrad_dnn.jit.cuda.run import Run, lower

pytestmark = pytest.mark.skipif(COMPILER is None, reason=REASON)


@pytest.fixture
def device() -> Iterator[EmulatedDevice]:
    with emulated() as device, td.no_grad():
        yield device


@pytest.fixture(params=["float16", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> str:
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")
    return str(request.param)


def numbers(*shape: int, dtype: str = "float16") -> td.Tensor:
    return td.cast(td.tensor(np.random.default_rng(sum(shape)).normal(size=shape), dtype="float32"), dtype)


def compare(function: Callable[..., Any], *given: td.Tensor) -> list[str]:
    """Compare a program's runs with its primitives; return the types of its products."""
    program = td.jit.simplify(td.jit.record(function, given).program)
    arrays = [x.data for x in given]
    to_host = td.backend.current().to_host
    expected = [to_host(x) for x in td.jit.Interpreted(program)(arrays)]
    run: Run = lower(program, td.backend.current())
    for _ in range(3):
        for x, y in zip(run(arrays), expected, strict=True):
            # Sums of float32 in another order, rounded to 16 bits: the last bit may differ.
            assert x.dtype == y.dtype
            rtol = LAST_BIT.get(y.dtype.name, 1e-5)
            np.testing.assert_allclose(to_host(x).astype(np.float32), y.astype(np.float32), rtol=rtol, atol=rtol)
    assert not [step for step in run.steps if isinstance(step, Call)]
    return [step.dtype.name for step in run.steps if isinstance(step, Product)]


LAST_BIT = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""How far apart numbers beside each other are, relative to them, at most."""

HALVES: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "two matrices": (lambda x: [td.matmul(x[0], x[1])], ((5, 7), (7, 3))),
    "transposed": (lambda x: [td.matmul(x[0].T, x[1].T)], ((7, 5), (3, 7))),
    "stacks": (lambda x: [td.matmul(x[0], td.transpose(x[1], (0, 2, 1)))], ((4, 5, 7), (4, 3, 7))),
    "a stack and a matrix": (lambda x: [td.matmul(x[0], x[1])], ((4, 5, 7), (7, 3))),
    "a part": (lambda x: [td.matmul(x[0][1:, :7], x[1])], ((6, 9), (7, 3))),
    "twice": (lambda x: [td.matmul(td.matmul(x[0], x[1]), x[1])], ((5, 7), (7, 7))),
    "between maps": (lambda x: [td.exp(td.matmul(td.tanh(x[0]), x[1]) * 0.5)], ((5, 7), (7, 3))),
    "of what was rounded": (lambda x: [td.matmul(td.cast(td.cast(x[0], "float32") * 2, x[1].dtype), x[1])],
                            ((5, 7), (7, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
def test_a_product_of_halves_is_one(device: EmulatedDevice, name: str, dtype: str) -> None:
    function, shapes = HALVES[name]
    types = compare(function, *(numbers(*shape, dtype=dtype) for shape in shapes))
    assert types
    assert set(types) == {dtype}


def _wide(x: td.Tensor) -> td.Tensor:
    return td.cast(x, "float32")


SINGLE: dict[str, Callable[..., Any]] = {
    "a result that is not rounded": lambda x: [td.matmul(_wide(x[0]), _wide(x[1]))],
    "a result that is read before it is rounded": lambda x: [
        td.cast(product := td.matmul(_wide(x[0]), _wide(x[1])), "float16"), td.sum(product)
    ],
    "a result that is rounded after something else": lambda x: [
        td.cast(td.matmul(_wide(x[0]), _wide(x[1])) * 1.5, "float16")
    ],
    "one factor that never was a half": lambda x: [td.cast(td.matmul(_wide(x[0]) * 1.1, _wide(x[1])), "float16")],
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_other_products_stay_what_they_are(device: EmulatedDevice, name: str) -> None:
    assert compare(SINGLE[name], numbers(5, 7), numbers(7, 3)) == ["float32"]


def test_what_is_multiplied_in_float64_stays_so(device: EmulatedDevice) -> None:
    def f(x: Any) -> Any:
        return [td.cast(td.matmul(td.cast(x[0], "float64"), td.cast(x[1], "float64")), "float16")]

    assert compare(f, numbers(5, 7), numbers(7, 3)) == ["float64"]


def test_numbers_of_two_kinds_of_16_bits_are_multiplied_in_float32(device: EmulatedDevice) -> None:
    pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")
    rounded: list[Callable[..., Any]] = [
        lambda x: [td.cast(td.matmul(_wide(x[0]), _wide(x[1])), "float16")],
        lambda x: [td.cast(td.matmul(_wide(x[0]), _wide(x[0].T)), "bfloat16")],
    ]
    for function in rounded:
        assert compare(function, numbers(5, 7), numbers(7, 3, dtype="bfloat16")) == ["float32"]


def test_state_that_is_written_over_is_read_before(device: EmulatedDevice) -> None:
    w = td.Variable(np.eye(4), dtype="float16")

    def f(x: Any) -> Any:
        y = td.matmul(x[0], w)
        w.assign(w * 0.5)
        return [y]

    x = numbers(4, 4)
    program = td.jit.simplify(td.jit.record(f, [x]).program)
    run = lower(program, td.backend.current())
    for number in range(4):
        (array,) = run([x.data])
        np.testing.assert_allclose(td.backend.current().to_host(array), x.numpy() * 0.5**number, rtol=1e-3)
    assert w.numpy()[0, 0] == 0.5**4


def test_all_of_mixed_precision_is_done_by_kernels_and_products_of_halves(device: EmulatedDevice, dtype: str) -> None:
    seen = []
    for jit in (False, True):
        td.random.set_seed(1)
        hidden = [td.layers.Dense(5, activation="relu", dtype=f"mixed_{dtype}") for _ in range(2)]
        model = td.Sequential([td.layers.Input((7,)), *hidden])
        model.compile("sgd", "mse", jit_compile=False)
        step = td.jit(model.train_step, native=True) if jit else model.train_step
        with td.enable_grad():
            for _ in range(3):
                step((td.ones((3, 7)), td.ones((3, 5))))
        seen.append(model.get_weights())
    for x, y in zip(*seen, strict=True):
        np.testing.assert_allclose(x, y, rtol=2 * LAST_BIT[dtype], atol=LAST_BIT[dtype] / 10)
    (entry,) = step._entries.values()
    assert [x.dtype.name for x in entry.run.steps if isinstance(x, Product)] == [dtype] * 5
    assert not [x for x in entry.run.steps if isinstance(x, Call)]
