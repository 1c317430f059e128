"""The probes' own code, on the emulated device: each passes on one that is right, and fails on one that is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.gpu_check.card import Card
from tests.gpu_check.figures import FAILED, NOT_RUN, TOLD, collected
from tests.gpu_check.probes import PROBES
from tests.jit.cuda.device import EmulatedDevice, _at, emulated
from tests.jit.cuda.emulator import COMPILER, REASON

pytestmark = pytest.mark.skipif(COMPILER is None, reason=REASON)

# What an emulated device is no match for.
SLOW = ("by graph, times eagerly", "by graph, times launch by launch")


class SpoiledDevice(EmulatedDevice):
    """A device that changes the results of its products, or of the functions that it calls.

    Args:
        product: What is done to a product, in place.
        called: What becomes of a function's result.
    """

    def __init__(self, product: Callable[[np.ndarray], None] | None = None, called: Callable[[Any], Any] = lambda x: x):
        super().__init__()
        self.spoil = product
        self.called = called

    def product(
        self, dtype: Any, addresses: Any, transposed: Any, lengths: Any, leading: Any, count: int = 1,
        distances: Any = (0, 0, 0),
    ) -> None:  # fmt: skip
        super().product(dtype, addresses, transposed, lengths, leading, count, distances)
        if self.spoil is not None:
            spoil = self.spoil
            self._ask("spoil", lambda: spoil(_at(addresses[2], lengths[:2], dtype)))

    def call(self, function: Any, given: Any, target: Any) -> None:
        super().call(lambda *arguments: self.called(function(*arguments)), given, target)


def full(xp: Any) -> list[Any]:
    """Take all memory: the next allocation is refused."""
    allocate = xp.empty

    def refuse(*arguments: Any) -> Any:
        xp.empty = allocate
        raise MemoryError("out of memory")

    held = [xp.empty((100,), np.uint8)]
    xp.empty = refuse
    return held


CARD = Card("strict", launches=3, depth=2, inputs=24, large=16, free=lambda xp: 1000, fill=full)


@pytest.fixture(autouse=True)
def _strict_can_be_filled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    xp = td.backend.get("strict")
    monkeypatch.setattr(xp.array_type, "fill", lambda array, value: array._data.fill(value), raising=False)
    monkeypatch.setattr(xp, "empty", xp.empty, raising=False)
    with td.backend.use(td.backend.current().name):
        yield


def states(key: str, card: Card = CARD, device: EmulatedDevice | None = None) -> dict[str, str]:
    """Return what becomes of a probe's figures, numbers in their names left out."""
    with emulated(device):
        found = collected(PROBES[key][1], card)
    return {figure.what.partition(", of ")[0]: figure.state for figure in found}


@pytest.mark.parametrize("key", PROBES)
def test_a_probe_passes_on_a_device_that_is_right(key: str) -> None:
    with emulated() as device:
        found = collected(PROBES[key][1], CARD)
    assert found
    assert not [figure for figure in found if figure.state == FAILED and figure.what not in SLOW]
    assert all(figure.state == TOLD for figure in found) == (key == "5")
    assert device.done["graph"] > 0, "it tells of graphs and has launched none"


def inexact(z: np.ndarray) -> None:
    z *= 1 + 1e-3


def noisy(z: np.ndarray, rng: np.random.Generator = np.random.default_rng(0)) -> None:  # noqa: B008  # goes on
    z += rng.normal(scale=1e-6, size=z.shape)


@pytest.mark.parametrize(
    ("key", "spoil", "what"),
    [
        ("1", inexact, "error relative to float64, by the norm"),
        ("1", noisy, "launches that differ"),
        ("2", noisy, "numbers of the weights that differ afterwards"),
        ("6", inexact, "losses of 20 steps, graph against eager, relative"),
        ("6", noisy, "numbers of the weights in which two trainings by graph differ"),
        ("6", noisy, "replays that differ from the first"),
        ("7", inexact, "matmul, error relative to float64, by the norm"),
    ],
)
def test_wrong_products_are_found(key: str, spoil: Callable[[np.ndarray], None], what: str) -> None:
    assert states(key, device=SpoiledDevice(product=spoil))[what] == FAILED


@pytest.mark.parametrize("what", ["reductions that differ", "random numbers that differ from NumPy's"])
def test_wrong_calls_in_a_capture_are_found(what: str) -> None:
    device = SpoiledDevice(called=lambda x: x + 1 if x.dtype.kind == "i" else x * 1.0000002)
    assert states("3", device=device)[what] == FAILED


def test_other_random_numbers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    xp: Any = td.backend.get("strict")
    draw = xp.uniform
    monkeypatch.setattr(xp, "uniform", lambda state, shape, dtype: draw(state + 1, shape, dtype), raising=False)
    assert states("4")["numbers that differ"] == FAILED


def test_memory_that_is_not_used_up_shows_nothing() -> None:
    found = states("2", CARD._replace(fill=lambda xp: []))
    assert found["allocations refused when the memory was full"] == FAILED


def test_memory_that_is_the_graphs_is_found() -> None:
    class Careless(EmulatedDevice):
        """Gives its memory away, too."""

        given: list[Any]

        def empty(self, nbytes: int) -> Any:
            self.given.append(super().empty(nbytes))
            return self.given[-1]

    device = Careless()
    device.given = []
    found = states("2", CARD._replace(fill=lambda xp: [*full(xp), *device.given]), device)
    assert found["numbers of the weights that differ afterwards"] == FAILED


def test_memory_that_grows_is_found() -> None:
    left = iter(range(100, 0, -1))
    what = "memory taken by 3 more steps"
    assert states("2", CARD._replace(free=lambda xp: next(left)))[what] == FAILED
    assert states("2", CARD._replace(free=lambda xp: None))[what] == NOT_RUN


def test_a_step_that_falls_back_fails() -> None:
    with emulated() as device:
        device.refuses = "cudaErrorStreamCaptureUnsupported"
        found = collected(PROBES["6"][1], CARD)
    assert next(figure for figure in found if figure.what == "a step is one launch of a graph").state == FAILED
    assert found[-1].what == "warnings"
    assert found[-1].state == FAILED
    assert "cudaErrorStreamCaptureUnsupported" in str(found[-1].value)
