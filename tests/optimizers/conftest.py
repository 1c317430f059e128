"""What several tests of optimizers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tinygrad_dnn as td


@pytest.fixture
def float64() -> Iterator[None]:
    """Compute in float64 everywhere, the learning rate and the corrections too."""
    td.backend.set_floatx("float64")
    yield
    td.backend.set_floatx("float32")
