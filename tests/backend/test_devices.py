"""Which backends have a device that compiled programs run on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import tinygrad_dnn as td
from tinygrad_dnn.backend.cupy import CupyBackend
from tinygrad_dnn.backend.devices import Device, Graph


@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_backends_of_the_host_have_none(name: str) -> None:
    assert td.backend.get(name).device is None


def test_cupys_is_that_of_the_thread() -> None:
    backend = CupyBackend.__new__(CupyBackend)
    numbers = [0]
    backend._cupy = SimpleNamespace(
        ndarray=object, cuda=SimpleNamespace(runtime=SimpleNamespace(getDevice=lambda: numbers[-1]))
    )
    first = backend.device
    assert first.number == 0
    assert backend.device is first
    numbers.append(1)
    assert backend.device.number == 1
    numbers.pop()
    assert backend.device is first


def test_a_device_is_made_of_all_its_parts() -> None:
    for kind in (Device, Graph):
        with pytest.raises(TypeError, match="abstract"):
            kind()  # type: ignore[abstract]
