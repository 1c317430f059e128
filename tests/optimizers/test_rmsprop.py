"""RMSprop with epsilon outside of the root, as PyTorch has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

GRADIENTS = [[0.1, -0.02, 0.003], [0.2, 0.01, -0.001], [-0.1, 0.05, 0.002]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # torch.optim.RMSprop(lr=0.1, alpha=0.9, eps=1e-2, ...) in float64, after three steps from (1, -2, 0.5).
        ({"momentum": 0.5}, [0.32424205985187937, -2.0596820821739454, 0.4477313402646367]),
        ({"centered": True}, [0.6009631613482787, -2.1232551931308747, 0.46351305775220736]),
    ],
)
def test_epsilon_outside_of_the_root_is_pytorchs(options: dict[str, Any], expected: list[float], backend: str) -> None:
    weight = td.Variable([1.0, -2.0, 0.5], dtype="float64", trainable=True)
    optimizer = td.optimizers.RMSprop(0.1, epsilon=1e-2, epsilon_outside=True, **options)
    for gradient in GRADIENTS:
        optimizer.apply([td.tensor(gradient, "float64")], [weight])
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-7)
    again = td.optimizers.RMSprop.from_config(optimizer.get_config())
    assert again.epsilon_outside
