"""Small models' training steps as programs, to be lowered and compared with their primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.jit.comparing import assert_close, state_after
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

dense = td.layers.Dense


def exercise() -> list[Any]:
    """Return the layers of a small network of the exercise's kind."""
    hidden = [dense(10, activation="elu", kernel_initializer="he_normal") for _ in range(4)]
    return [td.Input(shape=(24,)), *hidden, dense(5, activation="softmax")]


MODELS: dict[str, Any] = {
    "elu": exercise,
    "normalized": lambda: [
        td.Input(shape=(24,)), dense(10, use_bias=False), td.layers.BatchNormalization(), td.layers.Activation("swish"),
        dense(9, activation="gelu"), td.layers.LayerNormalization(), dense(5, activation="softmax"),
    ],
    "dropout": lambda: [
        td.Input(shape=(24,)), dense(10, activation="selu"), td.layers.AlphaDropout(0.1, seed=3),
        dense(10, activation="tanh"), td.layers.Dropout(0.3, seed=4), dense(5, activation="softmax"),
    ],
    "convolution": lambda: [
        td.Input(shape=(24,)), td.layers.Reshape((4, 3, 2)), td.layers.Conv2D(3, 2, padding="same", activation="relu"),
        td.layers.MaxPooling2D((2, 1)), td.layers.Flatten(), dense(5, activation="softmax"),
    ],
    "noisy": lambda: [
        td.Input(shape=(24,)), td.layers.GaussianNoise(0.1, seed=5), dense(10, activation="swish"),
        td.layers.GaussianDropout(0.1, seed=6), td.layers.RReLU(seed=7), dense(5, activation="softmax"),
    ],
    "penalized": lambda: [
        td.Input(shape=(24,)), dense(7, activation="softplus", kernel_regularizer="l2", kernel_constraint="max_norm"),
        td.layers.PReLU(), dense(5, activation="sigmoid", bias_regularizer="l1"), td.layers.Softmax(),
    ],
}  # fmt: skip


class Step:
    """A model's training step on one batch, its program, and the Tensors that it changes."""

    def __init__(self, layers: Callable[[], list[Any]], optimizer: Any, dtype: str, batch: int = 8) -> None:
        td.random.set_seed(1)
        with td.backend.use("numpy"):
            before = td.backend.floatx()
            td.backend.set_floatx(dtype)
            try:
                self.model = td.Sequential(layers())
                self.model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
                draw = np.random.default_rng(0)
                self.batch = [draw.normal(size=(batch, 24)).astype(dtype), draw.integers(0, 5, batch)]
                given = [td.tensor(x) for x in self.batch]
                self.model.train_step(tuple(given))
                self.program: Program = simplify(record(lambda x: self.model.train_step(tuple(x)), given).program)
            finally:
                td.backend.set_floatx(before)
        self.state = [tensor for tensor, _ in self.program.updates]

    def after(self, run: Any, steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the outputs of the last of some steps, and the state afterwards; the state is then put back."""

        def several() -> Any:
            for _ in range(steps):
                outputs = run(self.batch)
            return outputs

        return state_after(several, self.state)

    def compare(self, lower: Callable[[Program], Any], steps: int, tolerance: float) -> Any:
        """Compare a lowered run of some steps with the primitives'; return what ran it."""
        run = lower(self.program)
        expected, found = self.after(Interpreted(self.program), steps), self.after(run, steps)
        for x, y in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
            assert_close(x, y, tolerance)
        return run


OPTIMIZERS = [
    name
    for name in td.optimizers.__all__
    if isinstance(getattr(td.optimizers, name), type) and name != "Optimizer"
]  # fmt: skip
