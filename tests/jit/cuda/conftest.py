"""What tests of kernels need: NumPy's arrays, whichever backend is tested, and a compiler that stands for the GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jit.cuda import emulator
from tinygrad_dnn import backend


@pytest.fixture
def on_numpy() -> Iterator[None]:
    """Make every Tensor of a test a NumPy one."""
    with backend.use("numpy"):
        yield


@pytest.fixture
def emulated(on_numpy: None) -> None:
    """Skip where kernels cannot be emulated."""
    if emulator.COMPILER is None:
        pytest.skip(emulator.REASON)
