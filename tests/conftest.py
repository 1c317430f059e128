"""The fixture that runs a test once on each array backend, and which files hold tests."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

CHOSEN = os.environ.get("TINYGRAD_DNN_BACKEND")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the tests' helpers alone: --doctest-modules, meant for the package, would import each one."""
    return True if collection_path.suffix == ".py" and not collection_path.name.startswith("test_") else None


@pytest.fixture(params=[CHOSEN] if CHOSEN else ["numpy", "strict"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on NumPy and on the strict double, or on the one backend that TINYGRAD_DNN_BACKEND names.

    Yields:
        The backend's name.
    """
    with importlib.import_module("tinygrad_dnn").backend.use(request.param):
        yield request.param
