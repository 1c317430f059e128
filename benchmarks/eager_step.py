"""Time one eager training step of the exercise's network: by itself, inside ``fit``, and in PyTorch if installed.

The network is 3072 -> 20 x 100 (ELU) -> 10 with softmax cross-entropy and Nadam, float32, random data in memory. Each
contestant runs in a process of its own, in turn, round after round; ratios are taken round by round, so that they hold
on a machine whose speed drifts.

  python benchmarks/eager_step.py --rounds 5
  python benchmarks/eager_step.py --peer-python /path/to/venv/bin/python     an environment that has PyTorch
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

FEATURES, UNITS, DEPTH, CLASSES, SAMPLES = 3072, 100, 20, 10, 4096
LEARNING_RATE = 5e-5


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((SAMPLES, FEATURES), dtype=np.float32), rng.integers(0, CLASSES, SAMPLES)


def our_model() -> Any:
    import tinygrad_dnn as td

    model = td.models.Sequential([td.layers.InputLayer(shape=(FEATURES,))])
    for _ in range(DEPTH):
        model.add(td.layers.Dense(UNITS, activation="elu", kernel_initializer="he_normal"))
    model.add(td.layers.Dense(CLASSES, activation="softmax"))
    model.compile(
        loss="sparse_categorical_crossentropy", optimizer=td.optimizers.Nadam(LEARNING_RATE), metrics=["accuracy"]
    )
    return model


def ours(batch: int, steps: int) -> list[float]:
    """Time forward, loss, backward and optimizer, as a loop of one's own has them."""
    import tinygrad_dnn as td

    x, y = data()
    model = our_model()
    loss_of = td.losses.SparseCategoricalCrossentropy()
    weights = model.trainable_weights

    def step(start: int) -> None:
        inputs, targets = td.tensor(x[start : start + batch]), td.tensor(y[start : start + batch])
        with td.backend.current().products_of(batch * FEATURES * UNITS):  # as fit has it
            loss = loss_of(targets, model(inputs, training=True))
            model.optimizer.apply(td.grad(loss, weights), weights)
        float(loss)

    return timed(step, batch, steps)


def fit(batch: int, steps: int) -> list[float]:
    """Time what a user runs: the epochs of ``fit``, shuffled and with the accuracy, a step being epoch / batches."""
    x, y = data()
    model = our_model()
    model.fit(x, y, batch_size=batch, verbose=0)
    times = []
    for _ in range(max(2, steps * batch // SAMPLES)):
        started = time.perf_counter()
        model.fit(x, y, batch_size=batch, verbose=0)
        times.append((time.perf_counter() - started) / (SAMPLES // batch) * 1e3)
    return times


def torch(batch: int, steps: int) -> list[float]:
    """Time PyTorch's eager step."""
    import torch
    from torch import nn

    x, y = (torch.from_numpy(a) for a in data())
    sizes = [FEATURES] + [UNITS] * DEPTH
    stack: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        stack += [nn.Linear(fan_in, fan_out), nn.ELU()]
        nn.init.kaiming_normal_(stack[-2].weight)
    model = nn.Sequential(*stack, nn.Linear(UNITS, CLASSES))
    optimizer = torch.optim.NAdam(model.parameters(), lr=LEARNING_RATE, foreach=True)
    loss_of = nn.CrossEntropyLoss()

    def step(start: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(x[start : start + batch]), y[start : start + batch])
        loss.backward()
        optimizer.step()
        loss.item()

    return timed(step, batch, steps)


def timed(step: Callable[[int], None], batch: int, steps: int, warm: int = 20) -> list[float]:
    """Return the milliseconds of each step after some to warm up."""
    times = []
    for i in range(warm + steps):
        start = i * batch % (SAMPLES - batch + 1)
        started = time.perf_counter()
        step(start)
        times.append((time.perf_counter() - started) * 1e3)
    return times[warm:]


CONTESTANTS = {"ours": ours, "fit": fit, "torch": torch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="samples a step (default 32)")
    parser.add_argument("--steps", type=int, default=256, help="steps a round (default 256)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python for PyTorch (default: this one)"
    )
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(statistics.median(CONTESTANTS[options.contestant](options.batch, options.steps))))
        return
    found: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(options.rounds):
        for name in list(found):
            python = options.peer_python if name == "torch" else sys.executable
            command = [
                python,
                __file__,
                "--contestant",
                name,
                "--batch",
                str(options.batch),
                "--steps",
                str(options.steps),
            ]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                print(f"{name}: not measured ({run.stderr.strip().splitlines()[-1]})")
                del found[name]
            else:
                found[name].append(json.loads(run.stdout))
    for name, times in found.items():
        print(f"{name:6} {statistics.median(times):7.2f} ms a step (from {min(times):.2f} to {max(times):.2f})")
    for a, b in (("fit", "ours"), ("ours", "torch"), ("fit", "torch")):
        if a in found and b in found:
            ratios = [p / q for p, q in zip(found[a], found[b], strict=True)]
            print(f"{a} / {b}: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
