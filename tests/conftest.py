"""The fixture that runs a test once on each array backend, and which files hold tests."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

CHOSEN = os.environ.get("TINYGRAD_DNN_BACKEND")


def pytest_sessionstart(session: pytest.Session) -> None:
    """End at once where the chosen backend cannot be used: else every single test would say so."""
    if CHOSEN:
        try:
            importlib.import_module("tinygrad_dnn").backend.get(CHOSEN)
        except (RuntimeError, ValueError) as error:
            pytest.exit(f"TINYGRAD_DNN_BACKEND={CHOSEN}: {error}", returncode=4)


@pytest.fixture(autouse=True)
def _own_faults(_global_state_stays: None) -> Iterator[None]:
    """Wait for a GPU after each test: what it reports late would else be the failure of another one."""
    yield
    if CHOSEN == "cupy":
        importlib.import_module("tinygrad_dnn").backend.get("cupy").synchronize()


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
