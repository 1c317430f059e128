"""The checks of activations: functions of a Tensor that act on each sample by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.layers import Dense
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.tensor import Tensor, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import (
    expect_equal,
    expect_finite,
    expect_gradients,
    extremes,
    slopes,
)
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_POINTS = np.array([[-7.3, -2.1, -0.4, 0.3], [0.9, 1.4, 2.3, 7.7]])


@trial_of("activations")
def trial(subject: Subject, made: Any) -> Trial:
    """Compute the values and the gradients at a few points."""

    def step(x: Tensor) -> list[Tensor]:
        x = x.detach().requires_grad_()
        y = made(x)
        return [y.detach(), slopes(y, [x])[0].detach()]

    return Trial(step, [(points.astype(np.float32),) for points in (_POINTS, _POINTS * 0.5, -_POINTS)])


@check("activations")
def gradients(subject: Subject) -> None:
    """Its first and second derivatives equal finite differences in float64, away from its kinks."""
    points = _POINTS if subject.inputs is None else np.asarray(subject.inputs, np.float64)
    expect_gradients(subject.make(), [points], "mend the gradient of what you wrote yourself, or compose td's own")


@check("activations")
def finite_values(subject: Subject) -> None:
    """Its values at 0, +-1, +-1e3 and +-1e4 are finite: one infinity in a batch ends a training."""
    made = subject.make()
    for x in _rows(subject):
        expect_finite(made(tensor(x)), "its value is", x, "guard the input of exp and the like, not their output")


@check("activations")
def finite_gradients(subject: Subject) -> None:
    """Its first and second derivatives are finite wherever its values are: where() lets through 0 times infinity."""
    made = subject.make()
    for row in _rows(subject):
        x = tensor(row, requires_grad=True)
        y = made(x)
        if not np.isfinite(y.numpy()).all():
            continue
        first = slopes(y, [x], create_graph=True)[0]
        for value, what in ((first, "its slope is"), (slopes(first, [x])[0], "its second derivative is")):
            expect_finite(value, what, row, "guard the input of exp, sqrt and log inside where(), not their output")


@check("activations")
def shape_and_dtype(subject: Subject) -> None:
    """Its result has the input's shape and type, for one sample or none, any number of axes, float32 and float64."""
    made = subject.make()
    for shape in ((4,), (1, 4), (3, 4), (2, 3, 4), (0, 4)):
        for dtype in ("float32", "float64"):
            x = ops.reshape(tensor(np.linspace(-1, 1, int(np.prod(shape))), dtype), shape)
            y = made(x)
            if not isinstance(y, Tensor):
                raise CheckError(f"it returned {type(y).__name__}", "a Tensor", "compute with td's operations alone")
            kept = y.shape == shape if subject.claim("keeps_shape") else y.shape[:-1] == shape[:-1]
            if not kept or y.dtype != x.dtype:
                raise CheckError(
                    f"{dtype}{list(shape)} gave {y.dtype}{list(y.shape)}", f"{dtype}{list(shape)}",
                    "act on each element, and let constants be Python's numbers, which take the Tensor's type",
                )  # fmt: skip


@check("activations")
def samples_apart(subject: Subject) -> None:
    """A sample's values do not depend on the other samples of its batch: predictions may come one by one."""
    made = subject.make()
    x = _POINTS.astype(np.float32)
    expect_equal(
        [made(tensor(x[1:]))], [made(tensor(x))[1:]], "a sample alone gave something else", "what it gives in a batch",
        "reduce over the last axis at most", 1e-6,
    )  # fmt: skip


@check("activations")
def in_a_model(subject: Subject) -> None:
    """A Dense layer takes it, and a step of fit changes the weights and leaves them finite."""
    made = subject.make()
    if not subject.claim("keeps_shape"):
        raise SkipError("it does not keep the shape that a layer promises")
    hidden = Dense(4, activation=made)
    model = Sequential([hidden, Dense(1)])
    model.compile("sgd", loss="mse")
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)
    model(x)
    before = hidden.kernel.numpy()
    model.fit(x, x.sum(axis=1, keepdims=True), epochs=2, batch_size=4, verbose=0)
    expect_finite(hidden.kernel, "after training a weight is", 0.0, "see what its slopes are at 0")
    if np.array_equal(before, hidden.kernel.numpy()):
        raise CheckError(
            "training left the weights before it unchanged", "weights that learn", "let its slope not be 0 everywhere"
        )


def _rows(subject: Subject) -> list[np.ndarray]:
    """Return each extreme number by itself, and all side by side."""
    points = extremes(subject.claim("domain"))
    even = points[: len(points) // 2 * 2]
    return [even[None], *(np.full((1, 2), x) for x in points)]
