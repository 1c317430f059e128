"""The strict double, alone and beside what it stands for."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_dnn.backend as backends
from tinygrad_dnn.backend.strict import StrictBackend


@pytest.fixture
def xp() -> StrictBackend:
    """The double, for what only it can show."""
    backend = backends.get("strict")
    assert isinstance(backend, StrictBackend)
    return backend


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Any:
    """The double and, with -m gpu, CuPy itself: what passes on both keeps the double honest."""
    try:
        return backends.get(request.param)
    except RuntimeError as error:
        pytest.skip(str(error))
