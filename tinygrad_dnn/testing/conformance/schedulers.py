"""The checks of schedulers: functions of the step that give a learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.optimizers import SGD
from tinygrad_dnn.tensor import Tensor, Variable, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import expect_equal, host
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_STEPS = (0, 1, 2, 5, 9, 10, 11, 40, 100)
_LATE = (10**3, 10**5, 10**7, 10**9)
_ADVICE = "write __call__ in Tensor operations on the step, with ops.where for what begins or ends"


@trial_of("schedulers")
def trial(subject: Subject, made: Any) -> Trial:
    """Ask for the rate at several steps, and all at once."""

    def step(n: Tensor) -> list[Any]:
        return [ops.cast(made(n), "float32")]

    return Trial(step, [(np.array(n),) for n in _STEPS])


@check("schedulers")
def start(subject: Subject) -> None:
    """At step 0, which comes before the first update, there is a rate, finite and at least 0."""
    _expect_rate(subject.make(), 0)


@check("schedulers")
def past_the_end(subject: Subject) -> None:
    """Long after its end, up to step 1e9, there is a rate, finite and at least 0: training may go on for longer."""
    made = subject.make()
    for step in (*_STEPS[1:], *_LATE):
        _expect_rate(made, step)


@check("schedulers")
def tensor_step(subject: Subject) -> None:
    """A step in a Tensor gives what the number gives, and several steps a rate each: an optimizer's step is one."""
    made = subject.make()
    numbers = [float(host(made(n))) for n in _STEPS]
    steps = tensor(np.array(_STEPS))
    singles = [float(host(made(steps[i]))) for i in range(len(_STEPS))]
    at_once = made(steps)
    if not isinstance(at_once, Tensor) or at_once.shape != steps.shape:
        shape = list(at_once.shape) if isinstance(at_once, Tensor) else type(at_once).__name__
        raise CheckError(f"{len(_STEPS)} steps in a Tensor gave {shape}", f"a Tensor {list(steps.shape)}", _ADVICE)
    expect_equal(
        [np.array(singles), at_once.numpy().astype(float)], [np.array(numbers)] * 2,
        "a step in a Tensor gave another rate", "the number's", _ADVICE, 1e-6,
    )  # fmt: skip


@check("schedulers")
def pure(subject: Subject) -> None:
    """The rate depends on the step alone, not on which steps were asked for before: a training may be resumed."""
    made = subject.make()
    forwards = [host(made(n)) for n in _STEPS]
    backwards = [host(made(n)) for n in reversed(_STEPS)][::-1]
    expect_equal(
        backwards, forwards, "asked in another order it gave another rate", "one rate for each step",
        "compute from the step alone and keep no count of calls",
    )  # fmt: skip


@check("schedulers")
def monotone(subject: Subject) -> None:
    """Where it claims to be "increasing" or "decreasing", no step's rate goes the other way."""
    claimed = subject.claim("monotone")
    if claimed is None:
        raise SkipError("it does not claim to be monotone")
    made = subject.make()
    rates = np.array([float(host(made(n))) for n in range(101)])
    changes = np.diff(rates) * (1 if claimed == "increasing" else -1)
    slack = 1e-6 * np.abs(rates).max()
    if (changes < -slack).any():
        step = int(np.argmin(changes))
        raise CheckError(
            f"from step {step} to {step + 1} the rate goes from {rates[step]:g} to {rates[step + 1]:g}",
            f"rates that are {claimed}", "mend the schedule or the claim",
        )  # fmt: skip


@check("schedulers")
def in_an_optimizer(subject: Subject) -> None:
    """An optimizer takes it as its learning rate, and its n-th update is made with the rate of step n - 1."""
    made = subject.make()
    optimizer, weight = SGD(made), Variable(np.zeros((), np.float64), trainable=True)
    for n in range(12):
        before = weight.numpy()
        optimizer.apply([tensor(np.array(-1.0))], [weight])
        moved, expected = float(weight.numpy() - before), float(np.float32(host(made(n))))
        if abs(moved - expected) > 1e-6 * max(abs(expected), 1e-6):
            raise CheckError(
                f"the update at step {n} went with the rate {moved:g}", f"{expected:g}", "compute from the step given"
            )


def _expect_rate(made: Any, step: int) -> None:
    rate = host(made(step))
    if rate.shape != () or not np.isfinite(rate) or rate < 0:
        raise CheckError(
            f"at step {step} the rate is {rate!s}", "one finite number of at least 0",
            "hold the step between the schedule's ends before it is divided or raised to a power",
        )  # fmt: skip
