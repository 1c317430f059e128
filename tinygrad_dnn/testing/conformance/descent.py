"""The checks that an optimizer goes downhill: on a quadratic, on Rosenbrock's valley, and in a small network."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import autograd
from tinygrad_dnn.jit import jit
from tinygrad_dnn.layers import Dense
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.tensor import Tensor, Variable
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject

# None stands for its own default; one of these suits whatever scale an optimizer's steps have.
RATES = (None, 30.0, 1.0, 0.1, 0.01, 0.001)
_ADVICE = "step against the gradient, and let the learning rate scale the step"


@check("optimizers")
def quadratic(subject: Subject) -> None:
    """With one of six learning rates, 100 steps take x^2 + 10 y^2 from (1, 1) below a tenth of its start."""

    def bowl(w: Tensor) -> Tensor:
        return w[0, 0] ** 2 + 10 * w[0, 1] ** 2

    _expect_descent(subject, bowl, [[1.0, 1.0]], steps=100, part=0.1, what="the quadratic")


@check("optimizers")
def rosenbrock(subject: Subject) -> None:
    """With one of six learning rates, 200 steps go from (-1.2, 1) into Rosenbrock's valley: 24.2 becomes below 4.6."""

    def valley(w: Tensor) -> Tensor:
        return (1 - w[0, 0]) ** 2 + 100 * (w[0, 1] - w[0, 0] ** 2) ** 2

    _expect_descent(subject, valley, [[-1.2, 1.0]], steps=200, part=0.19, what="Rosenbrock's function")


@check("optimizers")
def network(subject: Subject) -> None:
    """With one of six learning rates, 30 epochs of fit halve the loss of a network of 2, 8 and 1 units."""
    _skip_unless_descends(subject)
    x = np.random.default_rng(8).normal(size=(64, 2)).astype(np.float32)
    y = np.sin(x[:, :1]) + 0.5 * x[:, 1:]
    reached = []
    for rate in RATES:
        model = Sequential([Dense(8, "tanh", kernel_initializer="glorot_uniform"), Dense(1)])
        for seed, layer in enumerate(model.layers):
            layer.build((None, 2 if seed == 0 else 8))
            layer.set_weights(_fixed(layer, seed))
        model.compile(_with_rate(subject, rate), loss="mse", jit_compile=False)
        before = float(np.mean((model.predict(x, verbose=0) - y) ** 2))
        model.fit(x, y, epochs=30, batch_size=16, verbose=0, shuffle=False)
        reached.append(float(np.mean((model.predict(x, verbose=0) - y) ** 2)))
        if reached[-1] < before / 2:
            return
    raise CheckError(
        f"the network's loss went from {before:.3g} to {_least(reached):.3g} at best", f"below {before / 2:.3g}",
        _ADVICE,
    )  # fmt: skip


def _fixed(layer: Any, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(0, 0.5, size=w.shape).astype(np.float32) for w in layer.weights]


def _with_rate(subject: Subject, rate: float | None) -> Any:
    return subject.make() if rate is None else subject.make(learning_rate=rate)


def _skip_unless_descends(subject: Subject) -> None:
    if not subject.claim("descends"):
        raise SkipError("it does not claim to descend by itself")


def _expect_descent(subject: Subject, function: Any, start: Any, steps: int, part: float, what: str) -> None:
    _skip_unless_descends(subject)
    reached = []
    first = 0.0
    for rate in RATES:
        weight = Variable(np.array(start), trainable=True)  # float64: how far it gets is not to depend on rounding
        optimizer = _with_rate(subject, rate)

        def step(weight: Any = weight, optimizer: Any = optimizer) -> Tensor:
            value, slope = autograd.value_and_grad(function)(weight)
            optimizer.apply([slope], [weight])
            return value.detach()

        # A rule that cannot be recorded runs as it is; that it should be is another check's matter.
        run = jit(step) if getattr(optimizer, "begin_step", None) else step
        values = [float(run().numpy()) for _ in range(steps)]
        first = values[0]
        reached.append(float(function(weight.detach()).numpy()))
        if reached[-1] < part * first:
            return
    came = f"{what} went from {first:.3g} to {_least(reached):.3g} at best"
    raise CheckError(came, f"below {part * first:.3g}", _ADVICE)


def _least(values: list[float]) -> float:
    return min((value for value in values if np.isfinite(value)), default=float("inf"))
