"""Native training steps against the same steps run primitive by primitive, from the same state."""

from __future__ import annotations

from functools import partial

import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import native
from tests.jit.training_steps import MODELS, OPTIMIZERS, Step, exercise


@pytest.mark.parametrize("name", MODELS)
def test_one_step_in_float32(name: str) -> None:
    Step(MODELS[name], td.optimizers.Nadam, "float32").compare(native.lower, 1, 1e-5)


@pytest.mark.parametrize("steps", [200, pytest.param(1000, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", MODELS)
def test_many_steps_in_float64(name: str, steps: int) -> None:
    run = Step(MODELS[name], td.optimizers.Nadam, "float64").compare(native.lower, steps, 1e-9)
    assert not run.calls


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str) -> None:
    Step(exercise, partial(getattr(td.optimizers, name), clipnorm=1.0), "float64").compare(native.lower, 20, 1e-9)
