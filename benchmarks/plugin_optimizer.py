"""Time the exercise's steps with an optimizer that a plugin brings in ten lines, and with the built-in that is equal.

The plugin is a package that is found and used by its name, as anybody's. Both train the exercise's first network, from
the same weights, on the images that come with the package: in turn, round after round, the other one first in every
other round. Ratios are taken round by round, so that they hold on a machine whose speed drifts, of the time that passes
and of the processors' time, which other programs disturb less. That the arithmetic is equal shows in the losses of the
first two epochs, before roundings part them.

  python benchmarks/plugin_optimizer.py --rounds 60
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

# Adam's own numbers, and the learning rate of the exercise's first part.
BUILT_IN, PLUGIN = "adam", "ten_lines"
LEARNING_RATE = 5e-5
SOURCE = '''
import tinygrad_dnn as td


class TenLines(td.optimizers.Optimizer):
    def init(self, param):
        return {"m": td.zeros_like(param), "v": td.zeros_like(param)}

    def update(self, param, grad, state, learning_rate):
        t = td.cast(self.step, param.dtype)
        m = 0.9 * state["m"] + 0.1 * grad
        v = 0.999 * state["v"] + 0.001 * grad * grad
        rate = learning_rate * td.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return param - rate * m / (td.sqrt(v) + 1e-7), {"m": m, "v": v}


@td.hookimpl
def register_optimizers(register):
    register(TenLines)
'''


def install(folder: Path) -> None:
    """Put the plugin's module and metadata where Python finds them, as pip would."""
    (folder / "ten_lines.py").write_text(SOURCE, encoding="utf-8")
    info = folder / "ten_lines-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ten-lines\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[tinygrad_dnn]\nmain = ten_lines\n", encoding="utf-8")
    sys.path.insert(0, str(folder))


class Training:
    """A model of the exercise's first network with an optimizer given by name, and its epochs."""

    def __init__(self, optimizer: str, x: np.ndarray, y: np.ndarray, batch: int, jit_compile: Any) -> None:
        import tinygrad_dnn as td

        td.utils.set_random_seed(0)
        hidden = [td.layers.Dense(100, activation="elu", kernel_initializer="he_normal") for _ in range(20)]
        self.model = td.Sequential([td.Input(shape=x.shape[1:]), td.layers.Flatten(), *hidden])
        self.model.add(td.layers.Dense(10, activation="softmax"))
        self.model.compile(
            optimizer=td.optimizers.get(optimizer, learning_rate=LEARNING_RATE),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=jit_compile,
        )
        self.losses: list[float] = []
        self._data, self._batch = (x, y), batch

    def epoch(self) -> tuple[float, float]:
        """Train for an epoch; return the milliseconds of a step, as they pass and of the processors."""
        steps = -(-len(self._data[0]) // self._batch)
        started = time.perf_counter(), time.process_time()
        history = self.model.fit(*self._data, batch_size=self._batch, verbose=0, shuffle=False)
        passed, worked = time.perf_counter() - started[0], time.process_time() - started[1]
        self.losses += history.history["loss"]
        return passed / steps * 1e3, worked / steps * 1e3


def measure(rounds: int, batch: int, limit: int, jit_compile: Any) -> dict[str, Any]:
    """Return the milliseconds of a step by round for each optimizer, both kinds, and how far the losses part."""
    import tinygrad_dnn as td

    (x, y), _ = td.datasets.sample.load_data()
    x, y = x[:limit].astype("float32") / 255, y[:limit]
    trainings = {name: Training(name, x, y, batch, jit_compile) for name in (BUILT_IN, PLUGIN)}
    for training in trainings.values():  # records, compiles, and warms up
        for _ in range(2):
            training.epoch()
    first, second = (np.array(training.losses) for training in trainings.values())
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in trainings}
    for round_ in range(rounds):
        for name in list(trainings)[:: 1 if round_ % 2 else -1]:
            times[name].append(trainings[name].epoch())
    return {**times, "parting": float(np.abs(first / second - 1).max())}


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Measure as programs of NumPy calls, for short epochs "auto", and as machine code; return what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--limit", type=int, default=1280, help="how many images an epoch has")
    options = parser.parse_args(arguments)
    os.environ.pop("TINYGRAD_DNN_PLUGINS", None)
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        for title, jit_compile in (("NumPy program", "auto"), ("machine code", True)):
            found = measured[title] = measure(options.rounds, options.batch, options.limit, jit_compile)
            print(f"{title}: first losses part by {found['parting']:.1e}")
            for which, what in enumerate(("passed", "of the processors")):
                ours, theirs = ([each[which] for each in found[name]] for name in (PLUGIN, BUILT_IN))
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                print(
                    f"    ms a step {what}: built-in {statistics.median(theirs):.3f}, plugin "
                    f"{statistics.median(ours):.3f}; ratio: median {statistics.median(ratios):.3f}, of minima "
                    f"{min(ours) / min(theirs):.3f}"
                )
        sys.path.remove(folder)
    return measured


if __name__ == "__main__":
    main()
