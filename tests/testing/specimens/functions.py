"""Broken activations, schedulers, regularizers and constraints."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.testing.specimens.breaking import breaks, crooked
from tinygrad_dnn.tensor import Tensor

_SHARED = {"calls": 0}

# -- activations -------------------------------------------------------------------------------------------------------


@breaks("activations", "gradients", "its derivative is wrong")
def wrong_slope(x: Tensor) -> Tensor:
    return x + 0.001 * crooked(x)


@breaks("activations", "finite_values", "its value is inf at 1000")
def unguarded(x: Tensor) -> Tensor:
    return td.exp(x) - 1.0


@breaks("activations", "finite_gradients", "its slope is nan at 1000")
def guarded_outside(x: Tensor) -> Tensor:
    return td.where(x > 0, x, td.exp(x) - 1.0)


@breaks("activations", "shape_and_dtype", "float32[4] gave float32[1, 4]")
def flattening(x: Tensor) -> Tensor:
    return td.reshape(td.tanh(x), (-1 if x.size else 0, x.shape[-1]))


@breaks("activations", "samples_apart", "a sample alone gave something else")
def centred(x: Tensor) -> Tensor:
    return x - 0.5 * x.mean(axis=0)


@breaks("activations", "in_a_model", "training left the weights before it unchanged")
def step(x: Tensor) -> Tensor:
    return td.sign(x)


@breaks("activations", "backends", "the strict backend gave something else")
def asking(x: Tensor) -> Tensor:
    return x if x.backend.name == "numpy" else x * 2.0


@breaks("activations", "jit", "its step cannot become a program", also=["native"])
def looking(x: Tensor) -> Tensor:
    return x + 0.0 * min(x.detach().sum().item(), 1.0)


@breaks("activations", "native", "the step as machine code gave something else")
def cancelling(x: Tensor) -> Tensor:
    bounded = td.tanh(x)
    return x + 5e4 * (td.exp(bounded) * td.exp(-bounded) - 1.0)


@breaks("activations", "threads", "a thread beside others gave something else")
def sharing(x: Tensor) -> Tensor:
    _SHARED["calls"] += 1
    time.sleep(0.01)
    y = x * float(_SHARED["calls"])
    _SHARED["calls"] -= 1
    return y


@breaks("activations", "unknown_argument", "the unknown argument no_such_argument was taken")
def swallowing(x: Tensor, **kwargs: Any) -> Tensor:
    return td.tanh(x)


# -- schedulers --------------------------------------------------------------------------------------------------------


@breaks("schedulers", "start", "at step 0 the rate is inf")
def inverse_root(step: Any) -> Tensor:
    return 0.1 / td.sqrt(td.cast(step, "float32"))


@breaks("schedulers", "past_the_end", "at step 1000 the rate is -")
def line(step: Any) -> Tensor:
    return 0.1 - 0.0005 * td.cast(step, "float32")


@breaks("schedulers", "tensor_step", "9 steps in a Tensor gave []")
def of_the_last(step: Any) -> Tensor:
    return 0.1 / (1.0 + td.max(td.cast(step, "float32")))


@breaks("schedulers", "pure", "asked in another order it gave another rate", also=["tensor_step"])
class OfTheLatest(td.schedulers.LearningRateSchedule):
    def __init__(self) -> None:
        self.latest = td.Variable(0.0)

    def __call__(self, step: Any) -> Tensor:
        step = td.cast(step, "float32")
        self.latest.assign(td.maximum(self.latest, td.max(step)))
        return 0.1 / (1.0 + (self.latest - step))

    def get_config(self) -> dict[str, Any]:
        return {}


@breaks("schedulers", "monotone", "from step 9 to 10 the rate goes from")
def saw(step: Any) -> Tensor:
    return 0.1 / (1.0 + td.remainder(td.cast(step, "float32"), 10.0))


saw.conformance = {"claims": {"monotone": "decreasing"}}


@breaks("schedulers", "in_an_optimizer", "the update at step 0 went with the rate 0.2")
def of_counters(step: Any) -> Tensor:
    return td.cast(step, "float32") * 0.0 + (0.2 if isinstance(step, td.Variable) else 0.1)


# -- regularizers ------------------------------------------------------------------------------------------------------


@breaks("regularizers", "gradients", "its derivative is wrong")
def wrong_penalty(w: Tensor) -> Tensor:
    return crooked(w).sum()


@breaks("regularizers", "nonnegative", "the penalty of a weight of")
def signed(w: Tensor) -> Tensor:
    return w.sum()


@breaks("regularizers", "scalar", "a float32 weight of shape (4, 3) gave float32[1]", also=["in_a_model"])
def in_brackets(w: Tensor) -> Tensor:
    return td.reshape((w * w).sum(), (1,))


@breaks("regularizers", "finite_values", "the penalty is inf at 1000")
def exponential(w: Tensor) -> Tensor:
    return 0.01 * td.exp(td.abs(w)).sum()


@breaks("regularizers", "finite_gradients", "the slope is nan at 0")
def norm(w: Tensor) -> Tensor:
    return td.sqrt((w * w).sum())


@breaks("regularizers", "in_a_model", "after a training step a weight is")
def crushing(w: Tensor) -> Tensor:
    return 1e25 * (w * w).sum()


class Scaled(td.regularizers.Regularizer):
    def __init__(self, factor: float = 0.5) -> None:
        self.factor = self._number("factor", factor)

    def __call__(self, w: Tensor) -> Tensor:
        return self.factor * (w * w).sum()

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor}


@breaks("regularizers", "configuration", "the object made from its configuration gave something else")
class Forgetful(Scaled):
    conformance = {"arguments": {"factor": 0.25}}  # noqa: RUF012

    def get_config(self) -> dict[str, Any]:
        return {}


@breaks("regularizers", "wrong_argument", "factor='many' was taken")
class Credulous(Scaled):
    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor


# -- constraints -------------------------------------------------------------------------------------------------------


@breaks("constraints", "idempotent", "applied twice it gives something else")
def halved(w: Tensor) -> Tensor:
    return w * 0.5


@breaks("constraints", "shape_and_dtype", "float64[4, 3] gave float32[4, 3]")
def narrowed(w: Tensor) -> Tensor:
    return td.cast(td.clip(w, -1.0, 1.0), "float32")


@breaks("constraints", "finite_weights", "what is kept is nan at 0")
def unit(w: Tensor) -> Tensor:
    return w / td.sqrt((w * w).sum())


@breaks("constraints", "after_an_update", "after an update the weight differs")
def asleep(w: Tensor) -> Tensor:
    return td.clip(w, -0.5, 0.5) if td.is_grad_enabled() else w


@breaks("constraints", "inputs_unchanged", "it changed what it was given")
def writing(w: Tensor) -> Tensor:
    w.assign(td.clip(w, -0.5, 0.5))
    return w + 0.0


@breaks("constraints", "deterministic", "the second run gave something else", also=[
    "threads", "backends", "jit", "native", "configuration", "idempotent", "after_an_update",
])  # fmt: skip
def fickle(w: Tensor) -> Tensor:
    return w * float(np.random.default_rng().uniform(0.5, 1.0))
