"""Makes the file of a training's state of the present version, which every later version must read.

    python tests/golden/make_state_files.py

It writes data/state_version_<n>.safetensors for the present version's number n. A file of an older version is never
made again: it is kept as the version wrote it that had that number.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tinygrad_dnn.saving.tree import VERSION, write_state

DATA = Path(__file__).parent / "data"


def state() -> dict[Any, Any]:
    """Return a tree with all that a state may hold."""
    numbers = np.arange(6.0).reshape(2, 3)
    return {
        "none": None, "truth": True, "number": 3, "great": 2**100, "text": "\u00e9\n", "half": 0.5, "tiny": 5e-324,
        "not finite": [math.inf, -math.inf, math.nan], "infinite": [np.float32(math.inf), np.float16(-math.inf)],
        "scalars": [np.int8(-3), np.uint64(2**63), np.bool_(True), np.float32(0.1)],
        "arrays": {"f4": numbers.astype("float32"), "0-d": np.array(2), "none": np.zeros((0, 3)), "b": numbers > 2},
        "nested": [(1, (2, [3, {}])), {1: "a", (2, None): "b"}], "floats": [0.1 * n for n in range(40)],
        "integers": list(range(40)),
    }  # fmt: skip


if __name__ == "__main__":
    write_state(DATA / f"state_version_{VERSION}.safetensors", state())
