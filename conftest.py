"""What every test and every doctest of the package gets: td and np, a seed, and a watch over global state."""

from __future__ import annotations

import gc
import importlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import HealthCheck, settings

import tinygrad_dnn  # noqa: F401  # before a doctest of one file imports that file under another name

# The tests' matrices are small: on a busy machine a second BLAS thread makes them many times slower.
threadpoolctl.threadpool_limits(limits=1, user_api="blas")

# A shell starts what runs in its background with Ctrl-C ignored; the tests of Ctrl-C need Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machine code of earlier runs would hide what the tests are to see made, and is kept in the user's own folder.
os.environ["TINYGRAD_DNN_CACHE"] = "off"

# Nothing is timed, each run draws the same examples, and nothing is written beside the sources. One fixture
# may serve all examples of a test: a backend is the same for each.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Take what was collected out of the searches for cycles: many tests ask for one, and each would look at it all."""
    gc.collect()
    gc.freeze()


def _global_state() -> dict[str, Any]:
    """Return what one test could change under the feet of the next."""
    td = importlib.import_module("tinygrad_dnn")
    return {
        "the backend": td.backend.current().name,
        "floatx": td.backend.floatx(),
        "grad mode": td.is_grad_enabled(),
        "the environment": {k: v for k, v in os.environ.items() if k.startswith("TINYGRAD_DNN")},
    }


def _restore(state: dict[str, Any]) -> None:
    """Put back what a test changed, so that it alone fails."""
    td = importlib.import_module("tinygrad_dnn")
    td.backend.use(state["the backend"])
    td.backend.set_floatx(state["floatx"])
    for key in [key for key in os.environ if key.startswith("TINYGRAD_DNN")]:
        del os.environ[key]
    os.environ.update(state["the environment"])


@pytest.fixture(autouse=True)
def _global_state_stays() -> Iterator[None]:
    """Fail the test that leaves the thread's modes, or the project's environment variables, changed."""
    before = _global_state()
    yield
    after = _global_state()
    changed = [f"{what} from {was} to {after[what]}" for what, was in before.items() if after[what] != was]
    if changed:
        _restore(before)
        pytest.fail(f"the test changed {', '.join(changed)} and did not change it back")


@pytest.fixture(autouse=True)
def _seeded(_global_state_stays: None) -> None:
    """Start each test from the same random state, so that none depends on which ran before it."""
    importlib.import_module("tinygrad_dnn").utils.set_random_seed(20260)


@pytest.fixture(autouse=True)
def _names_for_doctests(doctest_namespace: dict[str, Any]) -> None:
    """Let a docstring's example say td and np without importing them."""
    doctest_namespace["td"] = importlib.import_module("tinygrad_dnn")
    doctest_namespace["np"] = np
