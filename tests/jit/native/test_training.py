"""Native training steps against the same steps run primitive by primitive, from the same state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import assert_close, native, state_after
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

    def compare(self, steps: int, tolerance: float) -> Any:
        """Compare the native run of some steps with the primitives'; return what ran it."""
        run = native.lower(self.program)
        expected, found = self.after(Interpreted(self.program), steps), self.after(run, steps)
        for x, y in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
            assert_close(x, y, tolerance)
        return run


@pytest.mark.parametrize("name", MODELS)
def test_one_step_in_float32(name: str) -> None:
    Step(MODELS[name], td.optimizers.Nadam, "float32").compare(1, 1e-5)


@pytest.mark.parametrize("steps", [200, pytest.param(1000, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", MODELS)
def test_many_steps_in_float64(name: str, steps: int) -> None:
    run = Step(MODELS[name], td.optimizers.Nadam, "float64").compare(steps, 1e-9)
    assert not run.calls


OPTIMIZERS = [
    name
    for name in td.optimizers.__all__
    if isinstance(getattr(td.optimizers, name), type) and name != "Optimizer"
]  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str) -> None:
    Step(exercise, partial(getattr(td.optimizers, name), clipnorm=1.0), "float64").compare(20, 1e-9)
