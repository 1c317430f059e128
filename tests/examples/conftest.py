"""What the tests of the example scripts share: a script imported as the scripts import each other."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Yield what imports a script by its name, from the folder that Python puts first when it runs one."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if (EXAMPLES / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def correct(load: Callable[[str], ModuleType]) -> Callable[..., list[tuple[float, float]]]:
    """Return what runs one correction of a script with options, and returns its pairs of numbers."""

    def run(script: str, name: str, **options: int) -> list[tuple[float, float]]:
        figure, panel = load("lesson").plt.subplots()
        try:
            return [*getattr(load(script), name)(panel, argparse.Namespace(seed=0, **options)).values()]
        finally:
            load("lesson").plt.close(figure)

    return run
