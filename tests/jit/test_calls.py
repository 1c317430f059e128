"""Calls: what tells those of different programs apart."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import tinygrad_dnn as td
from tinygrad_dnn.backend.strict import StrictBackend
from tinygrad_dnn.jit.attributes import Attributes
from tinygrad_dnn.jit.calls import Call


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> td.Tensor:
    """Return a Tensor on the second of two devices."""
    with td.backend.use("strict"):
        found = td.ones((2, 3))
    monkeypatch.setattr(StrictBackend, "device_of", lambda backend, array: int(array is found.data))
    return found


def test_arrays_on_two_devices_are_of_two_programs(second: td.Tensor) -> None:
    with td.backend.use("strict"):
        first, another = td.ones((2, 3)), td.ones((2, 3))
    assert Call((first,), {}).key == Call((another,), {}).key != Call((second,), {}).key


def test_a_tensor_that_takes_anothers_place_is_on_the_same_device(second: td.Tensor) -> None:
    with td.backend.use("strict"):
        first, another = td.ones((2, 3)), td.ones((2, 3))
    attributes = Attributes(SimpleNamespace(last=first), frozenset(), "")
    attributes.loosen(set())
    assert attributes.allows("last", another)
    assert not attributes.allows("last", second)
