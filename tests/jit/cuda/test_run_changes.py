"""Whatever changes between calls of a jitted function, it returns what the function itself returns: on a device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jit import test_changes
from tests.jit.cuda.device import emulated
from tests.jit.cuda.emulator import COMPILER, REASON

pytestmark = [pytest.mark.skipif(COMPILER is None, reason=REASON), pytest.mark.filterwarnings("error:td.jit")]

# All that goes for NumPy calls and for machine code, with another fixture.
globals().update({name: test for name, test in vars(test_changes).items() if name.startswith("test_")})
_as_it_was = test_changes._as_it_was


@pytest.fixture
def native() -> Iterator[bool]:
    """That the jitted function runs on a device, which rounds otherwise."""
    with emulated():
        yield True
