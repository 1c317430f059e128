"""The checks of regularizers and constraints: functions of one weight."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.layers import Dense
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.optimizers import SGD
from tinygrad_dnn.tensor import Tensor, Variable, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import (
    EXTREMES,
    expect_equal,
    expect_finite,
    expect_gradients,
    slopes,
)
from tinygrad_dnn.testing.conformance.subjects import Subject
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_SHAPES = ((4, 3), (1, 1), (2, 5))


@trial_of("regularizers")
def trial_of_regularizer(subject: Subject, made: Any) -> Trial:
    """Compute the penalty of several weights, and its gradient."""

    def step(w: Tensor) -> list[Tensor]:
        w = w.detach().requires_grad_()
        penalty = made(w)
        return [penalty.detach(), slopes(penalty, [w])[0].detach()]

    return Trial(step, [(w,) for w in _weights(subject)[:1] * 3])


@trial_of("constraints")
def trial_of_constraint(subject: Subject, made: Any) -> Trial:
    """Compute what is kept of several weights."""
    return Trial(lambda w: [made(w)], [(scale * _weights(subject)[0],) for scale in (np.float32(1), np.float32(5))])


# -- regularizers ------------------------------------------------------------------------------------------------------


@check("regularizers")
def gradients(subject: Subject) -> None:
    """Its first and second derivatives equal finite differences in float64, away from its kinks."""
    w = _weights(subject)[0].astype(np.float64)
    expect_gradients(subject.make(), [w], "mend the gradient of what you wrote yourself, or compose td's own")


@check("regularizers")
def nonnegative(subject: Subject) -> None:
    """A penalty is at least 0, for zeros and extreme weights too, unless it claims otherwise."""
    if not subject.claim("nonnegative"):
        return
    made = subject.make()
    for w in (*_weights(subject), *_extreme(subject)):
        penalty = float(made(tensor(w)).numpy().min())
        if penalty < 0:
            raise CheckError(
                f"the penalty of a weight of {w.flat[0]:g} ... is {penalty:g}", "at least 0",
                "penalise a distance, or claim nonnegative: False",
            )  # fmt: skip


@check("regularizers")
def scalar(subject: Subject) -> None:
    """The penalty is a Tensor of shape () in the weight's type, which the loss can be added to."""
    made = subject.make()
    for w in _weights(subject):
        for dtype in ("float32", "float64"):
            penalty = made(tensor(w, dtype))
            if not isinstance(penalty, Tensor) or penalty.shape != () or penalty.dtype != dtype:
                is_tensor = isinstance(penalty, Tensor)
                came = f"{penalty.dtype}{list(penalty.shape)}" if is_tensor else type(penalty).__name__
                raise CheckError(
                    f"a {dtype} weight of shape {w.shape} gave {came}", f"{dtype}[]", "sum over all axes of the weight"
                )


@check("regularizers")
def finite_values(subject: Subject) -> None:
    """The penalties of zeros and of weights of +-1, +-1e3 and +-1e4 are finite."""
    made = subject.make()
    for w in _extreme(subject):
        expect_finite(made(tensor(w)), "the penalty is", w.flat[0], "guard what is divided by, and exp's input")


@check("regularizers")
def finite_gradients(subject: Subject) -> None:
    """The penalty's gradient is finite at zeros and at +-1, +-1e3 and +-1e4: sqrt's is not at 0."""
    made = subject.make()
    for values in _extreme(subject):
        w = tensor(values, requires_grad=True)
        penalty = made(w)
        if np.isfinite(penalty.numpy()).all():
            expect_finite(slopes(penalty, [w])[0], "the slope is", values, "add a floor under sqrt and under quotients")


@check("regularizers")
def in_a_model(subject: Subject) -> None:
    """A layer's losses have the penalty of its kernel, and a training on it ends with finite weights."""
    made = subject.make()
    layer = Dense(3, kernel_regularizer=made)
    model = Sequential([layer])
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    model(x)
    if not model.losses:
        raise CheckError("the layer has no loss", "the penalty of its kernel", "return a Tensor for each weight")
    expect_equal([model.losses[0]], [made(layer.kernel)], "the layer's loss differs", "the kernel's penalty", "be pure")
    model.compile(SGD(0.01), loss="mse")
    model.fit(x, model.predict(x, verbose=0), epochs=3, verbose=0)
    expect_finite(layer.kernel, "after a training step a weight is", 0.0, "look at the penalty's slope")


# -- constraints -------------------------------------------------------------------------------------------------------


@check("constraints")
def idempotent(subject: Subject) -> None:
    """What it gives complies already: applied to it again, it changes nothing but by rounding."""
    made = subject.make()
    for w in (*_weights(subject), *(5 * w for w in _weights(subject))):
        once = made(tensor(w))
        expect_equal(
            [made(once)], [once], "applied twice it gives something else", "what applying it once gives",
            "project onto the set of weights that comply", 1e-6,
        )  # fmt: skip


@check("constraints")
def shape_and_dtype(subject: Subject) -> None:
    """The result is a Tensor of the weight's shape and type: it takes the weight's place."""
    made = subject.make()
    for w in _weights(subject):
        for dtype in ("float32", "float64"):
            kept = made(tensor(w, dtype))
            if not isinstance(kept, Tensor) or kept.shape != w.shape or kept.dtype != dtype:
                came = f"{kept.dtype}{list(kept.shape)}" if isinstance(kept, Tensor) else type(kept).__name__
                raise CheckError(
                    f"{dtype}{list(w.shape)} gave {came}", f"{dtype}{list(w.shape)}", "keep axes that are reduced"
                )


@check("constraints")
def finite_weights(subject: Subject) -> None:
    """Zeros, and weights of +-1, +-1e3 and +-1e4, give finite weights: a unit may have died."""
    made = subject.make()
    for w in _extreme(subject):
        expect_finite(made(tensor(w)), "what is kept is", w.flat[0], "add a floor under the norm that is divided by")


@check("constraints")
def after_an_update(subject: Subject) -> None:
    """After an optimizer's update a weight that has this constraint complies with it."""
    made = subject.make()
    values = _weights(subject)[0]
    weight = Variable(values, trainable=True)
    weight.constraint = made
    SGD(0.5).apply([ops.ones_like(weight) * 3.0], [weight])
    expect_equal(
        [weight], [made(tensor(values) - tensor(1.5, "float32"))], "after an update the weight differs",
        "the constrained one", "let it depend on the weight alone", 1e-6,
    )  # fmt: skip


def _weights(subject: Subject) -> list[np.ndarray]:
    """Return random weights of the shapes that it takes."""
    shapes = _SHAPES if subject.inputs is None else subject.inputs
    random = np.random.default_rng(5)
    return [random.normal(0.2, 1.0, size=shape).astype(np.float32) for shape in shapes]


def _extreme(subject: Subject) -> list[np.ndarray]:
    """Return weights all of one extreme number, and with all of them in turn."""
    shape = _weights(subject)[0].shape
    mixed = np.resize(np.array(EXTREMES, np.float32), shape)
    return [np.full(shape, x, np.float32) for x in EXTREMES] + [mixed]
