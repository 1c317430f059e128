"""The work that is measured: networks, batches, optimizers, and the random data, which are every contestant's alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEARNING_RATE = 5e-5
DROPOUT = 0.1
CLASSES = 10
# Arrays that a parameter's update reads and writes: the weight, its gradient, and what the rule keeps.
TRAFFIC = {"nadam": 7, "adam": 7, "sgd": 3}


class Case(NamedTuple):
    """One thing to measure.

    Attributes:
        key: What the results call it.
        kind: "train", "predict", "optimizer" (alone, on arrays), "start" (a process up to its first epoch's end),
            "import", or "machine" (10^9 operations of sgemm, or 10^9 bytes read and written by a copy).
        sizes: The units of the layers, input and output included; for "optimizer" the shape of each of five arrays.
        batch: Samples a step.
        steps: Steps a round: what is timed at once, inside ``fit`` an epoch.
        variant: Of the exercise: "elu", "bn", "selu" or "alpha".
        optimizer: "nadam", "adam" or "sgd".
        epochs: How many times a round goes through its steps; more than one where the data stay on a device.
        device: "" for what bench.py measures; for what gpu.py measures "cuda", or "cpu" in a rehearsal.
    """

    key: str
    kind: str
    sizes: tuple[int, ...] = ()
    batch: int = 1
    steps: int = 1
    variant: str = "elu"
    optimizer: str = "nadam"
    epochs: int = 1
    device: str = ""

    @property
    def parameters(self) -> int:
        """The number of weights and biases; batch normalisation's are too few to count."""
        if self.kind == "optimizer":
            return ARRAYS * int(np.prod(self.sizes))
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def flops(self) -> int:
        """The floating-point operations of a step's matrix products; the first layer needs no gradient of its input."""
        if self.kind == "machine":
            return 10**9 if self.key == SGEMM else 0
        if self.kind == "optimizer":
            return 0
        products = [fan_in * fan_out for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False)]
        passes = 3 * sum(products) - products[0] if self.kind == "train" else sum(products)
        return 2 * self.batch * passes

    @property
    def bytes(self) -> int:
        """The bytes that a step moves at least: the optimizer's arrays, or for a prediction the weights, once."""
        if self.kind == "machine":
            return 10**9 if self.key == COPY else 0
        return 4 * self.parameters * (1 if self.kind == "predict" else TRAFFIC[self.optimizer])


ARRAYS = 5


def exercise(depth: int = 20) -> tuple[int, ...]:
    """Return the sizes of the exercise's network, 3072 -> 20 x 100 -> 10, or of a deeper or shallower one."""
    return 3072, *[100] * depth, CLASSES


def _train(key: str, batch: int, sizes: tuple[int, ...] = exercise(), variant: str = "elu") -> Case:
    samples = 4096 if batch <= 256 else 8192
    return Case(key, "train", sizes, batch, max(4, samples // batch), variant)


VARIANTS = ("elu", "bn", "selu", "alpha")
SGEMM, COPY = "sgemm, 10^9 operations", "copy, 10^9 bytes"
SECTIONS: dict[str, tuple[str, list[Case]]] = {
    "machine": ("The machine itself, by NumPy", [Case(SGEMM, "machine"), Case(COPY, "machine")]),
    "exercise": (
        "The exercise: 3072 -> 20 x 100 -> 10, Nadam, a training step",
        [_train(f"{name}, batch {batch}", batch, variant=name) for batch in (32, 256, 1024) for name in VARIANTS],
    ),
    "networks": (
        "Other networks, ELU, Nadam, a training step",
        [
            _train("784-300-100-10, batch 128", 128, (784, 300, 100, CLASSES)),
            _train("4 x 2048 wide, batch 256", 256, (3072, *[2048] * 4, CLASSES))._replace(steps=4),
        ],
    ),
    "optimizers": (
        "An optimizer alone on 5 million parameters, a step",
        [Case(f"{name} alone", "optimizer", (1000, 1000), steps=10, optimizer=name) for name in TRAFFIC],
    ),
    "inference": (
        "The exercise's network predicting, a batch",
        [
            Case(f"predict, batch {batch}", "predict", exercise(), batch, steps)
            for batch, steps in ((1, 256), (1024, 8))
        ],
    ),
    "depth": (
        "Growth with depth: 3072 -> depth x 100 -> 10, ELU, batch 32, a training step",
        [_train(f"depth {depth}", 32, exercise(depth)) for depth in (5, 10, 20, 40, 80)],
    ),
    "batch": (
        "Growth with the batch: the exercise's network, ELU, a training step",
        [_train(f"elu, batch {batch}", batch) for batch in (8, 32, 128, 256, 1024)],
    ),
    "start": (
        "A process from its start to the end of the first epoch: the exercise, ELU, 128 steps of batch 32",
        [Case("start", "start", exercise(), 32, 128)],
    ),
    "import": ("A process that imports the library (under roofline: numpy) and ends", [Case("import", "import")]),
}
# What --quick leaves of them.
QUICK = frozenset({
    SGEMM, COPY, "elu, batch 32", "bn, batch 32", "alpha, batch 32", "784-300-100-10, batch 128",
    "4 x 2048 wide, batch 256", "nadam alone", "predict, batch 1", "predict, batch 1024", "depth 5", "depth 20",
    "elu, batch 256", "start", "import",
})  # fmt: skip
CASES = {case.key: case for _, cases in SECTIONS.values() for case in cases}


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return samples for a round, standard normal float32, and their labels, int64."""
    rng = np.random.default_rng(0)
    samples = case.batch * case.steps
    x = rng.standard_normal((samples, case.sizes[0]), dtype=np.float32)
    return x, rng.integers(0, CLASSES, samples)


def arrays() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the weights and the gradients for an optimizer alone: twice five arrays of a million, float32."""
    rng = np.random.default_rng(0)
    shape = SECTIONS["optimizers"][1][0].sizes
    weights, gradients = ([rng.standard_normal(shape, dtype=np.float32) for _ in range(ARRAYS)] for _ in range(2))
    return weights, gradients
