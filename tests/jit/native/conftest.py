"""Native programs compute on NumPy's arrays, whichever backend the suite runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tinygrad_dnn import backend


@pytest.fixture(autouse=True)
def on_numpy() -> Iterator[None]:
    """Make every Tensor of a test a NumPy one."""
    with backend.use("numpy"):
        yield
