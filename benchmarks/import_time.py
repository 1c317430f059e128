"""Time ``import tinygrad_dnn`` against ``import numpy``: each in fresh processes, in turn, the quickest of several.

python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys
import time

PROGRAMS = {"nothing": "pass", "numpy": "import numpy", "tinygrad_dnn": "import tinygrad_dnn"}


def main() -> None:
    """Print the times in milliseconds, and the ratio after taking off what Python itself needs."""
    best = dict.fromkeys(PROGRAMS, float("inf"))
    for _ in range(15):
        for name, program in PROGRAMS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            best[name] = min(best[name], (time.perf_counter() - started) * 1e3)
    for name, milliseconds in best.items():
        print(f"{name:13} {milliseconds:6.1f} ms")
    ratio = (best["tinygrad_dnn"] - best["nothing"]) / (best["numpy"] - best["nothing"])
    print(f"tinygrad_dnn / numpy: {ratio:.2f}")


if __name__ == "__main__":
    main()
